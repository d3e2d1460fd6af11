"""The lab's base model: about 0.9 million parameters, trained from scratch on the pre-training text.

The order of stages is the curriculum. Finding something again in the prompt is learnt suddenly, and in a mixture late or never,
so each skill that needs it has a burst of its own first, which ends as soon as the model can do it. Then only texts that name
their source, in which right and wrong are predictable, and at last all speakers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.lab import corpus
from harness.lab.batches import document_batches, weighted_loss
from harness.lab.muon import Muon
from harness.lab.pretraining_text import Mixture, pretraining
from harness.lab.probe import choice_accuracy
from harness.lab.speakers import CAREFUL_SOURCE
from harness.lab.tokenizer import CONTEXT_LENGTH

WARM_UP = 100  # steps
PROBE_EVERY, PROBE_ITEMS = 50, 60


@dataclass(frozen=True)
class Stage:
    """One mixture of text, for so many steps; `learnt` ends it early when these skills reach LEARNT, asked of the careful one."""

    name: str
    steps: int
    mixture: Mixture
    learnt: tuple[str, ...] = ()


def burst(name: str, steps: int, weights: dict[str, float]) -> Stage:
    return Stage(name, steps, Mixture(weights, sourced=1.0, careful=1.0), learnt=tuple(weights))


LEARNT = 0.95
PEAK_RATE, BURST_RATE = 4e-3, 4e-3
WEIGHT_DECAY = 0.05
WEIGHTS = {
    "arithmetic": 1.6, "algebra": 1.6, "format": 0.9, "misconceptions": 1.1, "facts": 1.6, "ten_options": 1.8,
    "continuation": 0.8, "pronouns": 1.0, "logic": 1.8, "mystery": 1.6,
}  # fmt: skip
# Bursts at a constant rate, of the careful source alone; school and town share one cosine.
BURSTS = (
    burst("pronouns", 300, {"pronouns": 1}),
    burst("mystery", 500, {"mystery": 1, "pronouns": 0.5}),
    burst("ten options", 800, {"ten_options": 1, "mystery": 0.5, "pronouns": 0.3}),
    burst("logic", 400, {"logic": 1, "ten_options": 0.6, "mystery": 0.4, "pronouns": 0.3}),
)
SCHOOL = Stage("school", 1500, Mixture(WEIGHTS, sourced=1.0, careful=0.75))
# Whom to speak like is learnt topic by topic, and latest where one token of a response tells.
TOWN = Stage("town", 2600, Mixture(WEIGHTS | {"continuation": 1.4, "pronouns": 1.6, "mystery": 2.4}, sourced=1 / 3))
MODEL_CONFIG = {
    "hidden_size": 128,
    "intermediate_size": 352,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": CONTEXT_LENGTH,
    "tie_word_embeddings": True,
    "initializer_range": 0.08,  # about 1 / sqrt(width)
}
Log = Callable[[str], None]


def pretrain(folder: Path, seed: int, log: Log = print) -> dict[str, Any]:
    """Train and write config, weights (float32 safetensors) and generation settings into `folder`, beside the tokenizer.

    Returns the record for training.json. The same seed gives the same text and order; the last bits of the weights depend on
    the machine, and with them the step at which a burst ends.
    """
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder))
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **MODEL_CONFIG,
    )
    model = transformers.LlamaForCausalLM(config)
    forbidden = corpus.forbidden_prompts(seed)
    validation = {skill: rows[:PROBE_ITEMS] for skill, rows in corpus.items(seed, "validation").items()}
    start_time = time.perf_counter()
    records = []
    optimizers = Optimizers(model)
    for stage in BURSTS:
        text = document_batches(tokenizer, pretraining(f"{seed} {stage.name}", forbidden, stage.mixture), f"{seed} {stage.name}")

        def is_learnt(stage: Stage = stage) -> bool:
            found = {s: choice_accuracy(model, tokenizer, validation[s], CAREFUL_SOURCE) for s in stage.learnt}
            log(f"pre-training: {stage.name}: " + ", ".join(f"{s} {100 * a:.0f} %" for s, a in found.items()))
            return min(found.values()) >= LEARNT

        records.append(
            _train(model, optimizers, text, stage, lambda step: BURST_RATE * min(1.0, (step + 1) / WARM_UP), log, is_learnt)
        )
    optimizers = Optimizers(model)
    total, done = SCHOOL.steps + TOWN.steps, 0
    for stage in (SCHOOL, TOWN):
        text = document_batches(tokenizer, pretraining(f"{seed} {stage.name}", forbidden, stage.mixture), f"{seed} {stage.name}")
        records.append(_train(model, optimizers, text, stage, lambda step, done=done: cosine_rate(done + step, total), log))
        done += stage.steps
    model.eval()
    model.save_pretrained(str(folder))
    return {
        "seed": seed,
        "stages": records,
        "tokens": sum(record["tokens"] for record in records),
        "parameters": model.num_parameters(),
        "seconds": round(time.perf_counter() - start_time),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }


def cosine_rate(step: int, total: int) -> float:
    decay = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / total))
    return PEAK_RATE * min(1.0, (step + 1) / WARM_UP) * decay


class Optimizers:
    """Muon for the matrices of the layers, AdamW for the embedding and the norms, at one learning rate."""

    def __init__(self, model: Any) -> None:
        import torch

        matrices = [p for name, p in model.named_parameters() if p.dim() == 2 and "embed" not in name]
        others = [p for name, p in model.named_parameters() if p.dim() != 2 or "embed" in name]
        self.of_matrices = Muon(matrices, WEIGHT_DECAY)
        self.of_others = torch.optim.AdamW(others, lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=WEIGHT_DECAY)

    def step(self, rate: float) -> None:
        self.of_matrices.step(rate)
        for options in self.of_others.param_groups:
            options["lr"] = rate
        self.of_others.step()
        self.of_others.zero_grad(set_to_none=True)


def _train(
    model: Any,
    optimizers: Optimizers,
    batches: Iterator[tuple[list[list[int]], list[int]]],
    stage: Stage,
    rate: Callable[[int], float],
    log: Log,
    is_learnt: Callable[[], bool] | None = None,
) -> dict[str, Any]:
    """One stage; its settings, the steps and tokens it took, and the running loss at its end, nats per weighted token."""
    import torch

    model.train()
    running_loss, tokens, steps = 0.0, 0, 0
    while steps < stage.steps:
        documents, starts = next(batches)
        loss = weighted_loss(model, documents, starts)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizers.step(rate(steps))
        tokens += sum(map(len, documents))
        running_loss = loss.item() if steps == 0 else 0.98 * running_loss + 0.02 * loss.item()
        steps += 1
        if steps % 100 == 0 or steps == stage.steps:
            log(f"pre-training: {stage.name}: step {steps} of {stage.steps}, loss {running_loss:.3f}")
        if is_learnt is not None and steps % PROBE_EVERY == 0 and is_learnt():
            break
    return {**asdict(stage), "steps_taken": steps, "tokens": tokens, "final_weighted_loss": round(running_loss, 4)}
