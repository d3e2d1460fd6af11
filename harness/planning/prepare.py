"""From a validated request to a Game: everything that can be wrong is found here, before anything is trained."""

from __future__ import annotations

import dataclasses
import gc
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from harness import __version__
from harness.config import RunConfig, as_setting, load_config
from harness.discovery.copies import keep_copy
from harness.discovery.variants import Variant, list_objectives, parse_variants
from harness.errors import UserError, did_you_mean
from harness.files import write_json
from harness.loop.phase_runner import Rounds
from harness.loop.plan import planned_phases
from harness.loop.stored_data import stored_data
from harness.loop.suite import Suite, load_suite
from harness.loop.training_loop import Game
from harness.loop.trials import Cell, initial_adapter_folder, refuse_recipes_keys, training_settings
from harness.planning.preflight import check_objectives, checked_needs
from harness.planning.remaining import remaining
from harness.progress import Reporter
from harness.security.redact import masked, masked_command
from harness.settings.paths import PACKAGE, opened
from harness.sources.offline import go_offline
from harness.store.phase_cache import Neighbours
from harness.store.provenance import PROGRAM, git_state, package_versions
from harness.store.run_folder import FORMAT_VERSION, RunFolder
from harness.store.small_files import follow_folders
from harness.store.versions import other_versions, refuse_other_numbers
from harness.train.machine import hardware, made_on
from harness.world import load_world


def default_name(config: RunConfig) -> str:
    """The recipe's name when its settings are untouched, else with a digest of the shared settings behind it."""
    stem = Path(config.recipe).stem
    untouched = load_config(config.recipe).identity()
    return stem if config.identity() == untouched else f"{stem}-{config.identity_digest()[:8]}"


def checked_variants(config: RunConfig) -> list[Variant]:
    """The variants, every objective of every iteration built once, so that a bad parameter is found now."""
    variants = parse_variants(config.objectives, config.objective, said=config.said_by("objectives"))
    known = {*list_objectives(), *(variant.name for variant in variants)}
    for name in config.objective:
        if name not in known:
            said = config.said_by(f"objective.{name}")
            near = did_you_mean(name, known)
            raise UserError(f'{said}: [objective.{name}]: unknown objective "{name}"{near}; leave the section out')
    for variant in variants:
        try:
            training_settings(config, variant)
            objectives = variant.objectives(max(config.iterations, variant.longest))[: config.iterations]
        except UserError:
            refuse_recipes_keys(config, variant)
            raise
        for objective in {id(one): one for one in objectives}.values():
            checked_needs(variant, objective)
    return variants


def prepare(
    config: RunConfig, run: RunFolder, reporter: Reporter, passed: Mapping[str, Any], study: Mapping[str, Any] | None = None
) -> Game:
    """Load and check variants, suite, tasks, model and data, and open the run. The caller holds the run's lease.

    study: what the record says of the study the run belongs to.

    Raises UserError for anything the user should change; nothing is trained or overwritten then.
    """
    variants = checked_variants(config)
    run.say = reporter.say
    refuse_changes(run, config, variants)
    load_world(config.world).check(config)
    reporter.say(f"run {run.root}: loading model, tasks and data")
    suite = asked_suite(config)
    planned = planned_phases(config, variants, suite.name)
    starts = [initial_adapter_folder(seed) for seed in config.seeds]
    run.check(["data", *starts, *(phase.folder for phase in planned)], config.recompute)
    for phase in follow_folders(run.root):
        run.journal("taken out of the small files", phase=phase)
    to_do = remaining(run.root, planned)
    game = assemble(config, run, reporter, reach=any(phase.kind == "evaluate" for phase in to_do), again=bool(to_do))
    for line in preflight_notes(game):
        reporter.say(line)
    if (line := differing_versions(game)) is not None:
        reporter.say(line)
        run.journal("other versions", said=line)
    game.rounds.refuse_other_scores()  # before the record names a suite or a judge that the scores are not of
    record = run_record(run, game, variants, passed)
    run.write_record({**record, "study": dict(study) if study else (run.record() or {}).get("study")})
    return game


def assemble(
    config: RunConfig, run: RunFolder, reporter: Reporter, reach: bool = False, dry: bool = False, again: bool = True
) -> Game:
    """The game of a run: model, tasks and data loaded and checked, the data committed. Every process of a run has its own.

    reach: ask a judge whether it answers, which one process of a run does, where there is something to judge. dry: commit
    nothing; such a game can be looked at and measured, not played. again: where only the small files of the data are here, write
    the data's folder anew, which a run with nothing to do does not need.
    """
    variants = checked_variants(config)
    check_objectives(variants, config.iterations)
    mirror = mirror_of(config)
    world = load_world(config.world)
    board = world.load_benchmark(config, asked_suite(config), mirror)
    if not dry:
        board.check_ready(reach)
    commit = (run.record() or {}).get("base_commit")
    date = date_of(run)
    policy = world.load_policy(config, mirror, commit, date)
    checkpointing = any(training_settings(config, variant).gradient_checkpointing for variant in variants)
    world.check_policy(config, policy, board, checkpointing)
    data = world.load_examples(config, policy, mirror)
    for variant in variants:
        if variant.examples is not None and variant.examples > len(data.train):
            raise UserError(
                f"{variant.label}: data.examples={variant.examples}, but {config.data.source} has {len(data.train)} pairs"
            )
    run.hardware, run.say = made_on(policy), reporter.say
    data, digests = (data, {}) if dry else stored_data(run, config, world, policy, data, date, again)
    cells = [Cell(variant, seed) for variant in variants for seed in config.seeds]
    neighbours = Neighbours(run) if config.share else None
    gc.collect()
    gc.freeze()  # tasks and data stay to the end: the collector need not walk through them again and again
    return Game(cells, Rounds(config, run, world, policy, data, digests, board, reporter, neighbours))


def preflight_notes(game: Game) -> Iterator[str]:
    """What a user should see before anything is spent, a line each."""
    rounds = game.rounds
    yield from rounds.world.notes(rounds.policy, rounds.data)
    yield from rounds.board.notices()


def date_of(run: RunFolder) -> datetime:
    """What a chat template that writes the date takes for the present: the run's beginning, where it has begun.

    It stands with the data, and in the record where the data is gone.
    """
    known = run.known("data")
    kept = known.settings.get("date") if known else (run.record() or {}).get("date")
    return datetime.fromisoformat(kept) if kept else datetime.now().replace(microsecond=0)


def asked_suite(config: RunConfig) -> Suite:
    """The run's suite; one that asks with or without a chat template otherwise than its file says has another version."""
    suite, wanted = load_suite(config.evaluation.suite), config.evaluation.apply_chat_template
    if wanted is None or wanted == suite.apply_chat_template:
        return suite
    version = f"{suite.version}+{'chat' if wanted else 'plain'}"
    return suite.model_copy(update={"apply_chat_template": wanted, "version": version})


def mirror_of(config: RunConfig) -> Path | None:
    """The folder that stands for the hub: --mirror, else the environment's HARNESS_MIRROR. With one, nothing is fetched."""
    named = config.mirror or os.environ.get("HARNESS_MIRROR")
    if not named:
        return None
    mirror = Path(os.path.realpath(opened(named)))  # `resolve` ends in an error of its own where links go in a circle
    if not mirror.is_dir():
        raise UserError(f"--mirror {named}: " + ("is a file, not a folder" if mirror.exists() else "no such folder"))
    go_offline()
    return mirror


def refuse_changes(run: RunFolder, config: RunConfig, variants: Sequence[Variant]) -> None:
    """Raises UserError when the run folder was made with other shared settings, or a variant's objective has changed.

    The record is one of this program's (`stranger.look_over`).

    More iterations, seeds, objectives or suites merely extend a run; anything that would change its numbers is refused. A setting
    that did not exist when the run was made had its default.
    """
    refuse_other_numbers(run)
    recorded = run.record()
    if recorded is None:
        return
    before, now = recorded["identity"], config.identity()
    now.pop("world", None)
    if (world := before.get("world", {}).get("name", "language")) != config.world:
        raise UserError(f'{run.root}: was made in the world "{world}", now asked for "{config.world}"; use --name OTHER')
    for section, values in now.items():
        defaults = type(getattr(config, section)).model_fields
        was = before.get(section, {})
        for key in dict.fromkeys([*values, *(k for k in was if k in defaults)]):
            old, value = was.get(key, defaults[key].default), values.get(key, defaults[key].default)
            if old != value:
                raise UserError(
                    f"{run.root}: was made with {section}.{key}={old!r}, now asked for {value!r}; "
                    f"use --name OTHER for a run of its own, or {as_setting(f'{section}.{key}', old)}"
                )
    for variant in variants:
        known = recorded["variants"].get(variant.label)
        if known is None:
            continue
        for key, value in (("source_digest", variant.source_digest), ("params", dict(variant.params)),
                           ("training", dict(variant.training)), ("examples", variant.examples)):  # fmt: skip
            if known[key] != value:
                raise UserError(
                    f"{run.root}: {variant.label} was played with {key}={known[key]!r}, now {value!r}; use --name OTHER"
                )


def run_record(run: RunFolder, game: Game, variants: Sequence[Variant], passed: Mapping[str, Any]) -> dict[str, Any]:
    """What run.json says: resolved settings and what was passed, variants with source digest and citation, hardware."""
    before = run.record() or {}
    config, policy, suite = game.rounds.config, game.rounds.policy, game.rounds.board.suite
    described = {v.label: describe(v, config.iterations) for v in variants}
    for variant in variants:
        keep_copy(run, variant, before.get("variants", {}))
    return {
        "name": run.name,
        "format_version": FORMAT_VERSION,
        "created_by_version": before.get("created_by_version", __version__),
        **git_state(PACKAGE),
        "command": masked_command(["harness", *sys.argv[1:]]),
        "passed": _without_secrets(passed),
        "identity": config.identity(),
        "config": config.model_dump(),
        "iterations": max(config.iterations, before.get("iterations", 0)),
        "seeds": sorted({*config.seeds, *before.get("seeds", [])}),
        "variants": {**before.get("variants", {}), **described},
        "suites": {**before.get("suites", {}), suite.name: suite.model_dump(exclude={"source"})},
        "suite": suite.name,
        "hardware": hardware(policy),
        "base_digest": policy.base_digest,
        **game.rounds.world.record(policy),
        "date": known.settings.get("date") if (known := run.known("data")) else before.get("date"),
        "versions": package_versions(),
    }


def differing_versions(game: Game) -> str | None:
    """The line for a run that is continued under other libraries or on another machine than its finished phases were made with.

    vLLM counts where the run draws with it; this program's own release does not, the version of its numbers does.
    """
    run, drawn_by = game.rounds.run, game.rounds.config.generation.backend
    left_out = {PROGRAM} | ({"vllm"} - {drawn_by})
    versions = {name: version for name, version in package_versions().items() if name not in left_out}
    return other_versions(run, versions | run.hardware)


def _without_secrets(passed: Mapping[str, Any]) -> dict[str, Any]:
    kinds = {str: masked, list: masked_command}
    return {key: kinds[type(value)](value) if type(value) in kinds else value for key, value in passed.items()}


def describe(variant: Variant, iterations: int) -> dict[str, Any]:
    """One variant for the record: settings as given, and the resolved hyper-parameters of every iteration."""
    objectives = variant.objectives(iterations)
    first = objectives[0]
    return {
        "name": variant.name,
        "title": first.title,
        "citation": dataclasses.asdict(first.citation),
        "source_digest": variant.source_digest,
        "params": dict(variant.params),
        "training": dict(variant.training),
        "examples": variant.examples,
        "resolved": [dataclasses.asdict(o) for o in objectives],
        "needs": [dataclasses.asdict(o.needs) for o in objectives],
    }


def write_failed(run: RunFolder, failed: Mapping[str, str]) -> None:
    """failed.json: the cells that failed in the last invocation, empty when none did."""
    if (run.root / "failed.json").is_dir():
        run.set_aside("failed.json", f"{run.root / 'failed.json'}: a folder, not a list of failed cells")
    write_json(run.root / "failed.json", {cell: masked(error) for cell, error in failed.items()})
