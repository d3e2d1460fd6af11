"""How a prompt is rendered, what stands between prompt and response, and how a response ends: one for generation, scoring,
training and probing alike.

Everything is learnt from what the template renders, never from a model's name: a conversation with a placeholder for the answer
shows what comes before the answer and what ends its turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from jinja2 import TemplateError

from harness.errors import UserError
from harness.language.text.template_limits import limit_chat_templates, limited
from harness.language.text.tokens import control_tokens

ANSWER = "\ufdd1"  # stands for the answer while a template is looked at; like tokens.MARK no character
INSTRUCTION = MappingProxyType({"user": "### Instruction: {}\n\n### Response: ", "assistant": "{}\n\n"})
# What responses begin with. The seam is where the ids of the prompt stay the same for as many of these as can be.
BEGINNINGS = ("b", "The", "it", "A", "1", "(", '"', "-", "é", "#")
Turns = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Template:
    """kind: "chat" (the tokenizer's own) or "instruction" (the papers').

    lead, ending: what a conversation has between the prompt and the answer's text, and from there to the token that ends the
    turn; ending is empty where that token is the tokenizer's end, which no text writes. cut: characters at the end of a rendered
    prompt that belong to the response, because the tokenizer joins them with its first word (a space, mostly).
    arguments: what the chat template is given beside the conversation.
    """

    kind: str
    closing_id: int  # the token that ends a response
    stop_ids: frozenset[int]  # tokens at which generation stops
    lead: str = ""
    ending: str = ""
    cut: int = 0
    before_closing: str = ""  # of the ending, what stands before its token
    opening: str = ""  # a short prompt as rendered, behind which a response alone is encoded
    arguments: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def render(self, tokenizer: Any, prompt: str | Turns) -> str:
        """The text the policy continues: a prompt, or a conversation so far, in its template up to where a response begins.

        What looks like a control token in it is marked as text (see `tokens`). Raises jinja2's TemplateError where the template
        refuses the conversation, ValueError where a text holds the mark itself.
        """
        quoted = control_tokens(tokenizer).quoted
        turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [dict(turn) for turn in prompt]
        turns = [turn | {"content": quoted(turn["content"])} for turn in turns]
        if self.kind == "instruction":
            return "".join(INSTRUCTION.get(turn["role"], "{}\n\n").format(turn["content"]) for turn in turns)
        return _rendered(tokenizer, turns, self.arguments, add_generation_prompt=True)

    def lead_to(self, tokenizer: Any, text: str) -> str | None:
        """What stands between a prompt and this answer: `lead`, or nothing where the answer brings its own (a thought, say) and
        the template leaves its own out for it. None where the template makes something else of the answer.
        """
        if not any(word in text for word in self.lead.split()):
            return self.lead
        quoted = control_tokens(tokenizer).quoted(text)
        turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": quoted}]
        whole = _squeezed(_rendered(tokenizer, turns, self.arguments).removeprefix(self.opening))
        return next((lead for lead in (self.lead, "") if whole.startswith(_squeezed(lead + quoted + self.ending))), None)

    def answers_alike(self, tokenizer: Any, turns: Turns, rendered: str) -> bool:
        """Whether an answer to this conversation stands between the same texts as an answer to a single prompt."""
        if self.kind == "instruction":
            return True
        quoted = control_tokens(tokenizer).quoted
        asked = [dict(turn) | {"content": quoted(turn["content"])} for turn in turns]
        whole = _rendered(tokenizer, [*asked, {"role": "assistant", "content": ANSWER}], self.arguments)
        return whole.startswith(rendered + self.lead + ANSWER + self.ending)


def _squeezed(text: str) -> str:
    """Without white space, of which templates strip some."""
    return "".join(text.split())


def _rendered(tokenizer: Any, turns: Turns, arguments: Mapping[str, Any], **how: bool) -> str:
    limit_chat_templates()
    try:
        with limited():
            return tokenizer.apply_chat_template(list(turns), tokenize=False, **how, **arguments)
    except ValueError as error:  # transformers' word for several named templates of which none was chosen
        if isinstance(named := getattr(tokenizer, "chat_template", None), dict) and "chat_template" not in arguments:
            raise UserError(_several(named)) from error
        raise
    except (TemplateError, TypeError):
        raise
    except Exception as error:  # a template is a program of somebody's, and may divide by zero
        raise TemplateError(f"{type(error).__name__}: {error}") from error


def _several(named: Mapping[str, str]) -> str:
    first = sorted(named)[0]
    return (
        f"the tokenizer has chat templates named {', '.join(sorted(named))} and none named default; "
        f"use --set 'data.template_arguments={{chat_template=\"{first}\"}}', or --set data.template=instruction"
    )


def has_chat_template(tokenizer: Any) -> bool:
    return bool(getattr(tokenizer, "chat_template", None))


def check_chat_template(tokenizer: Any, arguments: Mapping[str, Any], said: str, more: str) -> None:
    """Raises UserError, `said` and what is wrong, where lm-eval could not put a question into the tokenizer's chat template."""
    if not (has_chat_template(tokenizer) or "chat_template" in arguments):
        raise UserError(f"{said}, and its tokenizer has none; use {more}")
    try:
        _rendered(tokenizer, [{"role": "user", "content": "a"}], arguments, add_generation_prompt=True)
    except UserError as error:
        raise UserError(f"{said}: {error}; {more}") from error
    except Exception as error:  # a template may raise whatever it likes
        raise UserError(f"{said}, which cannot be used ({type(error).__name__}: {error}); use {more}") from error


def reads_the_date(tokenizer: Any, arguments: Mapping[str, Any] = MappingProxyType({})) -> bool:
    """Whether the chat template writes today's date into the prompt."""
    texts = getattr(tokenizer, "chat_template", None) or ""
    listed = [arguments.get("chat_template", ""), *(texts.values() if isinstance(texts, dict) else [texts])]
    return any("strftime_now" in str(text) for text in listed)


def freeze_date(tokenizer: Any, moment: datetime) -> None:
    """Let every chat template of this process read `moment` as the present: a run that goes on tomorrow renders the same prompts.

    transformers gives templates a `strftime_now` and no way to say when now is. Raises UserError where this does not reach it.
    """
    from transformers.utils import chat_template_utils

    class Then(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return moment

    chat_template_utils.datetime = Then  # type: ignore[attr-defined]
    shown = "{{ strftime_now('%Y-%m-%d %H:%M:%S') }}"
    found = tokenizer.apply_chat_template([{"role": "user", "content": "a"}], chat_template=shown, tokenize=False)
    if found != moment.strftime("%Y-%m-%d %H:%M:%S"):
        raise UserError(
            "the chat template writes today's date into every prompt, and this version of transformers does not let it be kept; "
            "use --set data.template=instruction"
        )


def choose_template(tokenizer: Any, kind: str, arguments: Mapping[str, Any] = MappingProxyType({})) -> Template:
    """Template of the asked-for kind; "auto" is the tokenizer's chat template where it has one.

    Raises UserError when the tokenizer has no closing token, or its chat template does not render the assistant's turn as
    generation prompt + something constant + response + ending (generation and training would then see different prompts).
    """
    control = control_tokens(tokenizer)
    if kind == "auto":
        kind = "chat" if has_chat_template(tokenizer) or "chat_template" in arguments else "instruction"
    if kind == "chat" and not (has_chat_template(tokenizer) or "chat_template" in arguments):
        raise UserError("data.template=chat: this tokenizer has no chat template; use --set data.template=instruction")
    eos = tokenizer.eos_token_id
    if eos is None:
        raise UserError("the tokenizer has no end-of-sequence token, so a response could never end; use another model")
    if kind == "instruction":
        plain = Template(kind, eos, frozenset({eos}), arguments=arguments)
        return _with_seam(tokenizer, replace(plain, opening=plain.render(tokenizer, "a")))
    asked = [{"role": "user", "content": "a"}]
    named, wanted = getattr(tokenizer, "chat_template", None), arguments.get("chat_template")
    if isinstance(wanted, str) and wanted not in (named if isinstance(named, dict) else {}) and "{" not in wanted:
        raise UserError(
            f"data.template_arguments: chat_template={wanted!r} is no template of the tokenizer, which has "
            + (", ".join(sorted(named)) if isinstance(named, dict) else "one without a name; leave it out")
        )
    try:
        opening = _rendered(tokenizer, asked, arguments, add_generation_prompt=True)
        whole = _rendered(tokenizer, [*asked, {"role": "assistant", "content": ANSWER}], arguments)
    except UserError:
        raise
    except (TemplateError, TypeError, ValueError) as error:
        raise UserError(f"the model's chat template cannot be used ({error}); use --set data.template=instruction") from error
    lead, found, tail = whole.removeprefix(opening).partition(ANSWER)
    if not whole.startswith(opening) or not found:
        raise UserError(
            "the chat template does not render an assistant turn as generation prompt + response; "
            "use --set data.template=instruction, or give it arguments with --set data.template_arguments"
        )
    closing = first_control(control.ids, control.strings, tail)
    before, closing_id = ("", eos) if closing is None else (tail[: tail.index(closing)], control.ids[closing])
    made = Template(
        kind,
        closing_id,
        frozenset({closing_id, eos}),
        lead=lead,
        ending=before + (closing or ""),
        before_closing=before,
        opening=opening,
        arguments=arguments,
    )
    return _with_seam(tokenizer, made)


def first_control(ids: Mapping[str, int], special: Sequence[str], text: str) -> str | None:
    """The first control token in what a template writes behind an answer; any other added token where there is none."""
    for strings in ([s for s in special if s in ids], [s for s in ids if s.strip()]):
        places = sorted((text.index(s), -len(s), s) for s in strings if s in text)
        if places:
            return places[0][2]
    return None


def ending_ids(config: Any) -> frozenset[int]:
    """Every token that a generation_config.json, or one merged with it, ends a text with."""
    found = getattr(config, "eos_token_id", None)
    return frozenset(i for i in (found if isinstance(found, (list, tuple)) else [found]) if i is not None)


def _with_seam(tokenizer: Any, template: Template) -> Template:
    """The template with the shortest cut at which the prompt's ids stay what they are whatever response follows."""
    token_ids = control_tokens(tokenizer).token_ids
    opening = template.opening

    def moved(cut: int) -> int:
        prompt = token_ids(opening[: len(opening) - cut])
        wholes = (token_ids(opening + template.lead + text) for text in BEGINNINGS)
        return sum(whole[: len(prompt)] != prompt for whole in wholes)

    longest = len(opening) - len(opening.rstrip())
    return replace(template, cut=min(range(longest + 1), key=lambda cut: (moved(cut), cut)))
