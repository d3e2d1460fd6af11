"""Which examples of an optimizer step made its numbers non-finite: each is computed alone before the step is abandoned."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from harness.records import Group, PromptGroup
from harness.train.nonfinite import BadExample, NonFiniteError, ResponseValues, format_examples
from harness.world import Policy

SingleExampleLoss = Callable[[Group], tuple[float, float] | None]


class TrainingStopped(NonFiniteError):
    """Training ended before an update that would have been wrong; the message says why and names the examples."""


def nonfinite_step_error(
    policy: Policy, batch: Sequence[Group], single_example_loss: SingleExampleLoss, **context: float
) -> TrainingStopped:
    """The error of an abandoned step, with the examples whose own log-probability, loss, weight or gradient is not finite.

    Where none is bad by itself (a sum that overflowed, a loss that couples its rows), all of them. single_example_loss: an
    example's weighted loss and its weight, its gradient left on the adapter; None where it has none of its own. context: numbers
    of the whole step, `step`, `loss` and `gradient_norm` among them.
    """
    examples = [_bad_example(policy, index, group, single_example_loss) for index, group in enumerate(batch)]
    bad_examples = [example for example in examples if example.is_bad] or examples
    examples_note = f"examples {format_examples(bad_examples)}" + (
        f" of {len(batch)}" if bad_examples[0].is_bad else ", none of them non-finite by itself"
    )
    message = (
        f"step {context['step']}: loss {context['loss']}, gradient norm {context['gradient_norm']}; nothing "
        f"was updated; {examples_note}"
    )
    return TrainingStopped(message, bad_examples, **context)


def _bad_example(policy: Policy, index: int, group: Group, single_example_loss: SingleExampleLoss) -> BadExample:
    responses = group.responses()
    with torch.no_grad():
        logps = policy.response_logps(policy.collate([PromptGroup(group.prompt, [r.content for _, r in responses])])).tolist()
    parameters = [p for _, p in policy.adapter_parameters()]
    for parameter in parameters:
        parameter.grad = None
    values: dict[str, float] = {}
    if (loss_and_weight := single_example_loss(group)) is not None:
        norm = math.sqrt(sum(float(p.grad.double().pow(2).sum()) for p in parameters if p.grad is not None))
        values = {"loss": loss_and_weight[0], "weight": loss_and_weight[1], "gradient_norm": norm}
    response_values = [
        ResponseValues(role, r.content, logp, r.reference_logp) for (role, r), logp in zip(responses, logps, strict=True)
    ]
    return BadExample(index, group.prompt, response_values, values, group.example_id)
