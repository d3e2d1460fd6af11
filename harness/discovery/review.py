"""The lines of `harness objectives check`, in order: one cause gives one line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.discovery import checks, needs, slopes, source_file
from harness.discovery.batches import PropertyViolation, PropertyWarning, form_variations, format_difference, variations
from harness.errors import error_line
from objectives import Objective

Verdict = Literal["pass", "FAIL", "warning", "skip"]


@dataclass(frozen=True)
class CheckResult:
    """One line of the check. `reason` is empty where it passed; `skip`: a check that it depends on failed, so it was not run."""

    name: str
    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True)
class PropertyCheck:
    """One property. variations_of: the objectives it is tested on, None for all variations at once.

    is_required: after its failure the checks behind it are skipped, since they would report the same fault again.
    """

    check: Callable
    variations_of: Callable[[Objective], Iterable[Objective]] | None
    is_required: bool = True

    @property
    def name(self) -> str:
        return _name(self.check)


def _name(check: Callable) -> str:
    return check.__name__.replace("_", " ")


def base_only(base: Objective) -> Iterator[Objective]:
    yield base


CHECKS = (
    PropertyCheck(checks.title_citation_and_docstring_are_there, base_only, False),
    PropertyCheck(checks.hyper_parameters_are_documented, base_only, False),
    PropertyCheck(checks.the_loss_can_be_computed, variations),
    PropertyCheck(checks.loss_and_metrics_have_one_value_per_prompt, variations),
    PropertyCheck(checks.the_loss_works_on_any_device, form_variations, False),
    PropertyCheck(checks.same_input_gives_same_output_and_is_unchanged, variations),
    PropertyCheck(checks.random_numbers_and_settings_are_left_alone, form_variations, False),
    PropertyCheck(checks.harmless_input_gives_a_finite_loss_and_gradient, base_only),
    PropertyCheck(needs.hyper_parameters_have_an_effect, None, False),
    PropertyCheck(checks.rows_do_not_depend_on_each_other, variations),
    PropertyCheck(checks.weights_count_prompts, form_variations),
    PropertyCheck(checks.splitting_the_batch_adds_up_to_the_same_gradient, variations, False),
    PropertyCheck(checks.loss_and_gradient_are_finite, variations),
    PropertyCheck(checks.a_batch_of_one_row_is_finite, form_variations, False),
    PropertyCheck(needs.unbounded_is_needed, None, False),
    PropertyCheck(checks.precision_is_kept, form_variations),
    PropertyCheck(needs.declared_roles_are_used, variations),
    PropertyCheck(needs.every_sample_is_used, form_variations),
    PropertyCheck(checks.order_of_rows_and_samples_does_not_matter, form_variations, False),
    PropertyCheck(needs.a_declared_reference_is_read, form_variations),
    PropertyCheck(slopes.the_start_pushes_the_real_response_up, form_variations),
    PropertyCheck(slopes.the_start_pushes_no_other_response_up, form_variations),
    PropertyCheck(slopes.all_sides_are_counted_in_one_unit, form_variations),
    PropertyCheck(slopes.each_response_is_held_against_its_own_reference, form_variations),
    PropertyCheck(slopes.the_gradient_is_the_slope_of_the_loss, form_variations, False),
    PropertyCheck(needs.coupled_rows_depend_on_each_other, None, False),
)


def check_objective(
    bases: Sequence[Objective], lines: Sequence[PropertyCheck] = CHECKS, on_start: Callable[[str], None] = lambda name: None
) -> Iterator[CheckResult]:
    """Every property of an objective, one result after the other, over its other legal hyper-parameters too.

    bases: the objective as requested, or several where a hyper-parameter has a schedule. on_start: called with each line's name.
    """
    failed = ""
    for line in lines:
        on_start(line.name)
        result = CheckResult(line.name, "skip", f'after "{failed}"') if failed else _run_over_variations(line, bases)
        if result.verdict == "FAIL" and line.is_required:
            failed = line.name
        yield result


def check_file(path: Path) -> CheckResult:
    """The imports of the file, without running it."""
    return run_check(source_file.imports_torch_and_the_standard_library_alone, path)


def check_side_effects(monitor: source_file.SideEffectMonitor) -> Iterator[CheckResult]:
    for check in (source_file.nothing_outside_is_read_or_written, source_file.nothing_is_printed):
        yield run_check(check, monitor)


def run_check(check: Callable, subject: object, suffix: str = "") -> CheckResult:
    """The result of one check on one subject. Any other exception of the file, an exit included, is a failure."""
    verdict: Verdict = "FAIL"
    try:
        check(subject)
    except PropertyViolation as error:
        reason = str(error)
    except PropertyWarning as error:
        verdict, reason = "warning", str(error)
    except SystemExit as error:
        reason = f"the loss ends the process with sys.exit({error.code!r})"
    except KeyboardInterrupt:  # raised by the file: the process has no terminal
        reason = "the loss ends the process with KeyboardInterrupt"
    except Exception as error:
        reason = f"{type(error).__name__}: {error_line(error, 300)}"
        if isinstance(error, MemoryError) or "can't allocate memory" in reason:
            reason = f"{type(error).__name__}: the loss needs more memory than a batch of a few prompts can"
    else:
        return CheckResult(_name(check), "pass")
    return CheckResult(_name(check), verdict, reason + suffix)


def _run_over_variations(line: PropertyCheck, bases: Sequence[Objective]) -> CheckResult:
    """The first failure over all variations, else the first warning."""
    if line.variations_of is None:
        return run_check(line.check, [other for base in bases for other in variations(base)])
    worst = CheckResult(line.name, "pass")
    for other in (other for base in bases for other in line.variations_of(base)):
        result = run_check(line.check, other, format_difference(bases[0], other))
        if result.verdict == "FAIL":
            return result
        worst = result if worst.verdict == "pass" else worst
    return worst
