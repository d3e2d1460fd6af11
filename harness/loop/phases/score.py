"""Score: the opponent's log-probability of every response of the training set, and the initial policy's of all real responses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.files import write_packed_jsonl
from harness.loop.context import Iteration
from harness.loop.costs import Cost, Sizes, Throughput
from harness.loop.phases.phase import Phase
from harness.loop.training_set import INITIAL_SCORES, SCORES_FILE, training_set_of
from harness.loop.trials import Checkpoint, content_digest
from harness.records import Group
from harness.store.phase_writer import PhaseWriter
from harness.store.run_folder import PhaseResult
from harness.train.groups import build_groups
from harness.train.score import ScoredSet, score

if TYPE_CHECKING:
    from objectives import Needs

SCORE_LINE_BYTES = 25  # a line of scores.jsonl, packed


class Score(Phase):
    """The opponent's log-probability of every response of the training set."""

    kind, letter, requires = "score", "s", "reference"

    @property
    def inputs(self) -> dict[str, str]:
        return {"player": self.iteration.opponent.digest, **training_set_of(self.iteration).sources}

    @property
    def settings(self) -> dict[str, Any]:
        return self.arithmetic

    @property
    def progress(self) -> tuple[str, int, str]:
        return "score", sum(len(group.responses()) for group in training_set_of(self.iteration).groups), "responses"

    def run(self, draft: PhaseWriter) -> None:
        scored = self._score(training_set_of(self.iteration).groups, draft)
        draft.counts["tokens"] = sum(s.length for s in scored.scores)
        draft.counts["computed"] = scored.num_scored
        draft.counts["known_logp_max_difference"] = scored.max_difference

    def _score(self, groups: Sequence[Group], draft: PhaseWriter) -> ScoredSet:
        context = self.context
        scored = score(context.policy, groups, context.config.model.tokens_per_pass, draft.advance)
        draft.counts["responses"] = write_packed_jsonl(draft.path / SCORES_FILE, scored.scores)
        return scored

    def hand_on(self, result: PhaseResult) -> None:
        self.iteration.scores = result

    def cost(self, throughput: Throughput, sizes: Sizes) -> Cost:
        needs, pairs = self.iteration.needs, sizes.pairs_of(self.variant)
        responses, num_scored = pairs, 1
        if not self.shared:
            responses *= 1 + needs.synthetic * self.iteration.groups_per_pair + needs.proto
            num_scored = responses_to_score(needs, self.iteration.number, throughput.cached_logp_agrees)
        tokens = throughput.prompt_tokens + throughput.real_tokens + (num_scored - 1) * throughput.generated_tokens
        seconds = pairs * throughput.scoring[num_scored].seconds_per_item
        return Cost(responses, pairs * tokens if num_scored else 0.0, seconds, responses * SCORE_LINE_BYTES)


class InitialScores(Score):
    """The initial policy's log-probability of every real response: once per run, for all objectives and seeds."""

    shared, letter = True, ""

    @classmethod
    def of(cls, iteration: Iteration) -> Sequence[Phase]:
        return super().of(iteration) if iteration.number == 0 else []

    @property
    def folder(self) -> str:
        return INITIAL_SCORES

    @property
    def checkpoint(self) -> Checkpoint:
        return self.context.initial_checkpoint(self.context.config.seeds[0])

    @property
    def inputs(self) -> dict[str, str]:
        return {"player": self.context.policy.base_digest, "examples": content_digest(self.context.data.train)}

    @property
    def progress(self) -> tuple[str, int, str]:
        return "score the real responses", len(self.context.data.train), "responses"

    def run(self, draft: PhaseWriter) -> None:
        self._score(build_groups(self.context.policy.encoder, self.context.data.train, 0), draft)

    def hand_on(self, result: PhaseResult) -> None:
        """The training set reads it from the run folder."""


def responses_to_score(needs: Needs, iteration: int, cached_logp_agrees: bool) -> int:
    """Responses per prompt that go through the model when the training set of an iteration is scored.

    Where cached log-probabilities agree with scored ones, the opponent's own samples are not scored again, and at iteration 0
    neither are the real responses.
    """
    num_earlier = min(needs.history, iteration)
    if not cached_logp_agrees:
        return 1 + needs.synthetic * (1 + num_earlier) + needs.proto
    return 1 + needs.synthetic * num_earlier + needs.proto if iteration else 0
