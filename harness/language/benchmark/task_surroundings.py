"""Context managers around loading, building and scoring of lm-eval tasks: random states, code execution, numpy warnings."""

from __future__ import annotations

import contextlib
import os
import random
import warnings
from collections.abc import Iterator
from unittest import mock

import numpy as np
import torch

from harness.language.random_state import keep_random_state

LM_EVAL_SEEDS = {"random": 0, "numpy": 1234, "torch": 1234}  # those of lm-eval's `simple_evaluate`


class RandomState:
    """Global random states that continue from where they were left: some task files use them while a task is loaded and built.

    They start as in a `simple_evaluate` of the row alone, so that such tasks have the same prompts in every suite.
    """

    def __init__(self) -> None:
        with keep_random_state():
            random.seed(LM_EVAL_SEEDS["random"])
            np.random.seed(LM_EVAL_SEEDS["numpy"])
            torch.manual_seed(LM_EVAL_SEEDS["torch"])
            self._save()

    def _save(self) -> None:
        self.python, self.numpy, self.torch = random.getstate(), np.random.get_state(), torch.get_rng_state()

    @contextlib.contextmanager
    def resumed(self) -> Iterator[None]:
        with keep_random_state():
            random.setstate(self.python)
            np.random.set_state(self.numpy)
            torch.set_rng_state(self.torch)
            yield
            self._save()


@contextlib.contextmanager
def allow_code_execution(allowed: bool) -> Iterator[None]:
    """Set the environment variable that metrics of the `evaluate` package check before they run code."""
    with mock.patch.dict(os.environ, {"HF_ALLOW_CODE_EVAL": "1"} if allowed else {}):
        yield


@contextlib.contextmanager
def ignore_arithmetic_warnings() -> Iterator[None]:
    """lm-eval divides by the length of a choice, which may be empty; a score that is not finite is an error elsewhere."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield
