"""What phases work with: a run with everything loaded, and an iteration, which carries what one phase hands to the next."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from harness.config import RunConfig
from harness.errors import UserError
from harness.files import RECOMPUTE_ADVICE, file_digest, read_jsonl
from harness.loop.benchmark import Benchmark
from harness.loop.training_set import TrainingSet, load_training_set
from harness.loop.trials import Checkpoint, Trial, initial_adapter_folder
from harness.records import INITIAL, INITIAL_ITERATION, digest
from harness.store.adapter_files import ADAPTER_FILE
from harness.store.run_folder import PhaseResult, RunFolder
from harness.world import Dataset, Policy, World

if TYPE_CHECKING:
    from objectives import Needs, Objective


@dataclass(frozen=True)
class PlannedRun:
    """A run before anything is loaded: enough to list its phases. suite: the suite's name."""

    config: RunConfig
    suite: str


@dataclass(frozen=True)
class RunContext(PlannedRun):
    """A run with everything that its phases need, loaded and checked by `planning.prepare.build_loop`."""

    run: RunFolder
    world: World
    policy: Policy
    data: Dataset
    benchmark: Benchmark

    def initial_checkpoint(self, seed: int) -> Checkpoint:
        return Checkpoint(seed, None, digest(self.policy.base_digest, str(seed)))

    def weights_digest(self, checkpoint: Checkpoint) -> str:
        """The initial policy is the base whatever its adapter's seed, so its scores are shared by all seeds."""
        return self.policy.base_digest if checkpoint.adapter is None else checkpoint.digest

    def load_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Load a checkpoint's adapter into the policy, always from disk. Raises UserError when its digest is another."""
        adapter, expected_digest = checkpoint.adapter, checkpoint.digest
        if adapter is None:
            result = self.run.find_phase(initial_adapter_folder(checkpoint.seed))
            if result is None:
                self.policy.reset_adapter(checkpoint.seed)
                return
            adapter, expected_digest = result.path, result.digest_of(ADAPTER_FILE)
        if (actual_digest := file_digest(adapter / ADAPTER_FILE)) != expected_digest:
            raise UserError(
                f"{adapter / ADAPTER_FILE}: weights {actual_digest}, the run made {expected_digest}; {RECOMPUTE_ADVICE}"
            )
        self.policy.load_adapter(adapter)

    def read_phase(self, folder: str, file: str, row_type: type) -> list[Any]:
        """The rows of a finished phase's file."""
        if (result := self.run.find_phase(folder)) is None:
            raise FileNotFoundError(f"{folder}: is missing, and a later phase needs it; use --name OTHER")
        return read_jsonl(result.path / file, row_type)


@dataclass
class Iteration:
    """One iteration of a trial; without a trial, the initial policy, which comes before iteration 0.

    `opponent` and its diagnostics come from the iteration before; the other fields are filled by the phases. All of them are None
    while a run is only planned.
    """

    context: RunContext
    number: int = INITIAL_ITERATION
    trial: Trial | None = None
    objective: Objective | None = None
    opponent: Checkpoint | None = None
    opponent_diagnostics: PhaseResult | None = None
    scores: PhaseResult | None = None
    checkpoint: Checkpoint | None = None
    diagnostics: PhaseResult | None = None

    @property
    def folder(self) -> str:
        return self.trial.folder(self.number) if self.trial else INITIAL

    @property
    def needs(self) -> Needs:
        assert self.objective is not None
        return self.objective.needs

    @property
    def examples(self) -> list[Any]:
        """The annotated pairs that the trial is trained on."""
        assert self.trial is not None
        return self.context.data.train[: self.trial.variant.examples]

    @cached_property
    def training_set(self) -> TrainingSet:
        """Its responses are sampled, and at iteration 0 the real ones scored, when this is first asked for."""
        return load_training_set(self)

    def following(self, trial: Trial) -> Iteration:
        """The next iteration of a trial, whose opponent is this one's checkpoint."""
        number = self.number + 1
        objective = trial.variant.objective(number)
        return Iteration(self.context, number, trial, objective, self.checkpoint, self.diagnostics)


def initial_policy(context: RunContext, seed: int) -> Iteration:
    """The initial policy of a seed, from which its trials start."""
    return Iteration(context, checkpoint=context.initial_checkpoint(seed))
