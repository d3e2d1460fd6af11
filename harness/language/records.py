"""Examples and samples of the world of text: the lines of data/train.jsonl and of samples.jsonl."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Example:
    """One annotated pair. `id` hashes prompt and real response; `rendered` is the prompt after the chat template."""

    id: str
    prompt: str
    real: str
    rendered: str

    def identity(self) -> str:
        return f"{self.id} {self.rendered}"


@dataclass(frozen=True)
class Sample:
    """One response sampled from a checkpoint. finished: it ended in its end token, and was not cut off.

    `logp` is its log-probability under that checkpoint, computed while sampling, in nats, whatever the sampling temperature.
    """

    example_id: str
    iteration: int
    index: int
    token_ids: list[int]
    text: str
    finished: bool
    seed: int
    logp: float

    @property
    def content(self) -> list[int]:
        return self.token_ids

    def identity(self) -> str:
        return f"{self.example_id} {self.index} {self.token_ids}"
