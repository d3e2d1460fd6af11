"""One SPIN iteration from the base: generate, score references, train, evaluate; beside TRL, transformers and lm-eval."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from harness.discovery.variants import parse_variants
from harness.language.benchmark.lm_eval_benchmark import LmEvalBenchmark, evaluate, load_lm_eval_benchmark
from harness.loop.suite import load_suite
from harness.train.core import train
from harness.train.groups import build_groups
from tests.bench import lab, peers
from tests.bench.measure import flops_per_token, training_operations
from tests.bench.row import Outcome, Situation, Work
from tests.bench.rows import evaluation, generation, training
from tests.bench.subjects import Subject, load_contestants, one_thread
from tests.bench.tasks import TEN, load_tasks
from tests.helpers.peers import quiet

ITEMS = 50  # of each of the ten tasks, for the real model
SMALL = 8  # pairs and items with which the real model is warmed up, profiled, and the peer's sizes are tried
PEER = "TRL, transformers, lm-eval"


def prepare(situation: Situation, subject: str) -> Work:
    subjects = load_contestants(subject, situation)
    first = subjects["harness"]
    large = subject != "lab"
    boards = {name: load_board(situation, first) for name in subjects}
    peer = Peer(situation, first, load_board(situation, first))
    contestants: dict[str, Callable[[], Outcome | None]] = {
        name: lambda one=one, name=name: iterate(one, boards[name]) for name, one in subjects.items()
    }
    small = replace(first, examples=first.examples[:SMALL])
    small_board = load_board(situation, first, 2) if large else boards["harness"]
    if large:
        iterate(small, small_board)
    bounded = bound(first, boards["harness"])
    return Work(
        contestants | {PEER: peer.iterate},
        {**first.sizes(), "epochs": first.epochs, "tasks": len(peer.tasks.suite.task), "items": boards["harness"].limit},
        {"operations": bounded},
        warm_up=(lambda: None) if large else None,
        profiled=lambda: (one_thread(first.policy), iterate(small if large else first, small_board)),
    )


def load_board(situation: Situation, subject: Subject, items: int = ITEMS) -> LmEvalBenchmark:
    """The lab's ten tasks, whole, or ten real ones with `items` documents each."""
    if subject.name == "lab":
        return load_lm_eval_benchmark(load_suite(subject.settings.evaluation.suite), 1 if situation.tiny else None, None)
    with tempfile.TemporaryDirectory() as folder:
        return load_tasks(Path(folder), TEN, 1 if situation.tiny else items, situation.mirror)


class Laps:
    """Seconds by part of the work, libraries silenced."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def time(self, part: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        with lab.silence_libraries():
            made = work()
        self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - began
        return made

    def outcome(self) -> Outcome:
        return Outcome(sum(self.seconds.values()), parts=self.seconds)


def iterate(subject: Subject, board: LmEvalBenchmark) -> Outcome:
    """The harness's iteration."""
    policy, settings, laps = subject.policy, subject.settings, Laps()
    (variant,) = parse_variants("spin", {})
    steps = settings.training.model_copy(update={"epochs": subject.epochs}).at_iteration(0)
    torch.set_num_threads(1)  # one per lane
    policy.reset_adapter(0)
    drawn = laps.time("generate", lambda: lab.generate_samples(policy, subject.examples, settings))
    groups = laps.time("encode", lambda: build_groups(policy.encoder, subject.examples, 0, drawn, (), {"synthetic"}))
    scored = laps.time("references", lambda: lab.with_references(policy, groups))
    laps.time("train", lambda: train(policy, scored, variant.objective(0), steps, (0,), quiet, quiet))
    batch_size, tokens = settings.evaluation.batch_size, settings.model.tokens_per_pass
    laps.time("evaluate", lambda: evaluate(policy, board, tokens, batch_size, quiet))
    return laps.outcome()


class Peer:
    """The same iteration out of the three libraries, each with the batch size that is its fastest here."""

    def __init__(self, situation: Situation, subject: Subject, board: LmEvalBenchmark) -> None:
        self.subject, self.tasks = subject, peers.SimpleEvaluate(board, subject.policy.context_length)
        self.stops, self.longest = sorted(subject.policy.stop_ids), subject.settings.generation.max_new_tokens
        model, large = subject.load_plain_model(), subject.name != "lab"
        widths, batches = generation.WIDTHS[subject.name], evaluation.BATCHES[subject.name]
        tried = min(self.longest, generation.TRIED_TOKENS) if large else self.longest
        self.width = situation.best_size("rows of generate", widths, lambda size: self._generate(model, size, tried))
        self.micro_batch = training.try_micro_batches(
            situation, subject.micro_batches, lambda size: self._small_trainer(size), lambda made, _: self._train_small(made)
        )
        limit = 4 if large else 40
        self.batch = situation.best_size("rows of HFLM's batch", batches, lambda size: self._evaluate(model, size, limit))

    def _generate(self, model: Any, width: int, max_new_tokens: int) -> list[list[int]]:
        peers.use_all_cores()
        return peers.generate(model, self.subject.policy.tokenizer, self.subject.prompts, self.stops, max_new_tokens, width)

    def _evaluate(self, model: Any, batch_size: int, limit: int | None = None) -> dict[str, float]:
        peers.use_all_cores()
        with lab.silence_libraries():
            return self.tasks.scores(model, self.subject.policy.tokenizer, batch_size, limit)

    def _small_trainer(self, micro_batch: int) -> peers.Retrainable:
        """Over a few pairs, whose real responses stand in for rejected ones."""
        examples = self.subject.examples[: 64 if self.subject.name == "lab" else SMALL]
        return peers.Retrainable(self._trainer(examples, [e.real for e in reversed(examples)], micro_batch))

    def _train_small(self, made: peers.Retrainable) -> Outcome:
        made.reset()
        with lab.silence_libraries():
            made.train()
        return Outcome()

    def _trainer(self, examples: list[Any], rejected: list[str], micro_batch: int) -> Any:
        peers.use_all_cores()
        pairs, one = peers.preference_dataset(examples, rejected), self.subject
        with lab.silence_libraries():
            model = one.load_plain_model()
            return peers.dpo_trainer(model, one.policy.tokenizer, pairs, one.settings, one.epochs, micro_batch)

    def iterate(self) -> Outcome:
        one, laps = self.subject, Laps()
        tokenizer, model = one.policy.tokenizer, one.load_plain_model()  # loading is not counted
        peers.use_all_cores()
        drawn = laps.time("generate", lambda: self._generate(model, self.width, self.longest))
        texts = laps.time("encode", lambda: [tokenizer.decode(ids, skip_special_tokens=True) for ids in drawn])
        pairs = laps.time("encode", lambda: peers.preference_dataset(one.examples, texts))
        trainer = laps.time(
            "references", lambda: peers.dpo_trainer(model, tokenizer, pairs, one.settings, one.epochs, self.micro_batch)
        )
        laps.time("train", trainer.train)
        laps.time("evaluate", lambda: self._evaluate(trainer.model.merge_and_unload().eval(), self.batch))
        return laps.outcome()


def bound(subject: Subject, board: LmEvalBenchmark) -> float:
    """Operations: every sampled token once, real responses scored once, the epochs of training, the unique tokens of requests.

    Sampled responses need no reference of their own, their log-probabilities fall out of sampling. Answers that tasks
    generate are not counted.
    """
    policy = subject.policy
    samples = lab.generate_samples(policy, subject.examples, subject.settings)
    per_token, real = flops_per_token(policy), subject.sizes()["real_tokens"]
    drawn = generation.bound(subject, [len(sample.token_ids) for sample in samples])["operations"]
    references = real * (per_token["forward"] + per_token["logits"])
    groups = build_groups(policy.encoder, subject.examples, 0, samples)
    trained = subject.epochs * training_operations(policy, groups)[1]
    return drawn + references + trained + evaluation.operations(policy, evaluation.requests(policy, board))
