"""Diagnostics: drift and likelihood of a checkpoint on held-out prompts, compared with its opponent and the initial policy."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

from harness.files import read_jsonl, write_json, write_packed_jsonl
from harness.loop.costs import Cost, Sizes, Throughput
from harness.loop.phases.phase import Phase
from harness.loop.trials import Checkpoint
from harness.store.phase_writer import PhaseWriter
from harness.store.run_folder import PhaseResult
from harness.world import EarlierCheckpoint

SAMPLES_FILE = "samples.jsonl"
SAMPLE_LINE_BYTES = 60  # a line of it beyond its response, packed


class Diagnostics(Phase):
    """Measurements of one checkpoint, and the samples they are computed from."""

    kind, title, letter = "probe", "diagnostics", "p"
    measures_initial_policy = True

    @property
    def examples(self) -> list[Any]:
        return self.context.data.heldout[: self.context.config.probe.prompts]

    def _earlier(self) -> dict[str, tuple[Checkpoint, PhaseResult]]:
        """The checkpoints it is compared with, and their diagnostics: none for the initial policy."""
        iteration = self.iteration
        if iteration.is_initial:
            return {}
        initial = self.context.run.find_phase(f"initial/{self.kind}")
        assert initial is not None, "the diagnostics of the initial policy come first"
        return {
            "previous": (iteration.opponent, iteration.opponent_diagnostics),
            "initial": (self.context.initial_checkpoint(iteration.trial.seed), initial),
        }

    @property
    def inputs(self) -> dict[str, str]:
        context, data = self.context, self.context.run.manifest_of("data")
        assert data is not None
        inputs = {"player": context.weights_digest(self.iteration.checkpoint), "heldout": data.outputs["heldout.jsonl"]}
        if earlier := self._earlier():
            (opponent, opponent_result), (_, initial_result) = earlier["previous"], earlier["initial"]
            inputs["opponent"] = context.weights_digest(opponent)
            inputs["opponent_samples"] = opponent_result.digest_of(SAMPLES_FILE)
            inputs |= context.run.only_recorded(self.folder, {"initial_samples": initial_result.digest_of(SAMPLES_FILE)})
        return inputs

    @property
    def settings(self) -> dict[str, Any]:
        config = self.context.config
        max_new_tokens = config.probe.max_new_tokens or config.generation.max_new_tokens
        return {"prompts": len(self.examples), "max_new_tokens": max_new_tokens, "distribution": config.data.distribution}

    @property
    def progress(self) -> tuple[str, int, str]:
        # generated: 1; scored: these, real, fresh samples of the data, each earlier checkpoint's; by each of those: these
        num_earlier = 0 if self.iteration.is_initial else 2
        responses_per_prompt = 3 + (self.context.config.data.distribution is not None) + 2 * num_earlier
        return "diagnostics", responses_per_prompt * len(self.examples), "responses"

    def run(self, draft: PhaseWriter) -> None:
        context = self.context
        earlier_checkpoints = {
            name: EarlierCheckpoint(partial(context.load_checkpoint, checkpoint), read_jsonl(result.path / SAMPLES_FILE))
            for name, (checkpoint, result) in self._earlier().items()
        }
        result = context.world.diagnose(context.policy, context.config, self.examples, earlier_checkpoints, draft.advance)
        measurements = [dataclasses.asdict(m) for m in result.measurements]
        write_json(draft.path / "measurements.json", {"measurements": measurements})
        write_packed_jsonl(draft.path / SAMPLES_FILE, result.samples)
        draft.counts["prompts"] = len(self.examples)

    def hand_on(self, result: PhaseResult) -> None:
        self.iteration.diagnostics = result

    def cost(self, throughput: Throughput, sizes: Sizes) -> Cost:
        prompts = sizes.diagnostics_prompts
        tokens = prompts * (throughput.prompt_tokens + throughput.generated_tokens)
        seconds = throughput.initial_diagnostics_seconds if self.variant is None else throughput.later_diagnostics_seconds
        return Cost(prompts, tokens, seconds, prompts * (throughput.sample_bytes + SAMPLE_LINE_BYTES))
