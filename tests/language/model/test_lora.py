"""The fused layer is peft's layer: same outputs, same gradients, same parameters, same file."""

import peft
import pytest
import torch

from harness.language.model.lora import FusedLinear, fuse


def layer(dtype, bias):
    torch.manual_seed(0)
    base = torch.nn.Sequential(torch.nn.Linear(6, 9, bias=bias)).to(dtype)
    model = peft.get_peft_model(base, peft.LoraConfig(r=3, lora_alpha=7, target_modules=["0"])).to(dtype)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_()
    return model


def outcome(model, x):
    x = x.clone().requires_grad_()
    model.zero_grad()
    y = model(x)
    (y * torch.arange(y.numel(), dtype=y.dtype).view_as(y)).sum().backward()
    return [y.detach(), x.grad, *(p.grad for n, p in model.named_parameters() if "lora_" in n)]


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_outputs_and_gradients_are_pefts(dtype, tolerance, bias, merge):
    x = torch.randn(2, 5, 6, dtype=dtype)
    model = layer(dtype, bias)
    expected = outcome(model, x)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert fuse(model, merge) is merge and any(type(m) is FusedLinear for m in model.modules())
    for found, wanted in zip(outcome(model, x), expected, strict=True):
        assert float((found - wanted).abs().max()) <= tolerance * float(wanted.abs().max())
    assert set(model.state_dict()) == set(before), "the same parameters and files"
    assert torch.equal(model.base_model.model[0].base_layer.weight, before["base_model.model.0.base_layer.weight"])


def test_a_switched_off_or_merged_adapter_is_left_to_peft():
    x = torch.randn(4, 6)
    model = layer(torch.float32, True)
    fuse(model, False)
    with_adapter = model(x)
    with model.disable_adapter():
        assert torch.equal(model(x), model.base_model.model[0].base_layer(x))
    model.merge_adapter()
    assert torch.allclose(model(x), with_adapter, atol=1e-5)


def test_a_merged_weight_follows_every_change_of_the_adapter():
    x = torch.randn(4, 6, dtype=torch.float64)
    model, plain = layer(torch.float64, True), layer(torch.float64, True)
    fuse(model, True)
    optimizers = [torch.optim.RMSprop([p for n, p in m.named_parameters() if "lora_" in n], lr=0.1) for m in (model, plain)]
    for _ in range(3):
        assert torch.allclose(model(x), plain(x), atol=1e-12)
        for one, optimizer in zip((model, plain), optimizers, strict=True):
            optimizer.zero_grad()
            one(x).pow(2).sum().backward()
            optimizer.step()
    with torch.no_grad():
        for change in (lambda p: p.copy_(torch.ones_like(p)), lambda p: p[0, 0].add_(1)):
            for one in (model, plain):
                for name, parameter in one.named_parameters():
                    if "lora_" in name:
                        change(parameter)
            assert torch.allclose(model(x), plain(x), atol=1e-12)


def test_half_precision_is_not_merged_by_itself():
    assert fuse(layer(torch.bfloat16, True)) is False and fuse(layer(torch.float32, True)) is True
