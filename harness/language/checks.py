"""What a loaded model and its data must fit, and what a user should see, before anything is spent."""

from __future__ import annotations

from collections.abc import Iterator

from harness.config import RunConfig
from harness.errors import UserError
from harness.language.data.dataset import DROPPED_COUNTS, TextDataset
from harness.language.model.checkpointing import checkpointable_layers
from harness.language.model.decoding import model_override_notes
from harness.language.policy import Policy
from harness.language.text.templates import check_chat_template, choose_template
from harness.language.text.token_notes import tokenization_notes
from harness.loop.suite import Suite


def preflight_notes(data: TextDataset, policy: Policy) -> Iterator[str]:
    """What a user should see before anything is spent: rows left out and why, how text becomes tokens, templates that differ."""
    counts = data.counts
    dropped = {name: counts[name] for name in DROPPED_COUNTS if counts.get(name)}
    dropped_text = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in dropped.items())
    rows = counts["rows"] + counts.get("heldout_rows", 0)
    yield f"data: {rows} rows; left out: {dropped_text or 'none'}; {counts['train']} to train on, {counts['heldout']} held out"
    yield from (f"data: {note}" for note in data.notes)
    yield from tokenization_notes(counts, policy)
    yield from (f"model: {note}" for note in policy.notes)
    yield from model_override_notes(policy.model)
    if policy.encoder.generation_template is not None:
        yield (
            f"WARNING generation.template={policy.encoder.generation_template.kind}: the opponent generates in another template "
            f"than {policy.template.kind!r}, in which its responses are trained on, as in SPIN's released code: what is learnt "
            "may be the difference of the templates"
        )


def check_suite_template(policy: Policy, suite: Suite, config: RunConfig) -> None:
    """Raises UserError where the suite uses the model's chat template and there is none that can be used."""
    if suite.apply_chat_template:
        requirement = f"suite {suite.name} asks in the chat template of {config.model.path}"
        advice = "--set evaluation.apply_chat_template=false to ask without one, or another --suite"
        check_chat_template(policy.tokenizer, config.data.template_arguments, requirement, advice)


def check_gradient_checkpointing(policy: Policy, config: RunConfig, checkpointing: bool) -> None:
    """Raises UserError where activations are to be computed again and the model's family does not support that."""
    if checkpointing and not checkpointable_layers(policy.model):
        raise UserError(
            f"training.gradient_checkpointing=true: the layers of {config.model.path} cannot be computed again; leave it out and "
            "use a smaller training.micro_batch"
        )


def set_generation_template(policy: Policy, config: RunConfig) -> None:
    """Let the opponent generate in another template than it is trained in, where the run sets one.

    Raises UserError for conversations, which are kept only as rendered for training.
    """
    if config.generation.template is None:
        return
    if config.data.turns == "last":
        raise UserError(f"generation.template={config.generation.template}: only with single prompts, not with data.turns=last")
    generation_template = choose_template(policy.tokenizer, config.generation.template, config.data.template_arguments)
    policy.encoder.generation_template = None if generation_template == policy.template else generation_template


def check_generation_template(policy: Policy, data: TextDataset) -> None:
    """Raises UserError when a prompt in the template of generation leaves no room for a response."""
    if policy.encoder.generation_template is None:
        return
    if data.conversations:
        raise UserError(
            f"generation.template={policy.encoder.generation_template.kind}: only with single prompts, and "
            f"{data.conversations} pairs have a system turn or earlier turns"
        )
    for example in data.train:
        if (length := len(policy.encoder.generation_prompt(example))) >= policy.context_length:
            raise UserError(
                f"example {example.id}: {length} tokens in the template {policy.encoder.generation_template.kind!r}, the "
                f"model's context is {policy.context_length}; leave generation.template out, or such pairs"
            )
