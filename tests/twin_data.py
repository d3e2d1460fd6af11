"""The data sets that the shipped recipes and their suites name on the hub, a few rows each, as lm-eval's files expect them."""

import importlib.util
import json
import random
from pathlib import Path

import yaml

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


def sentences(count, seed):
    """(question, answer) texts as people write them: lists, code, quotes, letters with accents."""
    rng = random.Random(seed)
    for k in range(count):
        said = {"name": rng.choice(NAMES), "things": rng.choice(THINGS), "n": rng.randrange(2, 90)}
        yield f"Question {k}: how many {said['things']} does {said['name']} have?", rng.choice(ANSWERS).format(**said)


def sum_problem(k):
    a, b = 2 + k % 7, 3 + k % 11
    question = f"{NAMES[k % 8]} has {a} {THINGS[k % 5]} and buys {b} more on day {k}. How many are there now?"
    return question, f"There are {a} + {b} = <<{a}+{b}={a + b}>>{a + b} of them.\n#### {a + b}"


# ---------------------------------------------------------------- data sets of the recipes


def write_data(mirror, name, files, splits):
    """A data set in the folder that stands for the hub. files: path -> rows. splits: configuration -> split -> path."""
    folder = mirror / name
    for path, table in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("".join(json.dumps(row) + "\n" for row in table), encoding="utf-8")
    listed = ""
    for config, paths in splits.items():
        listed += f"- config_name: {config}\n  data_files:\n"
        listed += "".join(f"  - split: {split}\n    path: {path}\n" for split, path in paths.items())
    (folder / "README.md").write_text(f"---\nconfigs:\n{listed}---\n")


def ultrachat(mirror):
    """Conversations of two rounds with the first question beside them, in the four splits of UltraChat 200k."""

    def row(k, question, answer):
        more = ("Could you say it again, shorter?", f"Yes: {answer.splitlines()[0]}")
        turns = zip(("user", "assistant", "user", "assistant"), (question, answer, *more), strict=True)
        return {
            "prompt": question,
            "prompt_id": f"{k:064x}",
            "messages": [{"content": content, "role": role} for role, content in turns],
        }

    splits = ("train_sft", "test_sft", "train_gen", "test_gen")
    files = {
        f"data/{split}.jsonl": [row(k, *pair) for k, pair in enumerate(sentences(40, seed))] for seed, split in enumerate(splits)
    }
    write_data(mirror, "HuggingFaceH4/ultrachat_200k", files, {"default": {s: f"data/{s}.jsonl" for s in splits}})


def gsm8k(mirror):
    """Both the pairs of a recipe and a task of its suite."""
    files = {
        f"{config}/{split}.jsonl": [dict(zip(("question", "answer"), sum_problem(k), strict=True)) for k in ks]
        for config in ("main", "socratic")
        for split, ks in (("train", range(60)), ("test", range(100, 104)))
    }
    splits = {config: {s: f"{config}/{s}.jsonl" for s in ("train", "test")} for config in ("main", "socratic")}
    write_data(mirror, "openai/gsm8k", files, splits)


# ---------------------------------------------------------------- data sets of the suites' tasks, in lm-eval's formats


def hellaswag(mirror):
    def row(k, split):
        return {
            "ind": k, "activity_label": "Counting things", "ctx_a": f"{NAMES[k % 8]} takes {k} {THINGS[k % 8]}.", "ctx_b": "then",
            "ctx": f"{NAMES[k % 8]} takes {k} {THINGS[k % 8]}. then", "endings": [f"puts {k + e} back. [step]" for e in range(4)],
            "source_id": f"x~{k}", "split": split, "split_type": "indomain", "label": str(k % 4),
        }  # fmt: skip

    files = {"data/train.jsonl": [row(k, "train") for k in range(14)], "data/val.jsonl": [row(k, "val") for k in range(20, 24)]}
    write_data(mirror, "Rowan/hellaswag", files, {"default": {"train": "data/train.jsonl", "validation": "data/val.jsonl"}})


def winogrande(mirror):
    def row(k):
        return {
            "sentence": f"{NAMES[k % 8]} gave {NAMES[(k + 3) % 8]} {k} {THINGS[k % 8]} because _ was kind.",
            "option1": NAMES[k % 8], "option2": NAMES[(k + 3) % 8], "answer": str(1 + k % 2),
        }  # fmt: skip

    files = {"xl/train.jsonl": [row(k) for k in range(10)], "xl/validation.jsonl": [row(k) for k in range(20, 24)]}
    splits = {"winogrande_xl": {"train": "xl/train.jsonl", "validation": "xl/validation.jsonl"}}
    write_data(mirror, "allenai/winogrande", files, splits)


def arc(mirror):
    def row(k):
        texts = [f"{k + e} {THINGS[(k + e) % 8]}" for e in range(4)]
        question = f"What does {NAMES[k % 8]} need on day {k}?"
        return {
            "id": f"q{k}",
            "question": question,
            "choices": {"text": texts, "label": list("ABCD")},
            "answerKey": "ABCD"[k % 4],
        }

    ranges = {"train": range(40), "validation": range(50, 54), "test": range(60, 64)}
    configs = ("ARC-Challenge", "ARC-Easy")
    files = {f"{c}/{s}.jsonl": [row(k) for k in ks] for c in configs for s, ks in ranges.items()}
    write_data(mirror, "allenai/ai2_arc", files, {c: {s: f"{c}/{s}.jsonl" for s in ranges} for c in configs})


def truthfulqa(mirror):
    def row(k):
        choices = [f"It has {k} {THINGS[k % 8]}.", f"Nobody knows {k}.", f"There are {k + 1}."]
        return {
            "question": f"What is known of {THINGS[k % 8]} number {k}?",
            "mc1_targets": {"choices": choices, "labels": [1, 0, 0]},
            "mc2_targets": {"choices": choices, "labels": [1, 1, 0]},
        }

    files = {"multiple_choice/validation.jsonl": [row(k) for k in range(4)]}
    write_data(mirror, "truthfulqa/truthful_qa", files, {"multiple_choice": {"validation": "multiple_choice/validation.jsonl"}})


def written_in(pattern, *keys):
    """Values of keys in lm-eval's own task files of a pattern, one dict per file that has all of them."""
    spec = importlib.util.find_spec("lm_eval")
    assert spec is not None and spec.origin is not None
    for path in sorted(Path(spec.origin).parent.joinpath("tasks").glob(pattern)):
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if ":" in line and line[0] not in " #-"]
        found = {yaml.safe_load(line.partition(":")[0]): line.partition(":")[2] for line in lines}
        if found.keys() >= set(keys):
            yield {key: yaml.safe_load(found[key]) for key in keys}


def mmlu(mirror):
    def row(k, subject):
        choices = [f"{k + e} {THINGS[(k + e) % 8]}" for e in range(4)]
        return {"question": f"In {subject}, what follows {k}?", "subject": subject, "choices": choices, "answer": k % 4}

    subjects = [found["dataset_name"] for found in written_in("mmlu/default/mmlu_*.yaml", "dataset_name")]
    assert len(subjects) == 57
    files = {f"{s}/{split}.jsonl": [row(k, s) for k in ks]
             for s in subjects for split, ks in (("dev", range(5)), ("test", range(7, 9)))}  # fmt: skip
    write_data(mirror, "cais/mmlu", files, {s: {p: f"{s}/{p}.jsonl" for p in ("dev", "test")} for s in subjects})


def mmlu_pro(mirror):
    def row(k):
        options = [f"{k + e} {THINGS[(k + e) % 8]}" for e in range(10)]
        return {
            "question_id": k, "question": f"Which is the quantity of case {k}?", "options": options,
            "answer": "ABCDEFGHIJ"[k % 10], "answer_index": k % 10, "cot_content": "", "category": "business", "src": "x",
        }  # fmt: skip

    files = {"data/validation.jsonl": [row(k) for k in range(6)], "data/test.jsonl": [row(k) for k in range(10, 14)]}
    write_data(
        mirror, "TIGER-Lab/MMLU-Pro", files, {"default": {"validation": "data/validation.jsonl", "test": "data/test.jsonl"}}
    )


def gpqa(mirror):
    def row(k):
        wrong = {f"Incorrect Answer {e}": f"{k + e} {THINGS[(k + e) % 8]}" for e in (1, 2, 3)}
        return {"Question": f"How much is case {k}?", "Correct Answer": f"{k} exactly [sic]", **wrong}

    configs = ("gpqa_diamond", "gpqa_extended", "gpqa_main")
    files = {f"{c}.jsonl": [row(k) for k in range(4)] for c in configs}
    write_data(mirror, "Idavidrein/gpqa", files, {c: {"train": f"{c}.jsonl"} for c in configs})


def bbh(mirror):
    """Targets are among the choices of each task's own file."""
    files, splits = {}, {}
    for settings in written_in("leaderboard/bbh_mc/*.yaml", "dataset_name", "doc_to_choice"):
        config, choices = settings["dataset_name"], settings["doc_to_choice"]
        files[f"{config}/test.jsonl"] = [
            {"input": f"Consider {k} {THINGS[k % 8]}.\nOptions: {', '.join(choices)}", "target": choices[k % len(choices)]}
            for k in range(4)
        ]
        splits[config] = {"test": f"{config}/test.jsonl"}
    write_data(mirror, "SaylorTwift/bbh", files, splits)


def musr(mirror):
    def row(k):
        choices = [NAMES[k % 8], NAMES[(k + 1) % 8], NAMES[(k + 2) % 8]]
        return {
            "narrative": f"{choices[0]} met {choices[1]}. There were {k} {THINGS[k % 8]}.", "question": "Who did it?",
            "choices": repr(choices), "answer_index": k % 3, "answer_choice": choices[k % 3],
        }  # fmt: skip

    splits = ("murder_mysteries", "object_placements", "team_allocation")
    files = {f"{s}.jsonl": [row(k) for k in range(4)] for s in splits}
    write_data(mirror, "TAUR-Lab/MuSR", files, {"default": {s: f"{s}.jsonl" for s in splits}})


def math_hard(mirror):
    def row(k, kind):
        solution = f"We add and find $\\boxed{{{k + 2}}}$."
        return {"problem": f"What is ${k} + 2$?", "level": f"Level {5 if k % 2 else 4}", "type": kind, "solution": solution}

    kinds = [found["dataset_name"] for found in written_in("leaderboard/math/math_*.yaml", "dataset_name")]
    assert len(kinds) == 7
    files = {f"{c}/{s}.jsonl": [row(k, c) for k in ks] for c in kinds for s, ks in (("train", range(4)), ("test", range(10, 16)))}
    splits = {c: {s: f"{c}/{s}.jsonl" for s in ("train", "test")} for c in kinds}
    write_data(mirror, "DigitalLearningGmbH/MATH-lighteval", files, splits)


def ifeval(mirror):
    """Two instructions as IFEval's rows have them: every argument of any instruction is a key, empty where not its own."""
    asked = [
        ("Write about apples without any comma.", ["punctuation:no_comma"], [{}]),
        ("Write at least 2 sentences about coins, all in lowercase.",
         ["length_constraints:number_sentences", "change_case:english_lowercase"],
         [{"relation": "at least", "num_sentences": 2}, {}]),
    ]  # fmt: skip
    keys = ("relation", "num_sentences", "num_words", "keywords")
    rows = [
        {
            "key": 1000 + k,
            "prompt": prompt,
            "instruction_id_list": ids,
            "kwargs": [{n: kw.get(n) for n in keys} for kw in arguments],
        }
        for k, (prompt, ids, arguments) in enumerate(asked)
    ]
    write_data(mirror, "google/IFEval", {"train.jsonl": rows}, {"default": {"train": "train.jsonl"}})
    punkt(mirror / "nltk_data")


def punkt(folder):
    """NLTK's sentence splitter, trained on the twin's own text, where the mirror keeps it."""
    import nltk
    from nltk.tokenize.punkt import PunktTrainer, save_punkt_params

    place = folder / "tokenizers" / "punkt_tab"
    place.mkdir(parents=True, mode=0o700)
    text = " ".join(answer for _, answer in sentences(200, 9))
    nltk.data.path.insert(0, str(folder))  # NLTK writes below its data folders only
    try:
        save_punkt_params(PunktTrainer(text).get_params(), dir=str(place / "english"))
    finally:
        nltk.data.path.remove(str(folder))


TASKS = {
    "openllm-v1": (arc, hellaswag, truthfulqa, mmlu, winogrande, gsm8k),
    "space-ten": (gsm8k, ifeval, truthfulqa, mmlu, mmlu_pro, gpqa, hellaswag, winogrande, bbh, arc),
    "tspin-ten": (gsm8k, math_hard, musr, mmlu, mmlu_pro, gpqa, hellaswag, winogrande, bbh, ifeval),
}
PAIRS = {"HuggingFaceH4/ultrachat_200k": ultrachat, "openai/gsm8k": gsm8k}
