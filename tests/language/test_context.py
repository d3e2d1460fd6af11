"""How many tokens a model takes: what its configuration says under whatever name, what is asked for, or one line."""

from types import SimpleNamespace

import pytest
import torch
import transformers

from harness.errors import UserError
from harness.language.model.context import find_context_length, reduced_context_note

ENDLESS = SimpleNamespace(model_max_length=int(1e30))
LONG = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 4, "long_factor": [2.0] * 4}
SCALED = {"factor": 4.0, "rope_theta": 1e4}
SMALL = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 2, "vocab_size": 97}
PHI3 = transformers.Phi3Config(
    **SMALL, intermediate_size=48, max_position_embeddings=4096, original_max_position_embeddings=64, pad_token_id=0,
    rope_parameters={**LONG, "original_max_position_embeddings": 64},
)  # fmt: skip


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (transformers.LlamaConfig(max_position_embeddings=77), 77), (transformers.GPT2Config(n_positions=78), 78),
        (transformers.MptConfig(max_seq_len=79), 79), (transformers.RwkvConfig(context_length=80), 80),
        (transformers.BloomConfig(seq_length=81), 81), (transformers.PretrainedConfig(n_ctx=82), 82),
        (transformers.Gemma3Config(text_config={"max_position_embeddings": 83}), 83),
        (transformers.LlamaConfig(max_position_embeddings=4096, rope_parameters={**SCALED, "rope_type": "linear"}), 4096),
        (transformers.LlamaConfig(max_position_embeddings=512, rope_parameters={**SCALED, "rope_type": "dynamic"}), 512),
        (PHI3, 64),
    ],
)  # fmt: skip
def test_the_context_is_what_the_configuration_says_whatever_it_calls_it(config, expected):
    assert find_context_length(config, ENDLESS) == expected


def test_a_tokenizer_says_it_only_where_the_model_does_not_and_it_can_be_asked_for_or_lowered_but_not_raised():
    mamba, llama = transformers.MambaConfig(), transformers.LlamaConfig(max_position_embeddings=77)
    known = SimpleNamespace(model_max_length=2048)
    assert [find_context_length(config, known) for config in (mamba, llama)] == [2048, 77]
    assert [find_context_length(mamba, ENDLESS, 512), find_context_length(llama, ENDLESS, 50)] == [512, 50]
    with pytest.raises(UserError, match=r"neither config\.json nor the tokenizer .* --set model\.context=2048"):
        find_context_length(mamba, ENDLESS)
    with pytest.raises(UserError, match=r"model\.context=100: the model takes at most 77 tokens; use --set model\.context=77"):
        find_context_length(llama, ENDLESS, 100)


def test_positions_that_are_scaled_for_a_whole_batch_end_the_context_before_that_and_are_named():
    """Phi-3's long factors hold for every text of a batch as soon as one is longer than the model was first trained for."""
    torch.manual_seed(0)
    model = transformers.Phi3ForCausalLM(PHI3).eval()
    ids = torch.randint(3, 97, (1, 70))
    with torch.no_grad():
        short, long = model(ids[:, :60]).logits[0, 59], model(ids).logits[0, 59]
    assert float((short - long).abs().max()) > 1e-4, "a later token changes an earlier one's logits"
    most = find_context_length(model, ENDLESS)
    assert most == 64 and "context 64 of 4096 tokens" in (reduced_context_note(model, most) or "")
    plain = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMALL, intermediate_size=48))
    assert reduced_context_note(plain, 2048) is None
