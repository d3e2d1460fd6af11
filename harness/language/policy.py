"""Base model + one LoRA adapter: load, save, log-probabilities, sampling. Never sees an objective.

The base is loaded once and frozen (`loading`). Every checkpoint is an adapter loaded into the same slot (`load_adapter`), so
main player and opponent share one base and there is never a second model in memory. The base's weights are never changed.

Legend: N responses of all groups. Log-probabilities are in nats, summed over a response's tokens.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from harness.files import file_digest
from harness.language.encoding import Encoder, Template
from harness.language.model.checkpointing import gradient_checkpointing
from harness.language.model.choosing import SamplingParams
from harness.language.model.context import find_context_length
from harness.language.model.generating import batches_by_length, generate_with_transformers
from harness.language.model.loglikelihood import loglikelihoods
from harness.language.model.logprobs import LayoutCheck, collate, continuation_logps
from harness.language.model.packing import PackedBatch, batches_by_tokens, unsort
from harness.language.model.sampling import GeneratedTokens, Request, generate_tokens
from harness.progress import Advance
from harness.records import PromptGroup, keyed_seed
from harness.store.adapter_files import ADAPTER_FILE, CONFIG_FILE, sort_set_fields, to_module_name, to_peft_name
from harness.train.nonfinite import BadExample, NonFiniteError, ResponseValues, with_example_ids
from harness.train.oom import halve_on_oom, shrink_on_oom
from harness.train.thread_pool import OrderedThreadPool

if TYPE_CHECKING:
    from harness.config import GenerationConfig

# Requests that one thread of a CPU draws: enough rows for matrix products to be efficient, few enough for every thread to have
# some. A small model's step costs Python's time more than arithmetic, so it wants more rows. Two batches of 16 take more time of
# processors than one of 32 (SmolLM2-135M: 96 tokens a second each, beside 138), and end sooner where two threads draw.
MAX_REQUESTS_PER_BATCH = 128
MAX_REQUESTS_PER_BATCH_SMALL = 600
SMALL_MODEL = 10_000_000  # parameters
MIN_REQUESTS_PER_BATCH = 16


@dataclass(frozen=True)
class Completion:
    """One sampled response. `token_ids` end in a stop token if and only if `finished`; `logp` is at temperature 1."""

    token_ids: list[int]
    text: str
    finished: bool
    logp: float


class Policy:
    """A frozen base with one adapter slot. Make one with `loading.load_policy`."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        template: Template,
        base_digest: str,
        layout_check: LayoutCheck,
        pool: OrderedThreadPool | None = None,
    ) -> None:
        self.model = model
        self.pool = pool or OrderedThreadPool()
        self.layout_check = layout_check
        self.tokenizer = tokenizer
        self.template = template
        self.encoder = Encoder(tokenizer, template)
        self.base_digest = base_digest
        self.path = ""  # where the base was loaded from
        self.commit: str | None = None  # its commit, where that is the hub
        self.training_precision = self.precision  # this and the next as in world.py; model/arithmetic.py sets others
        self.training_arithmetic: Callable[[], AbstractContextManager[None]] = nullcontext
        self.notes: list[str] = []  # what a user should know of this model before anything is spent
        self.initial_adapter: dict[str, torch.Tensor] | None = None  # where the initial policy is not the bare base

    @property
    def stop_ids(self) -> frozenset[int]:
        """The tokens at which a sampled response ends."""
        generation_template = self.encoder.generation_template
        return self.template.stop_ids | (generation_template.stop_ids if generation_template else frozenset())

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @cached_property
    def context_length(self) -> int:
        """Largest number of tokens, prompt and response together, the model can take."""
        return find_context_length(self.model, self.tokenizer)

    @cached_property
    def ids_without_token(self) -> tuple[int, ...]:
        """Ids of the model that the tokenizer has no token for: the end of a padded vocabulary, and holes."""
        vocab_size = int(self.model.get_output_embeddings().weight.shape[0])
        return tuple(sorted(set(range(vocab_size)) - set(self.tokenizer.get_vocab().values())))

    @property
    def precision(self) -> str:
        """dtype of the frozen base, as text."""
        return str(next(p for n, p in self.model.named_parameters() if "lora_" not in n).dtype).removeprefix("torch.")

    @property
    def quantized(self) -> bool:
        """Whether the frozen base is in 4 or 8 bits."""
        return getattr(self.model.config, "quantization_config", None) is not None

    def layout(self) -> dict[str, Any]:
        """How rows go through the model and why, as recorded in run.json."""
        return {
            "layout": self.layout_check.layout,
            "layout_reason": self.layout_check.reason,
            "layout_difference_nats_per_token": self.layout_check.difference,
            "sampler": self.layout_check.sampler,
            "sampler_reason": self.layout_check.sampler_reason,
            "merged_copies": self.uses_merged_weights,
        }

    def decode(self, content: Sequence[int]) -> str:
        """The text of token ids, control tokens shown."""
        return self.tokenizer.decode(content)

    @property
    def uses_merged_weights(self) -> bool:
        """Whether the adapter is applied through a merged copy of the weights (see `model.lora`)."""
        return any(getattr(module, "merges", False) for module in self.model.modules())

    # ------------------------------------------------------------ adapters

    def adapter_parameters(self) -> list[tuple[str, torch.nn.Parameter]]:
        return [(name, p) for name, p in self.model.named_parameters() if "lora_" in name]

    def reset_adapter(self, seed: int) -> None:
        """Load the initial policy: the adapter it starts from, or B zero, so that the policy equals the base, and A drawn from
        `seed` and the parameter's name.
        """
        with torch.no_grad():
            for name, parameter in self.adapter_parameters():
                if self.initial_adapter is not None:
                    parameter.copy_(self.initial_adapter[name])
                    continue
                if "lora_B" in name or "lora_embedding_A" in name:
                    parameter.zero_()
                    continue
                generator = torch.Generator().manual_seed(keyed_seed(seed, "lora", name))
                initial = torch.empty(parameter.shape, dtype=torch.float32)
                torch.nn.init.kaiming_uniform_(initial, a=math.sqrt(5), generator=generator)
                parameter.copy_(initial)

    def load_adapter(self, adapter: Path) -> None:
        """Load a saved checkpoint. Raises ValueError when the adapter was made for another base or rank, NonFiniteError when its
        weights are not finite.
        """
        from safetensors.torch import load_file

        saved_weights = {to_module_name(name): tensor for name, tensor in load_file(adapter / ADAPTER_FILE).items()}
        parameters = dict(self.adapter_parameters())
        if saved_weights.keys() != parameters.keys() or any(saved_weights[n].shape != p.shape for n, p in parameters.items()):
            raise ValueError(f"{adapter}: an adapter of another base model, rank or targets")
        if not all(bool(tensor.isfinite().all()) for tensor in saved_weights.values()):
            raise NonFiniteError(f"{adapter}: weights that are not finite")
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(saved_weights[name])

    def save_adapter(self, adapter: Path) -> str:
        """Write the loaded adapter as a folder that peft reads itself; returns the digest of its weights."""
        from safetensors.torch import save_file

        adapter.mkdir(parents=True, exist_ok=True)
        weights = {to_peft_name(name): p.detach().cpu().contiguous() for name, p in self.adapter_parameters()}
        save_file(weights, adapter / ADAPTER_FILE, metadata={"format": "pt"})
        self.model.peft_config["default"].save_pretrained(str(adapter))
        sort_set_fields(adapter / CONFIG_FILE)
        return file_digest(adapter / ADAPTER_FILE)

    # ------------------------------------------------------------ log-probabilities

    def gradient_checkpointing(self, enabled: bool) -> AbstractContextManager[None]:
        """Within, if `enabled`, activations are computed again in the backward pass instead of kept."""
        return gradient_checkpointing(self.model, enabled)

    def collate(self, groups: Sequence[PromptGroup]) -> PackedBatch:
        """Prompts with their responses as `response_logps` takes them."""
        return collate(groups, self.layout_check.layout)

    def response_logps(self, batch: PackedBatch) -> torch.Tensor:
        """(N,) log-probability of every response given its prompt, in one pass, with gradient where gradients are on."""
        return continuation_logps(self.model, batch, self.layout_check.layout).logps

    @torch.no_grad()
    def score(self, groups: Sequence[PromptGroup], max_tokens_per_batch: int, advance: Advance = lambda n: None) -> list[float]:
        """Log-probability of every response, in the order given.

        Raises NonFiniteError with the prompts concerned where one is not finite.
        """

        def score_batch(indices: list[int]) -> tuple[list[int], list[Any]]:
            def compute(part_indices: Sequence[int]) -> list[float]:
                return self.response_logps(self.collate([groups[g] for g in part_indices])).tolist()

            values = halve_on_oom(compute, indices)
            advance(len(values))
            return indices, values

        logps: list[float] = unsort(self.pool.map(score_batch, batches_by_tokens(groups, max_tokens_per_batch)), groups)
        self._raise_nonfinite(groups, logps)
        return logps

    @torch.no_grad()
    def loglikelihood(
        self, groups: Sequence[PromptGroup], max_tokens_per_batch: int, advance: Advance = lambda n: None
    ) -> list[tuple[float, bool]]:
        """As `score`, with whether each continuation is greedy decoding's; what contexts and continuations begin with is computed
        once where that pays (`model.pass_plan`).
        """
        results = loglikelihoods(self.model, self.layout_check.layout, self.pool, groups, max_tokens_per_batch, advance)
        self._raise_nonfinite(groups, [logp for logp, _ in results])
        return results

    def _raise_nonfinite(self, groups: Sequence[PromptGroup], logps: Sequence[float]) -> None:
        """Raises NonFiniteError where a log-probability is not finite; logps: one per continuation, in order.

        A prompt can spoil those that share its row, so each is computed again alone, and those that are bad alone are named.
        """
        if all(map(math.isfinite, logps)):
            return
        examples, remaining = [], iter(logps)
        for index, group in enumerate(groups):
            if not all(map(math.isfinite, list(itertools.islice(remaining, len(group.responses))))):
                alone = self.response_logps(self.collate([group])).tolist()
                values = [ResponseValues("response", c, v) for c, v in zip(group.responses, alone, strict=True)]
                examples.append(BadExample(index, group.prompt, values))
        num_bad = sum(example.is_bad for example in examples) or len(examples)
        raise NonFiniteError(f"a log-probability is not finite under {num_bad} of {len(groups)} prompts", examples)

    # ------------------------------------------------------------ sampling

    def sample(
        self,
        prompts: Sequence[list[int]],
        seeds: Sequence[int],
        settings: GenerationConfig,
        advance: Advance = lambda n: None,
    ) -> list[Completion]:
        """One response per prompt, in the order given; each depends on its own seed, not on the others in a batch.

        Drawn from the plain policy at these settings: nothing of generation_config.json is applied. Ids without a token are never
        drawn.
        """
        params = SamplingParams(settings.temperature, settings.top_p, banned_ids=self.ids_without_token)
        requests = self.requests(prompts, seeds, settings)
        generated = self.generate_tokens(requests, params, self.stop_ids, settings.batch_size, advance)
        return [self.to_completion(prompt, tokens) for prompt, tokens in zip(prompts, generated, strict=True)]

    def requests(self, prompts: Sequence[list[int]], seeds: Sequence[int], settings: GenerationConfig) -> list[Request]:
        """One request per prompt, for no more tokens than the context has room for."""
        return [
            Request(prompt, seed, min(settings.max_new_tokens, self.context_length - len(prompt)))
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]

    def generate_tokens(
        self,
        requests: Sequence[Request],
        params: SamplingParams,
        stop_ids: frozenset[int],
        batch_size: int,
        advance: Advance = lambda n: None,
    ) -> list[GeneratedTokens]:
        """One response per request, in the order given, at most `batch_size` at a time by each thread."""
        own_sampler = self.layout_check.uses_own_sampler
        if own_sampler:
            batches = split_batches([r.prompt_ids for r in requests], self.num_generation_batches(len(requests), batch_size))
        else:
            batches = batches_by_length(requests, batch_size)

        def generate_batch(indices: Sequence[int]) -> list[GeneratedTokens]:
            batch_requests = [requests[n] for n in indices]

            def attempt(size: int) -> list[GeneratedTokens]:
                finished_counts: list[int] = []

                def report(n: int) -> None:
                    finished_counts.append(n)
                    advance(n)

                try:
                    with with_example_ids(indices):
                        common = (self.model, batch_requests, params, stop_ids, size)
                        if own_sampler:
                            return generate_tokens(*common, self.layout_check, report)
                        return generate_with_transformers(*common, self.layout_check.sampler, report)
                except torch.OutOfMemoryError:
                    advance(-sum(finished_counts))
                    raise

            return shrink_on_oom(attempt, batch_size)

        results = zip(batches, self.pool.map(generate_batch, batches), strict=True)
        by_index = {n: tokens for indices, batch in results for n, tokens in zip(indices, batch, strict=True)}
        return [by_index[n] for n in range(len(requests))]

    def num_generation_batches(self, num_requests: int, batch_size: int) -> int:
        """Into how many batches, for a thread each, requests are split; it does not depend on the number of threads.

        An even number, so that two threads end together, and no more than leave every batch enough rows.
        """
        if self.device.type != "cpu":  # one thread: only so many that the longest prompts come first
            return -(-num_requests // max(MAX_REQUESTS_PER_BATCH_SMALL, 16 * batch_size))
        is_small = sum(p.numel() for p in self.model.parameters()) < SMALL_MODEL
        num_batches = -(-num_requests // (MAX_REQUESTS_PER_BATCH_SMALL if is_small else MAX_REQUESTS_PER_BATCH))
        num_batches += num_batches % 2
        return max(1, min(num_batches, num_requests // MIN_REQUESTS_PER_BATCH))

    def to_completion(self, prompt: Sequence[int], generated: GeneratedTokens) -> Completion:
        """Generated tokens as a response: its text leaves out the stop token and what the template has before the text."""
        finished = generated.ids[-1] in self.stop_ids
        text = self.encoder.decode(prompt, generated.ids[:-1] if finished else generated.ids, finished)
        assert generated.logp is not None
        return Completion(generated.ids, text, finished, generated.logp)


def split_batches(prompts: Sequence[Sequence[int]], num_batches: int) -> list[list[int]]:
    """Indices of prompts in batches of equally many, each with prompts of every length, so that they take equally long.

    Equal prompts go together, since a batch computes them once.
    """
    if not prompts:
        return []
    size = -(-len(prompts) // num_batches)
    order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), tuple(prompts[i]), i))
    batches: list[list[int]] = [[] for _ in range(num_batches)]
    num_tokens = [0] * num_batches
    for _, equal in itertools.groupby(order, key=lambda i: tuple(prompts[i])):
        remaining = list(equal)
        while remaining:
            smallest = min(range(num_batches), key=lambda b: (len(batches[b]), num_tokens[b]))
            members = remaining[: size - len(batches[smallest])]
            batches[smallest] += members
            num_tokens[smallest] += len(members) * len(prompts[members[0]])
            remaining = remaining[len(members) :]
    return batches
