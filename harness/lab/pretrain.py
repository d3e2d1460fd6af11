"""The lab's base model: about a million parameters, trained from scratch on the pre-training text.

Legend: documents are packed end to end into rows of CHUNK tokens; a document is one chat of one round.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.lab import corpus
from harness.lab.tokenizer import CONTEXT

CHUNK = 256
ROWS = 16
PEAK_RATE = 2e-3
SHAPE = {
    "hidden_size": 128,
    "intermediate_size": 352,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": CONTEXT,
    "tie_word_embeddings": True,
}


def pretrain(folder: Path, forbidden: frozenset[str], seed: int, steps: int, say=print) -> dict[str, Any]:
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
    model = transformers.LlamaForCausalLM(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.05)
    rows = _rows(tokenizer, forbidden, seed)
    began, recent = time.perf_counter(), 0.0
    for step in range(steps):
        rate = PEAK_RATE * min(1.0, (step + 1) / 100) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / steps)))
        for options in optimizer.param_groups:
            options["lr"] = rate
        ids = torch.tensor([next(rows) for _ in range(ROWS)])
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        recent = loss.item() if step == 0 else 0.98 * recent + 0.02 * loss.item()
        if step % 100 == 99 or step == steps - 1:
            say(
                f"pre-training: step {step + 1} of {steps}, loss {recent:.3f} nats per token, {time.perf_counter() - began:.0f} s"
            )
    model.eval().save_pretrained(str(folder))
    return {
        "seed": seed,
        "steps": steps,
        "tokens": steps * ROWS * CHUNK,
        "parameters": sum(p.numel() for p in model.parameters()),
        "final_loss_nats_per_token": round(recent, 4),
        "seconds": round(time.perf_counter() - began),
        "careless_share": corpus.CARELESS,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }


def _rows(tokenizer: Any, forbidden: frozenset[str], seed: int) -> Iterator[list[int]]:
    """Rows of CHUNK + 1 token ids, documents end to end."""
    buffer: list[int] = []
    for prompt, response in corpus.pretraining(seed, forbidden):
        turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
        text = tokenizer.apply_chat_template(turns, tokenize=False)
        buffer += tokenizer(text, add_special_tokens=False)["input_ids"]
        while len(buffer) > CHUNK:
            yield buffer[: CHUNK + 1]
            buffer = buffer[CHUNK:]


def write_training_record(folder: Path, record: dict[str, Any]) -> None:
    (folder / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
