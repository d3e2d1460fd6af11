"""(prompt, response) -> token ids; groups joined from examples, samples and scores. Never sees a model.

Legend: ids are plain lists of token ids. A response's ids end in the closing token when the response is real, or when the
player emitted it; a synthetic response that was cut off has none. Samples keep the ids they were drawn with, because
re-tokenising a sampled text need not give the sampled tokens.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from jinja2 import TemplateError

from harness.errors import UserError
from harness.records import Example, Group, Response, Role, Sample, Score, digest


@dataclass(frozen=True)
class Template:
    """How a prompt is rendered and how a response ends: one for generation, scoring, training and probing alike."""

    kind: str  # "chat" (the tokenizer's own) or "instruction"
    closing_id: int  # the token that ends a response
    stop_ids: frozenset[int]  # tokens at which generation stops

    def render(self, tokenizer: Any, prompt: str | Sequence[Mapping[str, str]]) -> str:
        """The text the policy continues: a prompt, or a conversation so far, in its template up to where a response begins."""
        turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [dict(turn) for turn in prompt]
        if self.kind == "chat":
            return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        opened = {"user": "### Instruction: {}\n\n### Response: ", "assistant": "{}\n\n"}
        return "".join(opened.get(turn["role"], "{}\n\n").format(turn["content"]) for turn in turns)


def choose_template(tokenizer: Any, kind: str) -> Template:
    """Template of the asked-for kind; "auto" is the tokenizer's chat template where it has one.

    Raises UserError when the tokenizer has no closing token, or its chat template does not render the assistant's turn as
    generation prompt + response + closing token (generation and training would then see different prompts).
    """
    has_chat = bool(getattr(tokenizer, "chat_template", None))
    if kind == "auto":
        kind = "chat" if has_chat else "instruction"
    if kind == "chat" and not has_chat:
        raise UserError("data.template=chat: this tokenizer has no chat template; use --set data.template=instruction")
    eos = tokenizer.eos_token_id
    if eos is None:
        raise UserError("the tokenizer has no end-of-sequence token, so a response could never end; use another model")
    if kind == "instruction":
        return Template(kind, eos, frozenset({eos}))
    probe = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    try:
        prompt = tokenizer.apply_chat_template(probe[:1], tokenize=False, add_generation_prompt=True)
        whole = tokenizer.apply_chat_template(probe, tokenize=False)
    except TemplateError as error:
        raise UserError(f"the model's chat template cannot be used ({error}); use --set data.template=instruction") from error
    if not whole.startswith(prompt + "b"):
        raise UserError(
            "the chat template does not render an assistant turn as generation prompt + response; "
            "use --set data.template=instruction"
        )
    ending = tokenizer(whole.removeprefix(prompt + "b"), add_special_tokens=False)["input_ids"]
    closing = ending[0] if ending and ending[0] in tokenizer.all_special_ids else eos
    return Template("chat", closing, frozenset({closing, eos}))


def encode_prompt(tokenizer: Any, rendered: str, template: Template) -> list[int]:
    """Ids of a rendered prompt. A chat template writes its own beginning token; a plain one gets the tokenizer's, once."""
    ids = tokenizer(rendered, add_special_tokens=False)["input_ids"]
    bos = tokenizer.bos_token_id
    if bos is not None and template.kind != "chat" and ids[:1] != [bos]:
        ids = [bos, *ids]
    return ids


def encode_response(tokenizer: Any, text: str, template: Template) -> list[int]:
    """Ids of a real response, its closing token included."""
    return [*tokenizer(text, add_special_tokens=False)["input_ids"], template.closing_id]


class Encoder:
    """A tokenizer with its template that encodes every text once, however many iterations and objectives use it.

    asking: another template for generation alone, where a run asks for the mismatch of SPIN's released code.
    """

    def __init__(self, tokenizer: Any, template: Template, asking: Template | None = None) -> None:
        self.tokenizer, self.template, self.asking = tokenizer, template, asking
        self._prompts: dict[str, list[int]] = {}
        self._responses: dict[str, list[int]] = {}

    @cached_property
    def digest(self) -> str:
        """Names how text becomes tokens and turns become text, as they were when this was first asked."""
        fast = getattr(self.tokenizer, "backend_tokenizer", None)
        said = json.loads(fast.to_str()) if fast is not None else {"vocabulary": self.tokenizer.get_vocab()}
        said |= {"padding": None, "truncation": None}  # left over from the last call, no property
        special = {name: str(token) for name, token in self.tokenizer.special_tokens_map.items() if name != "pad_token"}
        written = [said, special, str(getattr(self.tokenizer, "chat_template", None)), self.template.kind]
        return digest(json.dumps(written, sort_keys=True))

    def prompt(self, example: Example) -> list[int]:
        if example.rendered not in self._prompts:
            self._prompts[example.rendered] = encode_prompt(self.tokenizer, example.rendered, self.template)
        return self._prompts[example.rendered]

    def asked(self, example: Example) -> list[int]:
        """The prompt as the opponent is given it: as it is trained on, unless there is a template for generation alone."""
        if self.asking is None:
            return self.prompt(example)
        return encode_prompt(self.tokenizer, self.asking.render(self.tokenizer, example.prompt), self.asking)

    def closed(self, ids: list[int], finished: bool) -> list[int]:
        """A sampled response's ids as they are trained on: one that ended under another template ends in this one's token."""
        return [*ids[:-1], self.template.closing_id] if finished and self.asking is not None else ids

    def real(self, example: Example) -> list[int]:
        if example.real not in self._responses:
            self._responses[example.real] = encode_response(self.tokenizer, example.real, self.template)
        return self._responses[example.real]


def groups_of_iteration(
    encoder: Encoder,
    examples: Iterable[Example],
    iteration: int,
    synthetic: Sequence[Sample] = (),
    proto: Sequence[Sample] = (),
    drawn_by_opponent: Collection[Role] = (),
    real_logps: Mapping[str, float] = MappingProxyType({}),
) -> list[Group]:
    """One Group per example with the responses of `iteration`, in the order of `examples`, samples ordered by index.

    drawn_by_opponent: roles whose samples the opponent drew itself. real_logps: the opponent's log-probability of the real
    responses, by example id, where it is known.
    """
    by_example: dict[Role, dict[str, list[Sample]]] = {"synthetic": {}, "proto": {}}
    given: tuple[tuple[Role, Sequence[Sample]], ...] = (("synthetic", synthetic), ("proto", proto))
    for role, samples in given:
        for sample in sorted(samples, key=lambda s: s.index):
            by_example[role].setdefault(sample.example_id, []).append(sample)

    def responses(role: Role, example: Example) -> tuple[Response, ...]:
        own = role in drawn_by_opponent
        return tuple(Response(s.token_ids, known_logp=s.logp if own else None) for s in by_example[role].get(example.id, ()))

    return [
        Group(
            example_id=example.id,
            iteration=iteration,
            prompt_ids=encoder.prompt(example),
            real=Response(encoder.real(example), known_logp=real_logps.get(example.id)),
            synthetic=responses("synthetic", example),
            proto=responses("proto", example),
        )
        for example in examples
    ]


def with_references(groups: Iterable[Group], scores: Iterable[Score]) -> list[Group]:
    """The groups with every response's stored reference log-probability. KeyError if one was never scored."""
    table: Mapping[tuple[str, int, str, int], Score] = {
        (score.example_id, score.iteration, score.role, score.index): score for score in scores
    }

    def scored(group: Group, role: Role, responses: Sequence[Response]) -> tuple[Response, ...]:
        found = [table[group.example_id, group.iteration, role, k] for k in range(len(responses))]
        if any(score.length != len(r.token_ids) for score, r in zip(found, responses, strict=True)):
            raise ValueError(f"stored scores of {group.example_id} are of other tokens than its {role} responses")
        return tuple(Response(r.token_ids, s.reference_logp) for r, s in zip(responses, found, strict=True))

    return [
        Group(
            example_id=g.example_id,
            iteration=g.iteration,
            prompt_ids=g.prompt_ids,
            real=scored(g, "real", [g.real])[0],
            synthetic=scored(g, "synthetic", g.synthetic),
            proto=scored(g, "proto", g.proto),
        )
        for g in groups
    ]
