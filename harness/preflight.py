"""What a loaded model and its data must fit, and what a user should see, before anything is spent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.cells import training_settings
from harness.config import RunConfig
from harness.data import LEFT_OUT, Dataset
from harness.discovery import Variant, line_in
from harness.errors import UserError, asks_to_end
from harness.model.checkpointing import repeatable_layers
from harness.model.decoding import said_of_the_model
from harness.objective_batches import Broken
from harness.objective_checks import BEFORE_A_RUN
from harness.policy import Policy
from harness.process_state import kept_state
from harness.suite import Suite
from harness.templates import check_chat_template, choose_template
from harness.token_notices import token_notices
from objectives import Needs, Objective, UndeclaredRead

MOST_RESPONSES = 1000  # per prompt and role


def notices(data: Dataset, policy: Policy) -> Iterator[str]:
    """What a user should see before anything is spent: rows left out and why, how text becomes tokens, templates that differ."""
    counts = data.counts
    left_out = {name: counts[name] for name in LEFT_OUT if counts.get(name)}
    said = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in left_out.items())
    rows = counts["rows"] + counts.get("heldout_rows", 0)
    yield f"data: {rows} rows; left out: {said or 'none'}; {counts['train']} to train on, {counts['heldout']} held out"
    yield from (f"data: {note}" for note in data.notes)
    yield from token_notices(counts, policy)
    yield from (f"model: {line}" for line in policy.notes)
    yield from said_of_the_model(policy.model)
    if policy.encoder.asking is not None:
        yield (
            f"WARNING generation.template={policy.encoder.asking.kind}: the opponent is asked in another template than "
            f"{policy.template.kind!r}, in which its responses are trained on, as in SPIN's released code: what is learnt may be "
            "the difference of the templates"
        )


def checked_needs(variant: Variant, objective: Objective) -> Needs:
    """What an objective asks for. Raises UserError when it cannot say, asks for nonsense, or for more than is ever sampled."""
    try:
        needs = objective.needs
    except (ValueError, TypeError) as error:  # its own refusal of parameters that do not go together
        raise UserError(f"{variant.label}: {error}") from error
    except BaseException as error:
        if asks_to_end(error):
            raise
        said = f"{type(error).__name__}: {error}"
        raise UserError(f"{variant.label}: needs fails: {variant.path}{line_in(variant.path, error)}: {said}") from error
    if not isinstance(needs, Needs):
        raise UserError(f"{variant.label}: needs is {type(needs).__name__}, expected Needs(...); see objectives/README.md")
    for name in ("synthetic", "proto"):
        if (asked := getattr(needs, name)) > MOST_RESPONSES:
            raise UserError(f"{variant.label}: needs.{name}={asked}: at most {MOST_RESPONSES} responses per prompt are drawn")
    return needs


def check_objectives(variants: Sequence[Variant], iterations: int) -> None:
    """Compute every loss of the run once on made-up log-probabilities; milliseconds.

    Raises UserError for what would end in a crash or in wrong numbers hours later: another shape or type, a number that is none,
    no gradient, an input that is changed, rows that see each other. Whether the loss is a good idea, `harness objectives check`
    asks: a run may well be there to find out.
    """
    for variant in variants:
        objectives = {repr(objective): objective for objective in variant.objectives(iterations)}
        for objective in objectives.values():
            for check in BEFORE_A_RUN:
                try:
                    with kept_state():
                        check(objective)
                except (Broken, UndeclaredRead) as error:
                    raise UserError(f"{variant.label}: {error}; see: harness objectives check {variant.path}") from error
                except BaseException as error:  # whatever the file raises, it would raise in training
                    if asks_to_end(error):
                        raise
                    said = f"{variant.path}{line_in(variant.path, error)}: {type(error).__name__}: {error}"
                    raise UserError(f"{variant.label}: its loss fails: {said}; see: harness objectives check") from error


def check_chat(policy: Policy, suite: Suite, config: RunConfig) -> None:
    """Raises UserError where the suite asks in the model's chat template and there is none that can be used."""
    if suite.apply_chat_template:
        said = f"suite {suite.name} asks in the chat template of {config.model.path}"
        more = "--set evaluation.apply_chat_template=false to ask without one, or another --suite"
        check_chat_template(policy.tokenizer, config.data.template_arguments, said, more)


def check_layers(policy: Policy, config: RunConfig, variants: Sequence[Variant]) -> None:
    """Raises UserError where activations are to be computed again and the model's family does not offer that."""
    wanted = any(training_settings(config, variant).gradient_checkpointing for variant in variants)
    if wanted and not repeatable_layers(policy.model):
        raise UserError(
            f"training.gradient_checkpointing=true: the layers of {config.model.path} cannot be computed again; leave it out and "
            "use a smaller training.micro_batch"
        )


def set_generation_template(policy: Policy, config: RunConfig) -> None:
    """Let the opponent be asked in another template than it is trained in, where the run wants that.

    Raises UserError where the two cannot be told apart in the data: a conversation is kept as rendered for training.
    """
    if config.generation.template is None:
        return
    if config.data.turns == "last":
        raise UserError(f"generation.template={config.generation.template}: only with single prompts, not with data.turns=last")
    asking = choose_template(policy.tokenizer, config.generation.template, config.data.template_arguments)
    policy.encoder.asking = None if asking == policy.template else asking


def check_prompts(policy: Policy, data: Dataset) -> None:
    """Raises UserError when a prompt in the template of generation leaves no room for a response."""
    if policy.encoder.asking is None:
        return
    if data.conversations:
        raise UserError(
            f"generation.template={policy.encoder.asking.kind}: only with single prompts, and {data.conversations} pairs have a "
            "system turn or earlier turns"
        )
    for example in data.train:
        if (length := len(policy.encoder.asked(example))) >= policy.context:
            raise UserError(
                f"example {example.id}: {length} tokens in the template {policy.encoder.asking.kind!r}, the model's context is "
                f"{policy.context}; leave generation.template out, or such pairs"
            )
