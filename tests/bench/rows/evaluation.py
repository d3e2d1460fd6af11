"""One task's loglikelihood requests, the harness beside lm-eval's own transformers model (HFLM); their scores must be equal."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from harness.language.benchmark import lm
from harness.language.benchmark.lm_eval_benchmark import LmEvalBenchmark, evaluate
from harness.language.policy import Policy
from tests.bench import lab, peers
from tests.bench.limits import unique_tokens
from tests.bench.measure import flops_per_token
from tests.bench.row import Situation, Work
from tests.bench.subjects import load_subject, one_thread
from tests.bench.tasks import Task, load_tasks
from tests.helpers.peers import quiet, theirs

BATCHES = {"lab": (4, 16, 64, 256), "smollm2": (1, 4, 16)}
TOLERANCE = 1e-4  # of a score, which float32 sums in another order may move


def prepare(
    situation: Situation, subject: str, task: str, items: int, shots: int = 0, metric: str = "acc", context: int | None = None
) -> Work:
    """context: tokens that prompts are cut to from the left, None for the model's own context."""
    loaded = load_subject(subject, situation)
    policy, settings = loaded.policy, loaded.settings
    policy.context_length = context or policy.context_length
    items = 1 if situation.tiny else items
    with tempfile.TemporaryDirectory() as folder:
        board = load_tasks(Path(folder), [Task(task, shots, metric)], items, situation.mirror)
    scores: dict[str, list[float]] = {}

    def run(who: str, as_lm: Any, batch_size: int) -> None:
        if who == "harness":
            torch.set_num_threads(1)  # one per lane
        else:
            peers.use_all_cores()
        with lab.silence_libraries(), mock.patch.object(lm, "as_lm", as_lm):
            result = evaluate(policy, board, settings.model.tokens_per_pass, batch_size, quiet)
        scores[who] = [record.value for record in result.records]

    def check() -> None:
        for ours, expected in zip(scores.get("harness", ()), scores.get("HFLM", ()), strict=True):
            assert abs(ours - expected) <= TOLERANCE, f"{task}: the harness scores {ours}, HFLM {expected}"

    batch = situation.best_size("rows of HFLM's batch", BATCHES[subject], lambda size: run("HFLM", theirs, size))
    ours = partial(run, "harness", lm.as_lm, settings.evaluation.batch_size)
    ours()
    found = requests(policy, board)
    return Work(
        {"harness": ours, "HFLM": partial(run, "HFLM", theirs, batch)},
        {
            "base": policy.base_digest,
            "items": items,
            "requests": len(found),
            "shots": shots,
            "context": policy.context_length,
            **row_sizes(found),
        },
        {"operations": operations(policy, found)},
        profiled=lambda: (one_thread(policy), ours()),
        check=check,
    )


def requests(policy: Policy, board: LmEvalBenchmark) -> list[tuple[list[int], list[int]]]:
    """(context, continuation) of every loglikelihood request as HFLM encodes it, cut from the left to the context length."""
    recorder, asked = theirs(policy, 0, 1, {}), []
    recorder.loglikelihood = lambda instances, **_: (asked.extend(instances), [(0.0, False)] * len(instances))[1]
    recorder.generate_until = lambda instances, **_: [""] * len(instances)
    with lab.silence_libraries(), mock.patch.object(lm, "as_lm", return_value=recorder):
        evaluate(policy, board, 0, 1, quiet)
    found = []
    for instance in asked:
        context, continuation = recorder._encode_pair(*instance.args)
        room = policy.context_length + 1 - len(continuation)
        found.append((context[-room:] if len(context) > room else context, continuation))
    return found


def row_sizes(found: list[tuple[list[int], list[int]]]) -> dict[str, int]:
    """Tokens of all requests as rows of their own, and the longest row."""
    lengths = [len(context) + len(continuation) - 1 for context, continuation in found]
    return {"tokens": sum(lengths), "longest": max(lengths)}


def operations(policy: Policy, found: list[tuple[list[int], list[int]]]) -> float:
    """Of unique tokens through the layers, and of unique targets through the output layer."""
    per_token = flops_per_token(policy)
    rows = {(tuple(context), tuple(continuation)) for context, continuation in found}
    targets = sum(len(continuation) for _, continuation in rows)
    tokens = unique_tokens([*context, *continuation][:-1] for context, continuation in rows)
    return tokens * per_token["forward"] + targets * per_token["logits"]
