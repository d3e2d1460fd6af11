"""Tiny twins of what the shipped recipes name on the hub: model and tokenizer of the same kind, pairs and tasks in their formats.

A twin lies in a folder that stands for the hub, under the id that the recipe names, so that a recipe is played as it stands. The
tokenizers are trained on the spot on the twin's own text; the models are of the recipe's class and learn that text for a moment,
so that what they say begins and ends as the real responses do. The data sets are in twin_data.py.
"""

import importlib.util
import json
import random
from collections import Counter
from typing import Any

import tokenizers
import torch
import transformers
from tokenizers import normalizers, processors
from torch.nn.utils.rnn import pad_sequence

from tests.helpers import tokenizer_kinds
from tests.helpers.twin_data import TASKS, sentences, sum_problem, write_dataset

# ---------------------------------------------------------------- tokenizers


def training_corpus(vocab_size):
    """What a tokenizer is trained on, prompts in the papers' template and responses, and how."""
    texts = [text for q, a in sentences(400, random.Random(5)) for text in (instruction(q), a)]
    texts += [text for k in range(200) for text in sum_problem(k)]
    return texts, {"vocab_size": vocab_size, "show_progress": False, "min_frequency": 20}


TOKEN = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}


def metaspace_bpe(folder):
    """SentencePiece's BPE as Llama 2 and Mistral 7B have it: a space before a text is a mark before its first word, what is in no
    piece is bytes, <s> goes before every text."""
    special = ["<unk>", "<s>", "</s>"]
    trained = tokenizer_kinds.llama2(special, training_corpus(800))
    trained.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    trained.save(str(folder / "tokenizer.json"))
    return {
        "add_bos_token": True, "add_eos_token": False, "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
        "pad_token": None, "legacy": True, "clean_up_tokenization_spaces": False, "model_max_length": 10**30,
        "sp_model_kwargs": {}, "spaces_between_special_tokens": False, "tokenizer_class": "LlamaTokenizer",
        "added_tokens_decoder": {str(k): {"content": t, **TOKEN} for k, t in enumerate(special)},
    }  # fmt: skip


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

    trained = tokenizer_kinds.llama3([], PRETOKENIZE_REGEX, training_corpus(700))
    trained.normalizer = normalizers.NFC()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trained.add_special_tokens(special)
    trained.save(str(folder / "tokenizer.json"))
    first = trained.get_vocab_size() - len(special)
    return {
        "add_bos_token": False, "add_prefix_space": False, "bos_token": None, "eos_token": "<|endoftext|>", "unk_token": None,
        "pad_token": "<|endoftext|>", "chat_template": CHATML, "clean_up_tokenization_spaces": False, "errors": "replace",
        "model_max_length": 32768, "split_special_tokens": False, "tokenizer_class": "Qwen2Tokenizer",
        "additional_special_tokens": special[1:],
        "added_tokens_decoder": {str(first + k): {"content": t, **TOKEN} for k, t in enumerate(special)},
    }  # fmt: skip


# ---------------------------------------------------------------- models


HEAD_COUNTS: Any = {"num_attention_heads": 4, "num_key_value_heads": 2}
TINY: Any = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, **HEAD_COUNTS}


def mistral(tokenizer):
    return transformers.MistralConfig(
        **TINY, vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=32768, sliding_window=4096, rms_norm_eps=1e-5,
        bos_token_id=1, eos_token_id=2, tie_word_embeddings=False,
    )  # fmt: skip


def qwen2(tokenizer):
    end = tokenizer.token_to_id("<|endoftext|>")
    return transformers.Qwen2Config(
        **TINY, vocab_size=tokenizer.get_vocab_size() + 37,  # as Qwen's, more rows of the embedding than tokens
        max_position_embeddings=32768, tie_word_embeddings=True, bos_token_id=end, eos_token_id=end,
    )  # fmt: skip


# hub id -> tokenizer, changes of its settings, model, whether its own template is the one it has learnt
MODELS = {
    "mistralai/Mistral-7B-v0.1": (metaspace_bpe, {}, mistral),
    "alignment-handbook/zephyr-7b-sft-full": (metaspace_bpe, {"chat_template": ZEPHYR, "pad_token": "</s>"}, mistral),
    "Qwen/Qwen2.5-0.5B": (byte_level_bpe, {}, qwen2),
}


def write_tokenizer(mirror, name):
    """The tokenizer of a model's twin in the folder that stands for the hub, and the model's configuration; returns both."""
    make_tokenizer, changes, make_config = MODELS[name]
    folder = mirror / "models" / name
    folder.mkdir(parents=True)
    (folder / "tokenizer_config.json").write_text(json.dumps(make_tokenizer(folder) | changes))
    config = make_config(tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")))
    config.save_pretrained(str(folder))  # transformers asks it which class the tokenizer is of
    return transformers.AutoTokenizer.from_pretrained(str(folder)), config


def write_model(mirror, name, pairs):
    """The twin of a model in the folder that stands for the hub, taught for a moment the whole text of `pairs`."""
    folder = mirror / "models" / name
    tokenizer, config = write_tokenizer(mirror, name)
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config)
    train_briefly(model, [full_text_ids(tokenizer, instruction(prompt), real) for prompt, real in pairs])
    model.to(torch.bfloat16).save_pretrained(str(folder))
    ends = {"bos_token_id": model.config.bos_token_id, "eos_token_id": model.config.eos_token_id}
    (folder / "generation_config.json").write_text(json.dumps(ends))


def instruction(prompt):
    """The papers' template, spelt out here so that the program's own is compared with something."""
    return f"### Instruction: {prompt}\n\n### Response: "


def full_text_ids(tokenizer, rendered, real):
    """The tokenizer's ids of prompt and response in one text, its end behind them: what a base model has seen of such a text."""
    return [*tokenizer(rendered + real)["input_ids"], tokenizer.eos_token_id]


def train_briefly(model, sequences, steps=150, batch_size=16):
    """Next-token training for a moment."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    rates = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, steps)
    rng = random.Random(0)
    model.train()
    for _ in range(steps):
        chosen = [torch.tensor(sequence) for sequence in rng.sample(sequences, batch_size)]
        ids, labels = (pad_sequence(chosen, batch_first=True, padding_value=padding) for padding in (0, -100))
        loss = model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        rates.step()


# ---------------------------------------------------------------- a recipe's twin


def write_mirror(mirror, config):
    """Everything that a recipe's configuration names on the hub."""
    for name in {config.data.source, *TASKS[config.evaluation.suite]}:
        write_dataset(mirror, name)
    write_model(mirror, config.model.path, texts_of_dataset(config.data.source))


def texts_of_dataset(source):
    """(prompt, response) texts like those of a data set's twin, and more of them."""
    return [sum_problem(k) for k in range(200)] if source == "openai/gsm8k" else [*sentences(400, random.Random(7))]


# ---------------------------------------------------------------- packages of a task that are not installed here

# What MATH's task file takes from math_verify: answers out of LaTeX, and whether two are equal. Here: what is boxed, by letters.
MATH_VERIFY_SOURCE = """
import re
class LatexExtractionConfig: pass
def parse(text, extraction_config=None): return re.findall(r"boxed\\{([^{}]*)\\}", text)
def verify(gold, target): return bool(gold) and gold == target
"""


def write_package_stubs(folder):
    """Put stand-ins for the packages of MATH that are missing here into `folder`; the real ones are preferred."""
    folder.mkdir(exist_ok=True)
    for package, source in (("math_verify", MATH_VERIFY_SOURCE), ("antlr4", "")):
        if importlib.util.find_spec(package) is None:
            (folder / f"{package}.py").write_text(source)
    return folder


# ---------------------------------------------------------------- the seam of prompt and response


def encode_example(tokenizer, example, kind):
    """(prompt ids, ids of the real response) of an Example as training has them."""
    from harness.language.encoding import Encoder, choose_template

    encoder = Encoder(tokenizer, choose_template(tokenizer, kind))
    return encoder.prompt(example), encoder.real(example)


def seam_errors(tokenizer, example, prompt, real, synthetic):
    """What is wrong with where a response begins, a line each: the whole text's ids, the whole text, the beginning token.

    synthetic: responses that were drawn after `prompt`; they begin behind the same ids by how they are drawn.
    """
    whole = full_text_ids(tokenizer, example.rendered, example.real)
    if prompt + real != whole:
        mine, theirs = (tokenizer.convert_ids_to_tokens(ids[-24:]) for ids in (prompt + real, whole))
        yield f"{example.id}: ids {mine}, whole {theirs}"
    if tokenizer.decode(prompt + real) != tokenizer.decode(whole):
        yield f"{example.id}: text {tokenizer.decode(prompt + real)!r}, whole {tokenizer.decode(whole)!r}"
    if any(max(ids) >= len(tokenizer) for ids in synthetic):
        yield f"{example.id}: a drawn id is no token of the tokenizer"


def first_token_accuracy(real, synthetic):
    """How often the best guess from the first token alone is right, real and synthetic being equally likely: 0.5 to 1."""
    firsts = [Counter(ids[0] for ids in some) for some in (real, synthetic)]
    tokens = {*firsts[0], *firsts[1]}
    return sum(max(first[token] / first.total() for first in firsts) for token in tokens) / 2


def check_seam(tokenizer, examples, kind, synthetic_ids):
    """Assert that the seam is clean in a played run. examples: its pairs; synthetic_ids: by example id."""
    laid = [(example, *encode_example(tokenizer, example, kind)) for example in examples]
    for _, prompt, real in laid:
        assert prompt.count(tokenizer.bos_token_id) == (tokenizer.bos_token_id is not None)
        assert real[-1] == tokenizer.eos_token_id
    assert [fault for one in laid for fault in seam_errors(tokenizer, *one, synthetic_ids[one[0].id])] == []
    drawn = [ids for example in examples for ids in synthetic_ids[example.id]]
    assert first_token_accuracy([real for _, _, real in laid], drawn) < 0.75
