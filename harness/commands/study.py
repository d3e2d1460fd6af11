"""Command `study`: a prepared question becomes one run, with a choice of settings where the study makes one."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from harness.commands.console import console, echo
from harness.commands.run import Output, check_output_folders, named_run, plan_and_run, record_options, write_and_list_views
from harness.config import RunConfig, load_config
from harness.discovery.spelling import parse_spellings
from harness.discovery.variants import list_objectives, split_variants, variant_label
from harness.errors import UserError, did_you_mean
from harness.loop.study import Grid, Study, format_value, load_study
from harness.settings.paths import PACKAGE
from harness.store.run_folder import RunFolder


def list_studies() -> None:
    studies = [load_study(path.stem) for path in sorted((PACKAGE / "studies").glob("*.toml"))]
    indent = " " * (max(len(study.name) for study in studies) + 2)
    for study in studies:
        echo(f"{study.name:<{len(indent)}}{study.title}")
        echo(textwrap.fill(study.question, console.width, initial_indent=indent, subsequent_indent=indent))
    echo("\nRun one: harness study NAME (--dry-run shows the plan)")


@dataclass(frozen=True)
class StudyArguments:
    """What was typed after `harness study NAME`. overrides: by dotted key; settings: of --set; None and empty: not given."""

    overrides: Mapping[str, Any] = field(default_factory=dict)
    settings: Sequence[str] = ()
    recipe: str | None = None
    validation: str | None = None
    tuned_by: str | None = None

    def options(self) -> dict[str, Any]:
        """For run.json."""
        others = {"recipe": self.recipe, "set": list(self.settings), "validation": self.validation, "tuned_by": self.tuned_by}
        return record_options(self.overrides, others)


def study_command(name: str, arguments: StudyArguments, output: Output) -> int:
    """Run the study; returns the exit code: 0 all complete, 2 some trials failed or a setting could not be chosen."""
    original_study = load_study(name)
    study = apply_arguments(original_study, arguments)
    config = study_config(study, study.variants(), arguments)
    check_variants(study, config)
    run = named_run(study_run_name(original_study, config), output.results)
    check_output_folders(run, output.results, output.reports, output.dry_run)
    if study.grid is not None:
        return _tune_and_evaluate(study, run, arguments, output)
    tuned_by_objective = tuned_variants(study, config, output.results, arguments.tuned_by is not None)
    if tuned_by_objective:
        config = study_config(study, ",".join([study.objectives, *tuned_by_objective.values()]), arguments)
    failed = _run_variants(config, study_record(study, config, tuned_by_objective), run, arguments, output)
    return 0 if output.dry_run else write_and_list_views(run, output, failed)


def _run_variants(
    config: RunConfig, record: Mapping[str, Any], run: RunFolder, arguments: StudyArguments, output: Output
) -> dict[str, str]:
    from harness.planning.request import resolve_request

    return plan_and_run(resolve_request(config, arguments.options(), record), run, output)


def apply_arguments(study: Study, arguments: StudyArguments) -> Study:
    """The study with options of the command line in place of its own settings. Raises UserError."""
    for option, value in (("--validation", arguments.validation), ("--tuned-by", arguments.tuned_by)):
        if value is not None and not value.strip():
            raise UserError(f"{option} is empty; give a value, or leave it out")
    updates: dict[str, Any] = {"recipe": arguments.recipe, "tuned_by": arguments.tuned_by}
    if arguments.validation is not None:
        if study.grid is None:
            raise UserError(f"--validation {arguments.validation}: study {study.name} chooses no setting; leave it out")
        updates["grid"] = study.grid.model_copy(update={"validation": arguments.validation})
    if "objectives" in arguments.overrides:
        # arms and contrasts refer to the study's own variants
        updates |= {"objectives": arguments.overrides["objectives"], "arm": (), "contrast": ()}
        updates["figure"] = study.figure if study.grid is not None else None
        return study.model_copy(update={**{k: v for k, v in updates.items() if v is not None or k == "figure"}, "folder": None})
    return study.model_copy(update={key: value for key, value in updates.items() if value is not None})


def check_variants(study: Study, config: RunConfig) -> None:
    """Raises UserError when an arm or a contrast refers to a variant that the study does not run."""
    label_of = labeller()
    labels = set(map(label_of, split_variants(config.objectives)))
    sides = [("arm", arm.variant) for arm in study.arm]
    sides += [("contrast", side.rpartition("@")[0]) for contrast in study.contrast for side in (contrast.a, contrast.b)]
    for kind, text in sides:
        if (label := label_of(text)) not in labels:
            raise UserError(f"study {study.name}: {kind} of {text}, which is not among its variants{did_you_mean(label, labels)}")


def labeller() -> Callable[[str], str]:
    """The label of a variant as it is typed; the installed objectives are looked for once."""
    return partial(variant_label, known=list_objectives())


def study_config(study: Study, variants: str, arguments: StudyArguments, validation: str | None = None) -> RunConfig:
    """The configuration of a study's run of some variants, on its suite or on the validation suite."""
    typed, settings = dict(arguments.overrides), list(arguments.settings)
    if not any(item.partition("=")[0].strip() == "share" for item in settings):
        settings.append("share=true")
    overrides: dict[str, Any] = {"iterations": study.iterations, "seeds": study.seeds}
    if study.suite is not None:
        overrides["evaluation.suite"] = study.suite
    sources = {key: f"study {study.name}: {key.rpartition('.')[2]}" for key in ("objectives", *overrides) if key not in typed}
    overrides |= typed | {"objectives": variants}
    if validation is not None:
        overrides["evaluation.suite"] = validation
        given = arguments.validation is not None
        sources["evaluation.suite"] = "--validation" if given else f"study {study.name}: grid.validation"
    sources["recipe"] = "--recipe" if arguments.recipe is not None else f"study {study.name}: recipe"
    folders = {"objectives": Path(study.folder)} if study.folder is not None else {}
    return load_config(study.recipe, settings, overrides, sources, folders)


def study_run_name(study: Study, config: RunConfig) -> str:
    """`study-NAME` on the study's own recipe, followed by the run's default name on another."""
    run_name = config.default_run_name()
    return f"study-{study.name}" if run_name == Path(study.recipe).stem else f"study-{study.name}-{run_name}"


def tuned_variants(study: Study, config: RunConfig, results: Path, named_by_user: bool = False) -> dict[str, str]:
    """Objective -> the variant with the setting that the run `tuned_by` chose for it, where it differs from the common one.

    named_by_user: the run was given on the command line, so being unable to read it is an error. The study's own may be missing
    or damaged.
    """
    from harness.store.provenance import NUMBERS_VERSION
    from harness.store.untrusted import validate_run_folder
    from harness.store.versions import numbers_versions

    if study.tuned_by is None:
        return {}
    root = results / study.tuned_by
    problem, repair = f"no run {root}", "run harness study lr first"
    table = None
    if (root / "run.json").is_file():
        from harness.analysis.facts import RunResults  # pandas, which only a run that is there is read with
        from harness.reporting.tables.study import chosen_table

        try:
            validate_run_folder(root)
            table = chosen_table(RunResults(root))
        except (UserError, OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            if named_by_user:
                raise
            problem, repair = f"the run {root} cannot be used ({UserError(str(error))})", "repair it"
    if table is None:
        echo(
            f"tuned settings: {problem}, so every objective is run at the common setting only; to add them, {repair} and repeat "
            "this command"
        )
        return {}
    if other_numbers := [numbers for numbers in numbers_versions(root) if numbers != NUMBERS_VERSION]:
        echo(
            f"tuned settings: {root} chose them with version {', '.join(other_numbers)} of this program's numbers, which are now "
            f"version {NUMBERS_VERSION}; to choose again, repeat that study with --results OTHER"
        )
    tuned = {}
    for spelling in parse_spellings(study.objectives, f"study {study.name}: objectives"):
        objective = spelling.unlabelled
        rows = table[(table["objective"] == objective) & table["chosen"]]
        if rows.empty:
            echo(f"tuned settings: {root} has chosen none for {objective}")
            continue
        key, value = str(rows["key"].iloc[0]), float(rows["value"].iloc[0])
        section, _, name = key.partition(".")  # an objective's own parameter has no common value
        if getattr(getattr(config, section, None), name, None) != value:
            tuned[spelling.text] = spelling.with_setting(key, format_value(value))
    return tuned


def _tune_and_evaluate(study: Study, run: RunFolder, arguments: StudyArguments, output: Output) -> int:
    """Run every candidate on the validation suite; then, for each objective, the chosen one on the leaderboard."""
    from harness.analysis.facts import RunResults
    from harness.reporting.tables.study import chosen_table

    assert study.grid is not None
    tuning_config = study_config(study, study.variants(), arguments, study.grid.validation)
    failed = _run_variants(tuning_config, study_record(study, tuning_config, {}), run, arguments, output)
    if output.dry_run:
        return 0
    table = chosen_table(RunResults(run.root))
    chosen = table[table["chosen"]]
    spellings = {s.unlabelled: s for s in parse_spellings(study.objectives)}
    objectives_without_choice = [objective for objective in spellings if objective not in set(chosen["objective"])]
    for objective in objectives_without_choice:
        echo(f"no setting of {objective} could be chosen: every candidate lacks scores on {study.grid.validation}")
    if chosen.empty:
        return write_and_list_views(run, output, failed) or 2
    chosen_variants = [
        spellings[row["objective"]].with_setting(row["key"], format_value(row["value"])) for row in chosen.to_dict("records")
    ]
    final_config = study_config(study, ",".join(chosen_variants), arguments)
    failed |= _run_variants(final_config, study_record(study, final_config, {}, restrict_views=True), run, arguments, output)
    return write_and_list_views(run, output, failed) or (2 if objectives_without_choice else 0)


def study_record(study: Study, config: RunConfig, tuned: Mapping[str, str], restrict_views: bool = False) -> dict[str, Any]:
    """run.json's entry of the study: labels in place of spellings, so that a report needs no objective file.

    restrict_views: tables and figures show the variants of `config` alone (other candidates stay in chosen.csv).
    """
    label = labeller()

    def checkpoint_key(text: str) -> list[Any]:
        variant, _, iteration = text.rpartition("@")
        return [label(variant), config.iterations - 1 if iteration == "last" else int(iteration)]

    common_labels = [label(item) for item in split_variants(study.objectives)]
    panels = []
    if tuned:
        tuned_labels = [label(tuned.get(item, item)) for item in split_variants(study.objectives)]
        panels = [
            {"title": "at the common setting", "labels": common_labels},
            {"title": "each at its tuned setting", "labels": tuned_labels},
        ]
    return {
        "name": study.name,
        "title": study.title,
        "question": study.question,
        "arms": [{"label": label(arm.variant), "note": arm.note} for arm in study.arm],
        "contrasts": [{"question": c.question, "a": checkpoint_key(c.a), "b": checkpoint_key(c.b)} for c in study.contrast],
        "iterations_shown": list(study.iterations_shown),
        "published": study.published,
        **({"figure": study.figure} if study.figure else {}),
        "panels": panels,
        "tuned_by": study.tuned_by if tuned else None,
        "grid": _grid_record(study, study.grid, label) if study.grid else None,
        "shown": [label(item) for item in split_variants(config.objectives)] if restrict_views else None,
    }


def _grid_record(study: Study, grid: Grid, label: Callable[[str], str]) -> dict[str, Any]:
    """run.json's entry of the grid: the suite by name, and per objective [label, value] of every value."""
    candidates = {
        spelling.unlabelled: [[label(spelling.with_setting(grid.key, format_value(value))), value] for value in grid.values]
        for spelling in parse_spellings(study.objectives)
    }
    return grid.model_dump() | {"validation": Path(grid.validation).stem, "objectives": candidates}
