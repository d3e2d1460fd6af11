"""A world without a word of language: a dozen outcomes behind each of four contexts, whose distribution is known.

The policy is a table of logits; its adapter is what is added to them. Everything else is the harness's own.

Legend: C contexts, K outcomes.
"""

import contextlib
import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from harness import world
from harness.files import file_digest
from harness.loop.benchmark import Benchmark, EvalResult
from harness.records import EvalRecord, Measurement, digest, keyed_seed
from harness.store.adapter_files import ADAPTER_FILE
from harness.train.thread_pool import OrderedThreadPool

C, K, PAIRS = 4, 12, 1000
DATA = torch.softmax(torch.randn(C, K, generator=torch.Generator().manual_seed(5), dtype=torch.float64), 1)


def draw(p, *key):
    """One outcome of (K,) probabilities by inverting the cumulative distribution at a uniform drawn from the key."""
    return min(int((p.cumsum(0) <= keyed_seed(*key) / 2**63).sum()), K - 1)


@dataclass(frozen=True)
class Pair:
    id: str
    context: int
    outcome: int

    def identity(self):
        return str(self)


@dataclass(frozen=True)
class Draw:
    example_id: str
    index: int
    content: list
    logp: float

    def identity(self):
        return f"{self.example_id} {self.index} {self.content}"


class Policy:
    base_digest, precision, quantized, device = "uniform", "float64", False, torch.device("cpu")
    training_precision, training_arithmetic = precision, contextlib.nullcontext

    def __init__(self):
        self.pool = OrderedThreadPool()
        self.encoder = SimpleNamespace(
            sample_logps_hold=True, digest="outcomes", prompt=lambda pair: [pair.context], real=lambda pair: [pair.outcome]
        )
        self.delta = torch.zeros(C, K, dtype=torch.float64, requires_grad=True)

    def adapter_parameters(self):
        return [("delta", self.delta)]

    def reset_adapter(self, seed):
        self.delta.data.zero_()

    def load_adapter(self, adapter):
        self.delta.data.copy_(load_file(adapter / ADAPTER_FILE)["delta"])

    def save_adapter(self, adapter):
        adapter.mkdir(parents=True, exist_ok=True)
        save_file({"delta": self.delta.detach().clone()}, adapter / ADAPTER_FILE)
        return file_digest(adapter / ADAPTER_FILE)

    def gradient_checkpointing(self, enabled):
        return contextlib.nullcontext()

    def collate(self, groups):
        pairs = [(g.prompt[0], r[0]) for g in groups for r in g.responses]
        return SimpleNamespace(index=torch.tensor(pairs, dtype=torch.long).reshape(-1, 2), count=len(pairs))  # (N, 2)

    def response_logps(self, batch):
        return self.delta.log_softmax(1)[batch.index[:, 0], batch.index[:, 1]]

    @torch.no_grad()
    def score(self, groups, max_tokens_per_batch, advance=lambda n: None):
        return self.response_logps(self.collate(groups)).tolist()

    def decode(self, content):
        return str(list(content))

    def layout(self):
        return {"layout": "table"}

    def probabilities(self):
        return self.delta.detach().softmax(1)


@dataclass
class Modes(Benchmark):
    """The share of outcomes, drawn from the data, that the policy finds likelier than a uniform one would: right or wrong."""

    suite: Any
    raw_name, digest = "outcomes.json", "modes"

    def items(self):
        return {row.name: C * K for row in self.suite.task}

    def requests(self):
        return C * K

    def evaluate(self, policy, options):
        right = ((policy.probabilities() > 1 / K) == (DATA > 1 / K)).double().flatten().tolist()
        mean = sum(right) / len(right)
        error = math.sqrt(mean * (1 - mean) / (len(right) - 1))
        (row,), name, version, chance = self.suite.task, self.suite.name, self.suite.version, 0.5
        record = EvalRecord(row.name, row.metric, row.filter, mean, error, C * K, 0, "1", name, version, True, chance)
        items = {row.name: {"items": digest("modes"), "values": right}}
        return EvalResult([record], {row.name: []}, items, {"mean": mean}, "modes")


class World(world.World):
    example_type, sample_type = Pair, Draw

    def load_benchmark(self, config, suite, mirror):
        return Modes(suite)

    def load_policy(self, config, mirror, commit, date):
        return Policy()

    def load_examples(self, config, policy, mirror):
        pairs = [Pair(f"p{n}", n % C, draw(DATA[n % C], "data", n)) for n in range(PAIRS)]
        return world.Dataset(pairs[16:], pairs[:16], {"train": PAIRS - 16, "heldout": 16})

    def generate(self, policy, config, request, advance, partial):
        p, samples = policy.probabilities(), []
        for pair in request.examples:
            for index in request.indices:
                outcome = draw(p[pair.context], request.seed, "generate", request.iteration, pair.id, index)
                samples.append(Draw(pair.id, index, [outcome], float(p[pair.context, outcome].log())))
        return world.Generated(samples, {"samples": len(samples), "tokens": len(samples), "truncated": 0})

    def diagnose(self, policy, config, examples, earlier, advance):
        kl = (DATA * (DATA.log() - policy.probabilities().log())).sum(1)
        return world.Diagnostics([Measurement("kl_data_policy", float(kl.mean()), None, C, "nats per response")], [])
