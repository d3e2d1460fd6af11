"""Tokenizers of the kinds that are met outside, trained on the spot on a few sentences, with or without a beginning token."""

import json
from itertools import product
from typing import Any

import transformers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

TEXTS = [
    f"how many are {n} and {m} ?\n\n### Response: that is {n + m} .\n    return {n}\n" for n in range(9) for m in range(9)
] + [
    '### Instruction: name a colour\n\n### Response: Blue, I\'d say (a "cold" one).',
    "user\nassistant\nThe sky is blue; it is - as ever - far away #1",
    "[INST] what ? [/INST] this <think>\n\n</think>\n\n answer: é 你 A 1",
]
OCTETS = [f"<0x{b:02X}>" for b in range(256)]
SMALL: dict[str, Any] = {"vocab_size": 500, "show_progress": False}
Corpus = tuple[list[str], dict[str, Any]]  # texts and settings of the trainer
PIECES = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]  # of SentencePiece, put together
FEW: Corpus = (TEXTS, SMALL)
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def gpt2(special: list[str]) -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return _bpe(made, special, pre_tokenizers.ByteLevel.alphabet())


def llama3(special: list[str], pattern: str = LLAMA3, corpus: Corpus = FEW) -> Tokenizer:
    """Its regular expression, in which a line break joins the punctuation before it; Qwen's and many others' are alike."""
    made = Tokenizer(models.BPE(ignore_merges=True))
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    made.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    made.decoder = decoders.ByteLevel()
    return _bpe(made, special, pre_tokenizers.ByteLevel.alphabet(), corpus)


def qwen(special: list[str]) -> Tokenizer:
    """With a normaliser, and control tokens outside the model's vocabulary, some not flagged special."""
    made = llama3([])
    made.normalizer = normalizers.NFC()
    made.add_tokens([AddedToken(s, special=True, normalized=False) for s in special])
    made.add_tokens([AddedToken(s, special=False, normalized=False) for s in ("<think>", "</think>")])
    return made


def llama2(special: list[str], corpus: Corpus = FEW) -> Tokenizer:
    """SentencePiece as converted with legacy on: a space before every piece of text, in the normaliser."""
    made = Tokenizer(models.BPE(unk_token=special[0], byte_fallback=True, fuse_unk=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence([*PIECES, decoders.Strip(content=" ", left=1)])
    return _sentencepiece(made, special, ["▁"], corpus)


def mistral(special: list[str]) -> Tokenizer:
    """SentencePiece with legacy off: a space before the first piece of text alone."""
    made = Tokenizer(models.BPE(unk_token=special[0], byte_fallback=True, fuse_unk=True))
    made.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=True)
    made.decoder = decoders.Sequence([*PIECES, decoders.Strip(content=" ", left=1)])
    return _sentencepiece(made, special, [])


def gemma(special: list[str]) -> Tokenizer:
    """No space of its own, spaces as a character like any other, runs of line breaks as tokens that are not special."""
    made = Tokenizer(models.BPE(unk_token=special[0], byte_fallback=True, fuse_unk=True))
    made.normalizer = normalizers.Replace(" ", "▁")
    made.decoder = decoders.Sequence(PIECES)
    made = _sentencepiece(made, special, ["▁", "\n"])
    made.pre_tokenizer = pre_tokenizers.Split(" ", behavior="merged_with_previous")
    made.add_tokens([AddedToken("\n" * n, special=False, normalized=False) for n in (2, 3)])
    return made


def t5(special: list[str]) -> Tokenizer:
    """Unigram with a space before every text; white space is lost in runs, and line breaks with it."""
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    made.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    made.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    made.train_from_iterator(TEXTS, trainers.UnigramTrainer(special_tokens=special, unk_token=special[0], **SMALL))
    return made


def wordpiece(special: list[str]) -> Tokenizer:
    made = Tokenizer(models.WordPiece(unk_token=special[0]))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.train_from_iterator(TEXTS, trainers.WordPieceTrainer(special_tokens=special, **SMALL))
    return made


def _sentencepiece(made: Tokenizer, special: list[str], more: list[str], corpus: Corpus = FEW) -> Tokenizer:
    """Pieces of one word and one line, as SentencePiece learns them: a line break is a byte or a piece of its own."""
    kept, words = made.pre_tokenizer, pre_tokenizers.Split(Regex("(?<=[^▁])(?=▁)"), behavior="isolated")
    made.pre_tokenizer = kept or words
    lines = [line for text in corpus[0] for line in text.split("\n")]
    made = _bpe(made, [*special, *OCTETS], [chr(c) for c in range(33, 127)] + more, (lines, corpus[1]))
    return made if kept else Tokenizer.from_str(json.dumps(json.loads(made.to_str()) | {"pre_tokenizer": None}))


def _bpe(made: Tokenizer, special: list[str], alphabet: list[str], corpus: Corpus = FEW) -> Tokenizer:
    texts, settings = corpus
    made.train_from_iterator(texts, trainers.BpeTrainer(special_tokens=special, initial_alphabet=alphabet, **settings))
    return made


KINDS = {one.__name__: one for one in (gpt2, llama3, qwen, llama2, mistral, gemma, t5, wordpiece)}
LOSSLESS = {"gpt2", "llama3", "qwen", "llama2", "mistral", "gemma"}  # give back every byte of an ASCII text
BEGINNINGS = ("none", "kept apart", "added")  # no beginning token; one that the tokenizer never writes; one that it does

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
INST = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
)
THINKING = (  # Qwen3's: the last answer has an empty thought, the prompt only where thinking is switched off
    "{% for m in messages %}{% if m['role'] == 'assistant' and loop.last %}"
    "{{ '<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n' "
    "+ m['content'].split('</think>')[-1].lstrip('\\n') + '<|im_end|>\\n' }}"
    "{% else %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}{% endif %}"
)
TRIMMING = CHATML.replace("m['content']", "m['content'] | trim")  # as Llama 3's and Gemma's
VICUNA = (  # ends a prompt in a space, and a turn in text and the tokenizer's end
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ 'USER: ' + m['content'] + ' ' }}"
    "{% else %}{{ 'ASSISTANT: ' + m['content'] + ' ' + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT: ' }}{% endif %}"
)
TEMPLATES = {"chatml": CHATML, "inst": INST, "thinking": THINKING, "trimming": TRIMMING, "vicuna": VICUNA}


def tokenizer(kind: str, beginning: str = "none", template: str | None = None) -> Any:
    """A tokenizer of one kind. template: a chat template's text, or None."""
    special = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    made = KINDS[kind](special)
    if beginning == "added":
        made.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", made.token_to_id("<s>"))]
        )
    named = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>"}
    named |= {} if beginning == "none" else {"bos_token": "<s>"}
    more = {"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]}
    found = transformers.PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=1024, **named, **more)
    if template is not None:
        found.chat_template = template
    return found


def matrix() -> list[tuple[str, str, str]]:
    """(kind, beginning, template): every kind with every beginning, and every template with and without the token in its text."""
    templates = ["instruction", *TEMPLATES, *(f"bos+{name}" for name in ("chatml", "inst"))]
    return [case for case in product(KINDS, BEGINNINGS, templates) if not (case[1] == "none" and case[2].startswith("bos+"))]


def case(kind: str, beginning: str, template: str) -> Any:
    """The tokenizer of one entry of the matrix."""
    name = template.removeprefix("bos+")
    return tokenizer(kind, beginning, "{{ bos_token }}" * (name != template) + TEMPLATES[name] if name in TEMPLATES else None)
