"""A stand-in for vLLM 0.33: the part of its interface that the harness uses, computed by transformers and peft on a CPU.

HARNESS_TEST_VLLM picks what goes wrong with it; HARNESS_TEST_VLLM_NOTES names a file into which it writes what it was asked for
and what it drew.
"""

import functools
import json
import math
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

__version__ = "0.33.0+stand-in"
MODE = os.environ.get("HARNESS_TEST_VLLM", "")
NO_MODEL = ("dies", "few", "nonsense", "silent")  # fail before anybody looks at the numbers
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)


def note(**fields):
    if path := os.environ.get("HARNESS_TEST_VLLM_NOTES"):
        with open(path, "a", encoding="utf-8") as notes:
            notes.write(json.dumps(fields) + "\n")


@dataclass
class SamplingParams:
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    max_tokens: int | None = 16
    stop_token_ids: list[int] = field(default_factory=list)
    ignore_eos: bool = False
    logprobs: int | None = None
    detokenize: bool = True
    logit_bias: dict[int, float] | None = None

    def __post_init__(self):
        assert 0 <= self.temperature <= 2 and 0 < self.top_p <= 1 and self.max_tokens >= 1
        assert self.seed is None or -(2**63) <= self.seed < 2**63, "seeds are signed 64-bit numbers"


class TokensPrompt(dict):
    pass


def completion(ids, logp, reason):
    return SimpleNamespace(token_ids=ids, cumulative_logprob=logp, finish_reason=reason)


class LLM:
    def __init__(
        self, model, *, revision=None, dtype="auto", max_model_len=None, gpu_memory_utilization=0.92, seed=0,
        logprobs_mode="raw_logprobs", enable_prefix_caching=None, generation_config="auto",
        enable_lora=False, max_loras=1, max_lora_rank=16,
    ):  # fmt: skip
        note(
            asked="open", model=model, dtype=dtype, length=max_model_len, memory=gpu_memory_utilization, mode=logprobs_mode,
            caching=enable_prefix_caching, lora=enable_lora, rank=max_lora_rank, devices=os.environ.get("CUDA_VISIBLE_DEVICES"),
            processes=os.environ.get("VLLM_ENABLE_V1_MULTIPROCESSING"),
        )  # fmt: skip
        assert max_lora_rank in RANKS
        if MODE == "prints":
            print("INFO 11-24 05:43:00 [llm.py:1] Initializing", flush=True)
            os.write(1, b'{"kind": "end"}\nfrom below Python\n')
        if MODE == "raises":
            raise ValueError("Free memory on device cuda:0 is less than desired GPU memory utilization")
        self.path, self.dtype, self.longest = model, dtype, max_model_len
        self.logprobs_mode, self.enable_lora = logprobs_mode, enable_lora

    def generate(self, prompts, sampling_params, *, use_tqdm=True, lora_request=None):
        assert lora_request is None or self.enable_lora, "Got lora_request but LoRA is not enabled!"
        if MODE == "hangs":
            time.sleep(600)
        bar = use_tqdm(total=len(prompts), desc="Processed prompts", dynamic_ncols=True, postfix="est. speed")
        outputs = []
        for prompt, params in zip(prompts, sampling_params, strict=True):
            if MODE == "dies" and len(outputs) == 2:
                print("CUDA error: an illegal memory access was encountered", file=sys.stderr, flush=True)
                os._exit(3)
            fake = completion([5] * params.max_tokens, -1.0, "length")
            one = fake if MODE in NO_MODEL else self.draw(prompt["prompt_token_ids"], params, self.adapter(lora_request))
            outputs.append(SimpleNamespace(prompt_token_ids=prompt["prompt_token_ids"], outputs=[one]))
            bar.postfix = f"est. speed {1 / bar.format_dict['elapsed']:.2f}"
            bar.update(1)
            name = lora_request and lora_request.lora_name
            note(drew=one.token_ids, logp=one.cumulative_logprob, name=name, seed=params.seed)
        if bar.n == len(prompts):
            bar.refresh()
        bar.close()
        if MODE == "nonsense":
            outputs[0].outputs[0].token_ids[0] = 10**6
        if MODE == "silent":
            outputs[0].outputs[0].cumulative_logprob = None
        return outputs[1:] if MODE == "few" else outputs

    def adapter(self, request):
        """The folder that is really used, and what a cache hands out in its place."""
        if request is None or MODE == "ignores":
            return None
        path = request.lora_path
        if MODE == "first":  # a stale copy that outlives its process: the first adapter there ever was
            kept = Path(os.environ["HARNESS_TEST_VLLM_NOTES"] + ".first")
            if not kept.exists():
                kept.write_text(path)
            return kept.read_text()
        return path

    @functools.cache  # noqa: B019  # the process has one
    def model(self, folder):
        import torch
        import transformers

        torch.set_num_threads(1)
        base = transformers.AutoModelForCausalLM.from_pretrained(self.path, dtype=getattr(torch, self.dtype)).eval()
        if folder is None:
            return base
        import peft

        return peft.PeftModel.from_pretrained(base, folder).eval()

    def draw(self, prompt, params, folder):
        model = self.model(folder)
        import torch

        assert len(prompt) + params.max_tokens <= self.longest
        generator = torch.Generator().manual_seed(params.seed)
        ends = {*params.stop_token_ids, *([] if params.ignore_eos else [model.config.eos_token_id])}
        ids, total, cache, feed = [], 0.0, None, prompt
        with torch.no_grad():
            while True:
                out = model(input_ids=torch.tensor([feed]), past_key_values=cache, use_cache=True)
                cache, logits = out.past_key_values, out.logits[0, -1].float()
                biased = logits.clone()
                for token, bias in (params.logit_bias or {}).items():
                    biased[token] += max(-100.0, min(100.0, bias))
                probabilities = torch.softmax(biased / params.temperature, -1)
                if params.top_p < 1:
                    ranked, order = probabilities.sort(descending=True)
                    ranked[ranked.cumsum(-1) - ranked >= params.top_p] = 0
                    probabilities = torch.zeros_like(probabilities).scatter(-1, order, ranked)
                token = int(torch.multinomial(probabilities, 1, generator=generator))
                raw = self.logprobs_mode == "raw_logprobs"
                shown = logits.log_softmax(-1)[token] if raw else (probabilities / probabilities.sum())[token].log()
                ids.append(token)
                total += float(shown)
                if token in ends or len(ids) == params.max_tokens:
                    break
                feed = [token]
        assert not math.isnan(total)
        return completion(ids, None if params.logprobs is None else total, "stop" if token in ends else "length")
