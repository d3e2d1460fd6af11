"""The phases of a round, each done once: what goes in, which settings count, what is written. Knows no objective by name.

Every phase is asked of the run folder first: already complete, it is reused. What all cells share (the initial policy's
samples and log-probabilities) lies in `initial/` and is made once per run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from harness.config import RunConfig, TrainingConfig
from harness.errors import UserError
from harness.files import AGAIN, file_digest, read_jsonl, write_json, write_jsonl
from harness.loop.benchmark import Benchmark
from harness.loop.trials import Cell, Player, content_digest, initial_adapter_folder, training_settings
from harness.progress import Reporter
from harness.records import Group, Role, Score, digest
from harness.store.adapter_files import ADAPTER_FILE
from harness.store.partial_results import Shards, Unfinished
from harness.store.phase_cache import Neighbours
from harness.store.phase_writer import Draft
from harness.store.run_folder import Finished, RunFolder
from harness.store.versions import refuse_other_suite
from harness.train.checkpointing import LOG, Keeper
from harness.train.core import train
from harness.train.groups import groups_of_iteration, with_references
from harness.train.nonfinite import written_out
from harness.train.schedule import optimizer_options
from harness.train.score import score
from harness.world import Dataset, EarlierCheckpoint, Policy, SampleRequest, World
from objectives import Needs, Objective


@dataclass
class Rounds:
    """Everything the phases need, prepared and checked: see `prepare.prepare`."""

    config: RunConfig
    run: RunFolder
    world: World
    policy: Policy
    data: Dataset
    data_digests: dict[str, str]
    board: Benchmark
    reporter: Reporter
    neighbours: Neighbours | None = None
    made: int = 0  # phases committed so far

    def initial_player(self, seed: int) -> Player:
        return Player(seed, None, digest(self.policy.base_digest, str(seed)))

    def seat(self, player: Player) -> None:
        """Put a player into the adapter slot, always from disk. Raises UserError when the weights there are not the player's."""
        adapter, made = player.adapter, player.digest
        if adapter is None:
            done = self.run.finished(initial_adapter_folder(player.seed))
            if done is None:
                self.policy.reset_adapter(player.seed)
                return
            adapter, made = done.path, done.digest_of(ADAPTER_FILE)
        if (found := file_digest(adapter / ADAPTER_FILE)) != made:
            raise UserError(f"{adapter / ADAPTER_FILE}: weights {found}, the run made {made}; {AGAIN}")
        self.policy.load_adapter(adapter)

    def record_initial_adapter(self, seed: int) -> None:
        """Write down the adapter that every cell of this seed starts from, which a replay needs: it follows from the seed and the
        weights' names, but a draw of it by another library or on another machine may differ."""

        def work(draft: Draft) -> None:
            self.policy.reset_adapter(seed)
            self.policy.save_adapter(draft.path)

        inputs = {"base": self.policy.base_digest}
        self._phase(initial_adapter_folder(seed), inputs, {"seed": seed, "lora": self.config.lora.model_dump()}, work)

    # ------------------------------------------------------------ generate

    def training_set(self, cell: Cell, opponent: Player, iteration: int, needs: Needs) -> tuple[list[Group], dict[str, str]]:
        """The groups of iterations max(0, t - history)..t and the digests of everything in them."""
        examples = self.data.train[: cell.variant.examples]
        sources = {"examples": content_digest(examples)}
        proto: list[Any] = []
        if needs.proto:
            proto = self.shared_samples(cell, examples, needs.proto, sources)
        real_logps = self.initial_scores() if needs.reference and iteration == 0 else {}
        groups: list[Group] = []
        for earlier in range(max(0, iteration - needs.history), iteration + 1):
            synthetic: list[Any] = []
            if needs.synthetic and earlier == 0:
                synthetic = self.generate_first(cell, examples, needs.synthetic, sources)
            elif needs.synthetic:
                drawer = opponent if earlier == iteration else None
                synthetic = self.generate(cell, examples, drawer, earlier, needs.synthetic, sources)
            own: set[Role] = {"synthetic"} if earlier == iteration else set()  # what this opponent drew itself
            if iteration == 0:
                own.add("proto")
            groups += groups_of_iteration(self.policy.encoder, examples, earlier, synthetic, proto, own, real_logps)
        return groups, sources

    def generate_first(self, cell: Cell, examples: list[Any], count: int, sources: dict[str, str]) -> list[Any]:
        """Iteration 0's samples: the initial policy's, shared by all cells of a seed; the cell keeps a pointer to them."""
        samples = self.shared_samples(cell, examples, count, sources)
        shared = {f"initial/seed-{cell.seed}/generate/k-{k}": sources[f"initial k-{k}"] for k in range(count)}

        def point(draft: Draft) -> None:
            draft.counts["shared"] = "the samples are the initial policy's; see inputs"

        self._phase(f"{cell.folder(0)}/generate", shared, {}, point)
        return samples

    def shared_samples(self, cell: Cell, examples: list[Any], count: int, sources: dict[str, str]) -> list[Any]:
        """Those of the initial policy's samples that respond to a cell's examples."""
        wanted, found = {e.id for e in examples}, []
        for k in range(count):
            mine = [s for s in self.initial_samples(cell.seed, k) if s.example_id in wanted]
            sources[f"initial k-{k}"] = content_digest(mine)
            found += mine
        return found

    def generate(
        self,
        cell: Cell,
        examples: list[Any],
        opponent: Player | None,
        iteration: int,
        count: int,
        sources: dict[str, str],
    ) -> list[Any]:
        """The opponent's samples of one iteration; without an opponent, those that an earlier iteration left."""
        folder = f"{cell.folder(iteration)}/generate"
        if opponent is None:
            done = self.run.finished(folder)
            if done is None:
                raise FileNotFoundError(f"{folder}: samples of an earlier iteration are gone; use --name OTHER")
        else:
            done = self._drawn(folder, opponent, examples, range(count), iteration, cell.seed)
        samples = read_jsonl(done.path / "samples.jsonl", self.world.sample_type)
        sources[f"iteration-{iteration}"] = content_digest(samples)
        return samples

    def initial_samples(self, seed: int, index: int) -> list[Any]:
        """The initial policy's samples, one committed folder per index: more samples later add folders and change none."""
        folder = f"initial/seed-{seed}/generate/k-{index}"
        done = self._drawn(folder, self.initial_player(seed), self.data.train, [index], 0, seed)
        return read_jsonl(done.path / "samples.jsonl", self.world.sample_type)

    def _drawn(
        self, folder: str, player: Player, examples: list[Any], indices: Sequence[int], iteration: int, seed: int
    ) -> Finished:
        inputs = {"player": player.digest, "examples": content_digest(examples)}
        settings = {
            **self.config.generation.recorded(),
            "indices": list(indices),
            "iteration": iteration,
            "seed": seed,
        }

        def work(draft: Draft) -> None:
            self.seat(player)
            request = SampleRequest(examples, indices, iteration, seed, player.adapter, folder)
            with self.reporter.track("generate", len(examples) * len(indices), "responses") as advance:
                kept = Unfinished(Shards(draft.unfinished, draft.notice), self.config.generation.shard)
                done = self.world.generate(self.policy, self.config, request, advance, kept)
            write_jsonl(draft.path / "samples.jsonl", done.samples)
            for name, content in done.files.items():
                write_json(draft.path / name, content)
            draft.counts.update(done.counts)

        return self._phase(folder, inputs, settings, work)[0]

    # ------------------------------------------------------------ score

    def initial_scores(self) -> dict[str, float]:
        """The initial policy's log-probability of every real response: once per run, for all objectives and seeds."""
        player = self.initial_player(self.config.seeds[0])
        inputs = {"player": self._weights(player), "examples": content_digest(self.data.train)}

        def work(draft: Draft) -> None:
            self.seat(player)
            groups = groups_of_iteration(self.policy.encoder, self.data.train, 0)
            with self.reporter.track("score the real responses", len(groups), "responses") as advance:
                done = score(self.policy, groups, self.config.model.tokens_per_pass, advance)
            draft.counts["responses"] = write_jsonl(draft.path / "scores.jsonl", done.scores)

        done, _ = self._phase("initial/score", inputs, {}, work)
        return {s.example_id: s.reference_logp for s in read_jsonl(done.path / "scores.jsonl", Score)}

    def score(self, cell: Cell, opponent: Player, iteration: int, groups: list[Group], sources: dict[str, str]) -> Finished:
        """The opponent's log-probability of every response of the training set."""
        inputs = {"player": opponent.digest, **sources}

        def work(draft: Draft) -> None:
            self.seat(opponent)
            total = sum(len(g.responses()) for g in groups)
            with self.reporter.track("score", total, "responses") as advance:
                done = score(self.policy, groups, self.config.model.tokens_per_pass, advance)
            draft.counts["responses"] = write_jsonl(draft.path / "scores.jsonl", done.scores)
            draft.counts["tokens"] = sum(s.length for s in done.scores)
            draft.counts["computed"] = done.computed
            draft.counts["known_logp_max_difference"] = done.difference

        return self._phase(f"{cell.folder(iteration)}/score", inputs, {}, work)[0]

    # ------------------------------------------------------------ train

    def train(
        self,
        cell: Cell,
        opponent: Player,
        iteration: int,
        objective: Objective,
        groups: list[Group],
        sources: dict[str, str],
        scores: Finished | None,
    ) -> Player:
        """A main player trained from the opponent."""
        settings = training_settings(self.config, cell.variant).at(iteration)
        inputs = {
            "player": opponent.digest,
            "objective": cell.variant.source_digest,
            **sources,
            **({"scores": scores.digest_of("scores.jsonl")} if scores else {}),
        }
        recorded = {
            "training": settings.model_dump(exclude=set(TrainingConfig.SPEED_ONLY)),
            "objective": dataclasses.asdict(objective),
            "lora": self.config.lora.model_dump(),
        }
        folder = f"{cell.folder(iteration)}/train"
        recorded |= self.run.as_recorded(folder, {"optimizer": optimizer_options(settings)})

        def work(draft: Draft) -> None:
            self.seat(opponent)
            joined = with_references(groups, read_jsonl(scores.path / "scores.jsonl", Score)) if scores else groups
            order = (cell.seed, "train", iteration)
            epochs = int(settings.epochs)  # type: ignore[arg-type]  # resolved to a number by `at`
            keeper = Keeper(draft.unfinished, settings.save_seconds, draft.notice)
            with self.reporter.track("train", len(joined) * epochs, "prompts") as advance:
                counts = train(self.policy, joined, objective, settings, order, advance, keeper.log, keeper)
            (draft.unfinished / LOG).rename(draft.path / LOG)
            draft.counts.update(counts)
            self.policy.save_adapter(draft.path / "adapter")

        done, _ = self._phase(folder, inputs, recorded, work)
        return Player(cell.seed, done.path / "adapter", done.digest_of(f"adapter/{ADAPTER_FILE}"))

    # ------------------------------------------------------------ evaluate and probe

    def refuse_other_scores(self) -> None:
        """Raises UserError when the initial policy's scores were made with another suite, limit or judge than asked for now."""
        refuse_other_suite(self.run, self.board.suite.name, self.board.suite.version)
        self.run.reusable(*self._evaluation(self.initial_player(self.config.seeds[0]), "initial"))

    def _evaluation(self, player: Player, where: str) -> tuple[str, dict[str, str], dict[str, Any]]:
        """Folder, inputs and settings of a player's evaluation."""
        suite, limit = self.board.suite, self.config.evaluation.limit
        folder = f"{where}/evaluate/{suite.name}"
        inputs = {"player": self._weights(player), "suite": digest(suite.identity()), "tasks": self.board.digest}
        inputs |= self.run.as_recorded(folder, {**self.board.defined, "tokenizer": self.policy.encoder.digest})
        return folder, inputs, {"limit": limit, **self.board.made_from}

    def evaluate(self, player: Player, where: str) -> None:
        """The leaderboard of one player; nothing is done where it is finished and only the small files hold it."""
        suite = self.board.suite
        kept = self.run.root / "judgements" / suite.name / f"{where.replace('/', '_')}.jsonl"

        def work(draft: Draft) -> None:
            self.seat(player)
            with self.reporter.track(f"evaluate on {suite.name}", self.board.requests(), "requests") as advance:
                columns, rows = self.config.model.tokens_per_pass, self.config.evaluation.batch_size
                unfinished = Unfinished(Shards(draft.unfinished, draft.notice), self.config.evaluation.shard)
                done = self.board.evaluate(self.policy, columns, rows, advance, kept, unfinished)
            first = self.run.known(f"initial/evaluate/{suite.name}")
            if first is not None and first.counts["prompt_hash"] != done.prompt_hash:
                raise UserError(
                    f"{self.run.root}/{where}: suite {suite.name} asks other prompts ({done.prompt_hash}) than those the initial "
                    f"policy answered ({first.counts['prompt_hash']}); use --name OTHER to ask all players the same"
                )
            for line in done.notes if where == "initial" else ():
                self.reporter.say(line)
            write_json(draft.path / "scores.json", {"records": [dataclasses.asdict(record) for record in done.records]})
            write_json(draft.path / self.board.raw_name, done.raw)
            for task, samples in done.samples.items():
                write_jsonl(draft.path / f"samples_{task}.jsonl", samples)
            write_json(draft.path / "items.json", done.items)
            draft.counts.update(items=sum(r.n for r in done.records), prompt_hash=done.prompt_hash)

        folder, inputs, settings = self._evaluation(player, where)
        if self.run.recorded(folder) is not None:
            self.run.reusable(folder, inputs, settings)
            return
        self._phase(folder, inputs, settings, work)

    def probe(self, player: Player, where: str, opponent: Player | None = None, before: Finished | None = None) -> Finished:
        """Drift and likelihood of one player on held-out prompts. `before` is the probe of its opponent."""
        examples = self.data.heldout[: self.config.probe.prompts]
        inputs = {"player": self._weights(player), "heldout": self.data_digests["heldout.jsonl"]}
        longest = self.config.probe.max_new_tokens or self.config.generation.max_new_tokens
        earlier: dict[str, EarlierCheckpoint] = {}
        if opponent is not None and before is not None:
            inputs |= {"opponent": self._weights(opponent), "opponent_samples": before.digest_of("samples.jsonl")}
            initial, first = self.initial_player(player.seed), self.run.finished("initial/probe")
            assert first is not None, "the initial policy is probed before any other"
            inputs |= self.run.as_recorded(f"{where}/probe", {"initial_samples": first.digest_of("samples.jsonl")})
            earlier = {
                "previous": EarlierCheckpoint(partial(self.seat, opponent), read_jsonl(before.path / "samples.jsonl")),
                "initial": EarlierCheckpoint(partial(self.seat, initial), read_jsonl(first.path / "samples.jsonl")),
            }

        def work(draft: Draft) -> None:
            self.seat(player)
            # drawn; scored: drawn, real, and a fresh draw of the data, the earlier checkpoints'; by each of these: drawn
            per_prompt = 3 + (self.config.data.distribution is not None) + 2 * len(earlier)
            with self.reporter.track("probe", per_prompt * len(examples), "responses") as advance:
                done = self.world.diagnose(self.policy, self.config, examples, earlier, advance)
            measurements = [dataclasses.asdict(m) for m in done.measurements]
            write_json(draft.path / "measurements.json", {"measurements": measurements})
            write_jsonl(draft.path / "samples.jsonl", done.samples)
            draft.counts["prompts"] = len(examples)

        settings = {"prompts": len(examples), "max_new_tokens": longest, "distribution": self.config.data.distribution}
        return self._phase(f"{where}/probe", inputs, settings, work)[0]

    def _weights(self, player: Player) -> str:
        """The initial policy is the base whatever its adapter's seed, so its scores are shared by all seeds."""
        return self.policy.base_digest if player.adapter is None else player.digest

    def _phase(self, folder: str, inputs: dict[str, str], settings: dict[str, Any], work: Any) -> tuple[Finished, bool]:
        """The phase at `folder`, complete: reused, or taken from a neighbour or done by `work` now (then True)."""
        done = self.run.reusable(folder, inputs, settings)
        if done is not None:
            return done, False
        if self.neighbours is None or not self.neighbours.take_over(folder, inputs, settings):
            with (
                written_out(self.run.root, folder, inputs.get("player"), self.policy.decode),
                self.run.open(folder, inputs, settings) as draft,
            ):
                work(draft)
        finished = self.run.finished(folder)
        assert finished is not None
        self.made += 1
        return finished, True
