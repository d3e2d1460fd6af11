"""Self-play objectives as pure mathematics of log-probabilities: one file each, torch and the standard library only.

This package re-exports the contract and knows no concrete objective; `harness.discovery` finds those by file name.
"""

from objectives._contract import (
    Batch,
    Citation,
    LossOutput,
    Needs,
    Objective,
    Responses,
    UndeclaredRead,
    param,
)

__all__ = ["Batch", "Citation", "LossOutput", "Needs", "Objective", "Responses", "UndeclaredRead", "param"]
