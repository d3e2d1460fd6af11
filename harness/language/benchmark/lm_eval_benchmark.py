"""A player -> lm-eval -> EvalRecords and every evaluated sample. `lm` is the model that lm-eval asks.

lm-eval keeps the task's semantics; this file keeps three promises lm-eval does not: its response cache (not keyed by the
model) is never used; few-shot prompts are built in one process from a fixed seed, so they are the same whatever the batch
or device count, and their hash is recorded; a metric or filter that is not in the result is an error, never a zero.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.errors import EvaluationError, UserError
from harness.language.benchmark.nltk_data import nltk_from
from harness.language.benchmark.own_shots import draws_its_own, leave_out_own
from harness.language.benchmark.row_scores import items_of, record_of, scored, weighs_equally
from harness.language.benchmark.suite_check import needs_of
from harness.language.benchmark.task_clusters import Keys, cluster_keys, clustered, clusters_asked
from harness.language.benchmark.task_definition import definition
from harness.language.benchmark.task_errors import aggregation_named, name_errors
from harness.language.benchmark.task_file import TaskFile
from harness.language.benchmark.task_notices import task_notices
from harness.language.benchmark.task_surroundings import SEEDS, RandomState, code_allowed, quiet_arithmetic, quiet_lm_eval
from harness.language.benchmark.task_trial import check_loaded
from harness.language.generation_check import check_context, check_settings
from harness.language.hub_items import lacking
from harness.language.policy import Policy
from harness.language.random_state import keep_random_state
from harness.loop.benchmark import Evaluated
from harness.loop.suite import Suite, SuiteTask
from harness.progress import Advance
from harness.records import digest
from harness.sources.rows import mirrored
from harness.store.partial_results import NOTHING_KEPT, Unfinished

Encodings = dict[tuple[str, str], tuple[list[int], list[int]]]
FEWSHOT_SEED = 1234  # lm-eval's own default
WITHOUT_TOKEN = "continuations leave no token behind those of their context; they count 0 nats and as greedy, as in lm-eval"
BOOTSTRAP_ITERATIONS = 1000  # only for metrics that are not means; lm-eval's standard errors of means are analytic


@dataclass
class Leaderboard:
    """A suite with its tasks loaded: made once per run, used for every player. `leaves` maps a row to its lm-eval tasks.

    `encodings` keeps the token ids of contexts and continuations, and the tasks keep their prompts: the same for every player of
    one tokenizer, and a board serves only one.
    """

    suite: Suite
    loaded: dict[str, Any]
    limit: int | None
    encodings: Encodings = field(default_factory=dict)
    tokenizer: Any = None  # of the first player evaluated
    raw_name: str = "lm_eval.json"
    made_from: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    allow_unsafe_code: bool = False
    keys: dict[str, Keys] = field(default_factory=dict)  # row -> the clusters of its documents, where it names one

    def leaves(self, row: SuiteTask) -> list[str]:
        return sorted(self.loaded[row.name]["tasks"])

    @property
    def digest(self) -> str:
        """Names every document asked and the version of its task, whatever file they came from."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        parts = []
        for row, name, task in self._tasks():
            docs = (json.dumps(doc, sort_keys=True, default=str) for doc in task.eval_docs)
            parts += [row.name, name, str(task.VERSION), *docs]
        return digest(*parts)

    @property
    def defined(self) -> dict[str, str]:
        """Names how every task asks and scores: its file, the code that file calls, and the pool its shots are taken from."""
        return {"definition": self._definition}

    @cached_property
    def _definition(self) -> str:
        parts = []
        for row, name, task in self._tasks():
            with keep_random_state():
                random.seed(SEEDS["random"])  # as while loading
                shots = list(task.fewshot_docs()) if row.shots else []
            parts += [row.name, name, definition(task), json.dumps(shots, sort_keys=True, default=str)]
            parts += ["without the item itself"] if draws_its_own(task) else []  # scores made before had it among the shots
        return digest(*parts)

    def _tasks(self) -> Iterator[tuple[SuiteTask, str, Any]]:
        """Every lm-eval task behind every row: (row, its name, the task)."""
        for row in self.suite.task:
            for name, task in sorted(self.loaded[row.name]["tasks"].items()):
                yield row, name, task

    def generating(self) -> Iterator[tuple[str, Any]]:
        """The tasks that are answered in writing, by name."""
        return ((name, task) for _, name, task in self._tasks() if task.OUTPUT_TYPE == "generate_until")

    def notices(self) -> Iterator[str]:
        """Where a task is not asked exactly as lm-eval asks it, or its number is over a part of a group."""
        yield from self.notes
        yield from task_notices(self.suite, self.loaded)

    def items(self) -> dict[str, int]:
        """How many items each row asks."""
        found = {}
        for row in self.suite.task:
            asked = _subset(self, [row])
            tasks = self.loaded[row.name]["tasks"]
            found[row.name] = sum(len(asked[name] if asked else task.eval_docs) for name, task in tasks.items())
        return found

    def clusters(self) -> dict[str, list[int]]:
        """Row -> the cluster of every item it asks, for the rows that name one."""
        rows = [row for row in self.suite.task if row.name in self.keys]
        return {row.name: clusters_asked(self.keys[row.name], _subset(self, [row])) for row in rows}

    def requests(self) -> int | None:
        """How many requests a player answers; known once the first player's prompts are built."""
        tasks = [task for row in self.loaded.values() for task in row["tasks"].values()]
        built = [getattr(task, "_instances", None) for task in tasks]
        return sum(len(instances) for instances in built if instances) if all(built) else None

    def check_ready(self, reach: bool) -> None:
        """`prepare` has checked everything there is to check."""

    def check_context(self, policy: Policy) -> None:
        check_context(self.suite.name, self.generating(), policy.context)
        check_settings(self.suite.name, self.generating(), policy.model)

    def evaluate(
        self, policy: Policy, columns: int, rows: int, advance: Advance, kept: Path, unfinished: Unfinished
    ) -> Evaluated:
        return evaluate(policy, self, columns, rows, advance, unfinished)


def prepare(suite: Suite, limit: int | None, mirror: Path | None, allow_unsafe_code: bool = False) -> Leaderboard:
    """Load every task of the suite and check it as far as that is possible without a model.

    Raises UserError, before anything is trained, for an unknown task (with the nearest name), a data set or package that is
    missing, a shot count the task cannot take, or a metric the task does not declare.
    """
    manager = manager_of(suite)
    needs = needs_of(suite, task_files(manager), allow_unsafe_code)
    for problem in (*(problem for row in needs for problem in row.all_problems()), *lacking(suite, needs, mirror)):
        raise UserError(problem)
    with mirrored(mirror), keep_random_state(), nltk_from(mirror), code_allowed(allow_unsafe_code):
        loaded = {row.name: _load_row(manager, suite, row) for row in suite.task}
        for row in suite.task:
            check_loaded(suite, row, loaded[row.name])
        found = {row.name: cluster_keys(suite, row, loaded[row.name]["tasks"]) for row in suite.task}
    keys = {name: mine for name, mine in found.items() if mine}
    notes = tuple(note for row in needs for note in row.notes)
    return Leaderboard(suite, loaded, limit, allow_unsafe_code=allow_unsafe_code, notes=notes, keys=keys)


def task_files(manager: Any) -> dict[str, TaskFile]:
    """Every task, group and tag that an lm-eval TaskManager found, as far as its files tell; no data set is loaded."""
    tagged: dict[str, list[str]] = {}
    for name, entry in manager.task_index.items():
        if entry.cfg:  # of a tag the index has its tasks here
            for tag in entry.tags:
                tagged.setdefault(tag, []).append(name)
    found = {tag: TaskFile(tag, {}, tuple(sorted(names))) for tag, names in tagged.items()}
    for name, entry in manager.task_index.items():
        if entry.cfg:
            members = entry.cfg.get("task") if "group" in entry.cfg else ()
            found[name] = TaskFile(name, entry.cfg, tuple(members) if isinstance(members, list) else ())
    return found


def manager_of(suite: Suite) -> Any:
    """lm-eval's index of the suite's task files; with lm-eval's own this takes seconds."""
    quiet_lm_eval()
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=[str(p) for p in suite.folders()], include_defaults=suite.include_defaults)


def _load_row(manager: Any, suite: Suite, row: SuiteTask) -> dict[str, Any]:
    where = f"suite {suite.name}, task {row.name}"
    chance = RandomState()
    try:
        with chance.resumed():
            loaded = manager.load([row.name])
    except Exception as error:  # a task file may run any code; whatever it raises, the task cannot be evaluated
        if isinstance(error, ModuleNotFoundError) or type(error) is LookupError:  # the latter is nltk's
            raise UserError(f"{where}: needs something that is not installed: {_line(error)}") from error
        if isinstance(error, UserError):
            raise UserError(f"{where}: {error}") from error
        raise UserError(f"{where}: cannot be loaded ({type(error).__name__}: {_line(error)})") from error
    for name, task in loaded["tasks"].items():
        _build_once(task, chance)
        task.set_config(key="num_fewshot", value=row.shots)
        if row.shots and row.shots > (pool := len(task.fewshot_docs())):
            raise UserError(f"{where}: shots = {row.shots}, but {name} has {pool} examples to draw them from; ask for fewer")
        leave_out_own(task, where)
        name_errors(task, where)
    return loaded  # type: ignore[return-value]


def _build_once(task: Any, chance: RandomState) -> None:
    """Let lm-eval build the task's prompts for the first player and show the same ones to all who are asked the same."""
    build = task.build_all_requests
    built: dict[str, Any] = {}

    def build_or_reuse(**options: Any) -> None:
        asked = {name: value for name, value in options.items() if name != "chat_template"}  # a method of the player's model
        if not getattr(task, "_instances", None) or built != asked:
            built.clear()
            task._instances = []
            task.set_fewshot_seed(seed=FEWSHOT_SEED)
            with chance.resumed():
                build(**options)
            built.update(asked)
        for instance in task._instances:
            instance.resps, instance.filtered_resps = [], {}  # what the last player answered

    task.build_all_requests = build_or_reuse


def evaluate(
    policy: Policy, board: Leaderboard, columns: int, rows: int, advance: Advance, unfinished: Unfinished = NOTHING_KEPT
) -> Evaluated:
    """Scores of the player in `policy`'s slot on every row. Raises RuntimeError when a row's metric or filter is missing.

    columns: tokens that go through the model at a time when scoring; rows: responses generated at a time; unfinished: where
    answers are kept until the phase is complete.
    """
    from lm_eval import evaluator

    from harness.language.benchmark.lm import as_lm  # lm-eval takes seconds to load
    from harness.language.benchmark.standard_errors import computed_here  # lm-eval takes seconds to load

    board.tokenizer = board.tokenizer or policy.tokenizer
    if board.tokenizer is not policy.tokenizer:
        raise RuntimeError(f"suite {board.suite.name}: its prompts were built with another tokenizer; prepare it anew")
    model = as_lm(policy, columns, rows, board.encodings, advance, unfinished, board.suite.apply_chat_template)
    records, samples, items, raw, hashes = [], {}, {}, {}, []
    notes: list[str] = []
    for together in _compatible(board):
        allowed = code_allowed(board.allow_unsafe_code)
        with keep_random_state(), computed_here(), allowed, quiet_arithmetic(), aggregation_named():
            random.seed(SEEDS["random"])
            result = evaluator.evaluate(
                lm=model,
                task_dict=_joined([board.loaded[row.name] for row in together]),
                samples=_subset(board, together),
                cache_requests=False,
                bootstrap_iters=BOOTSTRAP_ITERATIONS,
                log_samples=True,
                confirm_run_unsafe_code=board.allow_unsafe_code,
                apply_chat_template=board.suite.apply_chat_template,
                fewshot_as_multiturn=board.suite.fewshot_as_multiturn and board.suite.apply_chat_template,
            )
        assert result is not None
        kept = json.loads(json.dumps(result, default=_plain), parse_constant=lambda word: None)  # nan and inf: no number
        answered = kept.pop("samples")
        for row in together:
            leaves = scored(row, kept, board.leaves(row))
            named = [] if leaves == [row.name] else leaves
            samples[row.name] = [s | ({"task": leaf} if named else {}) for leaf in leaves for s in answered[leaf]]
            equal = weighs_equally(row, board.loaded[row.name])
            items[row.name] = items_of(row, samples[row.name], equal, board.keys.get(row.name))
            try:
                record = record_of(row, board.suite, kept, leaves, samples[row.name])
                if (keys := board.keys.get(row.name)) is not None:
                    tasks = board.loaded[row.name]["tasks"]
                    by_leaf = {leaf: result["samples"][leaf] for leaf in leaves}  # type: ignore[typeddict-item]
                    record = clustered(row, record, by_leaf, keys, tasks, equal, BOOTSTRAP_ITERATIONS)
                records.append(record)
            except EvaluationError:
                refuse_unnumbered(row, board.suite, samples[row.name])
                raise
            hashes += [f"{s.get('task', row.name)}:{s['doc_id']}:{s['filter']}:{s['prompt_hash']}" for s in samples[row.name]]
            if replaced := {name: n for name, n in own_shots_replaced(board, row).items() if n}:
                kept.setdefault("own_shots_replaced", {}).update(replaced)
                notes.append(f"task {row.name}: {sum(replaced.values())} items got another shot in place of their own text")
        raw[", ".join(row.name for row in together)] = kept
    notes += [f"{task}: {count} {WITHOUT_TOKEN}" for task, count in getattr(model, "without_token", {}).items()]
    order = [row.name for row in board.suite.task]
    return Evaluated(
        sorted(records, key=lambda r: order.index(r.task)), samples, items, raw, digest(*sorted(hashes)), tuple(notes)
    )


def own_shots_replaced(board: Leaderboard, row: SuiteTask) -> dict[str, int]:
    """lm-eval task behind the row -> items of which a shot was replaced, for it read as they do."""
    return {name: task.shots_replaced for name, task in board.loaded[row.name]["tasks"].items()}


def _compatible(board: Leaderboard) -> list[list[SuiteTask]]:
    """Rows that lm-eval can evaluate in one go, so that their requests share passes: no lm-eval task or group occurs twice."""
    found: list[tuple[set[str], list[SuiteTask]]] = []
    for row in board.suite.task:
        names = {name for kind in board.loaded[row.name].values() for name in kind} | {row.name}
        place = next((entry for entry in found if not entry[0] & names), None)
        if place is None:
            found.append((names, [row]))
        else:
            place[0].update(names)
            place[1].append(row)
    return [rows for _, rows in found]


def _joined(loaded: Sequence[Mapping[str, Any]]) -> Any:
    """Several of lm-eval's loaded tasks as one."""
    return {kind: {name: item for one in loaded for name, item in one[kind].items()} for kind in loaded[0]}


def refuse_unnumbered(row: SuiteTask, suite: Suite, samples: Sequence[Mapping[str, Any]]) -> None:
    """Raises EvaluationError, naming them, where items count for a score that is no number with what is none.

    samples: lm-eval's, with None where it had NaN or an infinity.
    """
    bad = [s for s in samples if s["filter"] == row.filter and row.metric in s and s[row.metric] is None]
    if bad:
        named = ", ".join(f"{s.get('task', row.name)} {s['doc_id']}" for s in bad[:3])
        raise EvaluationError(
            f"suite {suite.name}, task {row.name}: {row.metric} is no finite number for {len(bad)} of its items ({named}"
            f"{', ...' if len(bad) > 3 else ''}); leave the task out, or take another metric"
        )


def _subset(board: Leaderboard, rows: Sequence[SuiteTask]) -> dict[str, list[int]] | None:
    """The first `limit` items of every lm-eval task behind the rows, or None where nothing is limited."""
    found: dict[str, list[int]] = {}
    limited = False
    for row in rows:
        limits = [limit for limit in (row.limit, board.limit) if limit is not None]
        limited = limited or bool(limits)
        for name, task in board.loaded[row.name]["tasks"].items():
            found[name] = list(range(min([*limits, len(task.eval_docs)])))
    return found if limited else None


def _plain(value: Any) -> Any:
    """JSON for what lm-eval leaves in its results: numpy numbers and arrays, sets, dtypes, functions."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    return getattr(value, "__name__", None) or str(value)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
