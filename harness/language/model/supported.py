"""Which models are supported, by their config.json, before their weights are read."""

from __future__ import annotations

import re
from typing import Any

from harness.errors import UserError

# Heads that are no language model's: such a checkpoint loads with a random or a tied output layer instead.
NON_LM_HEADS = re.compile(
    r"For(Sequence|Token|Image|Audio|Object)\w*(Classification|Detection)|For(QuestionAnswering|MultipleChoice|MaskedLM|PreTraining|"
    r"NextSentencePrediction|SequenceScore)|Reward|Encoder$|Embedding|(?<!LMHead)Model$"
)


def auto_class(config: Any) -> Any:
    """transformers' class with the output layer. UserError for what is no causal language model, or quantised already."""
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

    model_type = getattr(config, "model_type", None) or type(config).__name__
    quantization_config = getattr(config, "quantization_config", None)
    if quantization_config is not None:
        quantization = quantization_config if isinstance(quantization_config, dict) else quantization_config.to_dict()
        method = getattr(quantization.get("quant_method"), "value", quantization.get("quant_method")) or "unknown"
        raise UserError(
            f"its weights are quantised already ({method}), and adapters are not trained on such weights "
            "here; give the unquantised model, with --set model.quantize=nf4 where memory is short"
        )
    if getattr(config, "is_encoder_decoder", False):
        raise UserError(f"{model_type} is an encoder with a decoder; give a causal language model")
    architectures = [name for name in getattr(config, "architectures", None) or [] if isinstance(name, str)]
    if architectures and all(NON_LM_HEADS.search(name) for name in architectures):
        raise UserError(
            f"its config.json says {architectures[0]}, which has no language model's output layer; give a causal language model"
        )
    has_own_class = "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {})
    if has_own_class or type(config) in MODEL_FOR_CAUSAL_LM_MAPPING:
        return transformers.AutoModelForCausalLM
    if type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:  # a language model with a vision tower, used on text alone
        return transformers.AutoModelForImageTextToText
    raise UserError(f"transformers has no causal language model of type {model_type}; give another model")
