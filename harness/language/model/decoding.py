"""How transformers' `generate` would choose tokens, given a task's settings and the model's generation_config.json.

lm-eval's own transformers model calls `generate`, which reads more than a task's settings: the model's generation_config.json,
and defaults of its own (top_k = 50 for sampling). Here the same settings are resolved by transformers itself and carried out by
the sampler, so that a response depends on its own seed and not on the rest of the batch. Search over several beams and the like
is left to `generate`, one request at a time.

Legend: V vocabulary.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from harness.errors import error_line
from harness.language.model.choosing import SamplingParams
from harness.language.model.logprobs import bare_model
from harness.language.text.templates import end_token_ids

# tokens so far, (V,) logits -> (V,) logits to choose from
LogitsProcessor = Callable[[Sequence[int], torch.Tensor], torch.Tensor]
# what `SamplingParams` covers
OWN_PROCESSORS = {"TemperatureLogitsWarper", "TopKLogitsWarper", "TopPLogitsWarper", "MinPLogitsWarper"}
# modes of `generate` that are not one token after the other
WHOLE_SEQUENCE_MODES = {"beam_search", "beam_sample", "assisted_generation"}
# Settings that `generate` cannot take from lm-eval's own model, or under which no two runs need agree.
UNSUPPORTED_SETTINGS = {
    "max_time": "stops by the clock, so that equal commands give other answers",
    "stop_strings": "is not for a task: name the strings in `until`",
    "num_return_sequences": "gives several answers to one request: ask for `repeats` in the task",
    "return_dict_in_generate": "gives no text",
    "output_scores": "gives no text",
    "output_logits": "gives no text",
    "token_healing": "needs a tokenizer, which lm-eval does not pass on",
    "assistant_model": "needs a second model",
    "use_cache": "is set by lm-eval itself",
    "pad_token_id": "is set by lm-eval itself",
    "stopping_criteria": "is set by lm-eval itself: name strings in `until`",
    "logits_processor": "is an object, not a setting",
    "guidance_scale": "needs a second pass without the prompt, which is not supported",
    "watermarking_config": "is not supported",
}
SET_BY_LM_EVAL = {"use_cache", "pad_token_id", "stopping_criteria"}
FROM_GENERATION_CONFIG = " (from the model's generation_config.json)"
SEARCH_SETTINGS = {"contrastive_search": ("penalty_alpha",), "dola_generation": ("dola_layers",)}  # mode -> settings for it
NO_EFFECT_VALUES = {"num_return_sequences": 1, "guidance_scale": 1.0}  # the values without effect
# What of a generation_config.json changes greedy answers, with the value that changes nothing.
GREEDY_DEFAULTS: Mapping[str, Any] = {
    "repetition_penalty": 1.0, "encoder_repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "encoder_no_repeat_ngram_size": 0,
    "bad_words_ids": None, "min_length": 0, "min_new_tokens": 0, "max_new_tokens": None, "forced_bos_token_id": None,
    "forced_eos_token_id": None, "suppress_tokens": None, "begin_suppress_tokens": None, "sequence_bias": None,
    "exponential_decay_length_penalty": None, "remove_invalid_values": False, "num_beams": 1, "guidance_scale": None,
    "prompt_lookup_num_tokens": None, "watermarking_config": None,
}  # fmt: skip
# The same for tasks that sample; the temperature is always the task's.
SAMPLING_DEFAULTS: Mapping[str, Any] = {
    "top_k": None, "top_p": 1.0, "min_p": None, "typical_p": 1.0, "epsilon_cutoff": 0.0, "eta_cutoff": 0.0, "top_h": None,
}  # fmt: skip


class CannotGenerate(Exception):
    """Settings that `generate` refuses or that are not supported; the message says which and why."""


@dataclass(frozen=True)
class Decoding:
    """Settings resolved. uses_generate: whether `generate` samples, and not the sampler with `sampling_params`.

    max_new_tokens: the limit of generation_config.json, which overrides the task's. stop_ids: where `generate` would stop.
    """

    sampling_params: SamplingParams
    stop_ids: frozenset[int]
    max_new_tokens: int | None
    uses_generate: bool
    has_logits_processors: bool  # whether logits are changed by more than `SamplingParams`
    config: Any

    def logits_processor(self, model: Any, prompt: Sequence[int], max_new_tokens: int) -> LogitsProcessor | None:
        """The processor of one request's logits before a token is chosen; None where there is none."""
        if not self.has_logits_processors:
            return None
        processors = _logits_processors(bare_model(model), self.config, prompt, max_new_tokens)

        def process(token_ids: Sequence[int], logits: torch.Tensor) -> torch.Tensor:
            ids = torch.tensor([[*prompt, *token_ids]], device=logits.device)
            return processors(ids, logits[None].float())[0]

        return process


def resolve_decoding(model: Any, settings: Mapping[str, Any]) -> Decoding:
    """A task's settings, without `until` and the number of tokens, over the model's generation_config.json, as lm-eval does.

    Raises CannotGenerate for a setting that `generate` does not know or refuses, and for one under which equal commands would
    give other answers.
    """
    model = bare_model(model)
    _check_supported({name: value for name, value in settings.items() if name in UNSUPPORTED_SETTINGS})
    generate_kwargs = to_generate_kwargs(settings)
    if generate_kwargs.get("do_sample") and not generate_kwargs.get("temperature"):
        raise CannotGenerate("do_sample without a temperature above 0, which transformers refuses; add temperature: 1.0")
    with warnings.catch_warnings(action="ignore"):  # of settings without effect; those with one are in the notes
        try:
            config, unknown = model._prepare_generation_config(None, **generate_kwargs)
            mode = str(config.get_generation_mode().value)
            processors = _logits_processors(model, config, [0], 1) if mode not in WHOLE_SEQUENCE_MODES else []
        except (ValueError, TypeError, AttributeError, ImportError) as error:
            raise CannotGenerate(error_line(error, 500)) from error
    if unknown:
        raise CannotGenerate(f"{', '.join(sorted(unknown))}: no setting of transformers' generate")
    configured = {name: getattr(config, name, None) for name in UNSUPPORTED_SETTINGS if name not in SET_BY_LM_EVAL}
    _check_supported(configured, FROM_GENERATION_CONFIG)
    if mode not in {*WHOLE_SEQUENCE_MODES, "greedy_search", "sample"}:
        set_by_task = any(name in settings for name in SEARCH_SETTINGS[mode]) if mode in SEARCH_SETTINGS else True
        raise CannotGenerate(f"{mode.replace('_', ' ')}{'' if set_by_task else FROM_GENERATION_CONFIG} is not supported")
    do_sample = bool(config.do_sample)
    has_processors = any(type(processor).__name__ not in OWN_PROCESSORS for processor in processors)
    if has_processors or not do_sample:
        params = SamplingParams(1.0 if do_sample else 0.0)
    else:
        params = SamplingParams(config.temperature, config.top_p or 0.0, config.top_k or 0, config.min_p or 0.0)
    return Decoding(params, end_token_ids(config), config.max_new_tokens, mode in WHOLE_SEQUENCE_MODES, has_processors, config)


def _check_supported(settings: Mapping[str, Any], where: str = "") -> None:
    for name, value in settings.items():
        without_effect = value is None or value is False or value == NO_EFFECT_VALUES.get(name)
        if name in SET_BY_LM_EVAL or not without_effect:
            raise CannotGenerate(f"{name}={value!r}{where} {UNSUPPORTED_SETTINGS[name]}")


def to_generate_kwargs(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What lm-eval's transformers model makes of normalised settings (`HFLM._model_generate`)."""
    generate_kwargs = {"temperature": 0.0, **settings}
    if generate_kwargs["temperature"] == 0.0 and generate_kwargs.get("do_sample") is None:
        generate_kwargs["do_sample"] = False
    if generate_kwargs["do_sample"] is False and generate_kwargs["temperature"] == 0.0:
        del generate_kwargs["temperature"]
    return generate_kwargs


def model_override_notes(model: Any) -> Iterator[str]:
    """One line per kind of what generation_config.json changes in evaluation; self-play does not read it."""
    config = getattr(bare_model(model), "generation_config", None)
    for defaults, where in ((GREEDY_DEFAULTS, "written answers"), (SAMPLING_DEFAULTS, "answers of tasks that sample")):
        values = ((name, getattr(config, name, None)) for name in defaults)
        if overrides := [f"{name}={value}" for name, value in values if value is not None and value != defaults[name]]:
            yield (
                f"evaluation: {where} follow the model's generation_config.json, as in lm-eval: {', '.join(overrides)}; "
                "self-play draws from the policy without it"
            )


def _logits_processors(model: Any, config: Any, prompt: Sequence[int], max_new_tokens: int) -> Any:
    """transformers' own logits processors, for one prompt and at most `max_new_tokens` tokens."""
    config, device = copy.deepcopy(config), next(model.parameters()).device
    config.max_length = len(prompt) + max_new_tokens
    if config.min_new_tokens is not None:
        config.min_length = len(prompt) + config.min_new_tokens
    ids = torch.tensor([list(prompt)], device=device)
    with warnings.catch_warnings(action="ignore"):  # of settings without effect; those with one are in the notes
        model._prepare_special_tokens(config, True, device=device)
        options = {"generation_config": config, "input_ids_seq_length": len(prompt), "encoder_input_ids": ids, "device": device}
        return model._get_logits_processor(**options, model_kwargs={"attention_mask": torch.ones_like(ids)})
