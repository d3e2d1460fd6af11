"""How many tokens a model can take, prompt and response together: from its config.json, under whatever name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.errors import UserError

# Names by which configurations give it, the usual one first; attribute maps of transformers lead some of them to others.
CONTEXT_KEYS = (
    "max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_sequence_length", "max_seq_length", "seq_length",
    "context_length", "model_max_length", "max_target_positions",
)  # fmt: skip
NO_LIMIT = 10**9  # tokenizers without a limit give 10^30
# Position encodings that change for a whole batch once one text in it is longer than the model was first trained for: up to
# there a text's log-probability is its own.
BATCH_DEPENDENT_ROPE = ("dynamic", "longrope", "su")


def find_context_length(model: Any, tokenizer: Any, requested: int | None = None) -> int:
    """The largest number of tokens; requested: `model.context`, which may be lower, or be used where there is no other limit.

    Raises UserError where no limit is known, or where more is requested than the model can take.
    """
    config = getattr(model, "config", model)
    limit = _config_limit(config)
    if limit is None and 1 < tokenizer.model_max_length < NO_LIMIT:
        limit = int(tokenizer.model_max_length)
    if requested is not None and limit is not None and requested > limit:
        raise UserError(f"model.context={requested}: the model takes at most {limit} tokens; use --set model.context={limit}")
    if requested is None and limit is None:
        raise UserError(
            "model.context: neither config.json nor the tokenizer says how many tokens this model takes; say how many a prompt "
            "and its response may have together, such as --set model.context=2048"
        )
    return requested or limit or 0


def reduced_context_note(model: Any, context_length: int) -> str | None:
    """A line where the context in use is shorter than config.json's largest position for the model's sake, and why."""
    config = model.config.get_text_config(decoder=True)
    position_limit, config_limit = _position_limit(config), _config_limit(config)
    if position_limit is None or config_limit is None or config_limit >= position_limit or context_length < config_limit:
        return None
    return (
        f"context {context_length} of {position_limit} tokens: beyond that its rotary positions are scaled for a whole batch, "
        "and a log-probability would depend on the texts beside it"
    )


def _config_limit(config: Any) -> int | None:
    text = config.get_text_config(decoder=True)
    limit = _position_limit(text) or _position_limit(config)
    if limit is None:
        return None
    return min([limit, *_rope_original_lengths(text, limit)])


def _position_limit(config: Any) -> int | None:
    values = (getattr(config, name, None) for name in CONTEXT_KEYS)
    return next((int(v) for v in values if isinstance(v, int) and not isinstance(v, bool) and 1 < v < NO_LIMIT), None)


def _rope_original_lengths(config: Any, limit: int) -> Iterator[int]:
    """Lengths up to which rotary positions stay as they are, of every kind of scaling that depends on the batch."""
    rope_settings = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    kinds = [rope_settings, *(v for v in rope_settings.values() if isinstance(v, dict))]
    key = "original_max_position_embeddings"
    for variant in kinds:
        if (variant.get("rope_type") or variant.get("type")) in BATCH_DEPENDENT_ROPE:
            yield int(variant.get(key) or getattr(config, key, None) or limit)
