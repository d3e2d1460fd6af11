"""What a careful user would glue together from TRL, transformers and lm-eval, with the same work and settings as ours.

Care taken for them: the batch sizes that are fastest on this machine, tried once and recorded; prompts sorted by length; the
adapter merged before generation and evaluation; reference log-probabilities precomputed; no gradient checkpointing, no
bfloat16 on the CPU, no logging or saving; tasks loaded and prompts built before the clock starts; as many threads as ours.
"""

import os
import tempfile
import warnings
from collections.abc import Sequence
from typing import Any
from unittest import mock

import datasets
import torch

from harness.config import RunConfig
from harness.language.benchmark.lm_eval_benchmark import LmEvalBenchmark
from harness.language.benchmark.load_tasks import make_task_manager
from harness.language.records import Example


def use_all_cores() -> None:
    """A peer computes with as many threads of torch as the harness has lanes of one, unless `--threads` says otherwise."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1))


def generate(
    model: Any, tokenizer: Any, prompts: Sequence[list[int]], stop_ids: Sequence[int], max_new_tokens: int, batch_size: int
) -> list[list[int]]:
    """Ids by transformers' generate, `batch_size` prompts at a time, sorted by length, padded left; cut behind the stop."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    found: dict[int, list[int]] = {}
    for start in range(0, len(order), batch_size):
        part = order[start : start + batch_size]
        batch = tokenizer.pad({"input_ids": [prompts[i] for i in part]}, padding=True, padding_side="left", return_tensors="pt")
        with torch.no_grad():
            out = model.generate(
                **batch, do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=max_new_tokens,
                eos_token_id=list(stop_ids), pad_token_id=tokenizer.pad_token_id,
            )  # fmt: skip
        width = batch["input_ids"].shape[1]
        found.update({i: row[width:].tolist() for i, row in zip(part, out, strict=True)})
    ends = [next((n + 1 for n, token in enumerate(found[i]) if token in stop_ids), len(found[i])) for i in range(len(prompts))]
    return [found[i][:end] for i, end in enumerate(ends)]


def preference_dataset(examples: Sequence[Example], rejected: Sequence[str]) -> Any:
    pairs = zip(examples, rejected, strict=True)
    return datasets.Dataset.from_list([{"prompt": e.rendered, "chosen": e.real, "rejected": text} for e, text in pairs])


def dpo_trainer(model: Any, tokenizer: Any, rows: Any, settings: RunConfig, epochs: int, micro_batch: int) -> Any:
    """TRL's DPOTrainer with peft and precomputed references: SPIN's logistic loss on the same pairs."""
    import peft
    import trl

    from tests.bench.lab import LORA

    training = settings.training
    options = trl.DPOConfig(
        output_dir=tempfile.mkdtemp(), per_device_train_batch_size=micro_batch, num_train_epochs=epochs, optim="rmsprop",
        beta=0.1, gradient_accumulation_steps=max(1, training.batch_size // micro_batch), learning_rate=float(training.lr),
        max_length=None, lr_scheduler_type="linear", warmup_steps=training.warmup,  # below 1: a share of all steps
        max_grad_norm=training.max_grad_norm, precompute_ref_log_probs=True, precompute_ref_batch_size=2 * micro_batch,
        gradient_checkpointing=False, bf16=False, use_cpu=not torch.cuda.is_available(), dataloader_pin_memory=False,
        report_to="none", save_strategy="no", logging_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return trl.DPOTrainer(
            model=model, args=options, train_dataset=rows, processing_class=tokenizer, peft_config=peft.LoraConfig(**LORA)
        )


class Retrainable:
    """A trainer that trains from the same start as often as asked; its references are computed once, outside the timed part."""

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer
        self._start = {name: p.detach().clone() for name, p in trainer.model.named_parameters() if p.requires_grad}

    def reset(self) -> None:
        with torch.no_grad():
            for name, parameter in self.trainer.model.named_parameters():
                if name in self._start:
                    parameter.copy_(self._start[name])
        self.trainer.optimizer = self.trainer.lr_scheduler = None

    def train(self) -> Any:
        return self.trainer.train()


class SimpleEvaluate:
    """lm-eval's simple_evaluate with its own transformers model, on tasks that are loaded already, prompts and all."""

    def __init__(self, board: LmEvalBenchmark, context: int) -> None:
        """context: tokens of prompt and continuation together."""
        self.suite, self.context, self.limit = board.suite, context, board.limit
        self.manager: Any = make_task_manager(board.suite)
        rows = [board.loaded_tasks[row.name] for row in board.suite.task]
        loaded = {kind: {name: task for row in rows for name, task in row[kind].items()} for kind in rows[0]}
        self.manager.load = lambda names: loaded

    def scores(self, model: Any, tokenizer: Any, batch_size: int, limit: int | None = None) -> dict[str, float]:
        """Score by row. limit: of documents, in place of the benchmark's own."""
        import lm_eval
        from lm_eval.models.huggingface import HFLM

        suite = self.suite
        wrapped = HFLM(pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=batch_size, max_length=self.context)  # type: ignore[call-arg]
        with mock.patch("lm_eval.evaluator.add_env_info"):  # seconds of asking the system for versions
            result = lm_eval.simple_evaluate(
                model=wrapped, tasks=[row.name for row in suite.task], task_manager=self.manager, limit=limit or self.limit,
                bootstrap_iters=0, apply_chat_template=suite.apply_chat_template,
                fewshot_as_multiturn=suite.fewshot_as_multiturn and suite.apply_chat_template,
            )  # fmt: skip
        assert result is not None
        return {row.name: result["results"][row.name][f"{row.metric},{row.filter}"] for row in suite.task}
