"""The lab's tokenizer: a word of the lab, with the space after it, is one token; all other text is bytes.

A token is a word with the space after it, not before: so a word has the same token at the beginning of a response as in the
middle of a prompt, and a word of the prompt can be copied as it is. Every text of the lab ends in a full stop or a question mark.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

PAD, BEGIN, END, USER, ASSISTANT = "<|pad|>", "<|begin|>", "<|end|>", "<|user|>", "<|assistant|>"
SPECIAL = (PAD, BEGIN, END, USER, ASSISTANT)
CONTEXT_LENGTH = 2048
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")

# One turn after the other; an assistant's turn is the generation prompt, the response and END, to the byte.
CHAT_TEMPLATE = (
    "{{ '" + BEGIN + "' }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ '" + ASSISTANT + "' + message['content'] + '" + END + "' }}"
    "{% else %}{{ '" + USER + "' + message['content'] }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '" + ASSISTANT + "' }}{% endif %}"
)


def write_tokenizer(words: Sequence[str], folder: Path) -> None:
    """Write the files of a tokenizer of these words into `folder`; the same words give the same bytes."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    entries = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    # Byte-level text spells a space as another character.
    entries += [f"{word}\u0120" for word in words if f"{word}\u0120" not in entries]
    vocabulary = {entry: index for index, entry in enumerate(dict.fromkeys(entries))}
    bpe = Tokenizer(models.BPE(vocabulary, [], ignore_merges=True))
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\S+ ?|\s"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    bpe.add_special_tokens(list(SPECIAL))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[USER, ASSISTANT],
        model_max_length=CONTEXT_LENGTH,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(str(folder))
