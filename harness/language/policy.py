"""Base model + one LoRA adapter: load, save, log-probabilities, sampling. Never sees an objective.

The base is loaded once and frozen (`loading`). Every player is an adapter put into the same slot (`become`), so main player
and opponent share one base and there is never a second model in memory. The base's weights are never changed.

Legend: N responses of all groups. Log-probabilities are in nats, summed over a response's tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from harness.files import file_digest
from harness.language.encoding import Encoder, Template
from harness.language.model.beginnings import Shared, shared_beginnings
from harness.language.model.checkpointing import checkpointed
from harness.language.model.context import context_of
from harness.language.model.generating import generated, of_one_length
from harness.language.model.logprobs import Choice, beginning, continuation_logps, lay_out
from harness.language.model.packing import Packed, in_order, passes
from harness.language.model.sampling import Draw, Request, Tokens, draw
from harness.records import PromptGroup, keyed_seed
from harness.store.adapter_files import ADAPTER_FILE, CONFIG_FILE, name_in_file, name_in_slot, sort_sets
from harness.train.nonfinite import BadNumbers, Spoken, Suspect, renumbered
from harness.train.oom import in_halves, with_fewer
from harness.train.thread_pool import OrderedThreadPool

if TYPE_CHECKING:
    from harness.config import GenerationConfig

STREAM = 600  # responses drawn one after the other on a CPU, other streams beside them; at least as many on a GPU
SHARING_COST = 512  # tokens that a beginning computed once must save: its prompts go through the model apart from the others
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Drawn:
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
        choice: Choice,
        pool: OrderedThreadPool | None = None,
    ) -> None:
        self.model = model
        self.pool = pool or OrderedThreadPool()
        self.choice = choice
        self.tokenizer = tokenizer
        self.template = template
        self.encoder = Encoder(tokenizer, template)
        self.base_digest = base_digest
        self.path = ""  # where the base was loaded from
        self.commit: str | None = None  # its commit, where that is the hub
        self.notes: list[str] = []  # what a user should know of this model before anything is spent
        self.start: dict[str, torch.Tensor] | None = None  # weights of the initial policy, where it is not the bare base

    @property
    def stop_ids(self) -> frozenset[int]:
        """The tokens at which a sampled response ends."""
        asking = self.encoder.asking
        return self.template.stop_ids | (asking.stop_ids if asking else frozenset())

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @cached_property
    def context(self) -> int:
        """Largest number of tokens, prompt and response together, the model can take."""
        return context_of(self.model, self.tokenizer)

    @cached_property
    def nameless(self) -> tuple[int, ...]:
        """Ids of the model that the tokenizer has no token for: the end of a padded vocabulary, and holes."""
        words = int(self.model.get_output_embeddings().weight.shape[0])
        return tuple(sorted(set(range(words)) - set(self.tokenizer.get_vocab().values())))

    @property
    def precision(self) -> str:
        """dtype of the frozen base, as text."""
        return str(next(p for n, p in self.model.named_parameters() if "lora_" not in n).dtype).removeprefix("torch.")

    @property
    def quantized(self) -> bool:
        """Whether the frozen base is in 4 or 8 bits."""
        return getattr(self.model.config, "quantization_config", None) is not None

    def layout(self) -> dict[str, Any]:
        """How rows go through the model, and why so, as run.json says it."""
        return {
            "layout": self.choice.layout,
            "layout_reason": self.choice.reason,
            "layout_difference_nats_per_token": self.choice.difference,
            "sampler": self.choice.sampler,
            "sampler_reason": self.choice.sampler_reason,
            "merged_copies": self.merged,
        }

    def decode(self, content: Sequence[int]) -> str:
        """The text of token ids, control tokens shown."""
        return self.tokenizer.decode(content)

    @property
    def merged(self) -> bool:
        """Whether the adapter is applied through a merged copy of the weights (see `model.lora`)."""
        return any(getattr(module, "merges", False) for module in self.model.modules())

    # ------------------------------------------------------------ players

    def adapter_parameters(self) -> list[tuple[str, torch.nn.Parameter]]:
        return [(name, p) for name, p in self.model.named_parameters() if "lora_" in name]

    def reset_adapter(self, seed: int) -> None:
        """Put the initial policy into the slot: the adapter it starts from, or B zero, so that the player equals the base, and A
        drawn from `seed` by name.
        """
        with torch.no_grad():
            for name, parameter in self.adapter_parameters():
                if self.start is not None:
                    parameter.copy_(self.start[name])
                    continue
                if "lora_B" in name or "lora_embedding_A" in name:
                    parameter.zero_()
                    continue
                generator = torch.Generator().manual_seed(keyed_seed(seed, "lora", name))
                fresh = torch.empty(parameter.shape, dtype=torch.float32)
                torch.nn.init.kaiming_uniform_(fresh, a=math.sqrt(5), generator=generator)
                parameter.copy_(fresh)

    def load_adapter(self, adapter: Path) -> None:
        """Put a saved player into the slot. Raises ValueError when the adapter was made for another base or rank, BadNumbers when
        its weights are not finite.
        """
        from safetensors.torch import load_file

        saved = {name_in_slot(name): tensor for name, tensor in load_file(adapter / ADAPTER_FILE).items()}
        mine = dict(self.adapter_parameters())
        if saved.keys() != mine.keys() or any(saved[n].shape != mine[n].shape for n in mine):
            raise ValueError(f"{adapter}: an adapter of another base model, rank or targets")
        if not all(bool(tensor.isfinite().all()) for tensor in saved.values()):
            raise BadNumbers(f"{adapter}: weights that are not finite")
        with torch.no_grad():
            for name, parameter in mine.items():
                parameter.copy_(saved[name])

    def save_adapter(self, adapter: Path) -> str:
        """Write the player in the slot as an adapter folder that peft reads itself; returns the digest of its weights."""
        from safetensors.torch import save_file

        adapter.mkdir(parents=True, exist_ok=True)
        weights = {name_in_file(name): p.detach().cpu().contiguous() for name, p in self.adapter_parameters()}
        save_file(weights, adapter / ADAPTER_FILE, metadata={"format": "pt"})
        self.model.peft_config["default"].save_pretrained(str(adapter))
        sort_sets(adapter / CONFIG_FILE)
        return file_digest(adapter / ADAPTER_FILE)

    # ------------------------------------------------------------ log-probabilities

    def gradient_checkpointing(self, wanted: bool) -> AbstractContextManager[None]:
        """Within, activations are computed again in the backward pass instead of kept, if `wanted`."""
        return checkpointed(self.model, wanted)

    def collate(self, groups: Sequence[PromptGroup]) -> Packed:
        """Prompts with their responses as `response_logps` takes them."""
        return lay_out(groups, self.choice.layout)

    def response_logps(self, packed: Packed) -> torch.Tensor:
        """(N,) log-probability of every response given its prompt, in one pass, with gradient where gradients are on."""
        return continuation_logps(self.model, packed, self.choice.layout).logps

    @torch.no_grad()
    def score(self, groups: Sequence[PromptGroup], columns: int, advance: Advance = lambda n: None) -> list[float]:
        """Log-probability of every response, in the order given; `columns` tokens go through the model at a time.

        Raises BadNumbers, naming the groups, where one is not finite.
        """

        def one_pass(numbers: list[int]) -> tuple[list[int], list[Any]]:
            def part(some: Sequence[int]) -> list[float]:
                return self.response_logps(self.collate([groups[g] for g in some])).tolist()

            values = in_halves(part, numbers)
            advance(len(values))
            return numbers, values

        found: list[float] = in_order(self.pool.map(one_pass, passes(groups, columns)), groups)
        self._refuse_bad(groups, found)
        return found

    @torch.no_grad()
    def loglikelihood(
        self, groups: Sequence[PromptGroup], columns: int, advance: Advance = lambda n: None
    ) -> list[tuple[float, bool]]:
        """As `score`, with whether each continuation is what greedy decoding would say; common beginnings computed once."""

        def work() -> Iterator[Any]:  # one beginning after the other, so that one lane holds one at a time
            for cluster in self.shared_beginnings([g.prompt for g in groups]):
                rests = [PromptGroup(groups[g].prompt[cluster.length :], groups[g].responses) for g in cluster.members]
                first = groups[cluster.members[0]].prompt[: cluster.length]
                cache = beginning(self.model, first) if cluster.length else None
                for numbers in passes(rests, columns):
                    yield [cluster.members[r] for r in numbers], [rests[r] for r in numbers], cluster.length, cache

        def one_pass(item: Any) -> tuple[list[int], list[Any]]:
            numbers, rests, length, cache = item

            def part(some: Sequence[int]) -> list[tuple[float, bool]]:
                packed = lay_out([rests[r] for r in some], self.choice.layout, length)
                found = continuation_logps(self.model, packed, self.choice.layout, cache, greedy=True)
                assert found.greedy is not None
                return list(zip(found.logps.tolist(), found.greedy.tolist(), strict=True))

            values = in_halves(part, range(len(rests)))
            advance(len(values))
            return numbers, values

        found: list[tuple[float, bool]] = in_order(self.pool.map(one_pass, work()), groups)
        self._refuse_bad(groups, [logp for logp, _ in found])
        return found

    def _refuse_bad(self, groups: Sequence[PromptGroup], logps: Sequence[float]) -> None:
        """Raises BadNumbers where a log-probability is not finite; logps: one per continuation, in order.

        A prompt can spoil those that share its row, so each is computed again alone, and those that are bad alone are named.
        """
        if all(map(math.isfinite, logps)):
            return
        every, at = [], 0
        for number, group in enumerate(groups):
            mine = logps[at : at + len(group.responses)]
            at += len(group.responses)
            if not all(map(math.isfinite, mine)):
                alone = self.response_logps(self.collate([group])).tolist()
                said = [Spoken("response", c, v) for c, v in zip(group.responses, alone, strict=True)]
                every.append(Suspect(number, group.prompt, said))
        found = [one for one in every if one.bad] or every
        raise BadNumbers(f"a log-probability is not finite under {len(found)} of {len(groups)} prompts", found)

    def shared_beginnings(self, prompts: Sequence[Sequence[int]]) -> list[Shared]:
        """Prompts in clusters whose beginning is worth computing once, where the model can continue one."""
        if self.choice.layout == "packed":
            return shared_beginnings(prompts, SHARING_COST)
        return [Shared(0, list(range(len(prompts))))] if prompts else []

    # ------------------------------------------------------------ sampling

    def sample(
        self,
        prompts: Sequence[list[int]],
        seeds: Sequence[int],
        settings: GenerationConfig,
        advance: Advance = lambda n: None,
    ) -> list[Drawn]:
        """One response per prompt, in the order given; each depends on its own seed, not on its neighbours in a batch.

        Drawn from the plain policy at these settings: nothing of generation_config.json is applied. Ids without a token are never
        drawn.
        """
        how = Draw(settings.temperature, settings.top_p, never=self.nameless)
        requests = self.requests(prompts, seeds, settings)
        drawn = self.draw(requests, how, self.stop_ids, settings.batch_size, advance)
        return [self.spoken(prompt, one) for prompt, one in zip(prompts, drawn, strict=True)]

    def requests(self, prompts: Sequence[list[int]], seeds: Sequence[int], settings: GenerationConfig) -> list[Request]:
        """What is asked for per prompt: no more tokens than the context has room for."""
        return [
            Request(prompt, seed, min(settings.max_new_tokens, self.context - len(prompt)))
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]

    def draw(
        self, requests: Sequence[Request], how: Draw, stop_ids: frozenset[int], rows: int, advance: Advance = lambda n: None
    ) -> list[Tokens]:
        """One response per request, in the order given, `rows` at a time; prompts that begin alike go together."""
        prompts = [r.prompt_ids for r in requests]
        own = self.choice.sampler == "own"
        longest = STREAM if self.device.type == "cpu" else max(STREAM, 16 * rows)
        streams = (
            [
                [cluster.members[n] for n in numbers]
                for cluster in self.shared_beginnings(prompts)
                for numbers in streams_of([prompts[m] for m in cluster.members], longest)
            ]
            if own
            else of_one_length(requests, rows)
        )

        def stream(numbers: Sequence[int]) -> list[Tokens]:
            asked = [requests[n] for n in numbers]

            def at_once(rows: int) -> list[Tokens]:
                counted: list[int] = []

                def told(n: int) -> None:
                    counted.append(n)
                    advance(n)

                try:
                    with renumbered(numbers):
                        if own:
                            return draw(self.model, asked, how, stop_ids, rows, self.shares_starts, told)
                        return generated(self.model, asked, how, stop_ids, rows, self.choice.sampler, told)
                except torch.OutOfMemoryError:
                    advance(-sum(counted))
                    raise

            return with_fewer(at_once, rows)

        found = zip(streams, self.pool.map(stream, streams), strict=True)
        by_number = {n: one for numbers, drawn in found for n, one in zip(numbers, drawn, strict=True)}
        return [by_number[n] for n in range(len(requests))]

    @property
    def shares_starts(self) -> bool:
        """Whether what many prompts begin with may be cached apart: not where attention counts columns back."""
        config = self.model.config.get_text_config()
        return self.choice.layout == "packed" and not getattr(config, "sliding_window", None)

    def spoken(self, prompt: Sequence[int], drawn: Tokens) -> Drawn:
        """Drawn tokens as a response: its text leaves out the stop token, and what the template has between prompt and text."""
        finished = drawn.ids[-1] in self.stop_ids
        text = self.encoder.spoken(prompt, drawn.ids[:-1] if finished else drawn.ids, finished)
        assert drawn.logp is not None
        return Drawn(drawn.ids, text, finished, drawn.logp)


def streams_of(prompts: Sequence[Sequence[int]], size: int) -> list[list[int]]:
    """Numbers of prompts dealt out to as few streams of at most `size` as there must be, each with prompts of every length."""
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), tuple(prompts[i]), i))
    count = -(-len(prompts) // size) if prompts else 0
    return [order[s::count] for s in range(count)]
