"""Activations of a layer computed again in the backward pass instead of kept: memory for time, the same gradients.

transformers' own switch acts in training mode only, which would turn dropout on; here the layers stay as they are and their
forward functions are wrapped for as long as training lasts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch.utils.checkpoint import checkpoint


def checkpointable_layers(model: Any) -> list[Any]:
    """The layers of `model` that transformers allows to be computed again; empty for a family that has none."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    return [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]


@contextmanager
def gradient_checkpointing(model: Any, enabled: bool) -> Iterator[None]:
    """Within, every layer keeps its inputs alone. There is no dropout, so no random state needs to be put back."""
    layers = checkpointable_layers(model) if enabled else []
    for layer in layers:
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False, preserve_rng_state=False)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward  # the class's own shows again
