"""The lines of `harness objectives check`, in order, and the checks that each depends on: one cause gives one line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.discovery import checks, needs, precision, slopes, source_file
from harness.discovery.batches import PropertyViolation, PropertyWarning, form_variations, format_difference, variations
from objectives import Objective

Verdict = Literal["pass", "FAIL", "warning", "skip"]


@dataclass(frozen=True)
class CheckResult:
    """One line of the check. `reason` is empty where it passed; `skip`: a check that it depends on failed, so it was not run."""

    name: str
    verdict: Verdict
    reason: str = ""

    @property
    def passed(self) -> bool:
        return self.verdict != "FAIL"


@dataclass(frozen=True)
class PropertyCheck:
    """One property. variations_of: the objectives it is tested on. depends_on: checks after whose failure it is skipped."""

    check: Callable[[Objective], None] | Callable[[Sequence[Objective]], None]
    variations_of: Callable[[Objective], Iterable[Objective]] | None
    depends_on: tuple[Callable, ...] = ()

    @property
    def name(self) -> str:
        return _name(self.check)


def _name(check: Callable) -> str:
    return check.__name__.replace("_", " ")


def base_only(base: Objective) -> Iterator[Objective]:
    yield base


# What later checks depend on: without it they would report the same fault again.
COMPUTED = (checks.the_loss_can_be_computed, checks.loss_and_metrics_have_one_value_per_prompt)
PURE = (*COMPUTED, checks.same_input_gives_same_output_and_is_unchanged)
HARMLESS = (*PURE, checks.harmless_input_gives_a_finite_loss_and_gradient)
ROW_BY_ROW = (*HARMLESS, checks.rows_do_not_depend_on_each_other)
FINITE = (*ROW_BY_ROW, checks.weights_count_prompts, checks.loss_and_gradient_are_finite)
USED = (*FINITE, needs.declared_roles_are_used)
READ = (*USED, needs.every_sample_is_used, needs.a_declared_reference_is_read)
PUSHED = (*READ, slopes.the_start_pushes_the_real_response_up, slopes.the_start_pushes_no_other_response_up)
UNITS = (*PUSHED, slopes.all_sides_are_counted_in_one_unit)
# variations_of=None: the check takes all variations of the objectives at once.
CHECKS = (
    PropertyCheck(checks.title_citation_and_docstring_are_there, base_only),
    PropertyCheck(checks.hyper_parameters_are_documented, base_only),
    PropertyCheck(checks.the_loss_can_be_computed, variations),
    PropertyCheck(checks.loss_and_metrics_have_one_value_per_prompt, variations, COMPUTED[:1]),
    PropertyCheck(checks.same_input_gives_same_output_and_is_unchanged, variations, COMPUTED),
    PropertyCheck(checks.random_numbers_and_settings_are_left_alone, form_variations, PURE),
    PropertyCheck(checks.harmless_input_gives_a_finite_loss_and_gradient, base_only, PURE),
    PropertyCheck(checks.rows_do_not_depend_on_each_other, variations, HARMLESS),
    PropertyCheck(checks.weights_count_prompts, form_variations, ROW_BY_ROW),
    PropertyCheck(
        checks.splitting_the_batch_adds_up_to_the_same_gradient, variations, (*ROW_BY_ROW, checks.weights_count_prompts)
    ),
    PropertyCheck(checks.loss_and_gradient_are_finite, variations, ROW_BY_ROW),
    PropertyCheck(checks.a_batch_of_one_row_is_finite, form_variations, FINITE),
    PropertyCheck(precision.precision_is_kept, form_variations, FINITE),
    PropertyCheck(precision.the_loss_works_on_any_device, form_variations, COMPUTED),
    PropertyCheck(needs.declared_roles_are_used, variations, FINITE),
    PropertyCheck(needs.every_sample_is_used, form_variations, USED),
    PropertyCheck(checks.order_of_rows_and_samples_does_not_matter, form_variations, (*USED, needs.every_sample_is_used)),
    PropertyCheck(needs.a_declared_reference_is_read, form_variations, FINITE),
    PropertyCheck(needs.hyper_parameters_have_an_effect, None, HARMLESS),
    PropertyCheck(needs.unbounded_is_needed, None, FINITE),
    PropertyCheck(slopes.the_start_pushes_the_real_response_up, form_variations, READ),
    PropertyCheck(
        slopes.the_start_pushes_no_other_response_up, form_variations, (*READ, slopes.the_start_pushes_the_real_response_up)
    ),
    PropertyCheck(slopes.all_sides_are_counted_in_one_unit, form_variations, PUSHED),
    PropertyCheck(slopes.each_response_is_held_against_its_own_reference, form_variations, UNITS),
    PropertyCheck(slopes.the_gradient_is_the_slope_of_the_loss, form_variations, (*USED, precision.precision_is_kept)),
    PropertyCheck(
        needs.coupled_rows_depend_on_each_other, None, (*UNITS, slopes.each_response_is_held_against_its_own_reference)
    ),
)


def check_objective(
    bases: Sequence[Objective],
    property_checks: Sequence[PropertyCheck] = CHECKS,
    on_start: Callable[[str], None] = lambda name: None,
) -> Iterator[CheckResult]:
    """Every property of an objective, one result after the other, over its other legal hyper-parameters too.

    bases: the objective as requested, or several where a hyper-parameter has a schedule. on_start: called with each line's name.
    """
    failed: set[str] = set()
    for property_check in property_checks:
        on_start(property_check.name)
        failed_dependencies = [_name(check) for check in property_check.depends_on if _name(check) in failed]
        result = (
            CheckResult(property_check.name, "skip", f'after "{failed_dependencies[0]}"')
            if failed_dependencies
            else _run_over_variations(property_check, bases)
        )
        if result.verdict in ("FAIL", "skip"):
            failed.add(property_check.name)
        yield result


def check_file(path: Path) -> CheckResult:
    """The imports of the file, without running it."""
    return run_check(
        "imports torch and the standard library alone", source_file.imports_torch_and_the_standard_library_alone, path
    )


def check_side_effects(monitor: source_file.SideEffectMonitor) -> Iterator[CheckResult]:
    """What the file did while its properties were checked."""
    for check in (source_file.nothing_outside_is_read_or_written, source_file.nothing_is_printed):
        yield run_check(_name(check), check, monitor)


def run_check(name: str, check: Callable, subject: object, suffix: str = "") -> CheckResult:
    """The result of one check on one subject. Any other exception of the file, an exit included, is a failure."""
    try:
        check(subject)
    except PropertyViolation as error:
        return CheckResult(name, "FAIL", f"{error}{suffix}")
    except PropertyWarning as error:
        return CheckResult(name, "warning", f"{error}{suffix}")
    except SystemExit as error:
        return CheckResult(name, "FAIL", f"the loss ends the process with sys.exit({error.code!r}){suffix}")
    except KeyboardInterrupt:  # raised by the file: the process has no terminal
        return CheckResult(name, "FAIL", f"the loss ends the process with KeyboardInterrupt{suffix}")
    except Exception as error:
        text = (str(error).splitlines() or [""])[0][:300]
        if isinstance(error, MemoryError) or "can't allocate memory" in text:
            text = "the loss needs more memory than a batch of a few prompts can"
        return CheckResult(name, "FAIL", f"{type(error).__name__}: {text}{suffix}")
    return CheckResult(name, "pass")


def _run_over_variations(property_check: PropertyCheck, bases: Sequence[Objective]) -> CheckResult:
    if property_check.variations_of is None:
        return run_check(property_check.name, property_check.check, [other for base in bases for other in variations(base)])
    worst = CheckResult(property_check.name, "pass")
    for base in bases:
        for other in property_check.variations_of(base):
            result = run_check(property_check.name, property_check.check, other, format_difference(bases[0], other))
            if result.verdict == "FAIL":
                return result
            worst = result if worst.verdict == "pass" else worst
    return worst
