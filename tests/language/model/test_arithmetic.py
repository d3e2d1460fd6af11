"""bfloat16 products: within their rounding of float64, for the base's products alone, in scoring and training alone.

Legend: T tokens, I and O inputs and outputs, r rank.
"""

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import peft
import pytest
import torch

from harness.config import LoraConfig, ModelConfig, load_config
from harness.discovery.variants import parse_variants
from harness.errors import UserError
from harness.language.model import arithmetic
from harness.language.model.loading import load_policy
from harness.language.model.lora import bfloat16_products, fuse
from harness.loop.context import Iteration, RunContext
from harness.loop.phases.evaluate import Evaluate
from harness.loop.phases.score import InitialScores, Score
from harness.loop.phases.train import Train
from harness.loop.trials import Trial
from harness.records import PromptGroup, Response
from harness.train.core import TrainingStopped, check_reference_matches
from harness.train.numerics import BFLOAT16_PRODUCTS, SAME_WEIGHTS
from harness.train.score import ScoreMismatch, score
from harness.train.thread_pool import OrderedThreadPool
from objectives.spin import SPIN
from tests.conftest import make_policy
from tests.helpers.peers import quiet
from tests.helpers.training import gradients, make_groups, run, weights

T, I, O, R, SCALE = 40, 64, 48, 4, 3.0  # noqa: E741
ROUNDING = 2.0**-9  # of a number to the nearest bfloat16, which has 8 significant bits, relative
FLOAT32 = 1e-5  # far above the rounding of sums of 64 products in float32, far below ROUNDING


def fused_layer(adapter_size=1.0):
    """A fused float32 layer with a bias whose weight is exact in bfloat16, as a bfloat16 file's is."""
    torch.manual_seed(0)
    model = peft.get_peft_model(
        torch.nn.Sequential(torch.nn.Linear(I, O)), peft.LoraConfig(r=R, lora_alpha=R * SCALE, target_modules=["0"])
    )
    fuse(model)
    with torch.no_grad():
        layer = model.base_model.model[0]
        layer.base_layer.weight.copy_(layer.base_layer.weight.bfloat16())
        layer.lora_A["default"].weight.normal_()
        layer.lora_B["default"].weight.normal_().mul_(adapter_size)
    return model, layer


@pytest.mark.parametrize("in_bfloat16", [False, True])
def test_outputs_and_gradients_are_those_of_float64_up_to_the_rounding_of_each_product(in_bfloat16):
    """A product in bfloat16 rounds its input and its result: |x| |W| bounds both, entry by entry. Nothing else is rounded."""
    model, layer = fused_layer()
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    x, slope = torch.randn(T, I, requires_grad=True), torch.randn(T, O)
    with bfloat16_products(model) if in_bfloat16 else nullcontext():
        out = model(x)
        found = [out.detach(), *torch.autograd.grad((out * slope).sum(), (x, a, b))]
    xx, w, bias, aa, bb = (v.detach().double().requires_grad_() for v in (x, *layer.base_layer.parameters(), a, b))
    exact_out = xx @ w.t() + bias + SCALE * (xx @ aa.t()) @ bb.t()
    exact = [exact_out.detach(), *torch.autograd.grad((exact_out * slope.double()).sum(), (xx, aa, bb))]
    out_error, x_error, a_error, b_error = ((f.double() - e).abs() for f, e in zip(found, exact, strict=True))
    absolute = w.detach().abs()
    bounds = [xx.detach().abs() @ absolute.t(), slope.double().abs() @ absolute]
    for error, bound, value in zip((out_error, x_error), bounds, exact, strict=False):
        tolerance = FLOAT32 * float(value.abs().max())
        assert bool((error <= (2.01 * ROUNDING * bound if in_bfloat16 else 0) + tolerance).all())
        assert bool(error.max() > tolerance) is in_bfloat16
    for error, value in ((a_error, exact[2]), (b_error, exact[3])):
        assert float(error.max()) <= FLOAT32 * float(value.abs().max()), "gradients of A and B take no bfloat16 number"


def test_a_small_adapter_is_not_rounded_away_and_the_base_stays_as_it_is():
    """Merged into a weight in bfloat16, rounding would change it by more than half of its own size."""
    x = torch.randn(T, I)
    (model, layer), (bare, _) = fused_layer(1e-5), fused_layer(0.0)
    weight, a, b = layer.base_layer.weight, layer.lora_A["default"].weight, layer.lora_B["default"].weight
    before = weight.clone()
    with torch.no_grad():
        sum_of_both = weight + SCALE * b @ a
        assert float((sum_of_both.bfloat16() - sum_of_both).norm()) > 0.5 * float((SCALE * b @ a).norm())
        merged = model(x)
        with bfloat16_products(model), bfloat16_products(bare):
            added = model(x).double() - bare(x).double()
        expected = SCALE * (x.double() @ a.double().t()) @ b.double().t()
        assert torch.equal(model(x), merged) and torch.equal(weight, before)
    # The sum of both is one float32 number, rounded by 2^-24 of its size.
    assert float((added - expected).abs().max()) <= 2.0**-23 * float(merged.abs().max()) < 0.01 * float(expected.abs().max())


@pytest.fixture
def rounded(tokenizer):
    """A small float32 policy that scores and trains with bfloat16 products."""
    policy = make_policy(tokenizer, "float32")
    arithmetic.use_bfloat16_products(policy)
    return policy


def test_scores_and_gradients_are_rounded_and_what_compares_checkpoints_is_not(rounded):
    groups = make_groups(rounded, SPIN().needs)
    rows = [PromptGroup(g.prompt, [r.content for _, r in g.responses()]) for g in groups]
    in_training = [r.reference_logp for g in groups for _, r in g.responses()]
    in_diagnostics = rounded.score(rows, 256)
    per_token = [
        abs(a - b) / len(r) for a, b, r in zip(in_training, in_diagnostics, (r for g in rows for r in g.responses), strict=True)
    ]
    assert SAME_WEIGHTS["float32"] < max(per_token) < SAME_WEIGHTS[BFLOAT16_PRODUCTS]
    expected = gradients(rounded, groups, SPIN())
    with rounded.training_arithmetic():
        found = gradients(rounded, groups, SPIN())
    flat, exact = (torch.cat([v.flatten() for v in g.values()]) for g in (found, expected))
    assert 1e-4 < float((flat - exact).norm() / exact.norm()) < 0.05
    counts, _ = run(rounded, groups, SPIN())
    assert counts["step0_max_abs_log_ratio_per_token"] <= SAME_WEIGHTS[BFLOAT16_PRODUCTS]
    check_reference_matches([SimpleNamespace(step0_per_root=0.2)], rounded.training_precision)
    with pytest.raises(TrainingStopped, match="expected at most 0.0001 in float32"):
        check_reference_matches([SimpleNamespace(step0_per_root=0.2)], rounded.precision)


def test_samples_kept_in_float32_are_scored_again_and_still_told_from_another_checkpoints(rounded):
    groups = make_groups(rounded, SPIN().needs)
    rows = [PromptGroup(g.prompt, [r.content for r in g.synthetic]) for g in groups]
    kept = iter(rounded.score(rows, 256))
    own = [replace(g, synthetic=tuple(Response(r.content, cached_logp=next(kept)) for r in g.synthetic)) for g in groups]
    scored = score(rounded, own, 256, quiet)
    assert [s.reference_logp for s in scored.scores] == [r.reference_logp for g in groups for _, r in g.responses()]
    others = [replace(g, synthetic=tuple(Response(r.content, cached_logp=r.cached_logp + 2.0) for r in g.synthetic)) for g in own]
    with pytest.raises(ScoreMismatch, match="where bfloat16 products explains"):
        score(rounded, others, 256, quiet)


def test_training_has_the_same_bits_on_one_and_two_lanes(rounded, tmp_path):
    groups = make_groups(rounded, SPIN().needs)
    rounded.save_adapter(tmp_path / "start")
    results = []
    for count in (1, 2):
        rounded.pool = OrderedThreadPool(count)
        rounded.load_adapter(tmp_path / "start")
        scores = score(rounded, groups, 32, quiet).scores
        run(rounded, groups, SPIN(), micro_batch=1)
        results.append((scores, weights(rounded)))
    (scores, trained), (other_scores, other_trained) = results
    assert scores == other_scores and all(torch.equal(value, other_trained[name]) for name, value in trained.items())


def test_it_is_part_of_what_identifies_a_run_and_its_scoring_and_training_and_of_no_evaluation():
    run_folder = SimpleNamespace(only_recorded=lambda folder, values: values)
    (variant,) = parse_variants("spin", {})
    settings, identities = [], []
    for name in ("dtype", BFLOAT16_PRODUCTS):
        config = load_config("lab", [f"model.arithmetic={name}"])
        context = RunContext(config, "lab-ten", run=run_folder, benchmark=SimpleNamespace(judge_identity={}))
        iteration = Iteration(context, 0, Trial(variant, 0), variant.objective(0))
        settings.append([kind(iteration).settings for kind in (Evaluate, Score, InitialScores, Train)])
        identities.append(config.identity())
    assert [a == b for a, b in zip(*settings, strict=True)] == [True, False, False, False]
    assert [s.get("arithmetic") for s in settings[1]] == [None, *[BFLOAT16_PRODUCTS] * 3]
    assert not any("arithmetic" in s for s in settings[0]), "phases of runs that record none are the default's"
    assert identities[0] != identities[1] and identities[1]["model"]["arithmetic"] == BFLOAT16_PRODUCTS


def test_it_is_refused_where_it_cannot_be_had_with_what_to_type(monkeypatch):
    model = load_config("lab", [f"model.arithmetic={BFLOAT16_PRODUCTS}"]).model
    cpu, type_this = torch.device("cpu"), "; use --set model.arithmetic=dtype$"
    monkeypatch.setattr(arithmetic, "instruction_sets", lambda: {"processor": ["AVX2", "AVX-512"]})
    with pytest.raises(UserError, match=f"^model.arithmetic=bfloat16 products: this processor has no .*{type_this}"):
        load_policy(model, LoraConfig(), "auto")
    monkeypatch.setattr(arithmetic, "instruction_sets", lambda: {"processor": ["AVX2", "AVX-512", "AVX-512 BF16"]})
    assert load_policy(model, LoraConfig(), "auto").training_precision == BFLOAT16_PRODUCTS
    with pytest.raises(UserError, match=f"the base is in bfloat16, and it is for bases in float32{type_this}"):
        arithmetic.check_arithmetic(model, cpu, torch.bfloat16)
    with pytest.raises(UserError, match="the base is quantized"):
        arithmetic.check_arithmetic(model.model_copy(update={"quantize": "nf4"}), cpu, torch.float32)
    with pytest.raises(UserError, match="no layer of this model that has an adapter is a plain linear layer"):
        arithmetic.use_bfloat16_products(SimpleNamespace(model=torch.nn.Linear(2, 2)))
    arithmetic.check_arithmetic(ModelConfig(), cpu, torch.bfloat16)
