"""Evaluate: the scores of a checkpoint on the suite."""

from __future__ import annotations

import dataclasses
from typing import Any

from harness.errors import UserError
from harness.files import write_json, write_packed_jsonl
from harness.loop.benchmark import EvalOptions
from harness.loop.costs import Cost, Sizes, Throughput
from harness.loop.phases.phase import Phase
from harness.progress.reporter import Total
from harness.records import digest
from harness.store.partial_results import PartialResults
from harness.store.phase_writer import PhaseWriter


class Evaluate(Phase):
    """Scores, samples and items of every row; all checkpoints of a run must have answered the same prompts."""

    kind, letter = "evaluate", "e"
    measures_initial_policy, read_later = True, False

    @classmethod
    def path_in_iteration(cls, suite: str) -> str:
        return f"{cls.kind}/{suite}"

    @property
    def inputs(self) -> dict[str, str]:
        context, benchmark = self.context, self.context.benchmark
        encodings = {**benchmark.task_fingerprints, "tokenizer": context.policy.encoder.digest}
        return {
            "player": context.weights_digest(self.iteration.checkpoint),
            "suite": digest(benchmark.suite.identity()),
            "tasks": benchmark.digest,
            **context.run.only_recorded(self.folder, encodings),
        }

    @property
    def settings(self) -> dict[str, Any]:
        return {"limit": self.context.config.evaluation.limit, **self.context.benchmark.judge_identity}

    @property
    def progress(self) -> tuple[str, Total, str]:
        return "evaluate", self.context.benchmark.requests, "requests"  # their number is known once the prompts are built

    def run(self, draft: PhaseWriter) -> None:
        context, config, benchmark, run = self.context, self.context.config, self.context.benchmark, self.context.run
        parent, suite = self.iteration.folder, self.context.suite
        options = EvalOptions(
            max_tokens_per_batch=config.model.tokens_per_pass,
            batch_size=config.evaluation.batch_size,
            advance=draft.advance,
            judgement_log=run.root / "judgements" / suite / f"{parent.replace('/', '_')}.jsonl",
            partial_results=PartialResults(draft.unfinished, config.evaluation.shard, draft.notify),
        )
        result = benchmark.evaluate(context.policy, options)
        initial_manifest = run.manifest_of(f"initial/evaluate/{suite}")
        if initial_manifest is not None and initial_manifest.counts["prompt_hash"] != result.prompt_hash:
            raise UserError(
                f"{run.root}/{parent}: suite {suite} asks other prompts ({result.prompt_hash}) than those "
                f"the initial policy answered ({initial_manifest.counts['prompt_hash']}); use --name OTHER to evaluate all "
                "checkpoints on the same prompts"
            )
        for line in result.notes if self.iteration.is_initial else ():
            run.show_line(line)
        write_json(draft.path / "scores.json", {"records": [dataclasses.asdict(record) for record in result.records]})
        write_json(draft.path / benchmark.raw_name, result.raw)
        for task, samples in result.samples.items():
            write_packed_jsonl(draft.path / f"samples_{task}.jsonl", samples)
        write_json(draft.path / "items.json", result.items)
        draft.counts.update(items=sum(r.n for r in result.records), prompt_hash=result.prompt_hash)

    def cost(self, throughput: Throughput, sizes: Sizes) -> Cost:
        evaluation = throughput.evaluation
        return Cost(evaluation.items, evaluation.tokens, evaluation.seconds, evaluation.disk_bytes)
