"""Responses drawn by vLLM instead of the policy: the same settings and seeds, another engine's numbers.

Each call starts a process for the checkpoint, draws, ends the process so that the device's memory is free for training, and
checks that the checkpoint's adapter was on (`adapter_check`). Token ids are kept as vLLM drew them.
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
from harness.language.engine.adapter_check import check_adapter
from harness.language.engine.preflight import check_backend, supported_rank
from harness.language.engine.vllm_process import VllmProcess
from harness.language.model.sampling import GeneratedTokens, Request
from harness.language.policy import Completion, Policy
from harness.progress import Advance
from harness.store.adapter_files import ADAPTER_FILE

LOGP_ROUNDING = 1e-3  # nats by which a probability of 1 may come out above 1


class VllmSampler:
    """A generation back end (`phases/generate.py`). `engine_record`: vLLM's version and the last agreement."""

    check = staticmethod(check_backend)

    def __init__(self, policy: Policy, config: RunConfig, adapter: Path | None) -> None:
        self.policy, self.config, self.adapter = policy, config, adapter
        self.engine_record: dict[str, Any] = {}

    @property
    def encoder(self) -> Encoder:
        return self.policy.encoder

    def sample(
        self, prompts: Sequence[list[int]], seeds: Sequence[int], settings: GenerationConfig, advance: Advance = lambda n: None
    ) -> list[Completion]:
        """One response per prompt, in the order given; each has a seed of its own.

        Others in the batch can change a response by rounding alone. Raises RuntimeError when vLLM's process fails, or when its
        responses are not the checkpoint's.
        """
        requests = self.policy.requests(prompts, seeds, settings)
        if not requests:
            return []
        with ExitStack() as stack:
            folder = self.adapter or self._initial_adapter(stack)
            name = f"checkpoint-{file_digest(folder / ADAPTER_FILE)}" if folder else None
            if self.policy.device.type == "cuda":
                torch.cuda.empty_cache()  # cached memory of the policy, for vLLM
            process = stack.enter_context(VllmProcess(settings.vllm_timeout, visible_device_env(self.policy.device)))
            version = process.receive("hello")["version"]
            process.send(
                "draw",
                model=self.policy.path,
                revision=None if Path(self.policy.path).is_dir() else self.policy.commit,  # the very one the policy has
                dtype=self.policy.precision,
                length=max(len(r.prompt_ids) + r.max_new_tokens for r in requests),
                memory=settings.vllm_memory,
                rank=supported_rank(self.config.lora.rank) if folder else None,
                adapter={"name": name, "path": str(folder.absolute())} if folder else None,
                temperature=settings.temperature,
                top_p=settings.top_p,
                stop_ids=sorted(self.policy.stop_ids),
                never=self.policy.ids_without_token,
                requests=[(list(r.prompt_ids), r.seed, r.max_new_tokens) for r in requests],
            )
            process.receive("opened")
            tokens = self._receive_tokens(process, requests, advance)
        completions = [self.policy.to_completion(prompt, generated) for prompt, generated in zip(prompts, tokens, strict=True)]
        agreement = check_adapter(self.policy, prompts, completions, self.config.model.tokens_per_pass, name)
        self.engine_record = {"vllm": version, "canary": dataclasses.asdict(agreement)}
        return completions

    def _initial_adapter(self, stack: ExitStack) -> Path | None:
        """The initial policy's adapter in a temporary folder, where it is not the bare base."""
        if self.policy.initial_adapter is None:
            return None
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="harness-checkpoint-")))
        self.policy.save_adapter(folder)
        return folder

    def _receive_tokens(self, process: VllmProcess, requests: Sequence[Request], advance: Advance) -> list[GeneratedTokens]:
        num_reported = 0
        while (message := process.receive("done", "responses"))["kind"] == "done":
            num_reported += message["count"]
            advance(message["count"])
        responses = message["responses"]
        if len(responses) != len(requests):
            raise process.failure(f"sent {len(responses)} responses, {len(requests)} were requested")
        vocabulary = set(range(self.policy.model.config.get_text_config().vocab_size)) - set(self.policy.ids_without_token)
        for response, request in zip(responses, requests, strict=True):
            if not is_response(response, request, self.policy.stop_ids, vocabulary):
                raise process.failure(f"sent something that is no response to its request: {str(response)[:200]}")
        advance(len(requests) - num_reported)
        return [GeneratedTokens(response["ids"], response["logp"]) for response in responses]


def is_response(message: dict[str, Any], request: Request, stop_ids: frozenset[int], vocabulary: set[int]) -> bool:
    """Whether a message can be a response: tokens of the vocabulary, a stop token only at the end, a log-probability."""
    ids, logp, reason = message["ids"], message["logp"], message["reason"]
    if not isinstance(logp, float) or not isinstance(ids, list) or not 0 < len(ids) <= request.max_new_tokens:
        return False
    if not all(type(i) is int for i in ids) or not vocabulary.issuperset(ids) or not stop_ids.isdisjoint(ids[:-1]):
        return False
    reason_fits = reason == "stop" if ids[-1] in stop_ids else reason == "length" and len(ids) == request.max_new_tokens
    return reason_fits and -math.inf < logp < LOGP_ROUNDING


def visible_device_env(device: torch.device) -> dict[str, str]:
    """The environment in which `device` is the only GPU, and so the one that vLLM takes."""
    if device.type != "cuda":
        return {}
    index = torch.cuda.current_device() if device.index is None else device.index
    visible_devices = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return {"CUDA_VISIBLE_DEVICES": visible_devices[index] if visible_devices else str(index)}
