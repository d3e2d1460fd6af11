"""How a prompt is rendered, what stands between prompt and response, and how a response ends: one for generation, scoring,
training and diagnostics alike.

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
from harness.language.text.template_limits import rendering_limits
from harness.language.text.tokens import control_tokens

ANSWER_MARK = "\ufdd1"  # stands for the answer while a template is examined; no character, as tokens.QUOTE_MARK
INSTRUCTION_FORMAT = MappingProxyType({"user": "### Instruction: {}\n\n### Response: ", "assistant": "{}\n\n"})
# What responses begin with. The seam is where the ids of the prompt stay the same for as many of these as can be.
EXAMPLE_RESPONSES = ("b", "The", "it", "A", "1", "(", '"', "-", "é", "#")
Turns = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Template:
    """kind: "chat" (the tokenizer's own) or "instruction" (the papers').

    response_prefix, response_suffix: what a conversation has between the prompt and the answer's text, and from there to the
    token that ends the turn; the suffix is empty where that token is the tokenizer's end, which no text writes. seam_offset:
    characters at the end of a rendered prompt that belong to the response, because the tokenizer joins them with its first word
    (a space, mostly). arguments: the chat template's, beside the conversation.
    """

    kind: str
    end_token_id: int  # the token that ends a response
    stop_ids: frozenset[int]  # tokens at which generation stops
    response_prefix: str = ""
    response_suffix: str = ""
    seam_offset: int = 0
    before_end_token: str = ""  # the part of the suffix before its token
    example_prompt: str = ""  # a short prompt as rendered, behind which a response alone is encoded
    arguments: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def render(self, tokenizer: Any, prompt: str | Turns) -> str:
        """The text the policy continues: a prompt, or a conversation so far, in its template up to where a response begins.

        What looks like a control token in it is marked as text (see `tokens`). Raises jinja2's TemplateError where the template
        refuses the conversation, ValueError where a text holds the mark itself.
        """
        quoted = control_tokens(tokenizer).quote
        turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [dict(turn) for turn in prompt]
        turns = [turn | {"content": quoted(turn["content"])} for turn in turns]
        if self.kind == "instruction":
            return "".join(INSTRUCTION_FORMAT.get(turn["role"], "{}\n\n").format(turn["content"]) for turn in turns)
        return _render(tokenizer, turns, self.arguments, add_generation_prompt=True)

    def prefix_for(self, tokenizer: Any, text: str) -> str | None:
        """What stands between a prompt and this answer: `response_prefix`, or nothing where the answer has one of its own (a
        thought) and the template leaves its own out for it. None where the template makes something else of the answer.
        """
        if not any(word in text for word in self.response_prefix.split()):
            return self.response_prefix
        quoted = control_tokens(tokenizer).quote(text)
        turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": quoted}]
        rendered = _without_whitespace(_render(tokenizer, turns, self.arguments).removeprefix(self.example_prompt))
        prefixes = (self.response_prefix, "")
        fitting = (p for p in prefixes if rendered.startswith(_without_whitespace(p + quoted + self.response_suffix)))
        return next(fitting, None)

    def renders_consistently(self, tokenizer: Any, turns: Turns, prompt_text: str) -> bool:
        """Whether an answer to this conversation stands between the same texts as an answer to a single prompt."""
        if self.kind == "instruction":
            return True
        quoted = control_tokens(tokenizer).quote
        quoted_turns = [dict(turn) | {"content": quoted(turn["content"])} for turn in turns]
        conversation_text = _render(tokenizer, [*quoted_turns, {"role": "assistant", "content": ANSWER_MARK}], self.arguments)
        return conversation_text.startswith(prompt_text + self.response_prefix + ANSWER_MARK + self.response_suffix)


def _without_whitespace(text: str) -> str:
    """Without white space, of which templates strip some."""
    return "".join(text.split())


def _render(tokenizer: Any, turns: Turns, arguments: Mapping[str, Any], **options: bool) -> str:
    try:
        with rendering_limits():
            return tokenizer.apply_chat_template(list(turns), tokenize=False, **options, **arguments)
    except ValueError as error:  # transformers raises this for several named templates of which none was chosen
        names = sorted(_named_templates(tokenizer))
        if not names or "chat_template" in arguments:
            raise
        raise UserError(
            f"the tokenizer has chat templates named {', '.join(names)} and none named default; use --set "
            f"'data.template_arguments={{chat_template=\"{names[0]}\"}}', or --set data.template=instruction"
        ) from error
    except (TemplateError, TypeError):
        raise
    except Exception as error:  # a template is an arbitrary program, and may divide by zero
        raise TemplateError(f"{type(error).__name__}: {error}") from error


def _named_templates(tokenizer: Any) -> Mapping[str, str]:
    """A tokenizer's chat templates by name, where it has several."""
    templates = getattr(tokenizer, "chat_template", None)
    return templates if isinstance(templates, dict) else {}


def has_chat_template(tokenizer: Any, arguments: Mapping[str, Any]) -> bool:
    return bool(getattr(tokenizer, "chat_template", None)) or "chat_template" in arguments


def check_chat_template(tokenizer: Any, arguments: Mapping[str, Any], message: str, hint: str) -> None:
    """Raises UserError, `message` and the reason, where lm-eval could not put a question into the tokenizer's chat template."""
    if not has_chat_template(tokenizer, arguments):
        raise UserError(f"{message}, and its tokenizer has none; use {hint}")
    try:
        _render(tokenizer, [{"role": "user", "content": "a"}], arguments, add_generation_prompt=True)
    except UserError as error:
        raise UserError(f"{message}: {error}; {hint}") from error
    except Exception as error:  # a template may raise any error
        raise UserError(f"{message}, which cannot be used ({type(error).__name__}: {error}); use {hint}") from error


def writes_date(tokenizer: Any, arguments: Mapping[str, Any] = MappingProxyType({})) -> bool:
    """Whether the chat template writes today's date into the prompt."""
    return "strftime_now" in f"{arguments.get('chat_template')} {getattr(tokenizer, 'chat_template', None)}"


def freeze_date(tokenizer: Any, frozen_now: datetime) -> None:
    """Let every chat template of this process read `frozen_now` as the present: a run that goes on later renders the same.

    transformers gives templates a `strftime_now` and no way to set its time. Raises UserError where this has no effect on it.
    """
    from transformers.utils import chat_template_utils

    class FrozenDatetime(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return frozen_now

    chat_template_utils.datetime = FrozenDatetime  # type: ignore[attr-defined]
    date_template = "{{ strftime_now('%Y-%m-%d %H:%M:%S') }}"
    rendered = tokenizer.apply_chat_template([{"role": "user", "content": "a"}], chat_template=date_template, tokenize=False)
    if rendered != frozen_now.strftime("%Y-%m-%d %H:%M:%S"):
        raise UserError(
            "the chat template writes today's date into every prompt, and this version of transformers does not let it be kept; "
            "use --set data.template=instruction"
        )


def choose_template(tokenizer: Any, kind: str, arguments: Mapping[str, Any] = MappingProxyType({})) -> Template:
    """Template of a kind; "auto" is the tokenizer's chat template where it has one.

    Raises UserError when the tokenizer has no end token, or its chat template does not render the assistant's turn as
    generation prompt + prefix + response + suffix (generation and training would then see different prompts).
    """
    control = control_tokens(tokenizer)
    if kind == "auto":
        kind = "chat" if has_chat_template(tokenizer, arguments) else "instruction"
    if kind == "chat" and not has_chat_template(tokenizer, arguments):
        raise UserError("data.template=chat: this tokenizer has no chat template; use --set data.template=instruction")
    eos = tokenizer.eos_token_id
    if eos is None:
        raise UserError("the tokenizer has no end-of-sequence token, so a response could never end; use another model")
    if kind == "instruction":
        template = Template(kind, eos, frozenset({eos}), arguments=arguments)
        return _with_seam(tokenizer, replace(template, example_prompt=template.render(tokenizer, "a")))
    turns = [{"role": "user", "content": "a"}]
    named, requested = _named_templates(tokenizer), arguments.get("chat_template")
    if isinstance(requested, str) and requested not in named and "{" not in requested:
        raise UserError(
            f"data.template_arguments: chat_template={requested!r} is no template of the tokenizer, which has "
            + (", ".join(sorted(named)) or "one without a name; leave it out")
        )
    try:
        example_prompt = _render(tokenizer, turns, arguments, add_generation_prompt=True)
        conversation_text = _render(tokenizer, [*turns, {"role": "assistant", "content": ANSWER_MARK}], arguments)
    except UserError:
        raise
    except (TemplateError, TypeError, ValueError) as error:
        raise UserError(f"the model's chat template cannot be used ({error}); use --set data.template=instruction") from error
    response_prefix, separator, rest = conversation_text.removeprefix(example_prompt).partition(ANSWER_MARK)
    if not conversation_text.startswith(example_prompt) or not separator:
        raise UserError(
            "the chat template does not render an assistant turn as generation prompt + response; "
            "use --set data.template=instruction, or give it arguments with --set data.template_arguments"
        )
    end_token = first_control_token(control.added_token_ids, control.strings, rest)
    before_end_token = rest.partition(end_token)[0] if end_token else ""
    end_token_id = control.added_token_ids[end_token] if end_token else eos
    suffix, stop_ids = before_end_token + (end_token or ""), frozenset({end_token_id, eos})
    template = Template(kind, end_token_id, stop_ids, response_prefix, suffix, 0, before_end_token, example_prompt, arguments)
    return _with_seam(tokenizer, template)


def first_control_token(ids: Mapping[str, int], special: Sequence[str], text: str) -> str | None:
    """The first control token in what a template writes behind an answer; any other added token where there is none."""
    for strings in ([s for s in special if s in ids], [s for s in ids if s.strip()]):
        if matches := [(text.index(s), -len(s), s) for s in strings if s in text]:
            return min(matches)[2]
    return None


def end_token_ids(config: Any) -> frozenset[int]:
    """Every token that a generation_config.json, or one merged with it, ends a text with."""
    token_ids = getattr(config, "eos_token_id", None)
    return frozenset(i for i in (token_ids if isinstance(token_ids, (list, tuple)) else [token_ids]) if i is not None)


def _with_seam(tokenizer: Any, template: Template) -> Template:
    """The template with the smallest seam offset at which the prompt's ids stay what they are whatever response follows."""
    token_ids = control_tokens(tokenizer).token_ids
    prompt_text = template.example_prompt

    def count_mismatches(offset: int) -> int:
        prompt = token_ids(prompt_text[: len(prompt_text) - offset])
        full_texts = (token_ids(prompt_text + template.response_prefix + text) for text in EXAMPLE_RESPONSES)
        return sum(ids[: len(prompt)] != prompt for ids in full_texts)

    max_offset = len(prompt_text) - len(prompt_text.rstrip())
    return replace(template, seam_offset=min(range(max_offset + 1), key=lambda offset: (count_mismatches(offset), offset)))
