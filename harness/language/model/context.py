"""How many tokens a model can take, prompt and response together: what its config.json says, under whatever name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.errors import UserError

# Names by which configurations give it, the usual one first; attribute maps of transformers lead some of them to others.
NAMES = (
    "max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_sequence_length", "max_seq_length", "seq_length",
    "context_length", "model_max_length", "max_target_positions",
)  # fmt: skip
NO_LIMIT = 10**9  # tokenizers without a limit give 10^30
# Position encodings that change for a whole batch once one text in it is longer than the model was first trained for: up to
# there a text's log-probability is its own.
BY_BATCH = ("dynamic", "longrope", "su")


def context_of(model: Any, tokenizer: Any, asked: int | None = None) -> int:
    """The largest number of tokens; asked: `model.context`, which may be lower, or stand where nothing is said.

    Raises UserError where nothing says it, or where more is asked for than the model has.
    """
    config = getattr(model, "config", model)
    limit = _configured(config)
    if limit is None and 1 < tokenizer.model_max_length < NO_LIMIT:
        limit = int(tokenizer.model_max_length)
    if asked is not None and limit is not None and asked > limit:
        raise UserError(f"model.context={asked}: the model takes at most {limit} tokens; use --set model.context={limit}")
    if asked is None and limit is None:
        raise UserError(
            "model.context: neither config.json nor the tokenizer says how many tokens this model takes; say how many a prompt "
            "and its response may have together, such as --set model.context=2048"
        )
    return asked or limit or 0


def lowered(model: Any, used: int) -> str | None:
    """A line where the context in use is shorter than config.json's largest position for the model's sake, and why."""
    config = model.config.get_text_config(decoder=True)
    named, most = _named(config), _configured(config)
    if named is None or most is None or most >= named or used < most:
        return None
    return (
        f"context {used} of {named} tokens: beyond that its rotary positions are scaled for a whole batch, and a log-probability "
        "would depend on the texts beside it"
    )


def _configured(config: Any) -> int | None:
    text = config.get_text_config(decoder=True)
    limit = _named(text) or _named(config)
    if limit is None:
        return None
    return min([limit, *_originals(text, limit)])


def _named(config: Any) -> int | None:
    values = (getattr(config, name, None) for name in NAMES)
    return next((int(v) for v in values if isinstance(v, int) and not isinstance(v, bool) and 1 < v < NO_LIMIT), None)


def _originals(config: Any, limit: int) -> Iterator[int]:
    """Lengths up to which rotary positions stay as they are, of every kind of scaling that looks at the batch."""
    given = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    kinds = [given, *(v for v in given.values() if isinstance(v, dict))]
    for kind in kinds:
        if (kind.get("rope_type") or kind.get("type")) in BY_BATCH:
            original = kind.get("original_max_position_embeddings") or getattr(config, "original_max_position_embeddings", None)
            yield int(original or limit)
