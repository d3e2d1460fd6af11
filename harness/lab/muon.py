"""The optimizer Muon for the matrices of a small model, in float32 on any processor.

Legend: A, B: rows and columns of a matrix, A <= B after turning; N: matrices of one shape.

The same update as torch.optim.Muon, which makes its products in bfloat16: a processor without such products takes several times
as long for them as for the whole rest of a training step. Matrices of one shape are multiplied together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # a, b, c
NEWTON_SCHULZ_STEPS = 5
MOMENTUM = 0.95
RMS = 0.2  # of an update, as AdamW's is
EPS = 1e-7


class Muon:
    """Nesterov momentum whose matrix is brought near an orthogonal one (Jordan et al., 2024, kellerjordan.github.io/posts/muon),
    scaled to the RMS of AdamW's updates, with decoupled weight decay (arXiv:2502.16982, section 2.2)."""

    def __init__(self, matrices: Sequence[Any], weight_decay: float) -> None:
        import torch

        self.weight_decay = weight_decay
        self.groups: dict[tuple[int, ...], list[Any]] = {}  # by shape
        for matrix in matrices:
            self.groups.setdefault(tuple(matrix.shape), []).append(matrix)
        self.momenta = {shape: torch.zeros(len(group), *shape) for shape, group in self.groups.items()}

    def step(self, rate: float) -> None:
        """One update of every matrix from its gradient, which is deleted."""
        import torch

        with torch.no_grad():
            for shape, group in self.groups.items():
                gradient = torch.stack([matrix.grad for matrix in group])
                momentum = self.momenta[shape].lerp_(gradient, 1 - MOMENTUM)
                update = orthogonalized(gradient.lerp_(momentum, MOMENTUM)) * (rate * RMS * max(shape) ** 0.5)
                for matrix, change in zip(group, update, strict=True):
                    matrix.mul_(1 - rate * self.weight_decay).sub_(change)
                    matrix.grad = None


def orthogonalized(matrices: Any) -> Any:
    """(N, A, B) -> (N, A, B): the singular values of each brought near 1, its singular vectors kept."""
    a, b, c = NEWTON_SCHULZ
    is_tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if is_tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=EPS)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if is_tall else x
