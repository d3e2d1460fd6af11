"""The phases of an iteration: inputs, settings and outputs of each. Contains no objective's name.

Each phase is looked up in the run folder first and reused when complete. What all trials share (the initial policy's samples
and log-probabilities) lies in `initial/` and is computed once per run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from harness.config import RunConfig, TrainingConfig
from harness.errors import UserError
from harness.files import RECOMPUTE_ADVICE, file_digest, read_jsonl, write_json, write_jsonl
from harness.loop.benchmark import Benchmark, EvalOptions
from harness.loop.trials import Checkpoint, Trial, content_digest, initial_adapter_folder, training_settings
from harness.progress import Reporter
from harness.records import Group, Role, Score, digest
from harness.store.adapter_files import ADAPTER_FILE
from harness.store.partial_results import PartialResults
from harness.store.phase_cache import PhaseCache
from harness.store.phase_writer import PhaseWriter
from harness.store.run_folder import PhaseResult, RunFolder
from harness.store.versions import check_suite_version
from harness.train.checkpointing import LOG_FILE, TrainingCheckpointer
from harness.train.core import train
from harness.train.groups import build_groups, with_reference_logps
from harness.train.nonfinite import dump_on_error
from harness.train.schedule import optimizer_options
from harness.train.score import score
from harness.world import Dataset, EarlierCheckpoint, Policy, SampleRequest, World
from objectives import Needs, Objective


@dataclass
class PhaseRunner:
    """Everything the phases need, loaded and checked by `planning.prepare.build_loop`."""

    config: RunConfig
    run: RunFolder
    world: World
    policy: Policy
    data: Dataset
    data_digests: dict[str, str]
    benchmark: Benchmark
    reporter: Reporter
    phase_cache: PhaseCache | None = None
    phases_run: int = 0  # phases committed so far

    def initial_checkpoint(self, seed: int) -> Checkpoint:
        return Checkpoint(seed, None, digest(self.policy.base_digest, str(seed)))

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

    def save_initial_adapter(self, seed: int) -> None:
        """Store the adapter that every trial of this seed starts from. It follows from the seed and the weights' names, but
        another library or machine may initialize it differently, and a replay needs the same one."""

        def compute(writer: PhaseWriter) -> None:
            self.policy.reset_adapter(seed)
            self.policy.save_adapter(writer.path)

        inputs = {"base": self.policy.base_digest}
        self._run_phase(initial_adapter_folder(seed), inputs, {"seed": seed, "lora": self.config.lora.model_dump()}, compute)

    # ------------------------------------------------------------ generate

    def training_set(
        self, trial: Trial, opponent: Checkpoint, iteration: int, needs: Needs
    ) -> tuple[list[Group], dict[str, str]]:
        """The groups of iterations max(0, t - history)..t and the digests of everything in them."""
        examples = self.data.train[: trial.variant.examples]
        sources = {"examples": content_digest(examples)}
        proto: list[Any] = []
        if needs.proto:
            proto = self.shared_samples(trial, examples, needs.proto, sources)
        real_logps = self.initial_scores() if needs.reference and iteration == 0 else {}
        groups: list[Group] = []
        for earlier in range(max(0, iteration - needs.history), iteration + 1):
            synthetic: list[Any] = []
            if needs.synthetic and earlier == 0:
                synthetic = self.link_shared_samples(trial, examples, needs.synthetic, sources)
            elif needs.synthetic:
                sampling_checkpoint = opponent if earlier == iteration else None
                synthetic = self.generate(trial, examples, sampling_checkpoint, earlier, needs.synthetic, sources)
            opponent_roles: set[Role] = {"synthetic"} if earlier == iteration else set()  # sampled from this opponent
            if iteration == 0:
                opponent_roles.add("proto")
            groups += build_groups(self.policy.encoder, examples, earlier, synthetic, proto, opponent_roles, real_logps)
        return groups, sources

    def link_shared_samples(self, trial: Trial, examples: list[Any], count: int, sources: dict[str, str]) -> list[Any]:
        """Iteration 0's samples: the initial policy's, shared by all trials of a seed; the trial stores a pointer to them."""
        samples = self.shared_samples(trial, examples, count, sources)
        shared_inputs = {f"initial/seed-{trial.seed}/generate/k-{k}": sources[f"initial k-{k}"] for k in range(count)}

        def write_link(writer: PhaseWriter) -> None:
            writer.counts["shared"] = "the samples are the initial policy's; see inputs"

        self._run_phase(f"{trial.folder(0)}/generate", shared_inputs, {}, write_link)
        return samples

    def shared_samples(self, trial: Trial, examples: list[Any], count: int, sources: dict[str, str]) -> list[Any]:
        """The initial policy's samples for a trial's examples."""
        example_ids, samples = {e.id for e in examples}, []
        for k in range(count):
            matching = [s for s in self.initial_samples(trial.seed, k) if s.example_id in example_ids]
            sources[f"initial k-{k}"] = content_digest(matching)
            samples += matching
        return samples

    def generate(
        self, trial: Trial, examples: list[Any], opponent: Checkpoint | None, iteration: int, count: int, sources: dict[str, str]
    ) -> list[Any]:
        """The opponent's samples of one iteration; without an opponent, those stored by an earlier iteration."""
        folder = f"{trial.folder(iteration)}/generate"
        if opponent is None:
            result = self.run.find_phase(folder)
            if result is None:
                raise FileNotFoundError(f"{folder}: samples of an earlier iteration are missing; use --name OTHER")
        else:
            result = self._generate(folder, opponent, examples, range(count), iteration, trial.seed)
        samples = read_jsonl(result.path / "samples.jsonl", self.world.sample_type)
        sources[f"iteration-{iteration}"] = content_digest(samples)
        return samples

    def initial_samples(self, seed: int, index: int) -> list[Any]:
        """The initial policy's samples, one committed folder per index: more samples later add folders and change none."""
        folder = f"initial/seed-{seed}/generate/k-{index}"
        result = self._generate(folder, self.initial_checkpoint(seed), self.data.train, [index], 0, seed)
        return read_jsonl(result.path / "samples.jsonl", self.world.sample_type)

    def _generate(
        self, folder: str, checkpoint: Checkpoint, examples: list[Any], indices: Sequence[int], iteration: int, seed: int
    ) -> PhaseResult:
        inputs = {"player": checkpoint.digest, "examples": content_digest(examples)}
        settings = {**self.config.generation.identity_fields(), "indices": list(indices), "iteration": iteration, "seed": seed}

        def compute(writer: PhaseWriter) -> None:
            self.load_checkpoint(checkpoint)
            request = SampleRequest(examples, indices, iteration, seed, checkpoint.adapter, folder)
            with self.reporter.track("generate", len(examples) * len(indices), "responses") as advance:
                partial_results = PartialResults(writer.unfinished, self.config.generation.shard, writer.notify)
                generated = self.world.generate(self.policy, self.config, request, advance, partial_results)
            write_jsonl(writer.path / "samples.jsonl", generated.samples)
            for name, content in generated.files.items():
                write_json(writer.path / name, content)
            writer.counts.update(generated.counts)

        return self._run_phase(folder, inputs, settings, compute)[0]

    # ------------------------------------------------------------ score

    def initial_scores(self) -> dict[str, float]:
        """The initial policy's log-probability of every real response: once per run, for all objectives and seeds."""
        checkpoint = self.initial_checkpoint(self.config.seeds[0])
        inputs = {"player": self._weights_digest(checkpoint), "examples": content_digest(self.data.train)}

        def compute(writer: PhaseWriter) -> None:
            self.load_checkpoint(checkpoint)
            groups = build_groups(self.policy.encoder, self.data.train, 0)
            with self.reporter.track("score the real responses", len(groups), "responses") as advance:
                scored = score(self.policy, groups, self.config.model.tokens_per_pass, advance)
            writer.counts["responses"] = write_jsonl(writer.path / "scores.jsonl", scored.scores)

        result, _ = self._run_phase("initial/score", inputs, {}, compute)
        return {s.example_id: s.reference_logp for s in read_jsonl(result.path / "scores.jsonl", Score)}

    def score(
        self, trial: Trial, opponent: Checkpoint, iteration: int, groups: list[Group], sources: dict[str, str]
    ) -> PhaseResult:
        """The opponent's log-probability of every response of the training set."""
        inputs = {"player": opponent.digest, **sources}

        def compute(writer: PhaseWriter) -> None:
            self.load_checkpoint(opponent)
            total = sum(len(g.responses()) for g in groups)
            with self.reporter.track("score", total, "responses") as advance:
                scored = score(self.policy, groups, self.config.model.tokens_per_pass, advance)
            writer.counts["responses"] = write_jsonl(writer.path / "scores.jsonl", scored.scores)
            writer.counts["tokens"] = sum(s.length for s in scored.scores)
            writer.counts["computed"] = scored.num_scored
            writer.counts["known_logp_max_difference"] = scored.max_difference

        return self._run_phase(f"{trial.folder(iteration)}/score", inputs, {}, compute)[0]

    # ------------------------------------------------------------ train

    def train(
        self,
        trial: Trial,
        opponent: Checkpoint,
        iteration: int,
        objective: Objective,
        groups: list[Group],
        sources: dict[str, str],
        scores: PhaseResult | None,
    ) -> Checkpoint:
        """A main player trained from the opponent."""
        settings = training_settings(self.config, trial.variant).at_iteration(iteration)
        inputs = {
            "player": opponent.digest,
            "objective": trial.variant.source_digest,
            **sources,
            **({"scores": scores.digest_of("scores.jsonl")} if scores else {}),
        }
        phase_settings = {
            "training": settings.model_dump(exclude=set(TrainingConfig.SPEED_ONLY)),
            "objective": dataclasses.asdict(objective),
            "lora": self.config.lora.model_dump(),
        }
        folder = f"{trial.folder(iteration)}/train"
        phase_settings |= self.run.only_recorded(folder, {"optimizer": optimizer_options(settings)})

        def compute(writer: PhaseWriter) -> None:
            self.load_checkpoint(opponent)
            scored_groups = with_reference_logps(groups, read_jsonl(scores.path / "scores.jsonl", Score)) if scores else groups
            shuffle_key = (trial.seed, "train", iteration)
            epochs = int(settings.epochs)  # type: ignore[arg-type]  # a number after `at_iteration`
            checkpointer = TrainingCheckpointer(writer.unfinished, settings.save_seconds, writer.notify)
            with self.reporter.track("train", len(scored_groups) * epochs, "prompts") as advance:
                counts = train(
                    self.policy, scored_groups, objective, settings, shuffle_key, advance, checkpointer.log, checkpointer
                )
            (writer.unfinished / LOG_FILE).rename(writer.path / LOG_FILE)
            writer.counts.update(counts)
            self.policy.save_adapter(writer.path / "adapter")

        result, _ = self._run_phase(folder, inputs, phase_settings, compute)
        return Checkpoint(trial.seed, result.path / "adapter", result.digest_of(f"adapter/{ADAPTER_FILE}"))

    # ------------------------------------------------------------ evaluate, diagnostics

    def check_same_benchmark(self) -> None:
        """Raises UserError when the initial policy's scores were made with another suite, limit or judge than asked for now."""
        check_suite_version(self.run, self.benchmark.suite.name, self.benchmark.suite.version)
        self.run.lookup(*self._evaluation_phase(self.initial_checkpoint(self.config.seeds[0]), "initial"))

    def _evaluation_phase(self, checkpoint: Checkpoint, parent_folder: str) -> tuple[str, dict[str, str], dict[str, Any]]:
        """Folder, inputs and settings of a checkpoint's evaluation."""
        suite, limit = self.benchmark.suite, self.config.evaluation.limit
        folder = f"{parent_folder}/evaluate/{suite.name}"
        inputs = {"player": self._weights_digest(checkpoint), "suite": digest(suite.identity()), "tasks": self.benchmark.digest}
        inputs |= self.run.only_recorded(folder, {**self.benchmark.task_fingerprints, "tokenizer": self.policy.encoder.digest})
        return folder, inputs, {"limit": limit, **self.benchmark.judge_identity}

    def evaluate(self, checkpoint: Checkpoint, parent_folder: str) -> None:
        """Score one checkpoint on the suite; nothing is done where that is finished and only the small files hold it."""
        suite = self.benchmark.suite
        judgement_log = self.run.root / "judgements" / suite.name / f"{parent_folder.replace('/', '_')}.jsonl"

        def compute(writer: PhaseWriter) -> None:
            self.load_checkpoint(checkpoint)
            with self.reporter.track(f"evaluate on {suite.name}", self.benchmark.requests(), "requests") as advance:
                max_tokens_per_batch, batch_size = self.config.model.tokens_per_pass, self.config.evaluation.batch_size
                partial_results = PartialResults(writer.unfinished, self.config.evaluation.shard, writer.notify)
                options = EvalOptions(max_tokens_per_batch, batch_size, advance, judgement_log, partial_results)
                result = self.benchmark.evaluate(self.policy, options)
            initial_manifest = self.run.manifest_of(f"initial/evaluate/{suite.name}")
            if initial_manifest is not None and initial_manifest.counts["prompt_hash"] != result.prompt_hash:
                raise UserError(
                    f"{self.run.root}/{parent_folder}: suite {suite.name} asks other prompts ({result.prompt_hash}) than those "
                    f"the initial policy answered ({initial_manifest.counts['prompt_hash']}); use --name OTHER to evaluate all "
                    "checkpoints on the same prompts"
                )
            for line in result.notes if parent_folder == "initial" else ():
                self.reporter.show_line(line)
            write_json(writer.path / "scores.json", {"records": [dataclasses.asdict(record) for record in result.records]})
            write_json(writer.path / self.benchmark.raw_name, result.raw)
            for task, samples in result.samples.items():
                write_jsonl(writer.path / f"samples_{task}.jsonl", samples)
            write_json(writer.path / "items.json", result.items)
            writer.counts.update(items=sum(r.n for r in result.records), prompt_hash=result.prompt_hash)

        folder, inputs, settings = self._evaluation_phase(checkpoint, parent_folder)
        if self.run.small_file_manifest(folder) is not None:
            self.run.lookup(folder, inputs, settings)
            return
        self._run_phase(folder, inputs, settings, compute)

    def run_diagnostics(
        self,
        checkpoint: Checkpoint,
        parent_folder: str,
        opponent: Checkpoint | None = None,
        opponent_result: PhaseResult | None = None,
    ) -> PhaseResult:
        """Drift and likelihood of one checkpoint on held-out prompts. opponent_result: the diagnostics of its opponent."""
        examples = self.data.heldout[: self.config.probe.prompts]
        inputs = {"player": self._weights_digest(checkpoint), "heldout": self.data_digests["heldout.jsonl"]}
        max_new_tokens = self.config.probe.max_new_tokens or self.config.generation.max_new_tokens
        earlier_checkpoints: dict[str, EarlierCheckpoint] = {}
        if opponent is not None and opponent_result is not None:
            inputs |= {"opponent": self._weights_digest(opponent), "opponent_samples": opponent_result.digest_of("samples.jsonl")}
            initial_checkpoint, initial_result = self.initial_checkpoint(checkpoint.seed), self.run.find_phase("initial/probe")
            assert initial_result is not None, "the diagnostics of the initial policy come first"
            inputs |= self.run.only_recorded(
                f"{parent_folder}/probe", {"initial_samples": initial_result.digest_of("samples.jsonl")}
            )
            earlier_checkpoints = {
                "previous": EarlierCheckpoint(
                    partial(self.load_checkpoint, opponent), read_jsonl(opponent_result.path / "samples.jsonl")
                ),
                "initial": EarlierCheckpoint(
                    partial(self.load_checkpoint, initial_checkpoint), read_jsonl(initial_result.path / "samples.jsonl")
                ),
            }

        def compute(writer: PhaseWriter) -> None:
            self.load_checkpoint(checkpoint)
            # generated: 1; scored: these, real, fresh samples of the data, each earlier checkpoint's; by each of those: these
            responses_per_prompt = 3 + (self.config.data.distribution is not None) + 2 * len(earlier_checkpoints)
            with self.reporter.track("diagnostics", responses_per_prompt * len(examples), "responses") as advance:
                result = self.world.diagnose(self.policy, self.config, examples, earlier_checkpoints, advance)
            measurements = [dataclasses.asdict(m) for m in result.measurements]
            write_json(writer.path / "measurements.json", {"measurements": measurements})
            write_jsonl(writer.path / "samples.jsonl", result.samples)
            writer.counts["prompts"] = len(examples)

        settings = {"prompts": len(examples), "max_new_tokens": max_new_tokens, "distribution": self.config.data.distribution}
        return self._run_phase(f"{parent_folder}/probe", inputs, settings, compute)[0]

    def _weights_digest(self, checkpoint: Checkpoint) -> str:
        """The initial policy is the base whatever its adapter's seed, so its scores are shared by all seeds."""
        return self.policy.base_digest if checkpoint.adapter is None else checkpoint.digest

    def _run_phase(self, folder: str, inputs: dict[str, str], settings: dict[str, Any], compute: Any) -> tuple[PhaseResult, bool]:
        """The complete phase at `folder`: reused (False), or linked from another run or computed now (True)."""
        reused = self.run.lookup(folder, inputs, settings)
        if reused is not None:
            return reused, False
        if self.phase_cache is None or not self.phase_cache.link_into_run(folder, inputs, settings):
            with (
                dump_on_error(self.run.root, folder, inputs.get("player"), self.policy.decode),
                self.run.write_phase(folder, inputs, settings) as writer,
            ):
                compute(writer)
        result = self.run.find_phase(folder)
        assert result is not None
        self.phases_run += 1
        return result, True
