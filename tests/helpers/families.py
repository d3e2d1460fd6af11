"""Tiny random models of the families the project runs, with an adapter that has moved away from zero."""

import shutil

import torch
import transformers

from harness.config import LoraConfig
from harness.language.model.lora import add_adapter
from tests.conftest import ROOT, randomize_adapter, use_float64_norms
from tests.helpers.damage import edit_json

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
    model = _with_adapter({**FAMILIES, **SINGLE, **WITHOUT_MASK}[name](), dtype, weights=6.0, biases=0.3)
    return use_float64_norms(model) if dtype == torch.float64 else model


def _with_adapter(config, dtype, weights, biases=None):
    """A random model whose matrices are `weights` times as large, so that every part of it shows in the log-probabilities; where
    they are given, with biases of that standard deviation. An adapter that has moved is on it."""
    torch.manual_seed(0)
    base = transformers.AutoModelForCausalLM.from_config(config).to(dtype)
    with torch.no_grad():
        for name, parameter in base.named_parameters():
            if parameter.dim() == 2:
                parameter.mul_(weights)
            elif biases and "bias" in name:
                parameter.normal_(std=biases)
    model = add_adapter(base, LoraConfig(rank=4), "tiny")
    randomize_adapter(model.named_parameters())
    return model


# ---------------------------------------------------------------- twins of many families, by transformers' own names

SIZES = {
    **SMALL, **HEADS, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "n_embd": 32, "n_layer": 2, "n_head": 4,
    "n_positions": 128, "n_inner": 48, "d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 128, "ffn_dim": 48,
    "rotary_dim": 4, "decoder_layers": 2, "decoder_attention_heads": 4, "decoder_ffn_dim": 48, "word_embed_proj_dim": 32,
    "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24,
    "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1, "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8, "v_head_dim": 8, "state_size": 8, "expand": 2, "sliding_window": WINDOW,
}  # fmt: skip
LATENT = {"num_key_value_heads": 4}  # latent attention has as many heads of keys as of queries
LINEAR = {"linear_num_key_heads": 2, "linear_num_value_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8}
STATE_SPACE = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1}

PLAIN_TWINS: dict[str, dict] = {
    "apertus": {}, "arcee": {}, "biogpt": {}, "bloom": {}, "codegen": {}, "cohere": {}, "cohere2": {}, "deepseek_v2": LATENT,
    "deepseek_v3": LATENT, "diffllama": {}, "ernie4_5": {}, "exaone4": {}, "falcon": {}, "gemma": {}, "gemma2": {},
    "gemma3_text": {}, "glm": {}, "glm4": {}, "glm4_moe": {}, "gpt2": {}, "gpt_bigcode": {}, "gpt_neox": {}, "gpt_oss": {},
    "gptj": {}, "granite": {}, "granitemoe": {}, "helium": {}, "hunyuan_v1_dense": {}, "llama": {}, "minicpm3": LATENT,
    "ministral": {}, "mistral": {}, "mixtral": {}, "modernbert-decoder": {}, "mpt": {}, "nanochat": {}, "nemotron": {},
    "olmo": {}, "olmo2": {}, "olmo3": {}, "olmoe": {}, "opt": {}, "persimmon": {}, "phi": {}, "phi3": {}, "phimoe": {},
    "qwen2": {}, "qwen3": {}, "qwen3_moe": {}, "seed_oss": {}, "smollm3": {}, "stablelm": {}, "starcoder2": {}, "xglm": {},
}  # fmt: skip
# A state beside keys and values, or layers that count columns: sampled through transformers' own cache.
STATE_TWINS: dict[str, dict] = {
    "bamba": {**STATE_SPACE, "attn_layer_indices": [1]},
    "falcon_h1": {**STATE_SPACE, "mamba_d_ssm": 64, "lm_head_multiplier": 0.3},
    "falcon_mamba": {},
    "granitemoehybrid": {**STATE_SPACE, "shared_intermediate_size": 48, "layer_types": ["mamba", "attention"]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "mamba_d_state": 8, "mamba_dt_rank": 4},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "llama4_text": {"attention_chunk_size": 8, "layer_types": ["chunked_attention", "full_attention"]},
    "mamba": {},
    "mamba2": {"num_heads": 8, "head_dim": 8, "n_groups": 1},
    "minimax": {"layer_types": ["linear_attention", "full_attention"]},
    "nemotron_h": {
        "mamba_num_heads": 8, "mamba_head_dim": 8, "ssm_state_size": 8, "n_groups": 1,
        "layers_block_type": ["mamba", "attention"],
    },
    "qwen3_5_text": {**LINEAR, "layer_types": ["linear_attention", "full_attention"]},
    "qwen3_next": {**LINEAR, "layer_types": ["linear_attention", "full_attention"]},
    "recurrent_gemma": {
        "num_hidden_layers": 3, "lru_width": 32, "attention_window_size": 8, "num_key_value_heads": 1,
        "block_types": ("recurrent", "recurrent", "attention"),
    },
    "rwkv": {"context_length": 128},
    "xlstm": {"num_heads": 4},
    "zamba2": {"layers_block_type": ["mamba", "hybrid"], "n_mamba_heads": 8, "mamba_d_state": 8, "adapter_rank": 4},
}  # fmt: skip


def twin_config(name):
    """The configuration of a small model of transformers' family `name`; only the sizes it has are given."""
    own = transformers.AutoConfig.for_model(name).__class__
    known = set().union(*(getattr(kind, "__annotations__", {}) for kind in own.__mro__))
    changes = {**PLAIN_TWINS, **STATE_TWINS}.get(name, {})
    return own(**{key: value for key, value in SIZES.items() if key in known} | changes)


def twin(name, dtype=torch.float32):
    """A random model of that family, frozen, with an adapter that has moved, in a precision that it computes in."""
    return _with_adapter(twin_config(name), dtype, weights=4.0)


# ---------------------------------------------------------------- models in folders, as users have them

LAB = ROOT / "harness" / "lab" / "base"


def copy_lab(folder, **changes):
    """The lab's base in a folder of its own, with changes of its config.json."""
    shutil.copytree(LAB, folder)
    edit_json(folder / "config.json", **changes)
    return folder


def save_model(model, folder):
    """The model with the lab's tokenizer."""
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(LAB / name, folder / name)
    return folder
