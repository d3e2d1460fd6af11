"""Checks of the objectives before training starts: their needs, and every loss once on made-up numbers."""

from __future__ import annotations

from collections.abc import Sequence

from harness.discovery.batches import PropertyViolation
from harness.discovery.checks import PREFLIGHT_CHECKS
from harness.discovery.process_state import preserve_process_state
from harness.discovery.variants import Variant, describe_error
from harness.errors import UserError, is_termination
from objectives import Needs, Objective, UndeclaredRead

MAX_RESPONSES = 1000  # per prompt and role


def validate_needs(variant: Variant, objective: Objective) -> Needs:
    """An objective's needs. Raises UserError when their declaration raises, is invalid, or asks for too many responses."""
    try:
        needs = objective.needs
    except (ValueError, TypeError) as error:  # the objective's own check of its parameters
        raise UserError(f"{variant.label}: {error}") from error
    except BaseException as error:
        if is_termination(error):
            raise
        raise UserError(f"{variant.label}: needs fails: {describe_error(variant.path, error)}") from error
    if not isinstance(needs, Needs):
        raise UserError(f"{variant.label}: needs is {type(needs).__name__}, expected Needs(...); see objectives/README.md")
    for name in ("synthetic", "proto"):
        if (count := getattr(needs, name)) > MAX_RESPONSES:
            raise UserError(f"{variant.label}: needs.{name}={count}: at most {MAX_RESPONSES} responses per prompt are sampled")
    return needs


def check_objectives(variants: Sequence[Variant], iterations: int) -> None:
    """Compute every loss of the run once on made-up log-probabilities; milliseconds.

    Raises UserError for what would end in a crash or in wrong numbers hours later: a wrong shape or type, a loss that is not
    finite, no gradient, modified inputs, rows that influence each other. Whether the loss makes sense is left to
    `harness objectives check`: finding out may be the purpose of the run.
    """
    for variant in variants:
        objectives = {repr(objective): objective for objective in variant.objectives(iterations)}
        for objective in objectives.values():
            for check in PREFLIGHT_CHECKS:
                try:
                    with preserve_process_state():
                        check(objective)
                except (PropertyViolation, UndeclaredRead) as error:
                    raise UserError(f"{variant.label}: {error}; see: harness objectives check {variant.path}") from error
                except BaseException as error:  # it would be raised in training too
                    if is_termination(error):
                        raise
                    message = describe_error(variant.path, error)
                    raise UserError(f"{variant.label}: its loss fails: {message}; see: harness objectives check") from error
