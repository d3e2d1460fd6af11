"""One task asked by the harness and by lm-eval's own transformers model through `simple_evaluate`, item by item."""

import contextlib
import io
import math
import os
import random
import warnings
from collections import UserDict
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from unittest import mock

import lm_eval
from lm_eval import simple_evaluate

from harness.language.benchmark import lm_eval_benchmark as phase
from harness.loop.suite import load_suite
from tests.helpers import peers
from tests.sweep.rows import ROWS

INSTALLED = Path(lm_eval.__file__).parent / "tasks"
OWN = Path(__file__).parent / "own"
ITEMS = 7  # rows of every split
MOST = 12  # tokens that a task may generate here

FALLING = {"perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte", "ter", "likelihood_diff", "brier_score"}


@dataclass(frozen=True)
class Case:
    """A task of lm-eval's, the folder of its file, and the row of a suite that asks for it."""

    task: str
    metric: str
    folder: str = ""
    filter: str = "none"
    shots: int = 0
    chat: bool = False

    @property
    def path(self):
        return OWN if self.task.startswith("own_") else INSTALLED / (self.folder or self.task)


@dataclass
class Line:
    """What the two said. answers: how many differ; logp and score: the largest difference, of the scores and their errors too."""

    task: str
    kind: str
    items: int
    answers: int
    differing: int
    logp: float
    score: float

    def __str__(self):
        said = f"{self.task:<46} {self.kind:<21} {self.items:>3} items {self.answers:>4} answers {self.differing:>3} differ"
        return f"{said}  {self.logp:.1e} nats  {self.score:.1e} score"


class Splits(UserDict):
    """A data set with whatever split is asked for, in files: what a task maps it to is kept beside them, as with fetched ones."""

    def __init__(self, row, folder):
        super().__init__()
        self.row, self.folder = row, folder

    def __missing__(self, split):
        import datasets

        r = random.Random(str(split))
        datasets.Dataset.from_list([self.row(r, n) for n in range(ITEMS)]).save_to_disk(self.folder / str(split))
        self[split] = datasets.load_from_disk(self.folder / str(split))
        return self[split]


def made_in(folder):
    """In place of `datasets.load_dataset`: rows made on the spot, and kept in the folder."""

    def load(path=None, name=None, **options):
        files = options.get("data_files")
        if path == "json" and files:
            first = next(iter(files.values())) if isinstance(files, dict) else files
            path = str(first[0] if isinstance(first, list) else first).rpartition("/")[2]
        return Splits(ROWS.get(f"{path}:{name}") or ROWS[path], folder / path.replace("/", "-") / str(name))

    return mock.patch("datasets.load_dataset", load)


def short(manager):
    """A TaskManager whose tasks generate few tokens, under whatever name they ask for many."""
    load = manager.load

    def shortened(*args, **options):
        loaded = load(*args, **options)
        for task in loaded["tasks"].values():
            settings = task.config.generation_kwargs
            if settings is not None:
                names = [name for name in ("max_gen_toks", "max_new_tokens", "max_tokens") if name in settings]
                for name in names or ["max_gen_toks"]:
                    settings[name] = min(MOST, settings.get(name, MOST))
        return loaded

    manager.load = shortened
    return manager


def written(case, folder):
    file = folder / f"{case.task}.toml"
    file.write_text(
        f'title = "{case.task}"\nversion = "1"\nlm_eval = "0.4.13"\ninclude_paths = ["{case.path}"]\n'
        f"include_defaults = false\napply_chat_template = {str(case.chat).lower()}\n"
        f'[[task]]\nname = "{case.task}"\nlabel = "row"\nshots = {case.shots}\nmetric = "{case.metric}"\n'
        f'filter = "{case.filter}"\nchance = 0.0\n' + ("higher_is_better = false\n" if case.metric in FALLING else ""),
        encoding="utf-8",
    )
    return load_suite(str(file))


def compare(case, policy, folder):
    """Ask both. Raises AssertionError where they are asked otherwise or anything but a number differs."""
    suite = written(case, folder)
    with mock.patch.object(phase, "BOOTSTRAP_ITERATIONS", 20), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        manager = short(phase.make_task_manager(suite))
        answers = mock.patch("harness.sources.reachable.hub_problem", return_value=None)  # the stand-in for the hub does
        with made_in(folder / "ours"), answers, mock.patch.object(phase, "make_task_manager", return_value=manager):
            board = phase.load_lm_eval_benchmark(suite, None, None)
            board.check_context(policy)
            done = phase.evaluate(policy, board, 4096, 16, peers.quiet)
        with made_in(folder / "theirs"):
            theirs = by_lm_eval(case, policy, manager)
    return difference(case, done, theirs)


def by_lm_eval(case, policy, manager):
    silent = io.StringIO()
    alone = mock.patch.dict(os.environ, {"DISABLE_MULTIPROC": "1"})
    with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent), alone:
        return simple_evaluate(
            model=peers.theirs(policy, None, 1, None), tasks=[case.task], task_manager=manager, num_fewshot=case.shots,
            bootstrap_iters=phase.BOOTSTRAP_ITERATIONS, apply_chat_template=case.chat, fewshot_as_multiturn=case.chat,
            log_samples=True,
        )  # fmt: skip


def difference(case, done, theirs):
    (ours,) = done.raw.values()
    place, hashes = itemgetter("filter", "doc_id"), itemgetter("prompt_hash", "target_hash")
    samples, expected = (sorted(said[case.task], key=place) for said in (done.samples, theirs["samples"]))
    assert list(map(place, samples)) == list(map(place, expected))
    answers, differing, logp, score = 0, 0, 0.0, 0.0
    for mine, wanted in zip(samples, expected, strict=True):
        assert hashes(mine) == hashes(wanted)
        assert listed(mine["arguments"]) == listed(wanted["arguments"])
        for one, other in zip(mine["resps"], wanted["resps"], strict=True):
            for said, should in zip(one, other, strict=True):
                answers += 1
                if isinstance(should, str):
                    differing += said != should
                else:
                    number, expected_number = (said, should) if isinstance(should, float | int) else (said[0], should[0])
                    logp = max(logp, abs(number - expected_number))
                    differing += isinstance(should, tuple) and said[1] != should[1]
        if isinstance(wanted["filtered_resps"][0], str):
            assert listed(mine["filtered_resps"]) == listed(wanted["filtered_resps"])
    reported = {k: v for k, v in theirs["results"][case.task].items() if "," in k}
    assert set(reported) <= set(ours["results"][case.task])
    for name, value in reported.items():
        found = ours["results"][case.task][name]
        if value == "N/A":
            continue  # an error that lm-eval does not give
        if isinstance(value, float | int) and not math.isfinite(value):
            assert found is None, f"{case.task}: {name}={found}, lm-eval has {value}"
        else:
            score = max(score, abs(found - value) / max(1.0, abs(value)))
    (record,) = done.records
    value = reported[f"{case.metric},{case.filter}"]
    assert abs(record.value - value) <= 1e-9 * max(1.0, abs(value)), f"{case.task}: {record.value}, lm-eval has {value}"
    kind = theirs["configs"][case.task].get("output_type") or "written in Python"
    return Line(case.task, kind, len({s["doc_id"] for s in samples}), answers, differing, logp, score)


def listed(value):
    """Tuples as lists, as JSON has them."""
    if isinstance(value, tuple | list):
        return [listed(v) for v in value]
    return {k: listed(v) for k, v in value.items()} if isinstance(value, dict) else value
