"""The lab's base model: about a million parameters, trained from scratch on the pre-training text.

Legend: documents are packed end to end into rows of CHUNK tokens; a document is one chat of one round.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.lab import corpus
from harness.lab.tokenizer import CONTEXT

CHUNK = 256
ROWS = 16


@dataclass(frozen=True)
class Stage:
    """A stretch of training with one mixture of text and one cosine schedule of the learning rate."""

    steps: int
    peak_rate: float
    mixture: corpus.Mixture


# First to speak, and to look back by drills; then fewer drills and more of what needs looking up.
STAGES = (
    Stage(3200, 2e-3, corpus.Mixture(careless=0.5, careless_lookups=0.15, drills=0.25, lookup_weight=2)),
    Stage(1600, 1.5e-3, corpus.Mixture(careless=0.4, careless_lookups=0.1, drills=0.1, lookup_weight=3)),
)
SHAPE = {
    "hidden_size": 128,
    "intermediate_size": 352,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": CONTEXT,
    "tie_word_embeddings": True,
}


def pretrain(folder: Path, forbidden: frozenset[str], seed: int, stages: Sequence[Stage], say=print) -> dict[str, Any]:
    """Train and write config, weights (float32 safetensors) and generation settings into `folder`, beside the tokenizer.

    Returns what training.json keeps. The same seed gives the same text and order; the last bits of the weights depend on
    the machine.
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
        **SHAPE,
    )
    model = transformers.LlamaForCausalLM(config)
    began = time.perf_counter()
    losses = [
        round(train_stage(model, rows(tokenizer, forbidden, f"{seed} stage {index}" if index else seed, stage.mixture), stage, say), 4)
        for index, stage in enumerate(stages)
    ]
    model.save_pretrained(str(folder))
    return {
        "seed": seed,
        "stages": [asdict(stage) for stage in stages],
        "tokens": sum(stage.steps for stage in stages) * ROWS * CHUNK,
        "parameters": sum(p.numel() for p in model.parameters()),
        "losses_nats_per_token": losses,
        "seconds": round(time.perf_counter() - began),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }


def train_stage(model: Any, batches: Iterator[list[int]], stage: Stage, say: Callable[[str], None]) -> float:
    """AdamW over one stage; returns the running mean of the loss at its end, nats per token."""
    import torch

    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=stage.peak_rate, betas=(0.9, 0.98), weight_decay=0.05)
    recent = 0.0
    for step in range(stage.steps):
        decay = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / stage.steps))
        for options in optimizer.param_groups:
            options["lr"] = stage.peak_rate * min(1.0, (step + 1) / 100) * decay
        ids = torch.tensor([next(batches) for _ in range(ROWS)])
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        recent = loss.item() if step == 0 else 0.98 * recent + 0.02 * loss.item()
        if step % 100 == 99 or step == stage.steps - 1:
            say(f"pre-training: step {step + 1} of {stage.steps}, loss {recent:.3f} nats per token")
    model.eval()
    return recent


def rows(tokenizer: Any, forbidden: frozenset[str], seed: object, mixture: corpus.Mixture) -> Iterator[list[int]]:
    """Rows of CHUNK + 1 token ids, documents end to end."""
    buffer: list[int] = []
    for prompt, response in corpus.pretraining(seed, forbidden, mixture):
        turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
        text = tokenizer.apply_chat_template(turns, tokenize=False)
        buffer += tokenizer(text, add_special_tokens=False)["input_ids"]
        while len(buffer) > CHUNK:
            yield buffer[: CHUNK + 1]
            buffer = buffer[CHUNK:]


def write_training_record(folder: Path, record: dict[str, Any]) -> None:
    (folder / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
