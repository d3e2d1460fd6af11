"""(prompt, response) -> token ids. Never sees a model.

Legend: ids are plain lists of token ids. A response's ids end in the closing token when the response is real, or when the player
emitted it; a synthetic response that was cut off has none. Samples keep the ids they were drawn with, because re-tokenising
a sampled text need not give the sampled tokens.

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
from harness.language.text.templates import Template, choose_template
from harness.language.text.tokens import control_tokens
from harness.records import digest

__all__ = ["Encoder", "NoSeam", "Pair", "Template", "choose_template", "encode_pair", "encode_prompt", "encode_response"]
# How many tokens of the template may belong to the response's first word in one row more than in others.
FARTHEST = 8


class NoSeam(ValueError):
    """The tokenizer joins prompt and response in such a way that no ids of the prompt stay what they are."""


@dataclass(frozen=True)
class Pair:
    """Ids of one prompt and one response: together those of the whole text. moved: tokens of the prompt that the tokenizer joined
    with the response's first characters, and that stand in the response's ids for that.
    """

    prompt_ids: list[int]
    response_ids: list[int]
    moved: int = 0


def encode_prompt(tokenizer: Any, rendered: str, template: Template) -> list[int]:
    """Ids of a rendered prompt up to the seam, with what the tokenizer writes before every text, once."""
    control = control_tokens(tokenizer)
    return control.begun(control.token_ids(rendered[: len(rendered) - template.cut]))


def encode_pair(tokenizer: Any, rendered: str, text: str, template: Template) -> Pair:
    """A rendered prompt and a response, closing token included: the ids that the tokenizer gives to the whole text.

    The seam is the template's own where the ids of the prompt stay what they are, else as many tokens earlier as the tokenizer
    joins with the response. Raises NoSeam when these are more than FARTHEST, ValueError when the text cannot be kept as text.
    """
    control = control_tokens(tokenizer)
    prompt = encode_prompt(tokenizer, rendered, template)
    if (lead := template.lead_to(tokenizer, text)) is None:
        raise NoSeam("the model's chat template changes the response, as one that reads thoughts does")
    whole = control.begun(control.token_ids(rendered + lead + control.quoted(text) + template.ending))
    if not template.ending:
        whole = [*whole, template.closing_id]
    if whole[-1] != template.closing_id:
        raise NoSeam(f"the template ends an answer with token {template.closing_id}, the tokenizer reads {whole[-1]} there")
    most = min(len(prompt), len(whole) - 1)  # the closing token is the response's, whatever the prompt ends in
    same = next((n for n in range(most) if prompt[n] != whole[n]), most)
    if len(prompt) - same > FARTHEST:
        raise NoSeam(f"the tokenizer joins the response with {len(prompt) - same} tokens of the prompt")
    return Pair(prompt[:same], whole[same:], len(prompt) - same)


def encode_response(tokenizer: Any, text: str, template: Template) -> list[int]:
    """Ids of a response behind a short prompt of the template's, its closing token included."""
    return encode_pair(tokenizer, template.opening, text, template).response_ids


class Encoder:
    """A tokenizer with its template that encodes every text once, however many iterations and objectives use it.

    asking: another template for generation alone, where a run asks for the mismatch of SPIN's released code.
    """

    def __init__(self, tokenizer: Any, template: Template, asking: Template | None = None) -> None:
        self.tokenizer, self.template, self.asking = tokenizer, template, asking
        self._pairs: dict[tuple[str, str], Pair] = {}

    @cached_property
    def digest(self) -> str:
        """Names how text becomes tokens and turns become text, as they were when this was first asked."""
        fast = getattr(self.tokenizer, "backend_tokenizer", None)
        said = json.loads(fast.to_str()) if fast is not None else {"vocabulary": self.tokenizer.get_vocab()}
        said |= {"padding": None, "truncation": None}  # left over from the last call, no property
        special = {name: str(token) for name, token in self.tokenizer.special_tokens_map.items() if name != "pad_token"}
        how = self.template
        written = [said, special, str(getattr(self.tokenizer, "chat_template", None)), how.kind]
        written += [dict(how.arguments), how.opening]  # the date too, where the template writes it
        return digest(json.dumps(written, sort_keys=True))

    @property
    def sample_logps_hold(self) -> bool:
        """Whether a sample was drawn after the same prompt that it is trained after."""
        return self.asking is None

    def pair(self, example: Example) -> Pair:
        """The example's prompt and real response. Raises NoSeam, ValueError."""
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
        """Ids of another response to the example's prompt, behind the same ids. Raises NoSeam where they do not stay the same."""
        prompt, pair = self.prompt(example), encode_pair(self.tokenizer, example.rendered, text, self.template)
        whole = [*pair.prompt_ids, *pair.response_ids]
        if whole[: len(prompt)] != prompt:
            raise NoSeam(f"example {example.id}: the tokenizer joins a response that begins with {text[:20]!r} with its prompt")
        return whole[len(prompt) :]

    def asked(self, example: Example) -> list[int]:
        """The prompt as the opponent is given it: as it is trained on, unless there is a template for generation alone."""
        if self.asking is None:
            return self.prompt(example)
        return encode_prompt(self.tokenizer, self.asking.render(self.tokenizer, example.prompt), self.asking)

    def closed(self, ids: list[int], finished: bool) -> list[int]:
        """A sampled response's ids as they are trained on: one that ended under another template ends in this one's token."""
        return [*ids[:-1], self.template.closing_id] if finished and self.asking is not None else ids

    def spoken(self, prompt_ids: Sequence[int], ids: Sequence[int], finished: bool = False) -> str:
        """The text of a response's ids behind its prompt's: without what the template has between prompt and response.

        ids: without the token that ended the response. finished: there was one, so what the template has before it goes too.
        """
        template = self.asking or self.template
        said = self._behind(template, prompt_ids, ids).removeprefix(self._own_space)
        return said.removesuffix(template.before_closing) if finished else said

    @cached_property
    def _own_space(self) -> str:
        """The space that the decoder shows where a response begins though nobody wrote it."""
        template = self.asking or self.template
        pair = encode_pair(self.tokenizer, template.opening, "b", template)
        said = self._behind(template, pair.prompt_ids, pair.response_ids)
        return said[: len(said) - len(said.lstrip(" "))]

    def _behind(self, template: Template, prompt_ids: Sequence[int], ids: Sequence[int]) -> str:
        """The text of a response's ids behind its prompt's and behind the template's lead."""
        before = list(prompt_ids[-2 * FARTHEST :])  # a decoder may drop a space where a text begins: let it begin earlier
        start, text = self._text(before), self._text([*before, *ids])
        if not text.startswith(start):
            return self._text(list(ids))
        tail, said = self._tail, text[len(start) :]
        if said.startswith(tail + template.lead) and not start.endswith(tail):
            return said[len(tail + template.lead) :]
        # how much of what the template has behind the prompt's text stands behind these ids
        behind = next((n for n in range(len(tail)) if start.endswith(tail[: len(tail) - n][-FARTHEST:])), template.cut)
        return said.removeprefix(tail[len(tail) - behind :] + template.lead)

    @cached_property
    def _tail(self) -> str:
        """What the template has behind a prompt's text."""
        template = self.asking or self.template
        one, other = (template.render(self.tokenizer, text) for text in ("a", "b"))
        return one[next(n for n in range(len(one) + 1) if other.endswith(one[n:])) :]

    def _text(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
