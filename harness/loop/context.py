"""What phases work with: a run with everything loaded, and an iteration, which carries what one phase hands to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.config import RunConfig
from harness.errors import UserError
from harness.files import RECOMPUTE_ADVICE, file_digest, read_jsonl
from harness.loop.benchmark import Benchmark
from harness.loop.trials import Checkpoint, Trial, initial_adapter_folder
from harness.records import INITIAL, INITIAL_ITERATION, Group, digest
from harness.store.adapter_files import ADAPTER_FILE
from harness.store.run_folder import PhaseResult, RunFolder
from harness.world import Dataset, Policy, World

if TYPE_CHECKING:
    from objectives import Needs, Objective

UNKNOWN: Any = None  # what is known only while a run runs


@dataclass(frozen=True)
class RunContext:
    """What the phases of a run need, loaded and checked by `planning.prepare.build_loop`. A plan knows the first two alone.

    suite: the suite's name.
    """

    config: RunConfig
    suite: str
    run: RunFolder = UNKNOWN
    world: World = UNKNOWN
    policy: Policy = UNKNOWN
    data: Dataset = UNKNOWN
    benchmark: Benchmark = UNKNOWN

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


@dataclass(frozen=True)
class TrainingSet:
    """Groups, and the digests of everything in them by where it comes from."""

    groups: list[Group]
    sources: dict[str, str]


@dataclass
class Iteration:
    """One iteration of a trial; without a trial, the initial policy, which comes before iteration 0.

    opponent: the checkpoint of the iteration before. checkpoint: the newest one, the opponent until the main player is trained.
    opponent_diagnostics, scores, diagnostics: finished phases, filled in as they are reached. training_set: see
    `training_set.training_set_of`.
    """

    context: RunContext
    number: int = INITIAL_ITERATION
    trial: Trial = UNKNOWN
    objective: Objective = UNKNOWN
    opponent: Checkpoint = UNKNOWN
    checkpoint: Checkpoint = UNKNOWN
    opponent_diagnostics: PhaseResult = UNKNOWN
    scores: PhaseResult | None = None
    diagnostics: PhaseResult = UNKNOWN
    training_set: TrainingSet | None = None

    @property
    def is_initial(self) -> bool:
        return self.number == INITIAL_ITERATION

    @property
    def folder(self) -> str:
        return INITIAL if self.is_initial else self.trial.folder(self.number)

    @property
    def needs(self) -> Needs:
        return self.objective.needs

    @property
    def examples(self) -> list[Any]:
        """The annotated pairs that the trial is trained on."""
        return self.context.data.train[: self.trial.variant.examples]

    @property
    def groups_per_pair(self) -> int:
        """How often an annotated pair stands in the training set: once per iteration that it reaches back to."""
        return min(self.needs.history, self.number) + 1

    @property
    def num_initial_samples(self) -> int:
        """Responses of the initial policy per prompt that are in the training set, or stand beside it as proto-synthetic ones."""
        reaches_start = self.number < self.groups_per_pair
        return max(self.needs.synthetic if reaches_start else 0, self.needs.proto)

    def following(self, trial: Trial) -> Iteration:
        """The next iteration of a trial, whose opponent is this one's checkpoint."""
        number, opponent = self.number + 1, self.checkpoint
        objective = trial.variant.objective(number)
        return Iteration(self.context, number, trial, objective, opponent, opponent, self.diagnostics)
