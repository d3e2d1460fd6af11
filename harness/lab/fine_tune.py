"""The second start: the base fine-tuned on the pool, all weights, until the likelihood of held-out responses stops improving.

The papers start from such a model: Zephyr was fine-tuned on UltraChat-200k, and SPIN plays on 50,000 of its pairs
(arXiv:2401.01335, Section 5.1).
"""

from __future__ import annotations

import copy
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from harness.lab import corpus
from harness.lab.batches import encode, response_starts, weighted_loss
from harness.lab.pretrain import Log
from harness.lab.tokenizer import TOKENIZER_FILES

RATE, BATCH_SIZE, MOST_EPOCHS, WARM_UP = 6e-4, 64, 10, 50
PATIENCE = 2  # epochs without improvement


def fine_tune(base: Path, folder: Path, seed: int, log: Log = print) -> dict[str, Any]:
    """Fine-tune the model in `base` on the pool and write it into `folder` with the tokenizer's files.

    Returns the record for training.json.
    """
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(str(base))
    model = transformers.AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32)
    train, heldout = (encode(tokenizer, [(row["prompt"], row["response"]) for row in rows]) for rows in corpus.pool(seed))
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.0)
    start_time = time.perf_counter()
    best, losses = copy.deepcopy(model.state_dict()), [heldout_loss(model, tokenizer, heldout)]
    rng, step = Random(f"{seed} fine-tuning"), 0
    for epoch in range(1, MOST_EPOCHS + 1):
        order = list(range(len(train)))
        rng.shuffle(order)
        model.train()
        for at in range(0, len(order), BATCH_SIZE):
            documents = [train[index] for index in order[at : at + BATCH_SIZE]]
            for options in optimizer.param_groups:
                options["lr"] = RATE * min(1.0, (step + 1) / WARM_UP)
            weighted_loss(model, documents, response_starts(tokenizer, documents), prompt_weight=0.0).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            step += 1
        losses.append(heldout_loss(model, tokenizer, heldout))
        log(f"fine-tuning: epoch {epoch}, held-out {losses[-1]:.4f} nats per token")
        if losses[-1] == min(losses):
            best = copy.deepcopy(model.state_dict())
        elif epoch - losses.index(min(losses)) >= PATIENCE:
            break
    model.load_state_dict(best)
    model.eval()
    model.save_pretrained(str(folder))
    for name in TOKENIZER_FILES:
        shutil.copyfile(base / name, folder / name)
    return {
        "seed": seed, "pool": len(train), "rate": RATE, "batch_size": BATCH_SIZE,
        "heldout_nats_per_token": [round(loss, 4) for loss in losses], "epoch": losses.index(min(losses)),
        "seconds": round(time.perf_counter() - start_time),
    }  # fmt: skip


def heldout_loss(model: Any, tokenizer: Any, documents: Sequence[list[int]]) -> float:
    """Mean negative log-likelihood of response tokens, nats."""
    import torch

    model.eval()
    with torch.no_grad():
        return weighted_loss(model, list(documents), response_starts(tokenizer, documents), prompt_weight=0.0).item()
