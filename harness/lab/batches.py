"""Documents of the lab in batches, and the loss of a batch: for training from scratch, fine-tuning and probing alike.

Legend: B documents in a batch, T tokens of its longest. A document is one chat of one round; its response counts in full, its
prompt with PROMPT_WEIGHT, because prompts are drawn at random and there is little in them to be learnt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from harness.lab.tokenizer import ASSISTANT

BATCH_SIZE = 96  # documents per step of training from scratch
PROMPT_WEIGHT = 0.1


def weighted_loss(model: Any, documents: list[list[int]], starts: list[int], prompt_weight: float = PROMPT_WEIGHT) -> Any:
    """Cross-entropy of the next token, nats per unit of weight; the output layer is computed where there is weight alone."""
    import torch

    ids, weight = pad_batch(documents, starts, prompt_weight)
    has_weight = weight[:, 1:] > 0
    hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
    losses = torch.nn.functional.cross_entropy(model.lm_head(hidden[has_weight]), ids[:, 1:][has_weight], reduction="none")
    return (losses * weight[:, 1:][has_weight]).sum() / weight[:, 1:].sum()


def pad_batch(documents: list[list[int]], starts: list[int], prompt_weight: float = PROMPT_WEIGHT) -> tuple[Any, Any]:
    """(B, T) token ids, padded on the right, and (B, T) weights: `prompt_weight` up to the response, then 1, 0 on padding."""
    import torch

    ids = torch.zeros((len(documents), max(map(len, documents))), dtype=torch.long)
    weight = torch.zeros(ids.shape)
    for n, (document, start) in enumerate(zip(documents, starts, strict=True)):
        ids[n, : len(document)] = torch.tensor(document)
        weight[n, :start] = prompt_weight
        weight[n, start : len(document)] = 1.0
    return ids, weight


def document_batches(tokenizer: Any, pairs: Iterator[tuple[str, str]], seed: str) -> Iterator[tuple[list[list[int]], list[int]]]:
    """Batches of documents of similar length, in random order, with where each one's response starts."""
    rng = Random(f"{seed} batches")
    while True:
        documents = encode(tokenizer, [next(pairs) for _ in range(16 * BATCH_SIZE)])
        documents.sort(key=len)
        batches = [documents[i : i + BATCH_SIZE] for i in range(0, len(documents), BATCH_SIZE)]
        rng.shuffle(batches)
        for batch in batches:
            yield batch, response_starts(tokenizer, batch)


def encode(tokenizer: Any, pairs: Sequence[tuple[str, str]]) -> list[list[int]]:
    """Token ids of chats of one round."""
    turns = [[{"role": "user", "content": p}, {"role": "assistant", "content": r}] for p, r in pairs]
    texts = [tokenizer.apply_chat_template(turn, tokenize=False) for turn in turns]
    return tokenizer(texts, add_special_tokens=False)["input_ids"]


def response_starts(tokenizer: Any, documents: Sequence[list[int]]) -> list[int]:
    assistant = tokenizer.convert_tokens_to_ids(ASSISTANT)
    return [document.index(assistant) + 1 for document in documents]
