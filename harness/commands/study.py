"""Command `study`: a prepared question becomes one run, with a choice of settings where the study makes one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.commands.console import echo
from harness.commands.run import check_output_folders, config_from_args, named_run, plan_and_run, write_and_list_views
from harness.config import RunConfig
from harness.errors import UserError, did_you_mean
from harness.loop.study import Study, format_value, load_study, split_list
from harness.settings.paths import PACKAGE
from harness.store.run_folder import RunFolder


def list_studies() -> None:
    for path in sorted((PACKAGE / "studies").glob("*.toml")):
        study = load_study(path.stem)
        echo(f"{study.name:<12}{study.title}: {study.question}")
    echo("\nRun one: harness study NAME (--dry-run shows the plan)")


def study_command(name: str, cli_args: dict[str, Any], results: Path, reports: Path, dry_run: bool, jobs: int | None) -> int:
    """Run the study; returns the exit code: 0 all complete, 2 some trials failed or a setting could not be chosen."""
    original_study = load_study(name)
    study = apply_overrides(original_study, cli_args)
    config = study_config(study, study.variants(), cli_args)
    check_variants(study, config)
    run = named_run(study_run_name(original_study, config), results)
    check_output_folders(run, results, reports, dry_run)
    if study.grid is not None:
        return _tune_and_evaluate(study, config, run, cli_args, reports, dry_run, jobs)
    tuned_by_objective = tuned_variants(study, config, results, "tuned_by" in cli_args)
    if tuned_by_objective:
        config = study_config(study, ",".join([study.objectives, *tuned_by_objective.values()]), cli_args)
    failed = plan_and_run(config, run, cli_args, dry_run, jobs, study_record(study, config, tuned_by_objective))
    return 0 if dry_run else write_and_list_views(run, reports, failed)


def apply_overrides(study: Study, cli_args: Mapping[str, Any]) -> Study:
    """The study with options of the command line in place of its own settings. Raises UserError."""
    for key, value in cli_args.items():
        if isinstance(value, str) and not value.strip():
            raise UserError(f"--{key.replace('_', '-')} is empty; give a value, or leave it out")
    if cli_args.get("validation") and study.grid is None:
        raise UserError(f"--validation {cli_args['validation']}: study {study.name} chooses no setting; leave it out")
    updates: dict[str, Any] = {key: cli_args[key] for key in ("recipe", "objectives", "suite", "tuned_by") if key in cli_args}
    if "objectives" in cli_args:
        updates |= {"arm": (), "contrast": ()}  # they refer to the study's own variants
    if study.grid is not None and "validation" in cli_args:
        updates["grid"] = study.grid.model_copy(update={"validation": cli_args["validation"]})
    return study.model_copy(update=updates)


def check_variants(study: Study, config: RunConfig) -> None:
    """Raises UserError when an arm or a contrast refers to a variant that the study does not run."""
    labels, label_of = labels_of(config)
    labels = set(labels)
    sides = [("arm", arm.variant) for arm in study.arm]
    sides += [("contrast", side.rpartition("@")[0]) for contrast in study.contrast for side in (contrast.a, contrast.b)]
    for kind, text in sides:
        label = label_of(text)
        if label not in labels:
            raise UserError(f"study {study.name}: {kind} of {text}, which is not among its variants{did_you_mean(label, labels)}")


def labels_of(config: RunConfig) -> tuple[list[str], Callable[[str], str]]:
    """The labels of the configured variants, and a function from spelling to label, which reuses those labels."""
    from harness.discovery.variants import parse_variants

    labels = [variant.label for variant in parse_variants(config.objectives, config.objective)]
    known = dict(zip(split_list(config.objectives), labels, strict=True))
    return labels, lambda text: known.get(text) or parse_variants(text, config.objective)[0].label


def study_config(study: Study, variants: str, cli_args: Mapping[str, Any], suite: str | None = None) -> RunConfig:
    settings = list(cli_args.get("set", ()))
    if not any(item.partition("=")[0].strip() == "share" for item in settings):
        settings.append("share=true")
    run_args = {
        "recipe": study.recipe,
        "objectives": variants,
        "iterations": cli_args.get("iterations", study.iterations),
        "seeds": cli_args.get("seeds", study.seeds),
        "set": settings,
    }
    suite_name = suite or study.suite
    study_keys = {key for key in ("objectives", "iterations", "seeds", "suite") if key not in cli_args}
    return config_from_args(
        run_args | ({"suite": suite_name} if suite_name else {}), {key: f"study {study.name}: {key}" for key in study_keys}
    )


def study_run_name(study: Study, config: RunConfig) -> str:
    """`study-NAME` on the study's own recipe, followed by the run's default name on another."""
    from harness.planning.prepare import default_run_name

    run_name = default_run_name(config)
    return f"study-{study.name}" if run_name == Path(study.recipe).stem else f"study-{study.name}-{run_name}"


def tuned_variants(study: Study, config: RunConfig, results: Path, named_by_user: bool = False) -> dict[str, str]:
    """Objective -> the variant with the setting that the run `tuned_by` chose for it, where it differs from the common one.

    named_by_user: the run was given on the command line, so being unable to read it is an error. The study's own may be missing
    or damaged.
    """
    from harness.analysis.facts import RunResults
    from harness.reporting.tables.study import chosen_table
    from harness.store.provenance import NUMBERS_VERSION
    from harness.store.untrusted import validate_run_folder
    from harness.store.versions import numbers_versions

    if study.tuned_by is None:
        return {}
    root = results / study.tuned_by
    if not (root / "run.json").is_file():
        echo(
            f"tuned settings: no run {root}, so every objective is run at the common setting only; to add them, run "
            "harness study lr first and repeat this command"
        )
        return {}
    try:
        validate_run_folder(root)
        table = chosen_table(RunResults(root))
    except (UserError, OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        if named_by_user:
            raise
        echo(
            f"tuned settings: the run {root} cannot be used ({UserError(str(error))}), so every objective is run at the "
            "common setting only; to add them, repair it and repeat this command"
        )
        return {}
    if other_numbers := [numbers for numbers in numbers_versions(root) if numbers != NUMBERS_VERSION]:
        echo(
            f"tuned settings: {root} chose them with version {', '.join(other_numbers)} of this program's numbers, which are now "
            f"version {NUMBERS_VERSION}; to choose again, repeat that study with --results OTHER"
        )
    tuned = {}
    for objective in split_list(study.objectives):
        rows = table[(table["objective"] == objective) & table["chosen"]]
        if rows.empty:
            echo(f"tuned settings: {root} has chosen none for {objective}")
            continue
        key, value = str(rows["key"].iloc[0]), float(rows["value"].iloc[0])
        if _recipe_value(config, key) != value:
            tuned[objective] = f"{objective}:{key}={format_value(value)}"
    return tuned


def _recipe_value(config: RunConfig, key: str) -> Any:
    """The recipe's value of a setting; None for an objective's own parameter, which has no common one."""
    section, _, name = key.partition(".")
    return getattr(getattr(config, section, None), name, None)


def _tune_and_evaluate(
    study: Study, config: RunConfig, run: RunFolder, cli_args: dict[str, Any], reports: Path, dry_run: bool, jobs: int | None
) -> int:
    """Run every candidate on the validation suite; then, for each objective, the chosen one on the leaderboard."""
    from harness.analysis.facts import RunResults
    from harness.reporting.tables.study import chosen_table

    assert study.grid is not None
    tuning_config = study_config(study, study.variants(), cli_args, study.grid.validation)
    failed = plan_and_run(tuning_config, run, cli_args, dry_run, jobs, study_record(study, tuning_config, {}))
    if dry_run:
        return 0
    table = chosen_table(RunResults(run.root))
    chosen = table[table["chosen"]]
    objectives_without_choice = [o for o in split_list(study.objectives) if o not in set(chosen["objective"])]
    for objective in objectives_without_choice:
        echo(f"no setting of {objective} could be chosen: every candidate lacks scores on {study.grid.validation}")
    if chosen.empty:
        return write_and_list_views(run, reports, failed) or 2
    chosen_variants = [f"{row['objective']}:{row['key']}={format_value(row['value'])}" for row in chosen.to_dict("records")]
    final_config = study_config(study, ",".join(chosen_variants), cli_args, study.suite or config.evaluation.suite)
    failed |= plan_and_run(final_config, run, cli_args, False, jobs, study_record(study, final_config, {}, restrict_views=True))
    return write_and_list_views(run, reports, failed) or (2 if objectives_without_choice else 0)


def study_record(study: Study, config: RunConfig, tuned: Mapping[str, str], restrict_views: bool = False) -> dict[str, Any]:
    """run.json's entry of the study: labels in place of spellings, so that a report needs no objective file.

    restrict_views: tables and figures show the variants of `config` alone (other candidates stay in chosen.csv).
    """
    labels, label = labels_of(config)

    def checkpoint_key(text: str) -> list[Any]:
        variant, _, iteration = text.rpartition("@")
        return [label(variant), config.iterations - 1 if iteration == "last" else int(iteration)]

    common_labels = [label(item) for item in split_list(study.objectives)]
    panels = []
    if tuned:
        tuned_labels = [label(tuned.get(item, item)) for item in split_list(study.objectives)]
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
        "panels": panels,
        "tuned_by": study.tuned_by if tuned else None,
        "grid": _grid_record(study, label) if study.grid else None,
        "shown": labels if restrict_views else None,
    }


def _grid_record(study: Study, label: Any) -> dict[str, Any]:
    """run.json's entry of the grid: the suite by name, and per objective [label, value] of every value."""
    assert study.grid is not None
    grid = study.grid
    candidates = {
        objective: [[label(f"{objective}:{grid.key}={format_value(value)}"), value] for value in grid.values]
        for objective in split_list(study.objectives)
    }
    return grid.model_dump() | {"validation": Path(grid.validation).stem, "objectives": candidates}
