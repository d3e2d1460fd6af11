"""The study command: a prepared question becomes one run, with its choice of settings where it makes one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.commands.console import say
from harness.commands.run import check_places, named_run, play, requested, show
from harness.config import RunConfig
from harness.errors import UserError, did_you_mean
from harness.loop.study import Study, load_study, spelled, split
from harness.settings.paths import PACKAGE
from harness.store.run_folder import RunFolder


def list_studies() -> None:
    for path in sorted((PACKAGE / "studies").glob("*.toml")):
        study = load_study(path.stem)
        say(f"{study.name:<12}{study.title}: {study.question}")
    say("\nPlay one: harness study NAME (--dry-run shows the plan)")


def study_command(name: str, passed: dict[str, Any], results: Path, reports: Path, dry_run: bool, jobs: int | None) -> int:
    """Play the study; returns the exit code: 0 all complete, 2 some cells failed or a setting could not be chosen."""
    prepared = load_study(name)
    study = asked(prepared, passed)
    config = study_config(study, study.variants(), passed)
    check_spoken(study, config)
    run = named_run(study_run_name(prepared, config), results)
    check_places(run, results, reports, dry_run)
    if study.grid is not None:
        return _tune_and_judge(study, config, run, passed, reports, dry_run, jobs)
    tuned = tuned_variants(study, config, results, "tuned_by" in passed)
    if tuned:
        config = study_config(study, ",".join([study.objectives, *tuned.values()]), passed)
    failed = play(config, run, passed, dry_run, jobs, described(study, config, tuned))
    return 0 if dry_run else show(run, reports, failed)


def asked(study: Study, passed: Mapping[str, Any]) -> Study:
    """The study with what was typed in place of its own settings. Raises UserError."""
    for key, value in passed.items():
        if isinstance(value, str) and not value.strip():
            raise UserError(f"--{key.replace('_', '-')} is empty; give a value, or leave it out")
    if passed.get("validation") and study.grid is None:
        raise UserError(f"--validation {passed['validation']}: study {study.name} chooses no setting; leave it out")
    changed: dict[str, Any] = {key: passed[key] for key in ("recipe", "objectives", "suite", "tuned_by") if key in passed}
    if "objectives" in passed:
        changed |= {"arm": (), "contrast": ()}  # they speak of the study's own variants
    if study.grid is not None and "validation" in passed:
        changed["grid"] = study.grid.model_copy(update={"validation": passed["validation"]})
    return study.model_copy(update=changed)


def check_spoken(study: Study, config: RunConfig) -> None:
    """Raises UserError when an arm or a contrast speaks of a variant that the study does not play."""
    labels, label_of = labels_of(config)
    played = set(labels)
    sides = [("arm", arm.variant) for arm in study.arm]
    sides += [("contrast", side.rpartition("@")[0]) for contrast in study.contrast for side in (contrast.a, contrast.b)]
    for kind, text in sides:
        label = label_of(text)
        if label not in played:
            raise UserError(f"study {study.name}: a {kind} speaks of {text}, which is not played{did_you_mean(label, played)}")


def labels_of(config: RunConfig) -> tuple[list[str], Callable[[str], str]]:
    """The labels of what is played, and spelling -> label; what is spelled as it is played is not looked for again."""
    from harness.discovery.variants import parse_variants

    labels = [variant.label for variant in parse_variants(config.objectives, config.objective)]
    known = dict(zip(split(config.objectives), labels, strict=True))
    return labels, lambda text: known.get(text) or parse_variants(text, config.objective)[0].label


def study_config(study: Study, variants: str, passed: Mapping[str, Any], suite: str | None = None) -> RunConfig:
    settings = list(passed.get("set", ()))
    if not any(item.partition("=")[0].strip() == "share" for item in settings):
        settings.append("share=true")
    request = {
        "recipe": study.recipe,
        "objectives": variants,
        "iterations": passed.get("iterations", study.iterations),
        "seeds": passed.get("seeds", study.seeds),
        "set": settings,
    }
    chosen = suite or study.suite
    own = {key for key in ("objectives", "iterations", "seeds", "suite") if key not in passed}
    return requested(request | ({"suite": chosen} if chosen else {}), {key: f"study {study.name}: {key}" for key in own})


def study_run_name(study: Study, config: RunConfig) -> str:
    """`study-NAME` on the study's own recipe, with the run's default name behind it on another."""
    from harness.planning.prepare import default_name

    played = default_name(config)
    return f"study-{study.name}" if played == Path(study.recipe).stem else f"study-{study.name}-{played}"


def tuned_variants(study: Study, config: RunConfig, results: Path, typed: bool = False) -> dict[str, str]:
    """Objective -> the variant with the setting that the run `tuned_by` chose for it, where that is not the common one.

    typed: the run was named on the command line. One that cannot be read is refused then; one that a study names by itself may
    be missing or damaged like any other run beside this one.
    """
    from harness.analysis.facts import Facts
    from harness.reporting.tables.study import chosen_table
    from harness.store.provenance import NUMBERS
    from harness.store.untrusted import look_over
    from harness.store.versions import numbers_of

    if study.tuned_by is None:
        return {}
    root = results / study.tuned_by
    if not (root / "run.json").is_file():
        say(
            f"tuned settings: no run {root}, so every objective is played at the common setting only; to add them, play "
            "harness study lr first and repeat this command"
        )
        return {}
    try:
        look_over(root)
        table = chosen_table(Facts(root))
    except (UserError, OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        if typed:
            raise
        say(
            f"tuned settings: the run {root} cannot be used ({UserError(str(error))}), so every objective is played at the "
            "common setting only; to add them, mend it and repeat this command"
        )
        return {}
    if others := [numbers for numbers in numbers_of(root) if numbers != NUMBERS]:
        say(
            f"tuned settings: {root} chose them with version {', '.join(others)} of this program's numbers, which are now "
            f"version {NUMBERS}; to choose anew, play that study again with --results OTHER"
        )
    found = {}
    for objective in split(study.objectives):
        rows = table[(table["objective"] == objective) & table["chosen"]]
        if rows.empty:
            say(f"tuned settings: {root} has chosen none for {objective}")
            continue
        key, value = str(rows["key"].iloc[0]), float(rows["value"].iloc[0])
        if _common(config, key) != value:
            found[objective] = f"{objective}:{key}={spelled(value)}"
    return found


def _common(config: RunConfig, key: str) -> Any:
    """The recipe's value of a setting; None for an objective's own parameter, which has no common one."""
    section, _, name = key.partition(".")
    return getattr(getattr(config, section, None), name, None)


def _tune_and_judge(
    study: Study, config: RunConfig, run: RunFolder, passed: dict[str, Any], reports: Path, dry_run: bool, jobs: int | None
) -> int:
    """Every candidate on the validation suite; then, for each objective, the chosen one on the leaderboard."""
    from harness.analysis.facts import Facts
    from harness.reporting.tables.study import chosen_table

    assert study.grid is not None
    trial = study_config(study, study.variants(), passed, study.grid.validation)
    failed = play(trial, run, passed, dry_run, jobs, described(study, trial, {}))
    if dry_run:
        return 0
    table = chosen_table(Facts(run.root))
    chosen = table[table["chosen"]]
    none = [o for o in split(study.objectives) if o not in set(chosen["objective"])]
    for objective in none:
        say(f"no setting of {objective} could be chosen: every candidate has a hole on {study.grid.validation}")
    if chosen.empty:
        return show(run, reports, failed) or 2
    winners = [f"{row['objective']}:{row['key']}={spelled(row['value'])}" for row in chosen.to_dict("records")]
    judged = study_config(study, ",".join(winners), passed, study.suite or config.evaluation.suite)
    failed |= play(judged, run, passed, False, jobs, described(study, judged, {}, shown=True))
    return show(run, reports, failed) or (2 if none else 0)


def described(study: Study, config: RunConfig, tuned: Mapping[str, str], shown: bool = False) -> dict[str, Any]:
    """What run.json says of the study: labels in place of spellings, so that a report needs no objective file.

    shown: the tables and figures show the variants of `config` alone (the candidates that were not chosen stay in chosen.csv).
    """
    labels, label = labels_of(config)

    def player(text: str) -> list[Any]:
        variant, _, iteration = text.rpartition("@")
        return [label(variant), config.iterations - 1 if iteration == "last" else int(iteration)]

    own = [label(item) for item in split(study.objectives)]
    panels = []
    if tuned:
        at_tuned = [label(tuned.get(item, item)) for item in split(study.objectives)]
        panels = [{"title": "at the common setting", "labels": own}, {"title": "each at its tuned setting", "labels": at_tuned}]
    return {
        "name": study.name,
        "title": study.title,
        "question": study.question,
        "arms": [{"label": label(arm.variant), "note": arm.note} for arm in study.arm],
        "contrasts": [{"question": c.question, "a": player(c.a), "b": player(c.b)} for c in study.contrast],
        "iterations_shown": list(study.iterations_shown),
        "published": study.published,
        "panels": panels,
        "tuned_by": study.tuned_by if tuned else None,
        "grid": _grid(study, label) if study.grid else None,
        "shown": labels if shown else None,
    }


def _grid(study: Study, label: Any) -> dict[str, Any]:
    """The grid as it is recorded: the suite by its name, and per objective [label, value] of every value."""
    assert study.grid is not None
    grid = study.grid
    candidates = {
        objective: [[label(f"{objective}:{grid.key}={spelled(value)}"), value] for value in grid.values]
        for objective in split(study.objectives)
    }
    return grid.model_dump() | {"validation": Path(grid.validation).stem, "objectives": candidates}
