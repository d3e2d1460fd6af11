"""Training alone: one epoch of SPIN's loss on the same pairs, beside TRL's DPOTrainer with precomputed references."""

from collections.abc import Callable

import torch

from harness.discovery.variants import parse_variants
from harness.records import Group
from harness.train.core import train
from harness.train.groups import build_groups
from tests.bench import lab, peers
from tests.bench.measure import training_operations
from tests.bench.row import Outcome, Situation, Work
from tests.bench.subjects import Subject, load_contestants, one_thread
from tests.helpers.peers import quiet

SMALL = 8  # pairs with which the real model is warmed up and profiled, and TRL's micro-batches are tried


def prepare(situation: Situation, subject: str) -> Work:
    subjects = load_contestants(subject, situation)
    first = subjects["harness"]
    samples = lab.generate_samples(first.policy, first.examples, first.settings)
    groups = build_groups(first.policy.encoder, first.examples, 0, samples)
    tokens = sum(len(g.prompt) + len(r.content) for g in groups for _, r in g.responses())
    texts = {sample.example_id: sample.text for sample in samples}

    def trainer(count: int, micro_batch: int) -> peers.Retrainable:
        peers.use_all_cores()
        pairs = peers.preference_dataset(first.examples[:count], [texts[example.id] for example in first.examples[:count]])
        with lab.silence_libraries():
            model = first.load_plain_model()
            return peers.Retrainable(peers.dpo_trainer(model, first.policy.tokenizer, pairs, first.settings, 1, micro_batch))

    def theirs(made: peers.Retrainable, amount: int) -> Outcome:
        peers.use_all_cores()
        made.reset()
        with lab.silence_libraries():
            made.train()
        return Outcome(amount=amount)

    large = subject != "lab"
    count = min(SMALL, len(groups)) if large else len(groups)
    best = try_micro_batches(situation, first.micro_batches, lambda size: trainer(count, size), theirs)
    reference = trainer(len(groups), best)
    contestants: dict[str, Callable[[], Outcome | None]] = {
        name: epoch(one, lab.with_references(one.policy, groups), tokens) for name, one in subjects.items()
    }
    ours = contestants["harness"]
    small = epoch(first, lab.with_references(first.policy, groups[:SMALL]), tokens)
    return Work(
        contestants | {"TRL": lambda: theirs(reference, tokens)},
        {**first.sizes(), "epochs": 1, "batch_size": first.settings.training.batch_size},
        {"operations": training_operations(first.policy, groups)[1]},
        unit="tokens/s",
        warm_up=small if large else None,
        profiled=lambda: (one_thread(first.policy), small() if large else ours()),
    )


def epoch(subject: Subject, groups: list[Group], tokens: int) -> Callable[[], Outcome]:
    """One epoch over groups with reference log-probabilities, from a fresh adapter."""
    (variant,) = parse_variants("spin", {})
    training = subject.settings.training.model_copy(update={"epochs": 1}).at_iteration(0)

    def run() -> Outcome:
        torch.set_num_threads(1)  # one per lane
        subject.policy.reset_adapter(0)
        train(subject.policy, groups, variant.objective(0), training, (0,), quiet, quiet)
        return Outcome(amount=tokens)

    return run


def try_micro_batches(
    situation: Situation,
    sizes: tuple[int, ...],
    trainer: Callable[[int], peers.Retrainable],
    train_once: Callable[[peers.Retrainable, int], Outcome],
) -> int:
    """TRL's fastest micro-batch; the trainers are made outside the timed part."""
    known, untried = situation.tried.get("pairs of TRL's micro-batch", {}), () if situation.tiny else sizes
    made = {size: trainer(size) for size in untried if str(size) not in known}
    return situation.best_size("pairs of TRL's micro-batch", sizes, lambda size: train_once(made[size], 1))
