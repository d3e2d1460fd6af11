"""(prompt, response) -> token ids. Never sees a model.

Legend: ids are plain lists of token ids. A response's ids end in the end token when the response is real, or when the
checkpoint emitted it; a synthetic response that was cut off has none. Samples keep the ids they were drawn with, because
re-tokenising a sampled text need not give the sampled tokens.

The seam: prompt and real response are tokenised as one text and cut where the ids of the prompt end, so that the real response
has the ids which a model that read whole texts would write. Tokenised apart they need not have: Llama 2's and Mistral's
tokenizers put a space before every text, and an objective would learn to tell real from synthetic by that token.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from harness.language.records import Example
from harness.language.text.templates import Template as Template
from harness.language.text.templates import choose_template as choose_template
from harness.language.text.tokens import control_tokens
from harness.records import digest

# How many tokens of the template may be joined with the response's first word in one row more than in others.
MAX_SEAM_SHIFT = 8


class SeamError(ValueError):
    """The tokenizer joins prompt and response in such a way that no ids of the prompt stay what they are."""


@dataclass(frozen=True)
class EncodedPair:
    """Ids of one prompt and one response: together those of the whole text. seam_shift: tokens of the prompt that the tokenizer
    joined with the response's first characters, and that are therefore among the response's ids.
    """

    prompt_ids: list[int]
    response_ids: list[int]
    seam_shift: int = 0


def encode_prompt(tokenizer: Any, prompt_text: str, template: Template) -> list[int]:
    """Ids of a rendered prompt up to the seam, with what the tokenizer writes before every text, once."""
    control = control_tokens(tokenizer)
    return control.with_added_prefix(control.token_ids(prompt_text[: len(prompt_text) - template.seam_offset]))


def encode_pair(tokenizer: Any, prompt_text: str, text: str, template: Template) -> EncodedPair:
    """A rendered prompt and a response, end token included: the ids that the tokenizer gives to the whole text.

    The seam is the template's own where the ids of the prompt stay what they are, else as many tokens earlier as the tokenizer
    joins with the response. Raises SeamError when these are more than MAX_SEAM_SHIFT, ValueError when the text cannot be quoted.
    """
    control = control_tokens(tokenizer)
    prompt_ids = encode_prompt(tokenizer, prompt_text, template)
    if (response_prefix := template.prefix_for(tokenizer, text)) is None:
        raise SeamError("the model's chat template changes the response, as one that reads thoughts does")
    full_text = prompt_text + response_prefix + control.quote(text) + template.response_suffix
    full_ids = control.with_added_prefix(control.token_ids(full_text))
    if not template.response_suffix:
        full_ids = [*full_ids, template.end_token_id]
    if full_ids[-1] != template.end_token_id:
        raise SeamError(
            f"the template ends an answer with token {template.end_token_id}, the tokenizer reads {full_ids[-1]} there"
        )
    max_shared = min(len(prompt_ids), len(full_ids) - 1)  # the end token is the response's, whatever the prompt ends in
    shared = next((n for n in range(max_shared) if prompt_ids[n] != full_ids[n]), max_shared)
    if len(prompt_ids) - shared > MAX_SEAM_SHIFT:
        raise SeamError(f"the tokenizer joins the response with {len(prompt_ids) - shared} tokens of the prompt")
    return EncodedPair(prompt_ids[:shared], full_ids[shared:], len(prompt_ids) - shared)


def encode_response(tokenizer: Any, text: str, template: Template) -> list[int]:
    """Ids of a response behind a short prompt of the template's, its end token included."""
    return encode_pair(tokenizer, template.example_prompt, text, template).response_ids


class Encoder:
    """A tokenizer with its template that encodes every text once, however many iterations and objectives use it.

    generation_template: another template for generation alone, where a run wants the mismatch of SPIN's released code.
    """

    def __init__(self, tokenizer: Any, template: Template, generation_template: Template | None = None) -> None:
        self.tokenizer, self.template, self.generation_template = tokenizer, template, generation_template
        self._pairs: dict[tuple[str, str], EncodedPair] = {}

    @cached_property
    def digest(self) -> str:
        """Digest of how text becomes tokens and turns become text, computed once."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        tokenizer_state = json.loads(backend.to_str()) if backend is not None else {"vocabulary": self.tokenizer.get_vocab()}
        tokenizer_state |= {"padding": None, "truncation": None}  # left over from the last call, no property
        special = {name: str(token) for name, token in self.tokenizer.special_tokens_map.items() if name != "pad_token"}
        template = self.template
        written = [tokenizer_state, special, str(getattr(self.tokenizer, "chat_template", None)), template.kind]
        written += [dict(template.arguments), template.example_prompt]  # the date too, where the template writes it
        return digest(json.dumps(written, sort_keys=True))

    @property
    def sample_logps_hold(self) -> bool:
        """Whether a sample was drawn after the same prompt that it is trained after."""
        return self.generation_template is None

    def pair(self, example: Example) -> EncodedPair:
        """The example's prompt and real response. Raises SeamError, ValueError."""
        key = example.rendered, example.real
        if key not in self._pairs:
            self._pairs[key] = encode_pair(self.tokenizer, example.rendered, example.real, self.template)
        return self._pairs[key]

    def prompt(self, example: Example) -> list[int]:
        """The prompt's ids up to the seam from which the real response and every synthetic one go on."""
        return self.pair(example).prompt_ids

    def real(self, example: Example) -> list[int]:
        return self.pair(example).response_ids

    def response(self, example: Example, text: str) -> list[int]:
        """Ids of another response to the example's prompt, behind the same ids. Raises SeamError where these change."""
        prompt_ids, pair = self.prompt(example), encode_pair(self.tokenizer, example.rendered, text, self.template)
        full_ids = [*pair.prompt_ids, *pair.response_ids]
        if full_ids[: len(prompt_ids)] != prompt_ids:
            raise SeamError(
                f"example {example.id}: the tokenizer joins a response that begins with {text[:20]!r} with its prompt"
            )
        return full_ids[len(prompt_ids) :]

    def generation_prompt(self, example: Example) -> list[int]:
        """The prompt from which the opponent generates: the one trained on, unless there is a template for generation alone."""
        if self.generation_template is None:
            return self.prompt(example)
        return encode_prompt(
            self.tokenizer, self.generation_template.render(self.tokenizer, example.prompt), self.generation_template
        )

    def with_end_token(self, ids: list[int], finished: bool) -> list[int]:
        """A sampled response's ids as they are trained on: one that ended under another template ends in this one's token."""
        return [*ids[:-1], self.template.end_token_id] if finished and self.generation_template is not None else ids

    def decode(self, prompt_ids: Sequence[int], ids: Sequence[int], finished: bool = False) -> str:
        """The text of a response's ids behind its prompt's: without what the template has between prompt and response.

        ids: without the token that ended the response. finished: there was one, so what the template has before it goes too.
        """
        template = self.generation_template or self.template
        text = self._text_after(template, prompt_ids, ids).removeprefix(self._decoder_space)
        return text.removesuffix(template.before_end_token) if finished else text

    @cached_property
    def _decoder_space(self) -> str:
        """The space that the decoder writes where a response begins though the text has none."""
        template = self.generation_template or self.template
        pair = encode_pair(self.tokenizer, template.example_prompt, "b", template)
        text = self._text_after(template, pair.prompt_ids, pair.response_ids)
        return text[: len(text) - len(text.lstrip(" "))]

    def _text_after(self, template: Template, prompt_ids: Sequence[int], ids: Sequence[int]) -> str:
        """The text of a response's ids behind its prompt's and behind the template's response prefix."""
        # a decoder may drop a space where a text begins: let it begin earlier
        context_ids = list(prompt_ids[-2 * MAX_SEAM_SHIFT :])
        context_text, text = self._decode_ids(context_ids), self._decode_ids([*context_ids, *ids])
        if not text.startswith(context_text):
            return self._decode_ids(list(ids))
        prompt_suffix, response_text = self._prompt_suffix, text[len(context_text) :]
        if response_text.startswith(prompt_suffix + template.response_prefix) and not context_text.endswith(prompt_suffix):
            return response_text[len(prompt_suffix + template.response_prefix) :]
        # how much of what the template has behind the prompt's text stands behind these ids
        behind = next(
            (
                n
                for n in range(len(prompt_suffix))
                if context_text.endswith(prompt_suffix[: len(prompt_suffix) - n][-MAX_SEAM_SHIFT:])
            ),
            template.seam_offset,
        )
        return response_text.removeprefix(prompt_suffix[len(prompt_suffix) - behind :] + template.response_prefix)

    @cached_property
    def _prompt_suffix(self) -> str:
        """What the template has behind a prompt's text."""
        template = self.generation_template or self.template
        first, other = (template.render(self.tokenizer, text) for text in ("a", "b"))
        return first[next(n for n in range(len(first) + 1) if other.endswith(first[n:])) :]

    def _decode_ids(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
