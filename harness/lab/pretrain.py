"""The lab's base model: about a million parameters, trained from scratch on the pre-training text.

Legend: B documents in a batch, T tokens of its longest. A document is one chat of one round; its response counts in full, its
prompt with PROMPT_WEIGHT, because prompts are drawn at random and there is little in them to be learnt.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from harness.lab import corpus
from harness.lab.tokenizer import ASSISTANT, CONTEXT_LENGTH

BATCH_SIZE = 128  # per step
PROMPT_WEIGHT = 0.2


@dataclass(frozen=True)
class Stage:
    """A stage of training: one mixture of text, one optimizer, one cosine schedule of the learning rate."""

    steps: int
    peak_rate: float
    mixture: corpus.Mixture


LOOKUP_SKILLS = ("facts", "ten_options", "logic", "mystery")
# First language and looking back; then mostly skills that look something up, or these would stay at chance.
STAGES = (
    Stage(3000, 3e-3, corpus.Mixture(LOOKUP_SKILLS, weight=3, careless=0.5, careless_lookups=0.1, drills=0.2)),
    Stage(800, 1.5e-3, corpus.Mixture((*LOOKUP_SKILLS, "pronouns"), weight=5, careless=0.5, careless_lookups=0.15, drills=0.05)),
)
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


def pretrain(folder: Path, forbidden: frozenset[str], seed: int, log: Callable[[str], None] = print) -> dict[str, Any]:
    """Train and write config, weights (float32 safetensors) and generation settings into `folder`, beside the tokenizer.

    Returns the record for training.json. The same seed gives the same text and order; the last bits of the weights depend on
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
        **MODEL_CONFIG,
    )
    model = transformers.LlamaForCausalLM(config)
    start_time = time.perf_counter()
    stage_records = []
    for index, stage in enumerate(STAGES):
        batches = document_batches(tokenizer, forbidden, f"{seed} stage {index}" if index else str(seed), stage.mixture)
        stage_records.append({**asdict(stage), **train_stage(model, batches, stage, log)})
    model.save_pretrained(str(folder))
    return {
        "seed": seed,
        "stages": stage_records,
        "tokens": sum(stage["tokens"] for stage in stage_records),
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": round(time.perf_counter() - start_time),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }


def train_stage(model: Any, batches: Iterator[Any], stage: Stage, log: Callable[[str], None]) -> dict[str, float]:
    """Train in place; returns tokens seen and the running mean of the weighted loss at the end, nats per token."""
    import torch

    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=stage.peak_rate, betas=(0.9, 0.98), weight_decay=0.05)
    running_loss, tokens = 0.0, 0
    for step in range(stage.steps):
        decay = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / stage.steps))
        for options in optimizer.param_groups:
            options["lr"] = stage.peak_rate * min(1.0, (step + 1) / 100) * decay
        documents, starts = next(batches)
        ids, weight = pad_batch(documents, starts)
        has_weight = weight[:, 1:] > 0
        hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
        losses = torch.nn.functional.cross_entropy(model.lm_head(hidden[has_weight]), ids[:, 1:][has_weight], reduction="none")
        loss = (losses * weight[:, 1:][has_weight]).sum() / weight[:, 1:].sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        tokens += sum(map(len, documents))
        running_loss = loss.item() if step == 0 else 0.98 * running_loss + 0.02 * loss.item()
        if step % 100 == 99 or step == stage.steps - 1:
            log(f"pre-training: step {step + 1} of {stage.steps}, loss {running_loss:.3f}")
    model.eval()
    return {"tokens": tokens, "final_weighted_loss": round(running_loss, 4)}


def pad_batch(documents: list[list[int]], starts: list[int]) -> tuple[Any, Any]:
    """(B, T) token ids, padded on the right, and (B, T) weights: PROMPT_WEIGHT up to the response, then 1, 0 on padding."""
    import torch

    ids = torch.zeros((len(documents), max(map(len, documents))), dtype=torch.long)
    weight = torch.zeros(ids.shape)
    for n, (document, start) in enumerate(zip(documents, starts, strict=True)):
        ids[n, : len(document)] = torch.tensor(document)
        weight[n, :start] = PROMPT_WEIGHT
        weight[n, start : len(document)] = 1.0
    return ids, weight


def document_batches(
    tokenizer: Any, forbidden: frozenset[str], seed: str, mixture: corpus.Mixture
) -> Iterator[tuple[list[list[int]], list[int]]]:
    """Batches of documents of similar length, in random order, with where each one's response starts."""
    assistant = tokenizer.convert_tokens_to_ids(ASSISTANT)
    pairs = corpus.pretraining(seed, forbidden, mixture)
    rng = Random(f"{seed} batches")
    while True:
        documents = []
        for _ in range(16 * BATCH_SIZE):
            prompt, response = next(pairs)
            turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
            text = tokenizer.apply_chat_template(turns, tokenize=False)
            documents.append(tokenizer(text, add_special_tokens=False)["input_ids"])
        documents.sort(key=len)
        batches = [documents[i : i + BATCH_SIZE] for i in range(0, len(documents), BATCH_SIZE)]
        rng.shuffle(batches)
        for batch in batches:
            yield batch, [document.index(assistant) + 1 for document in batch]
