"""Generate: responses sampled from the opponent of an iteration, and from the initial policy for all trials of a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.files import write_json, write_packed_jsonl
from harness.loop.context import Iteration
from harness.loop.costs import Cost, Sizes, Throughput
from harness.loop.phases.phase import Phase
from harness.loop.training_set import SAMPLES_FILE, initial_samples_folder, training_set_of
from harness.loop.trials import Checkpoint, content_digest
from harness.store.partial_results import PartialResults
from harness.store.phase_writer import PhaseWriter
from harness.world import SampleRequest


class Generate(Phase):
    """The opponent's responses to the trial's prompts; at iteration 0 the initial policy's, which are there."""

    kind, letter, requires = "generate", "g", "synthetic"

    @classmethod
    def of(cls, iteration: Iteration) -> Sequence[Phase]:
        phases = super().of(iteration)
        return [SharedSamples(iteration)] if phases and iteration.number == 0 else phases

    @property
    def request(self) -> SampleRequest:
        iteration, indices = self.iteration, range(self.responses_per_prompt)
        adapter = iteration.opponent.adapter
        return SampleRequest(iteration.examples, indices, iteration.number, iteration.trial.seed, adapter, self.folder)

    @property
    def inputs(self) -> dict[str, str]:
        assert self.checkpoint is not None
        return {"player": self.checkpoint.digest, "examples": content_digest(self.request.examples)}

    @property
    def settings(self) -> dict[str, Any]:
        request, generation = self.request, self.context.config.generation.identity_fields()
        return {**generation, "indices": list(request.indices), "iteration": request.iteration, "seed": request.seed}

    @property
    def progress(self) -> tuple[str, int, str]:
        return "generate", len(self.request.examples) * self.responses_per_prompt, "responses"

    def run(self, draft: PhaseWriter) -> None:
        context = self.context
        partial_results = PartialResults(draft.unfinished, context.config.generation.shard, draft.notify)
        generated = context.world.generate(context.policy, context.config, self.request, draft.advance, partial_results)
        write_packed_jsonl(draft.path / SAMPLES_FILE, generated.samples)
        for name, content in generated.files.items():
            write_json(draft.path / name, content)
        draft.counts.update(generated.counts)

    @property
    def responses_per_prompt(self) -> int:
        return self.iteration.needs.synthetic

    def cost(self, throughput: Throughput, sizes: Sizes) -> Cost:
        responses = sizes.pairs_of(self.variant) * self.responses_per_prompt
        tokens = responses * (throughput.prompt_tokens + throughput.generated_tokens)
        return Cost(responses, tokens, responses * throughput.generation.seconds_per_item, responses * throughput.sample_bytes)


@dataclass
class InitialSamples(Generate):
    """The initial policy's responses to all prompts, one folder per index: more samples later add folders and change none."""

    index: int
    shared, letter = True, ""

    @classmethod
    def of(cls, iteration: Iteration) -> Sequence[Phase]:
        return [] if iteration.is_initial else [cls(iteration, k) for k in range(iteration.num_initial_samples)]

    @property
    def folder(self) -> str:
        return initial_samples_folder(self.iteration.trial.seed, self.index)

    @property
    def checkpoint(self) -> Checkpoint:
        return self.context.initial_checkpoint(self.iteration.trial.seed)

    @property
    def request(self) -> SampleRequest:
        return SampleRequest(self.context.data.train, [self.index], 0, self.iteration.trial.seed, None, self.folder)

    @property
    def responses_per_prompt(self) -> int:
        return 1


class SharedSamples(Phase):
    """Iteration 0's samples: the initial policy's, shared by all trials of a seed; the trial stores a pointer to them."""

    kind = "generate"

    @property
    def inputs(self) -> dict[str, str]:
        sources, seed = training_set_of(self.iteration).sources, self.iteration.trial.seed
        return {initial_samples_folder(seed, k): sources[f"initial k-{k}"] for k in range(self.iteration.needs.synthetic)}

    def run(self, draft: PhaseWriter) -> None:
        draft.counts["shared"] = "the samples are the initial policy's; see inputs"
