"""Distributions over texts that can be written down: slots of alternatives, enumerated exactly, and full-support noise.

A grammar is a sequence of slots; each slot chooses one of its alternatives independently. A text's probability is the sum
over the choices that spell it. Noise gives every text a positive probability, so that log p_data is finite everywhere.
All logarithms are natural; probabilities of one distribution sum to 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

Slot = tuple[tuple[str, float], ...]
Grammar = tuple[Slot, ...]


def choices(alternatives: dict[str, float]) -> Slot:
    """A slot from {text: weight}; weights are normalised."""
    total = sum(alternatives.values())
    return tuple((text, weight / total) for text, weight in alternatives.items())


def enumerate_texts(grammar: Grammar) -> dict[str, float]:
    """{text: probability} of every text of the grammar; sums to 1."""
    texts = {"": 1.0}
    for alternatives in grammar:
        extended: dict[str, float] = {}
        for text, probability in texts.items():
            for piece, weight in alternatives:
                extended[text + piece] = extended.get(text + piece, 0.0) + probability * weight
        texts = extended
    return texts


def draw(grammar: Grammar, rng: Random) -> str:
    """One text, slot by slot."""
    return "".join(
        rng.choices([text for text, _ in alternatives], [weight for _, weight in alternatives])[0] for alternatives in grammar
    )


class Noise:
    """Noise with full support: random words, or with probability r = RAW_SHARE random characters. c: CONTINUE_PROBABILITY.

    words: n >= 1 with P(n) = (1 - c) c^(n-1), each uniform over the vocabulary, joined by single spaces.
    characters: n >= 0 with P(n) = (1 - c) c^n, each printable ASCII (uniform over 95) with probability ASCII_SHARE,
    else uniform over all Unicode scalar values.
    """

    RAW_SHARE = 0.1
    CONTINUE_PROBABILITY = 0.9
    ASCII_SHARE = 0.9
    NUM_SCALARS = 0x110000 - 0x800

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.words = sorted(set(vocabulary))
        self.word_set = frozenset(self.words)

    def log_prob(self, text: str, *, finished: bool = True) -> float:
        """Nats; with finished=False, of all texts that begin with this one. ValueError on a lone surrogate."""
        return _log_add(
            math.log1p(-self.RAW_SHARE) + self._words_log_prob(text, finished),
            math.log(self.RAW_SHARE) + self._raw_log_prob(text, finished),
        )

    def _words_log_prob(self, text: str, finished: bool) -> float:
        *full_words, fragment = text.split(" ")
        if any(word not in self.word_set for word in full_words):
            return -math.inf
        num_matching = int(fragment in self.word_set) if finished else sum(word.startswith(fragment) for word in self.words)
        if num_matching == 0:
            return -math.inf
        total = len(full_words) * (math.log(self.CONTINUE_PROBABILITY) - math.log(len(self.words)))
        total += math.log(num_matching) - math.log(len(self.words))
        return total + (math.log1p(-self.CONTINUE_PROBABILITY) if finished else 0.0)

    def _raw_log_prob(self, text: str, finished: bool) -> float:
        total = math.log1p(-self.CONTINUE_PROBABILITY) if finished else 0.0
        for character in text:
            code = ord(character)
            if 0xD800 <= code <= 0xDFFF:
                raise ValueError(f"lone surrogate U+{code:04X} is not text")
            ascii_share = self.ASCII_SHARE / 95 if 32 <= code < 127 else 0.0
            total += math.log(self.CONTINUE_PROBABILITY) + math.log(ascii_share + (1 - self.ASCII_SHARE) / self.NUM_SCALARS)
        return total

    def draw(self, rng: Random) -> str:
        if rng.random() < self.RAW_SHARE:
            characters = []
            while rng.random() < self.CONTINUE_PROBABILITY:
                if rng.random() < self.ASCII_SHARE:
                    characters.append(chr(rng.randrange(32, 127)))
                else:
                    code = rng.randrange(self.NUM_SCALARS)
                    characters.append(chr(code if code < 0xD800 else code + 0x800))
            return "".join(characters)
        words = [rng.choice(self.words)]
        while rng.random() < self.CONTINUE_PROBABILITY:
            words.append(rng.choice(self.words))
        return " ".join(words)


def _log_add(a: float, b: float) -> float:
    """log(e^a + e^b) without overflow; -inf is log 0."""
    high, low = max(a, b), min(a, b)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))
