"""What each sub-command does, between the parsing in `cli.py` and the modules that do the work."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from harness.config import PACKAGE, RunConfig, load_config
from harness.errors import UserError, did_you_mean
from harness.store import MANIFEST, RunFolder

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
out = Console(highlight=False)


def say(text: str) -> None:
    out.print(text, markup=False, soft_wrap=True)


# ---------------------------------------------------------------- run


def requested(passed: Mapping[str, Any]) -> RunConfig:
    """The configuration of what was typed. Raises UserError."""
    seeds = passed.get("seeds")
    if isinstance(seeds, str):
        try:
            seeds = [int(part) for part in seeds.split(",")]
        except ValueError as error:
            raise UserError(f"--seeds {seeds}: expected whole numbers, comma-separated, for example 0,1,2") from error
    own_data = {"data__heldout": None, "data__distribution": None} if "data" in passed else {}
    config = load_config(
        passed.get("recipe", "lab"),
        passed.get("set", ()),
        objectives=passed.get("objectives"),
        iterations=passed.get("iterations"),
        seeds=seeds,
        evaluation__suite=passed.get("suite"),
        data__source=passed.get("data"),
        data__max_examples=passed.get("max_examples"),
        model__path=passed.get("model"),
        mirror=passed.get("mirror"),
    )
    if own_data:  # a recipe's held-out file and distribution belong to the recipe's own data
        kept = config.data.model_dump() | {
            key.removeprefix("data__"): value
            for key, value in own_data.items()
            if not any(s.startswith(key.replace("__", ".") + "=") for s in passed.get("set", ()))
        }
        config = RunConfig.model_validate(config.model_dump() | {"data": kept})
    return config


def run_command(passed: dict[str, Any], results: Path, reports: Path, dry_run: bool, jobs: int | None) -> int:
    """Play the run; returns the exit code: 0 all complete, 2 some cells failed."""
    from harness.jobs import choose_jobs, play, warm_up
    from harness.prepare import checked_variants, default_name, prepare, write_failed
    from harness.progress import Reporter
    from harness.suite import load_suite

    config = requested(passed)
    name = passed.get("name") or default_name(config)
    if not RUN_NAME.fullmatch(name):
        raise UserError(f"--name {name}: letters, digits, '.', '_' and '-' only, at most 100")
    run = RunFolder(results / name)
    variants = checked_variants(config)
    to_do = print_plan(config, run, variants, load_suite(config.evaluation.suite))
    if dry_run:
        return 0
    reporter = Reporter()
    existed = run.root.exists()
    at_once = choose_jobs(jobs, config, len(variants) * len(config.seeds)) if to_do else 1
    with run.locked():
        warm_up(at_once)
        try:
            game = prepare(config, run, reporter, passed)
        except UserError:
            if not existed and not (run.root / "data").exists():
                _remove_empty(run.root)  # a refused request leaves nothing behind
            raise
        failed = play(game, at_once)
        write_failed(run, failed)
        paths = finish(run, reports)
    for label, path in paths.items():
        say(f"{label:<8}{path}")
    for cell, error in failed.items():
        say(f"failed  {cell}: {error}")
    return 2 if failed else 0


def _remove_empty(folder: Path) -> None:
    for file in (folder / ".lock", folder / "journal.jsonl"):
        file.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def finish(run: RunFolder, reports: Path, pdf: Path | None = None) -> dict[str, Path]:
    """Write every view of a run; returns what to show the user."""
    from harness.report import write_report
    from harness.tables import refresh

    refresh(run.root)
    written = write_report(run.root, pdf or reports / f"{run.name}.pdf")
    return {
        "tables": run.root / "tables" / "leaderboard.md",
        "curves": run.root / "plots" / "stability_curves.png",
        "report": written,
    }


def print_plan(config: RunConfig, run: RunFolder, variants: list[Any], suite: Any) -> int:
    """What will be done and what is there already, said; returns how many phases are to do."""
    from harness.prepare import planned_phases

    phases = planned_phases(config, variants, suite)
    done = [phase for phase in phases if (run.root / phase / MANIFEST).is_file()]
    examples = config.data.max_examples
    per_prompt = sum(
        variant.objective(t).needs.synthetic for variant in variants for _ in config.seeds for t in range(1, config.iterations)
    ) + len(config.seeds) * max((v.objective(0).needs.synthetic for v in variants), default=0)
    say(
        f"run {run.root}: {', '.join(v.label for v in variants)}; seeds {', '.join(map(str, config.seeds))}; "
        f"{config.iterations} iterations; suite {suite.name} v{suite.version} ({len(suite.task)} tasks)"
    )
    say(
        f"plan: {len(phases) - len(done)} phases to do, {len(done)} to reuse; "
        f"{per_prompt} synthetic responses per prompt in all" + (f", {examples} prompts at most" if examples else "")
    )
    return len(phases) - len(done)


# ---------------------------------------------------------------- runs on disk


def open_run(run: str, results: Path) -> RunFolder:
    """A run by name below `results`, or by folder. Raises UserError with the nearest name."""
    for candidate in (results / run, Path(run)):
        if (candidate / "run.json").is_file():
            return RunFolder(candidate)
    known = [p.parent.name for p in results.glob("*/run.json")]
    raise UserError(f'no run "{run}" in {results}{did_you_mean(run, known)}')


def report_command(run: str, results: Path, pdf: Path | None) -> None:
    folder = open_run(run, results)
    if folder.finished("data") is None:
        raise UserError(f"{folder.root}: holds the small files of a run, not its phases; play it again with: harness run")
    with folder.locked():
        for label, path in finish(folder, Path("reports"), pdf).items():
            say(f"{label:<8}{path}")


def status_command(run: str | None, results: Path) -> None:
    """A grid per run: cells down, iterations across, one letter per phase."""
    names = [run] if run else sorted(p.parent.name for p in results.glob("*/run.json"))
    if not names:
        say(f"no runs in {results}; start one with: harness run")
    for name in names:
        _print_status(open_run(name, results))


PHASES = (("g", "generate"), ("s", "score"), ("t", "train"), ("e", "evaluate"), ("p", "probe"))


def _print_status(run: RunFolder) -> None:
    record = run.record()
    assert record is not None
    suite = record["suite"]
    table = Table(title=f"{run.root}", title_justify="left", box=None, pad_edge=False)
    table.add_column("cell")
    for t in range(record["iterations"]):
        table.add_column(f"iter {t}")
    missing = 0
    for label, variant in record["variants"].items():
        for seed in record["seeds"]:
            cells = []
            for t in range(record["iterations"]):
                needs = variant["needs"][min(t, len(variant["needs"]) - 1)]
                wanted = {"g": needs["synthetic"], "s": needs["reference"], "t": 1, "e": 1, "p": 1}
                letters = ""
                for letter, phase in PHASES:
                    if not wanted[letter]:
                        letters += " "
                        continue
                    folder = run.root / label / f"seed-{seed}" / f"iteration-{t}" / phase
                    complete = ((folder / suite if phase == "evaluate" else folder) / MANIFEST).is_file()
                    missing += not complete
                    letters += letter if complete else "·"
                cells.append(letters)
            table.add_row(f"{label}/seed-{seed}", *cells)
    out.print(table)
    legend = ", ".join(f"{letter} {phase}" for letter, phase in PHASES)
    say(f"{legend}; · not done" + (f": {missing} phases" if missing else ": none, complete") + "\n")


def trace_command(run: str, example_id: str, results: Path) -> None:
    """Every place an example appears in, file by file."""
    folder = open_run(run, results).root
    ids = set()
    for part in ("train", "heldout"):
        for row in _rows(folder / "data" / f"{part}.jsonl"):
            if row["id"].startswith(example_id):
                ids.add(row["id"])
                say(f"data/{part}.jsonl  {row['id']}\n  prompt   {row['prompt']!r}\n  real     {row['real']!r}")
    if len(ids) != 1:
        found = f"{len(ids)} examples" if ids else "no example"
        raise UserError(f"{example_id}: {found} of {folder} begin so; take an id from {folder / 'data' / 'train.jsonl'}")
    (wanted,) = ids
    for path in sorted(folder.rglob("*.jsonl")):
        relative = path.relative_to(folder).as_posix()
        if path.name == "steps.jsonl":
            used = [r for r in _rows(path) if wanted in r["example_ids"]]
            for row in used:
                used_with = len(row["example_ids"])
                say(f"{relative}  step {row['step']} (epoch {row['epoch']}) of {used_with} prompts, loss {row['loss']:.4f}")
        elif path.name in ("samples.jsonl", "scores.jsonl"):
            for row in _rows(path):
                if row["example_id"] != wanted:
                    continue
                if "reference_logp" in row:
                    which = f"{row['role']} {row['iteration']}.{row['index']}"
                    text = f"{which}  log-prob {row['reference_logp']:.3f} nats, {row['length']} tokens"
                else:
                    text = f"{row['text']!r}" + ("" if row["finished"] else "  (cut off)")
                say(f"{relative}  {text}")


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# ---------------------------------------------------------------- objectives and suites


def list_command() -> None:
    from harness.discovery import list_objectives

    for name, path in list_objectives().items():
        say(f"{name:<10} {_first_line(path)}")
    say("\nOne of them in full: harness objectives show NAME. Your own: --objectives ./mine.py")


def _first_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[0].strip().strip('"') if lines else ""


def show_command(name: str) -> None:
    from harness.discovery import find_objective, load_objective

    path = find_objective(name)
    cls = load_objective(path)
    say(f"{path.stem}: {cls.title}\n{path}\n\n{_dedented(cls.__doc__)}\n")
    say(f"needs: {_spelled(dataclasses.asdict(cls().needs))}")
    for spec in dataclasses.fields(cls):
        say(f"{spec.name} = {spec.default!r}: {spec.metadata.get('doc', '')}")
    cited = cls.citation
    say(f"\n{cited.label}: {cited.title}. {cited.url} ({cited.where})")


def _dedented(text: str | None) -> str:
    import inspect

    return inspect.cleandoc(text or "")


def _spelled(needs: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {v}" if v is not True else k for k, v in needs.items() if v) or "nothing"


def check_command(name: str) -> int:
    from harness.discovery import find_objective, load_objective
    from harness.objective_checks import check_objective

    results = check_objective(load_objective(find_objective(name)))
    for result in results:
        say(f"{'pass' if result.passed else 'FAIL'}  {result.name}" + ("" if result.passed else f": {result.reason}"))
    return 0 if all(r.passed for r in results) else 1


def suites_command(name: str | None, check: bool, mirror: str | None) -> None:
    from harness.suite import load_suite

    if name is None:
        if check:
            raise UserError("--check needs a suite: harness suites NAME --check")
        for path in sorted((PACKAGE / "suites").glob("*.toml")):
            suite = load_suite(path.stem)
            say(f"{suite.name:<18} v{suite.version}  {len(suite.task)} tasks  {suite.title}")
        return
    suite = load_suite(name)
    table = Table(title=f"{suite.name} v{suite.version}: {suite.title}", title_justify="left", box=None, pad_edge=False)
    for column in ("task", "stands for", "shots", "metric", "filter", "chance", "limit"):
        table.add_column(column, justify="right" if column in ("shots", "chance", "limit") else "left", overflow="fold")
    for row in suite.task:
        table.add_row(
            row.name, row.stands_for or "", str(row.shots), row.metric, row.filter, f"{row.chance:.2f}", str(row.limit or "all")
        )
    out.print(table)
    if check:
        if mirror:
            os.environ["HARNESS_MIRROR"] = mirror
        from harness.phases.evaluate import prepare
        from harness.prepare import mirror_of

        board = prepare(suite, None, mirror_of(load_config("lab")))
        for row in suite.task:
            tasks = board.loaded[row.name]["tasks"]
            say(f"{row.name}: {sum(len(t.eval_docs) for t in tasks.values())} items in {len(tasks)} lm-eval tasks")
