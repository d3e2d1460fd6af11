"""Train: a main player trained from the opponent; its adapter is the next checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness.config import TrainingConfig, scheduled
from harness.discovery.process_state import preserve_process_state
from harness.files import read_jsonl
from harness.loop.costs import Cost, Sizes, Throughput
from harness.loop.phases.phase import Phase
from harness.loop.training_set import SCORES_FILE, training_set_of
from harness.loop.trials import Checkpoint, training_settings
from harness.records import Score
from harness.store.adapter_files import ADAPTER_FILE
from harness.store.phase_writer import PhaseWriter
from harness.store.run_folder import PhaseResult, RunFolder
from harness.train.groups import with_reference_logps

STEP_LINE_BYTES = 450  # a line of steps.jsonl without its examples
EXAMPLE_ID_BYTES = 20  # an example's id in it


class Train(Phase):
    """One iteration's training."""

    kind, letter = "train", "t"

    @property
    def training(self) -> TrainingConfig:
        return training_settings(self.context.config, self.iteration.trial.variant).at_iteration(self.iteration.number)

    @property
    def inputs(self) -> dict[str, str]:
        iteration, scores = self.iteration, self.iteration.scores
        return {
            "player": iteration.opponent.digest,
            "objective": iteration.trial.variant.source_digest,
            **training_set_of(iteration).sources,
            **({"scores": scores.digest_of(SCORES_FILE)} if scores else {}),
        }

    @property
    def settings(self) -> dict[str, Any]:
        from harness.train.schedule import optimizer_options  # torch is slow to load, and a list of phases needs none

        return {
            "training": self.training.model_dump(exclude=set(TrainingConfig.SPEED_ONLY)),
            "objective": dataclasses.asdict(self.iteration.objective),
            "lora": self.context.config.lora.model_dump(),
            **self.arithmetic,
            **self.context.run.only_recorded(self.folder, {"optimizer": optimizer_options(self.training)}),
        }

    @property
    def progress(self) -> tuple[str, int, str]:
        epochs = int(self.training.epochs)  # type: ignore[arg-type]  # a number after `at_iteration`
        return "train", len(training_set_of(self.iteration).groups) * epochs, "prompts"

    def run(self, draft: PhaseWriter) -> None:
        from harness.train.checkpointing import LOG_FILE, TrainingCheckpointer  # torch is slow to load
        from harness.train.core import train  # torch is slow to load

        iteration, policy, settings = self.iteration, self.context.policy, self.training
        groups, scores, seed = training_set_of(iteration).groups, iteration.scores, iteration.trial.seed
        if scores:
            groups = with_reference_logps(groups, read_jsonl(scores.path / SCORES_FILE, Score))
        key = (seed, "train", iteration.number)
        checkpointer = TrainingCheckpointer(draft.unfinished, settings.save_seconds, draft.notify)
        with preserve_process(self.context.run, iteration.trial.name):
            counts = train(policy, groups, iteration.objective, settings, key, draft.advance, checkpointer.log, checkpointer)
        (draft.unfinished / LOG_FILE).rename(draft.path / LOG_FILE)
        draft.counts.update(counts)
        policy.save_adapter(draft.path / "adapter")

    def hand_on(self, result: PhaseResult) -> None:
        digest = result.digest_of(f"adapter/{ADAPTER_FILE}")
        self.iteration.checkpoint = Checkpoint(self.iteration.trial.seed, result.path / "adapter", digest)

    def cost(self, throughput: Throughput, sizes: Sizes) -> Cost:
        variant, needs, number = self.iteration.trial.variant, self.iteration.needs, self.iteration.number
        groups = sizes.pairs_of(variant) * self.iteration.groups_per_pair
        epochs = int(scheduled(variant.training.get("epochs", self.context.config.training.epochs), number))
        prompts, steps = groups * epochs, -(-groups // sizes.batch_size) * epochs
        num_generated = needs.synthetic + needs.proto
        tokens = prompts * (
            (1 + num_generated) * throughput.prompt_tokens + throughput.real_tokens + num_generated * throughput.generated_tokens
        )
        seconds = prompts * throughput.training[variant.label, min(number, 1)].seconds_per_item
        return Cost(prompts, tokens, seconds, throughput.adapter_bytes + steps * STEP_LINE_BYTES + prompts * EXAMPLE_ID_BYTES)


@contextmanager
def preserve_process(run: RunFolder, trial: str) -> Iterator[None]:
    """Within, an objective's code runs; what it changed in the process is restored, and reported under the trial's name."""
    changed: list[str] = []
    try:
        with preserve_process_state() as changed:
            yield
    finally:
        if changed:
            message = f"its objective changed {', '.join(changed)}; put back"
            run.journal("process changed", cell=trial, said=message)
            run.show_line(f"WARNING {trial}: {message}")
