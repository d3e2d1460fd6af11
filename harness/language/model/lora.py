"""peft's LoRA layer with less work: the same function, parameters and files.

y = x W' + b + s (x A') B'. peft computes the second product, a scaled copy of it and the sum one after the other. Here either
the second product is added while it is made, or, where the layer merges, W + s B A is formed once per set of weights and x goes
through that alone. The base weight itself never changes and gets no gradient; a merged weight is a copy beside it, dropped as
soon as A or B change. In float32 the copy differs from the sum by rounding; in half precision it would round small adapters
away, so it is not used there by default.

Within `bfloat16_products` the products with W, forward and backward, are made in bfloat16 (Micikevicius et al. 2018,
arXiv:1710.03740, with bfloat16 in place of float16, whose range needs no scaling of the loss); A, B and their products, sums and
gradients stay as they are.

Legend: T tokens (all leading axes flattened), I and O inputs and outputs of the layer, r rank.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from harness.errors import UserError, error_line
from harness.language.model.targets import excluded_layers

logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # peft loads it wherever it is installed, and it misses its own extras
from peft.tuners.lora import Linear as PeftLinear  # noqa: E402

if TYPE_CHECKING:
    from harness.config import LoraConfig

MAX_MERGED_BYTES = 1 << 30  # bytes of base weights up to which a second, merged copy is kept


class _FusedLora(torch.autograd.Function):
    """(T, I), (O, I), (O,) or None, (r, I), (O, r), scale, whether W is merged -> (T, O); gradients for x, A and B.

    Products with W are made in the precision of W, which may be less than that of x; the rest in that of x.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: Any, a: torch.Tensor, b: torch.Tensor, *options: Any):
        ctx.scale, ctx.merged = options
        if weight.dtype == x.dtype:
            out = torch.nn.functional.linear(x, weight, bias)
        else:
            out = (x.to(weight.dtype) @ weight.t()).to(x.dtype)
            out = out if bias is None else out.add_(bias)
        hidden = None if ctx.merged else x @ a.t()  # (T, r)
        ctx.save_for_backward(x, weight, a, b, hidden)
        return out if hidden is None else out.addmm_(hidden, b.t(), alpha=ctx.scale)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor):
        (grad_output,) = grad_outputs
        x, weight, a, b, hidden = ctx.saved_tensors
        grad_hidden = (grad_output @ b).mul_(ctx.scale)  # (T, r)
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = (grad_output.to(weight.dtype) @ weight).to(x.dtype)
            grad_x = grad_x if ctx.merged else grad_x.addmm_(grad_hidden, a)
        hidden = x @ a.t() if hidden is None else hidden
        # (r, O) and then transposed: so the wide factor is read row by row, up to twice as fast as grad_output' hidden.
        grad_b = torch.mul((hidden.t() @ grad_output).t(), ctx.scale, out=torch.empty_like(b))
        return grad_x, None, None, grad_hidden.t() @ x, grad_b, None, None


class FusedLinear(PeftLinear):
    """A peft LoRA layer over a plain linear layer, with one adapter in the base's own precision."""

    merges: bool
    merged_weight: tuple[tuple[int, ...], torch.Tensor] | None = None
    bfloat16_weight: torch.Tensor | None = None  # within `bfloat16_products`

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        name = self.active_adapters[0]
        a: Any = self.lora_A[name].weight
        b: Any = self.lora_B[name].weight
        if self.disable_adapters or self.merged or a.dtype != x.dtype:
            return super().forward(x, *args, **kwargs)
        base: Any = self.base_layer
        merges = self.merges and self.bfloat16_weight is None  # in bfloat16 a merged weight would lose a small adapter
        weight = base.weight if self.bfloat16_weight is None else self.bfloat16_weight
        weight = self._merge_adapter(weight, a, b, self.scaling[name]) if merges else weight
        if merges and not torch.is_grad_enabled():
            return torch.nn.functional.linear(x, weight, base.bias)
        flat = x.reshape(-1, x.shape[-1])
        out: Any = _FusedLora.apply(flat, weight, base.bias, a, b, self.scaling[name], merges)
        return out.view(*x.shape[:-1], out.shape[-1])

    def _merge_adapter(self, weight: torch.Tensor, a: torch.Tensor, b: torch.Tensor, scale: float) -> torch.Tensor:
        """(O, I) W + s B A of the weights as they stand; torch counts every change made to them in place.

        Laid out in memory as (I, O): a product of few rows with it then needs no other order of the weights (SmolLM2-135M, one
        thread: 105 -> 137 GFLOP/s with 32 rows, 137 -> 170 with 64, 171 -> 174 with 1,024), and its gradient takes as long.
        """
        state = (id(weight), weight._version, id(a), a._version, id(b), b._version)
        if self.merged_weight is None or self.merged_weight[0] != state:
            with torch.no_grad():
                self.merged_weight = state, torch.addmm(weight.t(), a.t(), b.t(), alpha=scale).t()
        return self.merged_weight[1]


@contextmanager
def bfloat16_products(model: Any) -> Iterator[None]:
    """Within, every fused layer multiplies by a copy of its weight in bfloat16, not by a merged one."""
    layers = fused_layers(model)
    for layer in layers:
        layer.merged_weight = None
        layer.bfloat16_weight = layer.base_layer.weight.detach().to(torch.bfloat16)
    try:
        yield
    finally:
        for layer in layers:
            layer.bfloat16_weight = None


def fused_layers(model: Any) -> list[Any]:
    return [module for module in model.modules() if isinstance(module, FusedLinear)]


def fuse(model: Any, merge: bool | None = None) -> bool:
    """Fuse every plain LoRA layer of `model`; returns whether adapters are merged into copies of the weights.

    merge: None decides by precision and size. Layers over anything but `torch.nn.Linear` (quantised, convolutions) and adapters
    kept in another precision than their input (float32 beside a bfloat16 base) stay as peft made them.
    """
    layers = [m for m in model.modules() if type(m) is PeftLinear and type(m.base_layer) is torch.nn.Linear]
    weights: list[torch.Tensor] = [layer.base_layer.weight for layer in layers]  # type: ignore[misc]
    if merge is None:
        exact = all(w.dtype in (torch.float32, torch.float64) for w in weights)
        merge = bool(layers and exact and sum(w.numel() * w.element_size() for w in weights) <= MAX_MERGED_BYTES)
    for layer in layers:
        layer.__class__ = FusedLinear
        layer.merges = merge  # type: ignore[assignment]
    return merge


def add_adapter(base: Any, lora: LoraConfig, base_name: str, merge: bool | None = None) -> Any:
    """The frozen base with one trainable adapter; dropout is off, since reference and policy must agree at step 0."""
    import peft

    excluded = excluded_layers(base, lora.targets)
    settings = peft.LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # peft scales by alpha / r, a float is fine
        target_modules=lora.targets,
        exclude_modules=excluded or None,
        lora_dropout=0.0,
        bias="none",
        task_type="CAUSAL_LM",
    )
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)  # peft's use of an old name
            warnings.filterwarnings("ignore", "fan_in_fan_out is set to False", UserWarning)  # peft then sets it right itself
            # peft's own patterns, for experts
            warnings.filterwarnings("ignore", "The following (rank|alpha)_pattern keys", RuntimeWarning)
            peft_model = peft.get_peft_model(base, settings)
    except ValueError as error:
        raise UserError(f"lora.targets={lora.targets!r}: {error_line(error)}") from error
    peft_model.peft_config["default"].base_model_name_or_path = base_name
    peft_model.eval()
    if next(base.parameters()).dtype == torch.float64:
        peft_model.double()
    fuse(peft_model, merge)
    return peft_model
