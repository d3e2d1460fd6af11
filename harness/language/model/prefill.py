"""Prompts computed before the first token is drawn: hardly any padding, equal prompts once, shared prefixes once.

Prompts of similar length go through the model together, padded on the left; only each prompt's last column becomes logits.

Legend: U different prompts of a pass, A heads of keys and values, V vocabulary, T columns, D size of a head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from harness.language.model.cache import GrowingCache
from harness.language.model.decode_cache import PrefilledRows
from harness.language.model.logprobs import Layout, decoder_of, device_of, prefill_prefix, projection
from harness.language.model.prefix_sharing import group_by_prefix

MIN_TOKENS_SAVED = 512  # that a shared prefix must save: its prompts go through the model apart from the others
PASS_COST = 64  # what one more pass through the model costs, in columns of padding (estimated: 45 to 60 on a model of 135M)
MAX_PADDING = 32  # columns of a pass for one column of padding, where that is more
MAX_COLUMNS = 4096  # of a pass with several prompts

# (B, T) ids, (B, T) positions, (B, columns so far) mask or None, cache -> (B, V) logits after the last column
NextLogits = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None, Any], torch.Tensor]


def next_logits_of(model: Any, layout: Layout) -> NextLogits:
    """How to compute the logits after ids that are added to a cache; model: a bare one. layout: of a `LayoutCheck`."""
    decoder, project = decoder_of(model), projection(model)

    def compute(ids: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor | None, cache: Any) -> torch.Tensor:
        inputs = {
            "input_ids": ids,
            "attention_mask": mask,
            "position_ids": positions,
            "past_key_values": cache,
            "use_cache": True,
        }
        if layout == "logits":
            return model(**inputs, logits_to_keep=1).logits[:, -1]
        return project(decoder(**inputs).last_hidden_state[:, -1])

    return compute


@dataclass
class _SharedPrefix:
    """A prefix of prompts not yet computed, with its cache once the first of them is."""

    length: int
    waiting: int
    cache: Any = None


class Prefiller:
    """Computes prompts, in any order and number at a time.

    can_share_prefix: whether prefixes may be computed apart. needs_mask: whether the model takes a mask where nothing is padded.
    """

    def __init__(
        self, model: Any, prompts: Sequence[Sequence[int]], next_logits: NextLogits, can_share_prefix: bool, needs_mask: bool
    ) -> None:
        self.model, self.prompts, self.next_logits, self.needs_mask = model, prompts, next_logits, needs_mask
        self._prefix_of: dict[int, _SharedPrefix] = {}
        for group in group_by_prefix(prompts, MIN_TOKENS_SAVED) if can_share_prefix else []:
            prefix = _SharedPrefix(group.length, len(group.members))
            self._prefix_of |= dict.fromkeys(group.members, prefix)

    def compute(self, indices: Sequence[int]) -> tuple[list[int], list[PrefilledRows], torch.Tensor]:
        """Prompts -> their indices in the order of the rows, the rows, (rows, V) logits after each prompt."""
        by_prefix: dict[int, list[int]] = {}
        for i in indices:
            by_prefix.setdefault(id(self._prefix_of.get(i)), []).append(i)
        order, parts, logits = [], [], []
        for members in by_prefix.values():
            prefix = self._prefix_of.get(members[0])
            by_prompt: dict[tuple[int, ...], list[int]] = {}
            for i in members:
                by_prompt.setdefault(tuple(self.prompts[i]), []).append(i)
            prompts = sorted(by_prompt, key=lambda prompt: -len(prompt))
            for start, stop in passes_by_length([len(prompt) - (prefix.length if prefix else 0) for prompt in prompts]):
                pass_prompts = prompts[start:stop]
                keys, values, pass_logits = self._run_pass(pass_prompts, prefix)
                sources = [n for n, prompt in enumerate(pass_prompts) for _ in by_prompt[prompt]]
                parts.append(PrefilledRows(keys, values, sources, [len(pass_prompts[n]) for n in sources]))
                logits.append(pass_logits[torch.tensor(sources, device=pass_logits.device)])
                order += [i for prompt in pass_prompts for i in by_prompt[prompt]]
            if prefix:
                prefix.waiting -= len(members)
                prefix.cache = prefix.cache if prefix.waiting else None
        return order, parts, torch.cat(logits)

    def _run_pass(
        self, prompts: Sequence[tuple[int, ...]], prefix: _SharedPrefix | None
    ) -> tuple[list[torch.Tensor], list[torch.Tensor], torch.Tensor]:
        """Different prompts with the prefix, longest first -> their keys and values by layer, and (U, V) logits."""
        length = prefix.length if prefix else 0
        if prefix and length and prefix.cache is None:
            prefix.cache = prefill_prefix(self.model, prompts[0][:length])
        cache = GrowingCache.from_prefix(prefix.cache, len(prompts)) if prefix and length else GrowingCache()
        width = len(prompts[0])
        ids = torch.zeros((len(prompts), width), dtype=torch.long)
        mask = torch.zeros_like(ids)
        mask[:, :length] = 1
        for n, prompt in enumerate(prompts):
            ids[n, width - len(prompt) + length :] = torch.tensor(prompt[length:])
            mask[n, width - len(prompt) + length :] = 1
        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, length:]
        device = device_of(self.model)
        padded = self.needs_mask or len(prompts[-1]) < width
        inputs = (ids[:, length:].to(device), positions.to(device), mask.to(device) if padded else None)
        logits = self.next_logits(*inputs, cache)
        keys, values = _tensors(cache)
        for n, prompt in enumerate(prompts):
            if length and (gap := width - len(prompt)):  # of the columns between prefix and prompt
                for tensor in (*keys, *values):
                    tensor[n, :, gap : gap + length] = tensor[n, :, :length].clone()
        return keys, values, logits


def _tensors(cache: Any) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Keys and values by layer, (U, A, T, D) each."""
    return [layer.keys for layer in cache.layers], [layer.values for layer in cache.layers]


def passes_by_length(lengths: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(start, stop) of the prompts of each pass, given their lengths, longest first.

    A pass takes in shorter prompts until the padding costs as much as a pass of its own would.
    """
    start, padding = 0, 0
    for n, length in enumerate(lengths):
        width = lengths[start]
        columns = (n - start + 1) * width
        padding += width - length
        if n > start and (columns > MAX_COLUMNS or padding > max(PASS_COST, columns // MAX_PADDING)):
            yield start, n
            start, padding = n, 0
    if lengths:
        yield start, len(lengths)
