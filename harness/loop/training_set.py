"""The training set of an iteration, joined from the finished phases it consists of."""

from __future__ import annotations

from itertools import chain
from typing import Any

from harness.loop.context import Iteration, TrainingSet
from harness.loop.trials import content_digest
from harness.records import Group, Role, Score
from harness.train.groups import build_groups

INITIAL_SCORES = "initial/score"  # folder of the initial policy's log-probabilities of the real responses
SAMPLES_FILE, SCORES_FILE = "samples.jsonl", "scores.jsonl"


def training_set_of(iteration: Iteration) -> TrainingSet:
    """The training set, joined when it is first asked for: every sample and score in it is then stored."""
    if iteration.training_set is None:
        iteration.training_set = _join(iteration)
    return iteration.training_set


def _join(iteration: Iteration) -> TrainingSet:
    """The groups of iterations max(0, t - history)..t."""
    context, needs, examples, number = iteration.context, iteration.needs, iteration.examples, iteration.number
    sources = {"examples": content_digest(examples)}
    initial: list[list[Any]] = []  # of each index
    for k in range(iteration.num_initial_samples):
        initial.append(_initial_samples(iteration, k))
        sources[f"initial k-{k}"] = content_digest(initial[k])
    proto = list(chain(*initial[: needs.proto]))
    real_logps: dict[str, float] = {}
    if needs.reference and number == 0:
        scores = context.read_phase(INITIAL_SCORES, SCORES_FILE, Score)
        real_logps = {score.example_id: score.reference_logp for score in scores}
    groups: list[Group] = []
    for earlier in range(number + 1 - iteration.groups_per_pair, number + 1):
        synthetic: list[Any] = []
        if needs.synthetic and earlier == 0:
            synthetic = list(chain(*initial[: needs.synthetic]))
        elif needs.synthetic:
            folder = f"{iteration.trial.folder(earlier)}/generate"
            synthetic = context.read_phase(folder, SAMPLES_FILE, context.world.sample_type)
            sources[f"iteration-{earlier}"] = content_digest(synthetic)
        opponent_roles: set[Role] = {"synthetic"} if earlier == number else set()  # sampled from this opponent
        if number == 0:
            opponent_roles.add("proto")
        groups += build_groups(context.policy.encoder, examples, earlier, synthetic, proto, opponent_roles, real_logps)
    return TrainingSet(groups, sources)


def initial_samples_folder(seed: int, index: int) -> str:
    """Folder of the initial policy's samples of one index, for all trials of a seed."""
    return f"initial/seed-{seed}/generate/k-{index}"


def _initial_samples(iteration: Iteration, index: int) -> list[Any]:
    """The initial policy's samples of one index for a trial's examples."""
    context, example_ids = iteration.context, {example.id for example in iteration.examples}
    rows = context.read_phase(initial_samples_folder(iteration.trial.seed, index), SAMPLES_FILE, context.world.sample_type)
    return [row for row in rows if row.example_id in example_ids]
