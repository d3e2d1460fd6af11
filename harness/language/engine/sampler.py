"""Responses drawn by vLLM instead of the policy: the same settings and seeds, another engine's numbers.

Each call starts a process for the player, draws, ends the process so that the device's memory is free for training, and checks
that the player's adapter was on (`canary`). Token ids are kept as vLLM drew them.
"""

from __future__ import annotations

import dataclasses
import math
import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from harness.config import GenerationConfig, RunConfig
from harness.files import file_digest
from harness.language.encoding import Encoder
from harness.language.engine.canary import check
from harness.language.engine.line import Line
from harness.language.engine.preflight import room_for
from harness.language.model.sampling import Request, Tokens
from harness.language.policy import Advance, Drawn, Policy
from harness.store.adapter_files import ADAPTER_FILE

ROUNDING = 1e-3  # nats by which a probability of 1 may come out above 1


def sampler_for(policy: Policy, config: RunConfig, adapter: Path | None) -> Policy | VllmSampler:
    """What draws the responses of the player in `policy`'s slot: the policy itself, or vLLM where the run asks for it.

    adapter: the player's folder; None for the initial policy.
    """
    return VllmSampler(policy, config, adapter) if config.generation.backend == "vllm" else policy


class VllmSampler:
    """Draws from the player in `policy`'s slot by vLLM. After a draw, `measured` says which vLLM it was and how it agreed."""

    def __init__(self, policy: Policy, config: RunConfig, adapter: Path | None) -> None:
        self.policy, self.config, self.adapter = policy, config, adapter
        self.measured: dict[str, Any] = {}

    @property
    def encoder(self) -> Encoder:
        return self.policy.encoder

    def sample(
        self, prompts: Sequence[list[int]], seeds: Sequence[int], settings: GenerationConfig, advance: Advance = lambda n: None
    ) -> list[Drawn]:
        """One response per prompt, in the order given; each has a seed of its own.

        A neighbour in the batch can change a response by rounding alone. Raises RuntimeError when vLLM's process fails, or when
        what it drew is not the player's.
        """
        requests = self.policy.requests(prompts, seeds, settings)
        if not requests:
            return []
        with ExitStack() as stack:
            folder = self.adapter or self._initial_adapter(stack)
            name = f"player-{file_digest(folder / ADAPTER_FILE)}" if folder else None
            adapter = {"name": name, "path": str(folder.absolute())} if folder else None
            if self.policy.device.type == "cuda":
                torch.cuda.empty_cache()  # what the policy has put aside vLLM may want
            line = stack.enter_context(Line(settings.vllm_timeout, visible(self.policy.device)))
            version = line.hear("hello")["version"]
            line.ask("open", **self._base(requests, settings, with_adapter=folder is not None))
            line.hear("opened")
            tokens = self._draw(line, adapter, requests, settings, advance)
        drawn = [self.policy.spoken(prompt, one) for prompt, one in zip(prompts, tokens, strict=True)]
        found = check(self.policy, prompts, drawn, self.config.model.tokens_per_pass, name)
        self.measured = {"vllm": version, "canary": dataclasses.asdict(found)}
        return drawn

    def _initial_adapter(self, stack: ExitStack) -> Path | None:
        """The initial policy's adapter as a folder for the time of the draw, where it is not the bare base."""
        if self.policy.start is None:
            return None
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="harness-player-")))
        self.policy.save_adapter(folder)
        return folder

    def _base(self, requests: Sequence[Request], settings: GenerationConfig, with_adapter: bool) -> dict[str, Any]:
        """The base as vLLM opens it: the very commit the policy has, and no more context than the longest request takes."""
        return {
            "model": self.policy.path,
            "revision": None if Path(self.policy.path).is_dir() else self.policy.commit,
            "dtype": self.policy.precision,
            "length": max(len(r.prompt_ids) + r.most for r in requests),
            "memory": settings.vllm_memory,
            "rank": room_for(self.config.lora.rank) if with_adapter else None,
        }

    def _draw(
        self,
        line: Line,
        adapter: dict[str, Any] | None,
        requests: Sequence[Request],
        settings: GenerationConfig,
        advance: Advance,
    ) -> list[Tokens]:
        stop_ids = self.policy.stop_ids
        line.ask(
            "draw",
            adapter=adapter,
            temperature=settings.temperature,
            top_p=settings.top_p,
            stop_ids=sorted(stop_ids),
            never=self.policy.nameless,
            requests=[(list(r.prompt_ids), r.seed, r.most) for r in requests],
        )
        vocabulary = self.policy.model.config.get_text_config().vocab_size
        never = set(self.policy.nameless)
        tokens: list[Tokens] = []
        told = 0
        while (message := line.hear("done", "response", "end"))["kind"] != "end":
            if message["kind"] == "done":
                told += message["count"]
                advance(message["count"])
            elif len(tokens) == len(requests):
                raise line.failure(f"sent more than the {len(requests)} responses asked for")
            elif not is_response(message, requests[len(tokens)], stop_ids, vocabulary) or never & set(message["ids"]):
                raise line.failure(f"sent something that is no response to its request: {str(message)[:200]}")
            else:
                tokens.append(Tokens(message["ids"], message["logp"]))
        if len(tokens) != len(requests):
            raise line.failure(f"sent {len(tokens)} responses, {len(requests)} were asked for")
        advance(len(requests) - told)
        return tokens


def is_response(message: dict[str, Any], request: Request, stop_ids: frozenset[int], vocabulary: int) -> bool:
    """Whether a message can be a response: tokens of the model's, ended where and as they should, with a log-probability."""
    ids, logp, reason = message.get("ids"), message.get("logp"), message.get("reason")
    if not isinstance(ids, list) or not isinstance(logp, float) or not 0 < len(ids) <= request.most:
        return False
    if not all(type(i) is int and 0 <= i < vocabulary for i in ids) or not stop_ids.isdisjoint(ids[:-1]):
        return False
    ended = reason == "stop" if ids[-1] in stop_ids else reason == "length" and len(ids) == request.most
    return ended and -math.inf < logp < ROUNDING


def visible(device: torch.device) -> dict[str, str]:
    """The environment in which `device` is the only GPU, and so the one that vLLM takes."""
    if device.type != "cuda":
        return {}
    index = torch.cuda.current_device() if device.index is None else device.index
    listed = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return {"CUDA_VISIBLE_DEVICES": listed[index] if listed else str(index)}
