"""The data sets that the shipped recipes and their suites name on the hub, a few rows each, as lm-eval's files expect them."""

import importlib.util
import random
from pathlib import Path

import yaml

from harness.files import write_jsonl
from tests.sweep import rows as sweep_rows
from tests.sweep.rows import sentence, some

# ---------------------------------------------------------------- text


NAMES = ("Ada", "Ben", "Clara", "Dmitri", "Eve", "Farid", "Grace", "Hugo")
THINGS = ("apples", "pears", "books", "stamps", "coins", "shells", "pens", "cards")
ANSWERS = (
    "{name} has {n} {things}, and that is all there is to say.",
    "Certainly! Here is a list:\n\n1. {things}\n2. more {things}\n   - {n} of them\n",
    "```python\ndef count():\n    return {n}  # {things}\n```\nThe function returns {n}.",
    "It depends. {name} would say «{n}», others say {n}{n}.",
    '"{things}" is the word; a café in Zürich sells {n} of them → ask {name} 🙂.',
)


def sentences(count, rng):
    """(question, answer) texts as people write them: lists, code, quotes, letters with accents."""
    for k in range(count):
        said = {"name": rng.choice(NAMES), "things": rng.choice(THINGS), "n": rng.randrange(2, 90)}
        yield f"Question {k}: how many {said['things']} does {said['name']} have?", rng.choice(ANSWERS).format(**said)


def sum_problem(k):
    a, b = 2 + k % 7, 3 + k % 11
    question = f"{NAMES[k % 8]} has {a} {THINGS[k % 5]} and buys {b} more on day {k}. How many are there now?"
    return question, f"There are {a} + {b} = <<{a}+{b}={a + b}>>{a + b} of them.\n#### {a + b}"


# ---------------------------------------------------------------- data sets


def ultrachat(r, n):
    """A conversation of two rounds with its first question beside it."""
    ((question, answer),) = sentences(1, r)
    question = question.replace("Question 0:", f"Question {n}:")
    turns = (question, answer, "Could you say it again, shorter?", f"Yes: {answer.splitlines()[0]}")
    messages = [{"content": text, "role": ("user", "assistant")[k % 2]} for k, text in enumerate(turns)]
    return {"prompt": question, "prompt_id": f"{n:064x}", "messages": messages}


def musr(r, n):
    choices = some(r, 3)
    return {
        "narrative": sentence(r, 12), "question": "Who did it?", "choices": repr(choices), "answer_index": n % 3,
        "answer_choice": choices[n % 3],
    }  # fmt: skip


def ifeval(r, n):
    """Two instructions as IFEval's rows have them: every argument of any instruction is a key, empty where not its own."""
    prompt, ids, arguments = (
        ("Write about apples without any comma.", ["punctuation:no_comma"], [{}]),
        ("Write at least 2 sentences about coins, all in lowercase.",
         ["length_constraints:number_sentences", "change_case:english_lowercase"],
         [{"relation": "at least", "num_sentences": 2}, {}]),
    )[n]  # fmt: skip
    keys = ("relation", "num_sentences", "num_words", "keywords")
    kwargs = [{name: given.get(name) for name in keys} for given in arguments]
    return {"key": 1000 + n, "prompt": prompt, "instruction_id_list": ids, "kwargs": kwargs}


def in_task_files(pattern, *keys):
    """Values of keys in lm-eval's own task files of a pattern, one tuple per file that has all of them."""
    spec = importlib.util.find_spec("lm_eval")
    assert spec is not None and spec.origin is not None
    for path in sorted(Path(spec.origin).parent.joinpath("tasks").glob(pattern)):
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if ":" in line and line[0] not in " #-"]
        values = {yaml.safe_load(line.partition(":")[0]): line.partition(":")[2] for line in lines}
        if values.keys() >= set(keys):
            yield tuple(yaml.safe_load(values[key]) for key in keys)


MMLU = [name for (name,) in in_task_files("mmlu/default/mmlu_*.yaml", "dataset_name")]
MATH = [name for (name,) in in_task_files("leaderboard/math/math_*.yaml", "dataset_name")]
BBH = dict(in_task_files("leaderboard/bbh_mc/*.yaml", "dataset_name", "doc_to_choice"))  # part -> what its targets are among
assert (len(MMLU), len(MATH)) == (57, 7)
# Hub id -> its configurations, and the number of rows of each split: as many as a suite's shots need, four to be asked.
SIZES = {
    "HuggingFaceH4/ultrachat_200k": (["default"], dict.fromkeys(("train_sft", "test_sft", "train_gen", "test_gen"), 40)),
    "openai/gsm8k": (["main", "socratic"], {"train": 60, "test": 4}),
    "Rowan/hellaswag": (["default"], {"train": 14, "validation": 4}),
    "allenai/winogrande": (["winogrande_xl"], {"train": 10, "validation": 4}),
    "allenai/ai2_arc": (["ARC-Challenge", "ARC-Easy"], {"train": 40, "validation": 4, "test": 4}),
    "truthfulqa/truthful_qa": (["multiple_choice"], {"validation": 4}),
    "cais/mmlu": (MMLU, {"dev": 5, "test": 2}),
    "TIGER-Lab/MMLU-Pro": (["default"], {"validation": 6, "test": 4}),
    "Idavidrein/gpqa": (["gpqa_diamond", "gpqa_extended", "gpqa_main"], {"train": 4}),
    "SaylorTwift/bbh": (list(BBH), {"test": 4}),
    "TAUR-Lab/MuSR": (["default"], dict.fromkeys(("murder_mysteries", "object_placements", "team_allocation"), 4)),
    "DigitalLearningGmbH/MATH-lighteval": (MATH, {"train": 4, "test": 6}),
    "google/IFEval": (["default"], {"train": 2}),
}
ROWS = sweep_rows.ROWS | {
    "HuggingFaceH4/ultrachat_200k": ultrachat,
    "openai/gsm8k": lambda r, n: dict(zip(("question", "answer"), sum_problem(n), strict=True)),
    "DigitalLearningGmbH/MATH-lighteval": lambda r, n: sweep_rows.math(r, n) | {"level": f"Level {4 + n % 2}"},
    "TAUR-Lab/MuSR": musr,
    "google/IFEval": ifeval,
}


def write_dataset(mirror, name):
    """A data set in the folder that stands for the hub; its configurations have the same rows, but for BBH's targets."""
    configs, splits = SIZES[name]
    listed = ""
    for config in configs:
        listed += f"- config_name: {config}\n  data_files:\n"
        for number, (split, count) in enumerate(splits.items()):
            path = mirror / name / config / f"{split}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = [ROWS[name](random.Random(f"{split} {n}"), n) for n in range(100 * number, 100 * number + count)]
            if config in BBH:
                rows = [row | {"target": BBH[config][n % len(BBH[config])]} for n, row in enumerate(rows)]
            write_jsonl(path, rows)
            listed += f"  - split: {split}\n    path: {config}/{split}.jsonl\n"
    (mirror / name / "README.md").write_text(f"---\nconfigs:\n{listed}---\n")
    if name == "google/IFEval":
        punkt(mirror / "nltk_data")


def punkt(folder):
    """NLTK's sentence splitter, trained on the twin's own text, where the mirror keeps it."""
    import nltk
    from nltk.tokenize.punkt import PunktTrainer, save_punkt_params

    place = folder / "tokenizers" / "punkt_tab"
    place.mkdir(parents=True, mode=0o700)
    text = " ".join(answer for _, answer in sentences(200, random.Random(9)))
    nltk.data.path.insert(0, str(folder))  # NLTK writes below its data folders only
    try:
        save_punkt_params(PunktTrainer(text).get_params(), dir=str(place / "english"))
    finally:
        nltk.data.path.remove(str(folder))


ARC, GSM8K, IFEVAL = "allenai/ai2_arc", "openai/gsm8k", "google/IFEval"
LEADERBOARD = ("cais/mmlu", "TIGER-Lab/MMLU-Pro", "Idavidrein/gpqa", "Rowan/hellaswag", "allenai/winogrande", "SaylorTwift/bbh")
TASKS = {
    "openllm-v1": (ARC, GSM8K, "Rowan/hellaswag", "truthfulqa/truthful_qa", "cais/mmlu", "allenai/winogrande"),
    "space-ten": (ARC, GSM8K, IFEVAL, "truthfulqa/truthful_qa", *LEADERBOARD),
    "tspin-ten": (GSM8K, IFEVAL, "DigitalLearningGmbH/MATH-lighteval", "TAUR-Lab/MuSR", *LEADERBOARD),
}
PAIRS = ("HuggingFaceH4/ultrachat_200k", GSM8K)
