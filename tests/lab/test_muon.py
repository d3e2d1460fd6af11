"""Muon in float32 makes torch.optim.Muon's updates, up to the bfloat16 products of that one."""

import torch

from harness.lab.muon import Muon, orthogonalized


def test_five_updates_are_those_of_torchs_muon():
    """Wide, tall and square matrices, two of one shape; torch's Newton-Schulz steps round to bfloat16 (2^-8) five times over."""
    torch.manual_seed(0)
    shapes = [(6, 16), (16, 6), (8, 8), (8, 8)]
    mine = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in mine]
    start = [p.detach().clone() for p in mine]
    one = Muon(mine, weight_decay=0.05)
    other = torch.optim.Muon(theirs, lr=0.01, weight_decay=0.05, adjust_lr_fn="match_rms_adamw")
    for _ in range(5):
        for a, b in zip(mine, theirs, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        one.step(0.01)
        other.step()
        other.zero_grad()
    for a, b, before in zip(mine, theirs, start, strict=True):
        assert (a - b).norm() < 0.03 * (b - before).norm()
        assert a.grad is None


def test_singular_values_come_near_one_and_singular_vectors_stay():
    """The polynomial keeps them between 0.68 and 1.15 (Jordan et al., 2024), whatever the condition number below 100."""
    torch.manual_seed(0)
    u, _, v = torch.linalg.svd(torch.randn(3, 6, 10), full_matrices=False)
    sizes = torch.logspace(-2, 0, 6)
    made = orthogonalized(u * sizes @ v)
    inner = u.mT @ made @ v.mT
    values = torch.diagonal(inner, dim1=1, dim2=2)
    assert values.min() > 0.6 and values.max() < 1.25
    assert (inner - torch.diag_embed(values)).abs().max() < 1e-4
