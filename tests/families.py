"""Tiny random models of the families the project runs, with an adapter that has moved away from zero."""

import torch
import transformers

from harness.config import LoraConfig
from harness.model.lora import with_adapter
from tests.conftest import norms_in_double

SMALL = {"vocab_size": 97, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
HEADS = {"num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 128}
WINDOW = 5  # shorter than the sequences of the tests, so a forgotten window shows

FAMILIES = {
    "llama": lambda: transformers.LlamaConfig(**SMALL, **HEADS, tie_word_embeddings=True),
    "mistral, sliding window": lambda: transformers.MistralConfig(**SMALL, **HEADS, sliding_window=WINDOW),
    "qwen2, biased projections": lambda: transformers.Qwen2Config(**SMALL, **HEADS),
    "qwen3": lambda: transformers.Qwen3Config(**SMALL, **HEADS),
    "gemma3": lambda: transformers.Gemma3TextConfig(**SMALL, **HEADS, sliding_window=WINDOW),
    "gpt2, learned positions": lambda: transformers.GPT2Config(vocab_size=97, n_embd=32, n_layer=2, n_head=4, n_positions=128),
    "one head of keys": lambda: transformers.LlamaConfig(**SMALL, **{**HEADS, "num_key_value_heads": 1}),
}
# transformers computes this one's attention in float32 whatever the model, so it has no float64 tests
SINGLE = {
    "gemma2, capped logits, every other layer with a window": lambda: transformers.Gemma2Config(
        **SMALL, **HEADS, sliding_window=WINDOW, final_logit_softcapping=3.0, attn_logit_softcapping=5.0
    ),
}
WITHOUT_MASK = {
    "bloom, positions from the mask": lambda: transformers.BloomConfig(vocab_size=97, hidden_size=32, n_layer=2, n_head=4),
}


def family(name, dtype=torch.float64):
    """The model with weights large enough that every part of it shows in the log-probabilities."""
    torch.manual_seed(0)
    config = {**FAMILIES, **SINGLE, **WITHOUT_MASK}[name]()
    base = transformers.AutoModelForCausalLM.from_config(config).to(dtype)
    with torch.no_grad():
        for parameter_name, parameter in base.named_parameters():
            if parameter.dim() == 2:
                parameter.mul_(6.0)
            elif "bias" in parameter_name:
                parameter.normal_(std=0.3)
    if dtype == torch.float64:
        norms_in_double(base)
    model = with_adapter(base, LoraConfig(rank=4), "tiny")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if "lora_B" in parameter_name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model
