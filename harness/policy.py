"""Base model + one LoRA adapter: load, save, log-probabilities, sampling. Never sees an objective.

The base is loaded once and frozen. Every player is an adapter put into the same slot (`become`), so main player and
opponent share one base and there is never a second model in memory. Adapters are never merged: no rounding drift.

Legend: N rows (a prompt with one response), T tokens of the longest row, V vocabulary, B prompts in a generation batch.
Log-probabilities are in nats, summed over the response's tokens, and computed from float32 logits (float64 in a float64 model).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.config import GenerationConfig, LoraConfig, ModelConfig, resolve_path
from harness.encoding import Template, choose_template
from harness.errors import UserError
from harness.records import digest, keyed_seed
from harness.store import file_digest

ADAPTER_FILE = "adapter_model.safetensors"
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Row:
    """One prompt with one response, as token ids."""

    prompt_ids: list[int]
    response_ids: list[int]


@dataclass(frozen=True)
class Drawn:
    """One sampled response. `token_ids` end in a stop token if and only if `finished`."""

    token_ids: list[int]
    text: str
    finished: bool


class Policy:
    """A frozen base with one adapter slot. Make one with `load_policy`."""

    def __init__(self, model: Any, tokenizer: Any, template: Template, base_digest: str) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.template = template
        self.base_digest = base_digest

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def context(self) -> int:
        """Largest number of tokens, prompt and response together, the model can take."""
        return int(getattr(self.model.config, "max_position_embeddings", 0) or self.tokenizer.model_max_length)

    @property
    def precision(self) -> str:
        """dtype of the frozen base, as text."""
        return str(next(p for n, p in self.model.named_parameters() if "lora_" not in n).dtype).removeprefix("torch.")

    # ------------------------------------------------------------ players

    def adapter_parameters(self) -> list[tuple[str, torch.nn.Parameter]]:
        return [(name, p) for name, p in self.model.named_parameters() if "lora_" in name]

    def become_initial(self, seed: int) -> None:
        """Put the initial policy into the slot: B zero, so the player equals the base; A drawn from `seed` by name."""
        with torch.no_grad():
            for name, parameter in self.adapter_parameters():
                if "lora_B" in name or "lora_embedding_A" in name:
                    parameter.zero_()
                    continue
                generator = torch.Generator().manual_seed(keyed_seed(seed, "lora", name))
                fresh = torch.empty(parameter.shape, dtype=torch.float32)
                torch.nn.init.kaiming_uniform_(fresh, a=math.sqrt(5), generator=generator)
                parameter.copy_(fresh)

    def become(self, adapter: Path) -> None:
        """Put a saved player into the slot. Raises ValueError when the adapter was made for another base or rank."""
        from safetensors.torch import load_file

        saved = load_file(adapter / ADAPTER_FILE)
        mine = dict(self.adapter_parameters())
        if saved.keys() != mine.keys() or any(saved[n].shape != mine[n].shape for n in mine):
            raise ValueError(f"{adapter}: an adapter of another base model, rank or targets")
        with torch.no_grad():
            for name, parameter in mine.items():
                parameter.copy_(saved[name])

    def save(self, adapter: Path) -> str:
        """Write the player in the slot as a peft adapter folder; returns the digest of its weights."""
        from safetensors.torch import save_file

        adapter.mkdir(parents=True, exist_ok=True)
        weights = {name: p.detach().cpu().contiguous() for name, p in self.adapter_parameters()}
        save_file(weights, adapter / ADAPTER_FILE, metadata={"format": "pt"})
        self.model.peft_config["default"].save_pretrained(str(adapter))
        return file_digest(adapter / ADAPTER_FILE)

    # ------------------------------------------------------------ log-probabilities

    def response_logps(self, rows: Sequence[Row]) -> torch.Tensor:
        """(N,) log-probability of each row's response given its prompt, with gradient where gradients are on.

        Rows are padded on the right: under causal attention no token sees what follows it, so padding needs no mask.
        Only the columns where some row has response tokens reach the vocabulary projection.
        """
        lengths = [len(r.prompt_ids) + len(r.response_ids) for r in rows]
        first = min(len(r.prompt_ids) for r in rows) - 1  # the column that predicts the earliest response token
        ids = torch.zeros((len(rows), max(lengths)), dtype=torch.long)
        is_target = torch.zeros_like(ids, dtype=torch.bool)  # at column t: token t + 1 is a response token of this row
        for n, row in enumerate(rows):
            ids[n, : lengths[n]] = torch.tensor(row.prompt_ids + row.response_ids)
            is_target[n, len(row.prompt_ids) - 1 : lengths[n] - 1] = True
        ids, is_target = ids.to(self.device), is_target.to(self.device)
        columns = torch.arange(first, ids.shape[1] - 1, device=self.device)
        logits = self.model(input_ids=ids, logits_to_keep=columns, use_cache=False).logits  # (N, columns, V)
        wanted = is_target[:, first:-1]
        chosen = logits[wanted]  # (response tokens, V)
        chosen = chosen if chosen.dtype == torch.float64 else chosen.float()
        targets = ids[:, first + 1 :][wanted]
        token_logp = -torch.nn.functional.cross_entropy(chosen, targets, reduction="none")
        owner = torch.arange(len(rows), device=self.device)[:, None].expand_as(wanted)[wanted]
        return torch.zeros(len(rows), dtype=token_logp.dtype, device=self.device).index_add(0, owner, token_logp)

    @torch.no_grad()
    def score(self, rows: Sequence[Row], batch_size: int, advance: Advance = lambda n: None) -> list[float]:
        """Log-probability of every row, in the order given; computed in batches of similar length."""
        order = sorted(range(len(rows)), key=lambda i: (len(rows[i].prompt_ids) + len(rows[i].response_ids), i))
        found = [0.0] * len(rows)
        for start in range(0, len(order), batch_size):
            part = order[start : start + batch_size]
            for i, value in zip(part, self.response_logps([rows[i] for i in part]).tolist(), strict=True):
                found[i] = value
            advance(len(part))
        return found

    # ------------------------------------------------------------ sampling

    @torch.no_grad()
    def sample(
        self,
        prompts: Sequence[list[int]],
        seeds: Sequence[int],
        settings: GenerationConfig,
        advance: Advance = lambda n: None,
    ) -> list[Drawn]:
        """One response per prompt, in the order given; each depends on its own seed, not on its neighbours in a batch."""
        order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), i))
        found: dict[int, Drawn] = {}
        for start in range(0, len(order), settings.batch_size):
            part = order[start : start + settings.batch_size]
            drawn = self._sample_batch([prompts[i] for i in part], [seeds[i] for i in part], settings)
            found.update(zip(part, drawn, strict=True))
            advance(len(part))
        return [found[i] for i in range(len(prompts))]

    def _sample_batch(self, prompts: list[list[int]], seeds: list[int], settings: GenerationConfig) -> list[Drawn]:
        """Rows padded on the left, one key-value cache; finished rows leave the batch as soon as half have finished."""
        width = max(map(len, prompts))
        ids = torch.zeros((len(prompts), width), dtype=torch.long)
        mask = torch.zeros((len(prompts), width), dtype=torch.long)
        for n, prompt in enumerate(prompts):
            ids[n, width - len(prompt) :] = torch.tensor(prompt)
            mask[n, width - len(prompt) :] = 1
        ids, mask = ids.to(self.device), mask.to(self.device)
        room = [min(settings.max_new_tokens, self.context - len(p)) for p in prompts]
        uniforms = torch.from_numpy(
            np.stack([np.random.Generator(np.random.Philox(s)).random(settings.max_new_tokens) for s in seeds])
        ).to(self.device)
        responses: list[list[int]] = [[] for _ in prompts]
        active = list(range(len(prompts)))
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        cache: Any = None
        for step in range(max(room)):
            out = self.model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            cache = out.past_key_values
            drawn = _draw(out.logits[:, -1], uniforms[:, step], settings)  # (B,)
            tokens = drawn.tolist()
            going = []
            for slot, row in enumerate(active):
                if row < 0:
                    continue
                responses[row].append(tokens[slot])
                if tokens[slot] in self.template.stop_ids or len(responses[row]) >= room[row]:
                    active[slot] = -1
                else:
                    going.append(slot)
            if not going:
                break
            if len(going) * 2 <= len(active):
                keep = torch.tensor(going, device=self.device)
                cache.batch_select_indices(keep)
                drawn, mask, positions, uniforms = drawn[keep], mask[keep], positions[keep], uniforms[keep]
                active = [active[slot] for slot in going]
            ids = drawn[:, None]
            mask = torch.cat([mask, mask.new_ones((len(mask), 1))], dim=1)
            positions = positions[:, -1:] + 1
        return [self._drawn(response) for response in responses]

    def _drawn(self, token_ids: list[int]) -> Drawn:
        finished = token_ids[-1] in self.template.stop_ids
        spoken = token_ids[:-1] if finished else token_ids
        text = self.tokenizer.decode(spoken, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return Drawn(token_ids, text, finished)


def _draw(logits: torch.Tensor, uniform: torch.Tensor, settings: GenerationConfig) -> torch.Tensor:
    """(B, V) logits and (B,) uniforms -> (B,) tokens by inverting the cumulative distribution.

    One uniform per row and step makes a row's draw independent of the batch around it, which a shared generator is not.
    """
    probabilities = torch.softmax(logits.double() / settings.temperature, dim=-1)
    if settings.top_p < 1.0:
        ranked, order = probabilities.sort(dim=-1, descending=True)
        ranked[ranked.cumsum(-1) - ranked >= settings.top_p] = 0.0  # the token that crosses top_p is still in
        probabilities = torch.zeros_like(probabilities).scatter(-1, order, ranked)
    cumulative = probabilities.cumsum(-1)
    target = uniform[:, None] * cumulative[:, -1:]
    return torch.searchsorted(cumulative, target, right=True).squeeze(-1).clamp(max=logits.shape[-1] - 1)


# ---------------------------------------------------------------- loading


def choose_device(asked: str) -> torch.device:
    """ "auto" is CUDA where there is one, else the CPU. Raises UserError for a device this machine does not have."""
    if asked == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(asked)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"model.device={asked}: not a device of this machine; use cpu, cuda or auto") from error
    return device


def choose_dtype(asked: str, device: torch.device) -> torch.dtype:
    """ "auto" is bfloat16 on a GPU that has it, else float32."""
    if asked == "auto":
        return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    return getattr(torch, asked)


def load_policy(model: ModelConfig, lora: LoraConfig, template: str) -> Policy:
    """The base at `model.path`, frozen, with a fresh adapter. Raises UserError when there is no such model."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    device = choose_device(model.device)
    path = str(resolve_path(model.path)) if model.path.startswith("builtin:") else model.path
    options = {"revision": model.revision} if model.revision else {}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(path, **options)
        base: Any = transformers.AutoModelForCausalLM.from_pretrained(
            path,
            dtype=choose_dtype(model.dtype, device),
            use_safetensors=True,
            **({"attn_implementation": model.attention} if model.attention else {}),
            **options,
        )
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise UserError(f"model.path={model.path}: cannot be loaded ({first}); give a folder or a hub id") from error
    chosen = choose_template(tokenizer, template)
    wrapped = with_adapter(base.to(device), lora, model.path)
    return Policy(wrapped, tokenizer, chosen, base_digest(path, base))


def with_adapter(base: Any, lora: LoraConfig, base_name: str) -> Any:
    """The frozen base with one trainable adapter; dropout is off, since reference and policy must agree at step 0."""
    import peft

    settings = peft.LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # peft scales by alpha / r, a float is fine
        target_modules=lora.targets,
        lora_dropout=0.0,
        bias="none",
        task_type="CAUSAL_LM",
    )
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)  # peft's use of an old name
            wrapped = peft.get_peft_model(base, settings)
    except ValueError as error:
        raise UserError(f"lora.targets={lora.targets!r}: {str(error).splitlines()[0]}") from error
    wrapped.peft_config["default"].base_model_name_or_path = base_name
    wrapped.eval()
    if next(base.parameters()).dtype == torch.float64:
        wrapped.double()
    return wrapped


def base_digest(path: str, base: Any) -> str:
    """Digest of the base's weight files where they are local, else the hub's commit."""
    folder = Path(path)
    if folder.is_dir():
        return digest(*(file_digest(p) for p in sorted(folder.glob("*.safetensors"))))
    return str(getattr(base.config, "_commit_hash", None))


@contextmanager
def keep_random_state():
    """Restore Python's, numpy's and torch's global generators afterwards: libraries that reseed them stay harmless."""
    import random

    python, numpy_state, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy_state)
        torch.set_rng_state(cpu)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
