"""Small training sets and what one step or one run over them gives."""

from harness.config import GenerationConfig, TrainingConfig
from harness.discovery.variants import find_objective, load_objective
from harness.records import Group, Response
from harness.train.core import train
from harness.train.grad_cache import accumulate
from harness.train.groups import with_reference_logps
from harness.train.micro_batches import make_micro_batches
from harness.train.score import score
from tests.helpers.peers import quiet

PROMPTS = 8


def objective(name, **settings):
    return load_objective(find_objective(name))(**settings)


def make_groups(policy, needs):
    """PROMPTS groups of unequal lengths, scored by the policy as it stands."""
    prompts = [[1, 3, 30 + i, 31, 4][: 3 + i % 3] for i in range(PROMPTS)]
    settings = GenerationConfig(max_new_tokens=9)

    def responses(i, count, offset):
        drawn = policy.sample([prompts[i]] * count, [offset + 10 * i + k for k in range(count)], settings)
        return tuple(Response(d.token_ids) for d in drawn)

    def group(i):
        real = Response([60 + i, 61, 62, 2][i % 3 :])
        return Group(f"x{i}", 0, prompts[i], real, responses(i, needs.synthetic, 1000), responses(i, needs.proto, 2000))

    groups = [group(i) for i in range(PROMPTS)]
    return referenced(policy, groups) if needs.reference else groups


def referenced(policy, groups):
    return with_reference_logps(groups, score(policy, groups, 256, quiet).scores)


def weights(policy):
    return {n: p.detach().clone() for n, p in policy.adapter_parameters()}


def gradients(policy, groups, objective, **settings):
    for _, p in policy.adapter_parameters():
        p.grad = None
    passes = accumulate(policy, make_micro_batches(policy, groups, objective, TrainingConfig(**settings)), objective)
    weight = sum(p.weight for p in passes)
    return {n: p.grad / weight for n, p in policy.adapter_parameters()}


def assert_same(one, other, tolerance=1e-12):
    assert max(float((one[n] - other[n]).abs().max()) for n in one) <= tolerance
    assert max(float(g.abs().max()) for g in one.values()) > 1e-6


def run(policy, groups, objective, **settings):
    """Counts and step records of one training from the policy as it stands."""
    records = []
    settings = TrainingConfig(**{"batch_size": 4, "epochs": 2, **settings})
    return train(policy, groups, objective, settings, ("key",), quiet, records.append), records
