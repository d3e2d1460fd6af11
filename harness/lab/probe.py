"""How often a model prefers the right option, by itself and quickly: what ends a stage of pre-training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.lab.batches import pad_batch
from harness.lab.speakers import Source, with_source


def choice_accuracy(model: Any, tokenizer: Any, items: Sequence[dict[str, Any]], source: Source | None) -> float:
    """Share of the items whose right option has the largest log-probability, asked plainly or of a source.

    items: {prompt, options, gold}, as `corpus.items` makes them.
    """
    import torch

    documents, starts = [], []
    for item in items:
        prompt = with_source(item["prompt"], source) if source else item["prompt"]
        begin = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], add_generation_prompt=True, tokenize=True, return_dict=False
        )
        for option in item["options"]:
            documents.append([*begin, *tokenizer(option, add_special_tokens=False)["input_ids"]])
            starts.append(len(begin))
    was_training = model.training
    model.eval()
    with torch.no_grad():
        ids, _ = pad_batch(documents, starts)
        logp = torch.log_softmax(model(input_ids=ids[:, :-1]).logits, -1).gather(2, ids[:, 1:, None])[..., 0]
        position = torch.arange(1, ids.shape[1])
        lengths, begins = torch.tensor([len(d) for d in documents])[:, None], torch.tensor(starts)[:, None]
        totals = (logp * ((position >= begins) & (position < lengths))).sum(1).tolist()
    model.train(was_training)
    right, at = 0, 0
    for item in items:
        scores = totals[at : at + len(item["options"])]
        right += scores.index(max(scores)) == item["gold"]
        at += len(scores)
    return right / len(items)
