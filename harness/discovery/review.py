"""The lines of `harness objectives check`, in order, and what each waits for: one cause gives one line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.discovery import checks, needs, precision, slopes
from harness.discovery import source_file as file
from harness.discovery.batches import Broken, Doubtful, of_other_kind, spelled, variations
from objectives import Objective

Verdict = Literal["pass", "FAIL", "warning", "skip"]


@dataclass(frozen=True)
class CheckResult:
    """One line of the check. `reason` is empty where it passed; `skip`: what it builds on failed, so it says nothing."""

    name: str
    verdict: Verdict
    reason: str = ""

    @property
    def passed(self) -> bool:
        return self.verdict != "FAIL"


@dataclass(frozen=True)
class Line:
    """One property. `over`: the objectives it is tried on, from the ones given; `after`: checks without which it says nothing."""

    check: Callable[[Objective], None] | Callable[[Sequence[Objective]], None]
    over: Callable[[Objective], Iterable[Objective]] | None
    after: tuple[Callable, ...] = ()

    @property
    def name(self) -> str:
        return _name(self.check)


def _name(check: Callable) -> str:
    return check.__name__.replace("_", " ")


def given_alone(base: Objective) -> Iterator[Objective]:
    yield base


# What the later lines build on: without it, they would tell the same fault again in other words.
COMPUTED = (checks.the_loss_can_be_computed, checks.loss_and_metrics_have_one_value_per_prompt)
PURE = (*COMPUTED, checks.same_input_gives_same_output_and_is_unchanged)
HARMLESS = (*PURE, checks.harmless_input_gives_a_finite_loss_and_gradient)
ROW_BY_ROW = (*HARMLESS, checks.rows_do_not_depend_on_each_other)
FINITE = (*ROW_BY_ROW, checks.weights_count_prompts, checks.loss_and_gradient_are_finite)
USED = (*FINITE, needs.declared_roles_are_used)
READ = (*USED, needs.every_sample_is_used, needs.a_declared_reference_is_read)
PUSHED = (*READ, slopes.the_start_pushes_the_real_response_up, slopes.the_start_pushes_no_other_response_up)
UNITS = (*PUSHED, slopes.all_sides_are_counted_in_one_unit)
# over=None: the check takes all variations of the objectives given at once.
LINES = (
    Line(checks.title_citation_and_docstring_are_there, given_alone),
    Line(checks.hyper_parameters_are_documented, given_alone),
    Line(checks.the_loss_can_be_computed, variations),
    Line(checks.loss_and_metrics_have_one_value_per_prompt, variations, COMPUTED[:1]),
    Line(checks.same_input_gives_same_output_and_is_unchanged, variations, COMPUTED),
    Line(checks.random_numbers_and_settings_are_left_alone, of_other_kind, PURE),
    Line(checks.harmless_input_gives_a_finite_loss_and_gradient, given_alone, PURE),
    Line(checks.rows_do_not_depend_on_each_other, variations, HARMLESS),
    Line(checks.weights_count_prompts, of_other_kind, ROW_BY_ROW),
    Line(checks.splitting_the_batch_adds_up_to_the_same_gradient, variations, (*ROW_BY_ROW, checks.weights_count_prompts)),
    Line(checks.loss_and_gradient_are_finite, variations, ROW_BY_ROW),
    Line(checks.a_batch_of_one_row_is_finite, of_other_kind, FINITE),
    Line(precision.precision_is_kept, of_other_kind, FINITE),
    Line(precision.the_loss_works_on_any_device, of_other_kind, COMPUTED),
    Line(needs.declared_roles_are_used, variations, FINITE),
    Line(needs.every_sample_is_used, of_other_kind, USED),
    Line(checks.order_of_rows_and_samples_does_not_matter, of_other_kind, (*USED, needs.every_sample_is_used)),
    Line(needs.a_declared_reference_is_read, of_other_kind, FINITE),
    Line(needs.hyper_parameters_have_an_effect, None, HARMLESS),
    Line(needs.unbounded_is_needed, None, FINITE),
    Line(slopes.the_start_pushes_the_real_response_up, of_other_kind, READ),
    Line(slopes.the_start_pushes_no_other_response_up, of_other_kind, (*READ, slopes.the_start_pushes_the_real_response_up)),
    Line(slopes.all_sides_are_counted_in_one_unit, of_other_kind, PUSHED),
    Line(slopes.each_response_is_held_against_its_own_reference, of_other_kind, UNITS),
    Line(slopes.the_gradient_is_the_slope_of_the_loss, of_other_kind, (*USED, precision.precision_is_kept)),
    Line(needs.coupled_rows_depend_on_each_other, None, (*UNITS, slopes.each_response_is_held_against_its_own_reference)),
)


def check_objective(
    bases: Sequence[Objective], lines: Sequence[Line] = LINES, begins: Callable[[str], None] = lambda name: None
) -> Iterator[CheckResult]:
    """Every property of an objective, one result after the other, over its other legal hyper-parameters too.

    bases: the objective as it is asked for, or several where a hyper-parameter has a schedule. begins: told each line's name.
    """
    failed: set[str] = set()
    for line in lines:
        begins(line.name)
        waits = [_name(check) for check in line.after if _name(check) in failed]
        result = CheckResult(line.name, "skip", f'after "{waits[0]}"') if waits else _tried(line, bases)
        if result.verdict in ("FAIL", "skip"):
            failed.add(line.name)
        yield result


def check_file(path: Path) -> CheckResult:
    """The imports of the file, without running it."""
    return verdict("imports torch and the standard library alone", file.imports_torch_and_the_standard_library_alone, path)


def check_watched(watch: file.Watch) -> Iterator[CheckResult]:
    """What the file did while everything else was checked."""
    for check in (file.nothing_outside_is_read_or_written, file.nothing_is_printed):
        yield verdict(_name(check), check, watch)


def verdict(name: str, check: Callable, subject: object, said: str = "") -> CheckResult:
    """What one check says of one subject. Whatever else the file raises, leaving the process included, is a finding about it."""
    try:
        check(subject)
    except Broken as error:
        return CheckResult(name, "FAIL", f"{error}{said}")
    except Doubtful as error:
        return CheckResult(name, "warning", f"{error}{said}")
    except SystemExit as error:
        return CheckResult(name, "FAIL", f"the loss ends the process with sys.exit({error.code!r}){said}")
    except KeyboardInterrupt:  # the process hears no keyboard
        return CheckResult(name, "FAIL", f"the loss ends the process with KeyboardInterrupt{said}")
    except Exception as error:
        text = (str(error).splitlines() or [""])[0][:300]
        if isinstance(error, MemoryError) or "can't allocate memory" in text:
            text = "the loss needs more memory than a batch of a few prompts can"
        return CheckResult(name, "FAIL", f"{type(error).__name__}: {text}{said}")
    return CheckResult(name, "pass")


def _tried(line: Line, bases: Sequence[Objective]) -> CheckResult:
    if line.over is None:
        return verdict(line.name, line.check, [other for base in bases for other in variations(base)])
    worst = CheckResult(line.name, "pass")
    for base in bases:
        for other in line.over(base):
            found = verdict(line.name, line.check, other, spelled(bases[0], other))
            if found.verdict == "FAIL":
                return found
            worst = found if worst.verdict == "pass" else worst
    return worst
