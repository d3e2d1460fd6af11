"""Every row of the speed table: what is compared with what, and the goal."""

from collections.abc import Iterator
from typing import Any

from tests.bench.row import BFLOAT16, Goal, Row

NAMES = {"lab": "the lab", "smollm2": "SmolLM2-135M"}
SHARED, FOUR, TWO, NOTHING = 3.0, 2.2, 1.8, 1.3  # times as fast as HFLM, by what its requests have in common
# name -> (title, goal, arguments, items by model): items such that a round of HFLM takes some seconds on two cores
TASKS: dict[str, tuple[str, float, dict[str, Any], tuple[int, int]]] = {
    "mmlu": ("MMLU-shaped, 5 shots", SHARED, {"task": "mmlu_shaped", "shots": 5}, (40, 8)),
    "hellaswag": ("HellaSwag, 10 shots", FOUR, {"task": "hellaswag", "shots": 10, "metric": "acc_norm"}, (12, 2)),
    "truthfulqa": ("TruthfulQA, 0 shots", SHARED, {"task": "truthfulqa_mc2"}, (25, 2)),
    "winogrande": ("WinoGrande, 5 shots", TWO, {"task": "winogrande", "shots": 5}, (60, 12)),
    "arc-25": ("ARC-Challenge, 25 shots", FOUR, {"task": "arc_challenge", "shots": 25, "metric": "acc_norm"}, (80, 2)),
    "arc-25-cut": ("ARC-Challenge, 25 shots, cut", FOUR, {"task": "arc_challenge", "shots": 25, "metric": "acc_norm"}, (12, 2)),
    "piqa": ("PIQA, 0 shots", TWO, {"task": "piqa"}, (200, 32)),
    "lambada": ("LAMBADA, 0 shots", NOTHING, {"task": "lambada_openai"}, (200, 24)),
}  # fmt: skip
TITLES = {
    ("lab", "arc-25"): "ARC-shaped, 25 shots", ("lab", "arc-25-cut"): "ARC-Challenge, 25 shots, cut by its context",
    ("lab", "hellaswag"): "HellaSwag, 10 shots, cut by its context", ("lab", "truthfulqa"): "TruthfulQA mc1, 0 shots",
    ("lab", "lambada"): "LAMBADA, 0 shots, lines whose last word HFLM can encode",
    ("smollm2", "arc-25-cut"): "ARC-Challenge, 25 shots, cut to 900 tokens",
}  # fmt: skip
STARTS = {
    "startup-help": ("`harness run --help`, processor seconds", 0.1, ["run", "--help"], 0),
    "startup-typo": ("A mistyped objective, processor seconds", 0.5, ["run", "--objectives", "spni"], 1),
    "startup-report": ("`harness report` to its first error, processor seconds", 0.3, ["report", "nosuchrun"], 1),
}


def rows() -> list[Row]:
    """In the order of the table."""
    return [*_iterations(), *_generation(), *_training(), *_evaluation(), *_commands()]


def _iterations() -> Iterator[Row]:
    peer = "TRL, transformers, lm-eval"
    yield Row(
        "iteration-lab", "One SPIN iteration, the lab", "One SPIN iteration on the lab: generate, score, train, evaluate",
        peer, {"harness": Goal("times", 5)}, "iteration", {"subject": "lab"},
    )  # fmt: skip
    yield Row(
        "iteration-smollm2", "One SPIN iteration, SmolLM2-135M",
        "One SPIN iteration on SmolLM2-135M: 128 pairs, one epoch, ten real tasks of 50 items",
        peer, {"harness": Goal("times", 3), BFLOAT16: Goal("times", 3.5)}, "iteration", {"subject": "smollm2"}, needs_mirror=True,
    )  # fmt: skip


def _generation() -> Iterator[Row]:
    for name, goal, what in (("lab", 4, "1,200 responses"), ("smollm2", 2, "128 responses")):
        yield Row(
            f"generate-{name}", f"Generation, {NAMES[name]}", f"Generation on {NAMES[name]}, {what} of at most 64 tokens",
            "transformers", {"harness": Goal("times", goal)}, "generation", {"subject": name}, name != "lab",
        )  # fmt: skip


def _training() -> Iterator[Row]:
    yield Row(
        "train-lab", "Training, the lab", "Training on the lab, one epoch of SPIN's loss", "TRL", {"harness": Goal("times", 5)},
        "training", {"subject": "lab"},
    )  # fmt: skip
    yield Row(
        "train-smollm2", "Training, SmolLM2-135M", "Training on SmolLM2-135M, one epoch of SPIN's loss, 128 pairs", "TRL",
        {"harness": Goal("times", 2.5), BFLOAT16: Goal("times", 3)}, "training", {"subject": "smollm2"}, needs_mirror=True,
    )  # fmt: skip


def _evaluation() -> Iterator[Row]:
    for n, (subject, label) in enumerate(NAMES.items()):
        for name, (title, goal, arguments, items) in TASKS.items():
            work = {"subject": subject, "items": items[n], **arguments} | changes(subject, name)
            title = TITLES.get((subject, name), title)
            needs_mirror = subject != "lab" or not str(work["task"]).endswith("_shaped")
            yield Row(
                f"evaluate-{subject}-{name}", f"Evaluation, {label}, eight tasks", f"{title}, {label}", "HFLM",
                {"harness": Goal("times", goal)}, "evaluation", work, needs_mirror,
            )  # fmt: skip


def changes(subject: str, task: str) -> dict[str, Any]:
    """What a row does otherwise: SmolLM2's prompts are cut to fewer tokens than any has.

    In the lab's words 25 shots of ARC never fit into its context, which cuts them; what fits is a task of its own in that
    shape. Of LAMBADA's lines it takes those that HFLM can encode with the lab's tokenizer. Spelled in bytes, an answer's
    probability may be 0 in floating point, and mc2 of TruthfulQA, a ratio of such, no number.
    """
    if subject == "lab":
        tasks = {
            "arc-25": {"task": "arc_shaped", "metric": "acc"},
            "lambada": {"task": "lambada_lab"},
            "truthfulqa": {"task": "truthfulqa_mc1"},
        }
        return tasks.get(task, {})
    return {"context": 900} if task == "arc-25-cut" else {}


def _commands() -> Iterator[Row]:
    yield Row(
        "objectives", "Six objectives in one run", "Six objectives in one run, one seed, five iterations", "six runs",
        {"harness": Goal("share", 0.8)}, "objectives",
    )  # fmt: skip
    for name, (title, goal, words, code) in STARTS.items():
        yield Row(name, title, title, "", {"harness": Goal("seconds", goal)}, "startup", {"words": words, "code": code})
