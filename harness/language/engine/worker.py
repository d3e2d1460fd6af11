"""vLLM's side of the pipe: one order comes in and responses go out, as JSON objects. The only file that uses vLLM's API.

Written against the documented interface of vLLM 0.33 and tested against a stand-in; not yet run on hardware. Nothing else of
this package is imported, so that the process holds vLLM alone. It ends when its parent closes the pipe, or dies.

The first message out is {"kind": "hello"} with vLLM's version and the device it computes on. The order names the base model, an
adapter or none, and the requests; the answer is {"kind": "opened"}, {"kind": "done", "count": n} as responses finish, then
{"kind": "responses"} with one per request, in order.
"""

# pyright: reportMissingImports=false, reportMissingModuleSource=false
# vLLM is an extra that no check can count on.

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any


def open_engine(order: dict[str, Any]) -> Any:
    """The base model in vLLM, ready to draw.

    The log-probabilities are `raw_logprobs`: of the model's own logits, before temperature and top-p, which is what is kept of a
    draw here. Prefix caching is off: prompts are short beside their responses, and without it no numbers depend on which block
    was there already. The model's own generation settings are not used.
    """
    from vllm import LLM

    lora_settings = {"enable_lora": True, "max_loras": 1, "max_lora_rank": order["rank"]} if order["rank"] else {}
    return LLM(
        model=order["model"],
        revision=order["revision"],
        dtype=order["dtype"],
        max_model_len=order["length"],
        gpu_memory_utilization=order["memory"],
        logprobs_mode="raw_logprobs",
        enable_prefix_caching=False,
        generation_config="vllm",
        seed=0,  # of what has no seed of its own; every request here has one
        **lora_settings,
    )


def generate(engine: Any, order: dict[str, Any], send: Callable[..., None]) -> list[dict[str, Any]]:
    """One response per request. It ends at one of its stop tokens, which is kept, or at its maximum length.

    `ignore_eos` leaves stopping to the stop tokens of the template, among which the tokenizer's own end always is. The adapter's
    name is made of its weights' digest: vLLM caches by name (vllm#42125), so it can stand for no other checkpoint.
    """
    from vllm import SamplingParams, TokensPrompt
    from vllm.lora.request import LoRARequest

    adapter = LoRARequest(order["adapter"]["name"], 1, order["adapter"]["path"]) if order["adapter"] else None
    settings = [
        SamplingParams(
            temperature=order["temperature"],
            top_p=order["top_p"],
            seed=seed,
            max_tokens=max_new_tokens,
            stop_token_ids=order["stop_ids"],
            ignore_eos=True,
            logit_bias=dict.fromkeys(order["never"], -100.0) or None,  # its lowest
            logprobs=0,  # of the token drawn alone
            detokenize=False,
        )
        for _, seed, max_new_tokens in order["requests"]
    ]
    prompts = [TokensPrompt(prompt_token_ids=prompt_ids) for prompt_ids, _, _ in order["requests"]]
    responses = []
    for output in engine.generate(prompts, settings, lora_request=adapter, use_tqdm=progress_bar(send)):
        (drawn,) = output.outputs
        responses.append({"ids": list(drawn.token_ids), "logp": drawn.cumulative_logprob, "reason": drawn.finish_reason})
    return responses


def progress_bar(send: Callable[..., None]) -> Any:
    """A tqdm class, vLLM's own hook for progress, that draws nothing and sends a message for every finished response."""
    from tqdm import tqdm

    devnull = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # open as long as the process lives

    class TqdmReporter(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "file": devnull})

        def update(self, n: float | None = 1) -> bool | None:
            send("done", count=n)
            return super().update(n)

    return TqdmReporter


def exit_with_parent(parent_pid: int) -> None:
    """End this process when its parent is gone, also in the middle of a draw, whose output would not be read."""
    while os.getppid() == parent_pid:
        time.sleep(1)
    os._exit(1)


def main() -> None:
    pipe = Connection(int(sys.argv[1]))

    def send(kind: str, **fields: Any) -> None:
        pipe.send_bytes(json.dumps({"kind": kind, **fields}).encode())

    threading.Thread(target=exit_with_parent, args=(os.getppid(),), daemon=True).start()

    import vllm
    from vllm.platforms import current_platform

    send("hello", version=vllm.__version__, device=current_platform.device_type)
    with contextlib.suppress(EOFError):  # the parent wants no more
        order = json.loads(pipe.recv_bytes())
        engine = open_engine(order)
        send("opened")
        send("responses", responses=generate(engine, order, send))
    os._exit(0)  # the memory is freed at once, and no library's exit handler can hang


if __name__ == "__main__":
    main()
