"""Generate: responses sampled from the opponent of an iteration, and from the initial policy for all trials of a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.files import write_json, write_jsonl
from harness.loop.context import Iteration
from harness.loop.phases.phase import Cost, Phase
from harness.loop.training_set import SAMPLES_FILE, initial_samples
from harness.loop.trials import Checkpoint, content_digest, initial_samples_folder
from harness.store.partial_results import ChunkFiles, PartialResults
from harness.store.phase_writer import PhaseWriter
from harness.world import SampleRequest

if TYPE_CHECKING:
    from harness.planning.cost_estimate import Sizes
    from harness.planning.throughput import Throughput
    from objectives import Needs


class Generate(Phase):
    """The opponent's responses to the trial's prompts."""

    kind, letter = "generate", "g"

    @classmethod
    def is_needed(cls, needs: Needs) -> bool:
        return bool(needs.synthetic)

    @classmethod
    def of(cls, iteration: Iteration) -> Sequence[Phase]:
        if iteration.trial is None or not cls.is_needed(iteration.needs):
            return []
        return [cls(iteration) if iteration.number else SharedSamples(iteration)]

    @property
    def checkpoint(self) -> Checkpoint:
        return self.opponent

    @property
    def indices(self) -> Sequence[int]:
        """The samples of a prompt that are generated here."""
        return range(self.iteration.needs.synthetic)

    @property
    def responses_per_prompt(self) -> int:
        return len(self.indices)

    @property
    def examples(self) -> list[Any]:
        return self.iteration.examples

    @property
    def sampled_iteration(self) -> int:
        return self.iteration.number

    @property
    def inputs(self) -> dict[str, str]:
        return {"player": self.checkpoint.digest, "examples": content_digest(self.examples)}

    @property
    def settings(self) -> dict[str, Any]:
        return {
            **self.context.config.generation.identity_fields(),
            "indices": list(self.indices),
            "iteration": self.sampled_iteration,
            "seed": self.trial.seed,
        }

    @property
    def progress(self) -> tuple[str, int, str]:
        return "generate", len(self.examples) * len(self.indices), "responses"

    def run(self, draft: PhaseWriter) -> None:
        context = self.context
        request = SampleRequest(
            self.examples, self.indices, self.sampled_iteration, self.trial.seed, self.checkpoint.adapter, self.folder
        )
        partial_results = PartialResults(ChunkFiles(draft.unfinished, draft.notify), context.config.generation.shard)
        generated = context.world.generate(context.policy, context.config, request, draft.advance, partial_results)
        write_jsonl(draft.path / SAMPLES_FILE, generated.samples)
        for name, content in generated.files.items():
            write_json(draft.path / name, content)
        draft.counts.update(generated.counts)

    def cost(self, throughput: Throughput, sizes: Sizes) -> Cost:
        responses = sizes.pairs_of(self.variant) * self.responses_per_prompt
        tokens = responses * (throughput.prompt_tokens + throughput.generated_tokens)
        return Cost(responses, tokens, responses * throughput.generation.seconds_per_item, responses * throughput.sample_bytes)


@dataclass
class InitialSamples(Generate):
    """The initial policy's responses to all prompts, one committed folder per index: more samples later add folders and change
    none."""

    index: int
    shared, letter = True, ""

    @classmethod
    def of(cls, iteration: Iteration) -> Sequence[Phase]:
        if iteration.trial is None:
            return []
        needs = iteration.needs
        in_window = iteration.number <= needs.history  # the training set has iteration 0's synthetic responses
        return [cls(iteration, k) for k in range(max(needs.synthetic if in_window else 0, needs.proto))]

    @property
    def folder(self) -> str:
        return initial_samples_folder(self.trial.seed, self.index)

    @property
    def checkpoint(self) -> Checkpoint:
        return self.context.initial_checkpoint(self.trial.seed)

    @property
    def indices(self) -> Sequence[int]:
        return [self.index]

    @property
    def examples(self) -> list[Any]:
        return self.context.data.train

    @property
    def sampled_iteration(self) -> int:
        return 0


class SharedSamples(Phase):
    """Iteration 0's samples: the initial policy's, shared by all trials of a seed; the trial stores a pointer to them."""

    kind = "generate"

    @property
    def inputs(self) -> dict[str, str]:
        _, digests = initial_samples(self.iteration, self.iteration.needs.synthetic)
        return {initial_samples_folder(self.trial.seed, k): value for k, value in enumerate(digests.values())}

    def run(self, draft: PhaseWriter) -> None:
        draft.counts["shared"] = "the samples are the initial policy's; see inputs"
