"""What a careful user would glue together from TRL, transformers and lm-eval, with the same work and settings as ours.

Care taken for them: batches as large as ours, sorted by length where their interface lets one; no gradient checkpointing, no
bfloat16 on the CPU, no logging or saving; reference log-probabilities precomputed; tasks found without scanning lm-eval's own.
"""

import tempfile
import warnings
from collections.abc import Sequence
from typing import Any

import datasets
import torch

from harness.config import RunConfig
from harness.language.records import Example
from harness.loop.suite import load_suite
from harness.settings.paths import PACKAGE


def generate(
    model: Any, tokenizer: Any, prompts: Sequence[list[int]], stop_ids: Sequence[int], max_new_tokens: int, batch_size: int
) -> list[Any]:
    """transformers' generate, `rows` prompts at a time, sorted by length, padded on the left."""
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
    return [found[i] for i in range(len(prompts))]


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
        beta=0.1, gradient_accumulation_steps=training.batch_size // micro_batch, learning_rate=float(training.lr),
        max_length=None, lr_scheduler_type="linear", warmup_steps=training.warmup,  # below 1: a share of all steps
        max_grad_norm=training.max_grad_norm, precompute_ref_log_probs=True, precompute_ref_batch_size=256,
        gradient_checkpointing=False, bf16=False, use_cpu=not torch.cuda.is_available(), dataloader_pin_memory=False,
        report_to="none", save_strategy="no", logging_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return trl.DPOTrainer(
            model=model, args=options, train_dataset=rows, processing_class=tokenizer, peft_config=peft.LoraConfig(**LORA)
        )


def lm_eval_scores(model: Any, tokenizer: Any, suite_name: str, batch_size: int, context: int) -> dict[str, float]:
    """lm-eval's simple_evaluate with its own transformers model: once per number of shots, as its interface wants it."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    suite = load_suite(suite_name)
    manager = TaskManager(include_path=[str(PACKAGE / "lab" / "tasks")], include_defaults=False)
    wrapped = HFLM(pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=batch_size, max_length=context)  # type: ignore[call-arg]
    scores = {}
    for shots in sorted({row.shots for row in suite.task}):
        listed = [row for row in suite.task if row.shots == shots]
        result = lm_eval.simple_evaluate(
            model=wrapped, tasks=[row.name for row in listed], num_fewshot=shots, task_manager=manager,
            apply_chat_template=suite.apply_chat_template, fewshot_as_multiturn=suite.fewshot_as_multiturn, bootstrap_iters=0,
        )  # fmt: skip
        scores |= {row.name: result["results"][row.name][f"{row.metric},{row.filter}"] for row in listed}
    return scores
