"""Which layers the adapter is put on: those of the language model, and only where peft's layer computes the same function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from harness.language.model.logprobs import decoder_of

# peft refuses these by name in these families, whose kernels read the weights past the layer (peft's tuners_utils).
KERNEL_FAMILIES = {"falcon_h1", "mamba", "mamba2", "falcon_mamba", "nemotron_h"}
KERNEL_READ_LAYERS = ("out_proj", "conv1d")


def excluded_layers(base: Any, targets: str | Sequence[str]) -> list[str]:
    """Full names of the layers of `base` that `targets` must not reach.

    Whatever the targets: layers outside the language model, such as a vision tower's. Of "all-linear" also layers that are linear
    by class alone (a router that returns more than a product), and those that the family's kernels read past the layer.
    """
    inside_ids = {id(module) for module in decoder_of(base).modules()} | {id(base.get_output_embeddings())}
    all_linear = isinstance(targets, str) and targets.lower() == "all-linear"
    has_kernels = getattr(base.config, "model_type", None) in KERNEL_FAMILIES
    excluded = []
    for name, module in base.named_modules():
        if any(True for _ in module.children()) or not any(True for _ in module.parameters(recurse=False)):
            continue
        is_outside = id(module) not in inside_ids
        not_linear = all_linear and isinstance(module, torch.nn.Linear) and not _is_linear(module)
        read_by_kernel = all_linear and has_kernels and name.rpartition(".")[2] in KERNEL_READ_LAYERS
        if is_outside or not_linear or read_by_kernel:
            excluded.append(name)
    return excluded


def _is_linear(module: torch.nn.Linear) -> bool:
    """Whether it computes a linear layer's function: by torch's class, as a quantised layer in its place, or by a test input."""
    if type(module).forward is torch.nn.Linear.forward or type(module).__module__.startswith("bitsandbytes"):
        return True
    weight, bias = module.weight.detach(), module.bias
    x = torch.linspace(-1.0, 1.0, 2 * weight.shape[1], dtype=weight.dtype, device=weight.device).view(1, 2, -1)
    try:
        with torch.no_grad():
            output, expected = module(x), torch.nn.functional.linear(x, weight, bias)
    except (RuntimeError, TypeError, ValueError, IndexError):
        return False
    has_shape = isinstance(output, torch.Tensor) and output.shape == expected.shape
    return has_shape and torch.allclose(output, expected, rtol=1e-2, atol=1e-3)


def placement_notes(model: Any) -> list[str]:
    """Lines about where the adapter of a model is not, where a user would expect it; empty for most models."""
    base = model.get_base_model()
    decoder_ids = {id(module) for module in decoder_of(base).modules()}
    adapted_layers, fused_weights, other_towers = set(), set(), set()
    for name, module in base.named_modules():
        layer_name = name.rpartition(".")[2]
        if id(module) in decoder_ids:
            if len(getattr(module, "lora_A", ())):
                adapted_layers.add(layer_name)
            elif layer_name != "base_layer":
                weights = ((key, p) for key, p in module.named_parameters(recurse=False) if p.dim() == 3)
                fused_weights |= {f"{layer_name}.{key}" for key, _ in weights if "conv" not in layer_name}
        elif isinstance(module, torch.nn.Linear | torch.nn.Conv2d) and module is not base.get_output_embeddings():
            other_towers.add(".".join(name.split(".")[:2]))
    lines = []
    if fused_weights:
        fused_text = ", ".join(sorted(fused_weights))
        lines.append(
            f"adapter on {', '.join(sorted(adapted_layers))}; none on weights that are no layers of their own ({fused_text})"
        )
    if other_towers:
        lines.append(f"used on text alone: the adapter is on the language model, not on {', '.join(sorted(other_towers))}")
    return lines
