"""Tiny twins of what the shipped recipes name on the hub: model and tokenizer of the same kind, pairs and tasks in their formats.

A twin lies in a folder that stands for the hub, under the id that the recipe names, so that a recipe is played as it stands. The
tokenizers are trained on the spot on the twin's own text; the models are of the recipe's class and learn that text for a moment, so
that what they say begins and ends as the real responses do.
"""

import importlib.util
import json
import random
from collections import Counter
from pathlib import Path

import tokenizers
import torch
import transformers
import yaml
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

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
    (package,) = importlib.util.find_spec("lm_eval").submodule_search_locations
    for path in sorted(Path(package, "tasks").glob(pattern)):
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
            "question_id": k, "question": f"Which is the quantity of case {k}?", "options": options, "answer": "ABCDEFGHIJ"[k % 10],
            "answer_index": k % 10, "cot_content": "", "category": "business", "src": "x",
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

    kinds = (
        "algebra",
        "counting_and_probability",
        "geometry",
        "intermediate_algebra",
        "number_theory",
        "prealgebra",
        "precalculus",
    )
    files = {f"{c}/{s}.jsonl": [row(k, c) for k in ks] for c in kinds for s, ks in (("train", range(4)), ("test", range(10, 16)))}
    splits = {c: {s: f"{c}/{s}.jsonl" for s in ("train", "test")} for c in kinds}
    write_data(mirror, "DigitalLearningGmbH/MATH-lighteval", files, splits)


def ifeval(mirror):
    """Two instructions as IFEval's rows have them: every argument that any instruction takes is a key, empty where not its own."""
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


# ---------------------------------------------------------------- tokenizers


def spoken(template):
    """What a tokenizer is trained on: prompts in the papers' template or the tokenizer's own, and responses."""
    for question, answer in sentences(400, 5):
        yield template.format(question)
        yield answer
    for k in range(200):
        yield from sum_problem(k)


def metaspace_bpe(folder):
    """SentencePiece's BPE as Llama 2 and Mistral 7B have it: a space before a text is a mark before its first word, what is in no
    piece is bytes, <s> goes before every text."""
    special = ["<unk>", "<s>", "</s>"]
    trained = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    trained.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")  # no piece goes across words
    trainer = trainers.BpeTrainer(
        vocab_size=800, special_tokens=[*special, *(f"<0x{b:02X}>" for b in range(256))], show_progress=False, min_frequency=20,
    )  # fmt: skip
    trained.train_from_iterator(spoken("### Instruction: {}\n\n### Response: "), trainer)
    trained.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    trained.pre_tokenizer = None
    trained.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(content=" ", left=1)]
    )
    trained.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    trained.save(str(folder / "tokenizer.json"))
    token = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    settings = {
        "add_bos_token": True, "add_eos_token": False, "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
        "pad_token": None, "legacy": True, "clean_up_tokenization_spaces": False, "model_max_length": 10**30,
        "sp_model_kwargs": {}, "spaces_between_special_tokens": False, "tokenizer_class": "LlamaTokenizer",
        "added_tokens_decoder": {str(k): {"content": t, **token} for k, t in enumerate(special)},
    }  # fmt: skip
    return settings


# Turns as Zephyr's tokenizer writes them: a line with the role, the text, the end of sequence.
ZEPHYR = (
    "{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] + eos_token }}\n"
    "{% elif message['role'] == 'system' %}\n{{ '<|system|>\n' + message['content'] + eos_token }}\n"
    "{% elif message['role'] == 'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n"
    "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}"
)
# ChatML with Qwen's default system turn.
CHATML = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def byte_level_bpe(folder):
    """Byte-level BPE as Qwen2.5 has it: no beginning token, digits one by one, ChatML's marks as added special tokens."""
    from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

    trained = tokenizers.Tokenizer(models.BPE())
    trained.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(tokenizers.Regex(PRETOKENIZE_REGEX), "isolated")
    trained.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    trained.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, show_progress=False, min_frequency=20)
    trained.train_from_iterator(spoken("### Instruction: {}\n\n### Response: "), trainer)
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trained.add_special_tokens(special)
    trained.save(str(folder / "tokenizer.json"))
    token = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    first = trained.token_to_id(special[0])
    return {
        "add_bos_token": False, "add_prefix_space": False, "bos_token": None, "eos_token": "<|endoftext|>", "unk_token": None,
        "pad_token": "<|endoftext|>", "chat_template": CHATML, "clean_up_tokenization_spaces": False, "errors": "replace",
        "model_max_length": 32768, "split_special_tokens": False, "tokenizer_class": "Qwen2Tokenizer",
        "additional_special_tokens": special[1:],
        "added_tokens_decoder": {str(first + k): {"content": t, **token} for k, t in enumerate(special)},
    }  # fmt: skip


# ---------------------------------------------------------------- models


TINY = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}


def mistral(tokenizer):
    return transformers.MistralConfig(
        **TINY, vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=32768, sliding_window=4096, rms_norm_eps=1e-5,
        bos_token_id=1, eos_token_id=2, tie_word_embeddings=False,
    )  # fmt: skip


def qwen2(tokenizer):
    end = tokenizer.token_to_id("<|endoftext|>")
    return transformers.Qwen2Config(
        **TINY, vocab_size=tokenizer.get_vocab_size() + 37,  # as Qwen's: the embedding has more rows than the tokenizer has tokens
        max_position_embeddings=32768, tie_word_embeddings=True, bos_token_id=end, eos_token_id=end,
    )  # fmt: skip


# hub id -> tokenizer, changes of its settings, model, whether its own template is the one it has learnt
MODELS = {
    "mistralai/Mistral-7B-v0.1": (metaspace_bpe, {}, mistral),
    "alignment-handbook/zephyr-7b-sft-full": (metaspace_bpe, {"chat_template": ZEPHYR, "pad_token": "</s>"}, mistral),
    "Qwen/Qwen2.5-0.5B": (byte_level_bpe, {}, qwen2),
}


def write_model(mirror, name, pairs):
    """The twin of a model in the folder that stands for the hub, taught for a moment the whole text of `pairs`."""
    make_tokenizer, changes, make_config = MODELS[name]
    folder = mirror / "models" / name
    folder.mkdir(parents=True)
    (folder / "tokenizer_config.json").write_text(json.dumps(make_tokenizer(folder) | changes))
    config = make_config(tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")))
    config.save_pretrained(str(folder))  # transformers asks it which class the tokenizer is of
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder))
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config)
    learn(model, [whole_ids(tokenizer, instruction(prompt), real) for prompt, real in pairs])
    model.to(torch.bfloat16).save_pretrained(str(folder))
    ends = {"bos_token_id": model.config.bos_token_id, "eos_token_id": model.config.eos_token_id}
    (folder / "generation_config.json").write_text(json.dumps(ends))


def instruction(prompt):
    """The papers' template, spelt out here so that the program's own is compared with something."""
    return f"### Instruction: {prompt}\n\n### Response: "


def whole_ids(tokenizer, rendered, real):
    """The tokenizer's ids of prompt and response in one text, its end behind them: what a base model has seen of such a text."""
    return [*tokenizer(rendered + real)["input_ids"], tokenizer.eos_token_id]


def learn(model, sequences, steps=150, rows=16):
    """Next-token training for a moment; returns the last loss in nats per token."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    rates = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, steps)
    rng = random.Random(0)
    model.train()
    for _ in range(steps):
        chosen = rng.sample(sequences, rows)
        longest = max(map(len, chosen))
        ids = torch.zeros(rows, longest, dtype=torch.long)
        labels = torch.full((rows, longest), -100)
        for row, sequence in enumerate(chosen):
            ids[row, : len(sequence)] = labels[row, : len(sequence)] = torch.tensor(sequence)
        loss = model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        rates.step()
    return float(loss.detach())


# ---------------------------------------------------------------- a recipe's twin


def write_mirror(mirror, config):
    """Everything that a recipe's configuration names on the hub."""
    for write in dict.fromkeys([PAIRS[config.data.source], *TASKS[config.evaluation.suite]]):
        write(mirror)
    pairs = [*sentences(400, 7)] if config.data.source != "openai/gsm8k" else [sum_problem(k) for k in range(200)]
    write_model(mirror, config.model.path, pairs)


# ---------------------------------------------------------------- packages of a task that are not installed here

# What MATH's task file takes from math_verify: answers out of LaTeX, and whether two are equal. Here: the boxed text, letter by letter.
MATH_VERIFY = """
import re
class LatexExtractionConfig: pass
def parse(text, extraction_config=None): return re.findall(r"boxed\\{([^{}]*)\\}", text)
def verify(gold, target): return bool(gold) and gold == target
"""


def stand_ins(folder):
    """Put stand-ins for the packages of MATH that are missing here into `folder`, for the import path; the real ones are preferred."""
    folder.mkdir(exist_ok=True)
    for package, source in (("math_verify", MATH_VERIFY), ("antlr4", "")):
        if importlib.util.find_spec(package) is None:
            (folder / f"{package}.py").write_text(source)
    return folder


# ---------------------------------------------------------------- the seam of prompt and response


def laid_out(tokenizer, example, kind):
    """(prompt ids, ids of the real response) of an Example as training has them."""
    from harness.encoding import Encoder, choose_template

    encoder = Encoder(tokenizer, choose_template(tokenizer, kind))
    return encoder.prompt(example), encoder.real(example)


def seam_faults(tokenizer, example, prompt, real, synthetic):
    """What is wrong with where a response begins, a line each: the whole text's ids, the whole text, the beginning token.

    synthetic: responses that were drawn after `prompt`; they begin behind the same ids by how they are drawn.
    """
    whole = whole_ids(tokenizer, example.rendered, example.real)
    if prompt + real != whole:
        yield f"{example.id}: ids {tokenizer.convert_ids_to_tokens((prompt + real)[-24:])}, whole {tokenizer.convert_ids_to_tokens(whole[-24:])}"
    if tokenizer.decode(prompt + real) != tokenizer.decode(whole):
        yield f"{example.id}: text {tokenizer.decode(prompt + real)!r}, whole {tokenizer.decode(whole)!r}"
    if any(max(ids) >= len(tokenizer) for ids in synthetic):
        yield f"{example.id}: a drawn id is no token of the tokenizer"


def told_apart(real, synthetic):
    """How often the best guess from the first token alone is right, real and synthetic being equally likely: 0.5 to 1."""
    firsts = [Counter(ids[0] for ids in some) for some in (real, synthetic)]
    tokens = {*firsts[0], *firsts[1]}
    return sum(max(first[token] / first.total() for first in firsts) for token in tokens) / 2


def check_seam(tokenizer, examples, kind, drawn):
    """Assert that the seam is clean in a played run. examples: its pairs; drawn: example id -> ids of its synthetic responses."""
    laid = [(example, *laid_out(tokenizer, example, kind)) for example in examples]
    for example, prompt, real in laid:
        text = tokenizer.decode(prompt + real)
        assert " ".join(example.rendered.split()) in " ".join(text.split())
        assert " ".join(example.real.split()) in " ".join(text.split())
        assert prompt.count(tokenizer.bos_token_id) == (tokenizer.bos_token_id is not None)
        assert real[-1] == tokenizer.eos_token_id
    # ------------------------------------------------------------------------------------------------------------------
    # THE SEAM ASSERTION GOES HERE: once responses are encoded behind their prompts, take the next three comments away.
    # faults = [fault for example, prompt, real in laid for fault in seam_faults(tokenizer, example, prompt, real, drawn[example.id])]
    # assert faults == []
    # assert told_apart([real for _, _, real in laid], [ids for e in examples for ids in drawn[e.id]]) < 0.75
    # ------------------------------------------------------------------------------------------------------------------
