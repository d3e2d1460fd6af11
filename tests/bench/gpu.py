"""A 7B-shaped model with random weights, then the loop on the lab: training, generation, scoring, memory; a toy without a GPU.

Needs torch, transformers, peft and what they bring; no lm-eval, data sets or network. Weights are random, so the losses mean
nothing and the times do: they depend on shapes alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch

from harness.files import read_jsonl
from harness.language.encoding import choose_template
from harness.language.model.lora import add_adapter
from harness.language.model.verify import choose_layout
from harness.language.phases.generate import generate
from harness.language.policy import Policy
from harness.language.records import Example
from harness.records import Group, PromptGroup, Response, keyed_seed
from harness.train.core import train
from harness.train.groups import build_groups, with_reference_logps
from harness.train.score import score
from harness.train.thread_pool import OrderedThreadPool
from objectives.space import SPACE
from tests.bench.measure import ROOT, flops_per_token, matmul_rate, median, report, seconds_of, synchronize

LAB = ROOT / "harness" / "lab"


def quiet(_: object) -> None:
    pass


@dataclass(frozen=True)
class Workload:
    """What is measured: the model's shape, and how many prompts of how many tokens."""

    name: str
    shape: dict[str, int]
    dtype: torch.dtype
    prompts: int
    prompt_tokens: int
    response_tokens: int
    micro_batch: int
    max_tokens_per_batch: int
    matmul_size: int


SEVEN = Workload(
    "7B-shaped (Mistral)",
    {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
     "num_key_value_heads": 8},
    torch.bfloat16, 16, 128, 256, 4, 8192, 8192,
)  # fmt: skip
TOY = Workload(
    "toy",
    {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2},
    torch.float32, 4, 16, 16, 2, 512, 256,
)  # fmt: skip


def run(repeats: int, save: bool) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size = SEVEN if device.type == "cuda" else TOY
    card = torch.cuda.get_device_name() if device.type == "cuda" else "no GPU, processor"
    rate = matmul_rate(size.matmul_size, 10, device, size.dtype)
    policy = random_policy(size, device)
    per_token = flops_per_token(policy)
    kept: dict[str, Any] = {}
    for mu in (1, 3, 7):
        groups = with_reference_scores(policy, random_groups(size, mu), size)
        tokens = sum(len(g.prompt) + sum(len(r.content) for _, r in g.responses()) for g in groups)
        found = timed(repeats, device, lambda g=groups, m=mu: train_one_epoch(policy, g, SPACE(mu=float(m)), size))
        targets = sum(len(r.content) for g in groups for _, r in g.responses())
        operations = tokens * (per_token["forward"] + per_token["backward"]) + targets * 2 * per_token["logits"]
        kept[f"train, SPACE mu {mu}"] = found | {"tokens": tokens, "operations": operations}
    groups = random_groups(size, 1)
    packed = [PromptGroup(g.prompt, [r.content for _, r in g.responses()]) for g in groups] * 4
    tokens = sum(len(p.prompt) + sum(map(len, p.responses)) for p in packed)
    found = timed(repeats, device, lambda: policy.score(packed, size.max_tokens_per_batch))
    operations = tokens * per_token["forward"] + sum(len(c) for p in packed for c in p.responses) * per_token["logits"]
    kept["score"] = found | {"tokens": tokens, "operations": operations}
    prompts = [g.prompt for g in groups] * 4
    drawn: list[Any] = []
    found = timed(repeats, device, lambda: drawn.append(draw(policy, prompts, size)))
    kept[f"generate, {len(prompts)} at once"] = found | {"tokens": sum(len(d.token_ids) for d in drawn[-1])}
    rows: list[list[str]] = []
    for name, one in kept.items():
        done, share = median(one["seconds"]), "–"
        if "operations" in one:
            one["share_of_matmul_rate"] = round(one["operations"] / done / rate, 3)
            share = f"{100 * one['share_of_matmul_rate']:.0f} %"
        rows.append([name, f"{one['tokens'] / done:,.0f}", share, "–" if one["peak_gib"] is None else f"{one['peak_gib']:.1f}"])
    kept["lab_loop"] = loop = lab_loop(device, size is TOY)
    rows += [[f"lab, 2 iterations of SPACE: {name}", f"{value:.4g}", "", ""] for name, value in loop.items()]
    report(
        f"gpu-{card.replace(' ', '-').lower()}" if device.type == "cuda" else "gpu-none",
        f"{size.name}, LoRA rank 16 on all linear layers, {str(size.dtype).removeprefix('torch.')}, {card}; median of {repeats}",
        ["", "tokens/s", "of matmul rate", "peak GiB"], rows,
        {"card": card, "repeats": repeats, "matmul_flops_per_second": rate, "torch": torch.__version__, **kept}, save,
    )  # fmt: skip


def timed(repeats: int, device: torch.device, work: Callable[[], Any]) -> dict[str, Any]:
    """Seconds of each repetition after one that is not counted, and the peak of the device's memory in GiB (None on a CPU)."""
    work()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    synchronize(device)
    found = [round(seconds_of(lambda: (work(), synchronize(device))), 4) for _ in range(repeats)]
    peak = round(torch.cuda.max_memory_allocated() / 2**30, 2) if device.type == "cuda" else None
    return {"seconds": found, "peak_gib": peak}


def make_policy_over(base: Any, device: torch.device) -> Policy:
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(str(LAB / "base"))
    model = add_adapter(base.to(device), SimpleNamespace(rank=16, alpha=32.0, targets="all-linear"), "random")
    policy = Policy(model, tokenizer, choose_template(tokenizer, "chat"), "random", choose_layout(model), OrderedThreadPool())
    policy.reset_adapter(0)
    return policy


def random_policy(size: Workload, device: torch.device) -> Policy:
    import transformers

    config = transformers.MistralConfig(vocab_size=32000, max_position_embeddings=4096, sliding_window=None, **size.shape)
    with torch.device(device):
        return make_policy_over(transformers.AutoModelForCausalLM.from_config(config, dtype=size.dtype), device)


def random_groups(size: Workload, mu: int) -> list[Group]:
    """Prompts and responses of random tokens."""
    generator = torch.Generator().manual_seed(mu)

    def ids(count: int) -> list[int]:
        return torch.randint(100, 1000, (count,), generator=generator).tolist()

    def group(name: str) -> Group:
        prompt, real, *synthetic = ids(size.prompt_tokens), *(Response(ids(size.response_tokens)) for _ in range(1 + mu))
        return Group(name, 0, prompt, real, tuple(synthetic), ())

    return [group(f"{n}") for n in range(size.prompts)]


def make_training_settings(batch_size: int, micro_batch: int, lr: float, epochs: int) -> Any:
    return SimpleNamespace(
        optimizer="rmsprop", lr=lr, schedule="constant", warmup=0.0, epochs=epochs, batch_size=batch_size,
        micro_batch=micro_batch, max_grad_norm=1.0, weight_decay=0.0, two_pass="auto", gradient_checkpointing=False,
    )  # fmt: skip


def with_reference_scores(policy: Policy, groups: list[Group], size: Workload) -> list[Group]:
    policy.reset_adapter(0)
    return with_reference_logps(groups, score(policy, groups, size.max_tokens_per_batch, quiet).scores)


def train_one_epoch(policy: Policy, groups: list[Group], objective: Any, size: Workload) -> None:
    policy.reset_adapter(0)
    settings = make_training_settings(size.prompts, size.micro_batch, 1e-6, 1)
    train(policy, groups, objective, settings, (0,), quiet, quiet)


def draw(policy: Policy, prompts: list[list[int]], size: Workload) -> Any:
    seeds = [keyed_seed("gpu", str(n)) for n in range(len(prompts))]
    how = SimpleNamespace(temperature=1.0, top_p=1.0, max_new_tokens=size.response_tokens, batch_size=len(prompts))
    return policy.sample(prompts, seeds, how)


def lab_examples(policy: Policy, name: str, count: int | None) -> list[Example]:
    rows, render = read_jsonl(LAB / "data" / f"{name}.jsonl")[:count], policy.template.render
    return [Example(str(n), r["prompt"], r["response"], render(policy.tokenizer, r["prompt"])) for n, r in enumerate(rows)]


def lab_loop(device: torch.device, toy: bool) -> dict[str, float]:
    """Two iterations of SPACE on the lab's base in the device's precision: seconds, and held-out loss before and after."""
    import transformers

    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    policy = make_policy_over(transformers.AutoModelForCausalLM.from_pretrained(str(LAB / "base"), dtype=dtype), device)
    listed = lab_examples(policy, "train", 64 if toy else None)
    held = lab_examples(policy, "heldout", 32 if toy else None)
    how = SimpleNamespace(temperature=1.0, top_p=1.0, max_new_tokens=64, batch_size=256)
    settings = make_training_settings(64, 32, 3e-4, 2)

    def heldout_loss() -> float:
        asked = [PromptGroup(policy.encoder.prompt(e), [policy.encoder.real(e)]) for e in held]
        return -sum(policy.score(asked, 4096)) / sum(len(policy.encoder.real(e)) for e in held)

    found = {"held-out nats/token before": heldout_loss()}

    def loop() -> None:
        for iteration in range(2):
            samples = generate(policy, listed, range(1), iteration, how, 0, quiet)
            groups = build_groups(policy.encoder, listed, iteration, samples)
            groups = with_reference_logps(groups, score(policy, groups, 4096, quiet).scores)
            train(policy, groups, SPACE(), settings, (iteration,), quiet, quiet)
        synchronize(device)

    found["seconds"] = seconds_of(loop)
    found["held-out nats/token after"] = heldout_loss()
    return found
