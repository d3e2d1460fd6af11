"""Text -> token ids, where what a user wrote stays text even where it looks like a control token.

A prompt as rendered holds control tokens that the template wrote, and may hold text that looks like one (an answer about
chat formats, a forged turn). `quote` puts QUOTE_MARK inside the latter before rendering; `token_ids` then reads every control
token without a mark as the token, and everything else as text. The mark is a code point that Unicode keeps free of characters.

Control tokens are the added tokens flagged special, and those that the chat template writes around a user's turn. Other added
tokens (runs of spaces, `<think>`) are ordinary vocabulary. transformers' own `sanitize_control_tokens` (since 5.23) tokenises the
text before and behind such a string apart; here the whole is tokenised at once, as the same text without the string would be.
"""

from __future__ import annotations

import json
import re
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

from tokenizers import Tokenizer

from harness.errors import UserError
from harness.language.text.template_limits import rendering_limits

QUOTE_MARK = "\ufdd0"
BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")  # a byte that the vocabulary has no piece for
ALIAS_PREFIX = "zqj"  # letters that no normaliser changes; control tokens get names made of them and a number


class ControlTokens:
    """The control tokens of one fast tokenizer, and a copy of the tokenizer in which they have other names."""

    def __init__(self, tokenizer: Any) -> None:
        if getattr(tokenizer, "backend_tokenizer", None) is None:
            kind = type(tokenizer).__name__
            raise UserError(f"the tokenizer is a {kind}, expected a fast one (tokenizer.json); convert it with transformers")
        self.tokenizer = tokenizer
        added_tokens = tokenizer.added_tokens_decoder
        self.added_token_ids = {token.content: number for number, token in added_tokens.items()}
        special = {token.content for token in added_tokens.values() if token.special} | set(tokenizer.all_special_tokens)
        turn = render_user_turn(tokenizer)
        special |= {string for string in self.added_token_ids if string.strip() and string in turn}
        self.strings = sorted((s for s in special if len(s) > 1), key=lambda s: (-len(s), s))  # the longest is read first
        self._renamed_copies: dict[str, tuple[Tokenizer, dict[int, int], dict[str, str]]] = {}

    @cached_property
    def normalizer_makes_control_tokens(self) -> bool:
        """Whether the tokenizer's normaliser makes control tokens out of other texts, in capitals or in full width."""
        control_ids = {self.added_token_ids[s] for s in self.strings if s in self.added_token_ids}
        for string in self.strings:
            wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in string)
            variants = " ".join({string.lower(), string.upper(), wide} - set(self.strings))
            if control_ids & set(self._plain_ids(variants)) - {self.tokenizer.unk_token_id}:
                return True
        return False

    def _plain_ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return re.compile("|".join(map(re.escape, self.strings)) or r"(?!)")

    def find_in(self, text: str) -> list[str]:
        """The control tokens that a text holds, each once, in the order of their first place."""
        return list(dict.fromkeys(self.pattern.findall(text)))

    def quote(self, text: str) -> str:
        """The text with a mark inside everything that looks like a control token. Raises ValueError when it holds a mark."""
        if QUOTE_MARK in text:
            raise ValueError("holds U+FDD0, which is no character; remove it")
        while self.pattern.search(text):  # again where taking one apart leaves another that overlapped it
            text = self.pattern.sub(lambda match: f"{match[0][0]}{QUOTE_MARK}{match[0][1:]}", text)
        return text

    def token_ids(self, text: str) -> list[int]:
        """Ids of a text in which marks keep text from being a control token; nothing is added before or after it."""
        if QUOTE_MARK not in text and not self.normalizer_makes_control_tokens:
            return self._plain_ids(text)
        alias = ALIAS_PREFIX
        while alias in text:
            alias += "q"
        if alias not in self._renamed_copies:
            self._renamed_copies[alias] = self._renamed_copy(alias)
        copy, original, names = self._renamed_copies[alias]
        text = self.pattern.sub(lambda match: names[match[0]], text).replace(QUOTE_MARK, "")
        return [original.get(i, i) for i in copy.encode(text, add_special_tokens=False).ids]

    @cached_property
    def added_ids(self) -> tuple[list[int], list[int]]:
        """The ids that the tokenizer writes by itself before and behind every text."""
        plain_ids, full_ids = self._plain_ids("a"), self.tokenizer("a")["input_ids"]
        for start in range(len(full_ids) - len(plain_ids) + 1):
            if full_ids[start : start + len(plain_ids)] == plain_ids:
                return full_ids[:start], full_ids[start + len(plain_ids) :]
        return [], []

    def with_added_prefix(self, ids: list[int]) -> list[int]:
        """Ids of a text with what the tokenizer writes before every text, once: not where the text begins with it already."""
        before, _ = self.added_ids
        return ids if ids[: len(before)] == before else [*before, *ids]

    def _renamed_copy(self, alias: str) -> tuple[Tokenizer, dict[int, int], dict[str, str]]:
        """The tokenizer with other names for its control tokens; its ids -> this one's, where they differ; names by token.

        Under its own name a control token is then text. Raises UserError where the library does not read the new names.
        """
        names = {string: f"{alias}{n}{alias}" for n, string in enumerate(self.strings)}
        unused = dict.fromkeys(("padding", "truncation", "post_processor"))
        config = json.loads(self.tokenizer.backend_tokenizer.to_str()) | unused
        added_contents = {str(token["content"]) for token in config["added_tokens"]}
        for token in config["added_tokens"]:
            token["content"] = names.get(token["content"], token["content"])
        unrenamed_json = json.dumps(config)  # a model whose merges make a control token's name needs its vocabulary as it is
        model = config["model"]
        # byte tokens keep their names: the model itself looks for them
        model_names = {string: name for string, name in names.items() if not BYTE_TOKEN.fullmatch(string)}
        vocab, is_dict = model["vocab"], isinstance(model["vocab"], dict)
        renamed = [[model_names.get(piece, piece), value] for piece, value in (vocab.items() if is_dict else vocab)]
        model["vocab"] = dict(renamed) if is_dict else renamed
        if isinstance(model.get("unk_token"), str):
            model["unk_token"] = model_names.get(model["unk_token"], model["unk_token"])
        try:
            copy = Tokenizer.from_str(json.dumps(config))
        except Exception:  # the library raises a bare Exception
            copy = Tokenizer.from_str(unrenamed_json)
        numbers = {
            copy.token_to_id(names.get(content, content)): content for content in added_contents & self.added_token_ids.keys()
        }
        original_id = {number: self.added_token_ids[content] for number, content in numbers.items() if number is not None}
        for string in self.strings:
            ids = [original_id.get(i, i) for i in copy.encode(names[string], add_special_tokens=False).ids]
            if ids != self._plain_ids(string):
                raise UserError(
                    f"the tokenizer's control token {string!r} cannot be told from text that looks like it; leave such rows out"
                )
        return copy, original_id, names


def render_user_turn(tokenizer: Any) -> str:
    """What the chat template makes of a user's turn; empty where the template fails without its arguments."""
    if not getattr(tokenizer, "chat_template", None):
        return ""
    try:
        with rendering_limits():
            return tokenizer.apply_chat_template([{"role": "user", "content": ""}], tokenize=False)
    except Exception:  # a template may raise any error; `choose_template` reports what is wrong with it
        return ""


_CONTROL_TOKENS: WeakKeyDictionary[Any, ControlTokens] = WeakKeyDictionary()


def control_tokens(tokenizer: Any) -> ControlTokens:
    """The control tokens of a tokenizer, looked up once. Raises UserError where it is no fast tokenizer."""
    if tokenizer not in _CONTROL_TOKENS:
        _CONTROL_TOKENS[tokenizer] = ControlTokens(tokenizer)
    return _CONTROL_TOKENS[tokenizer]
