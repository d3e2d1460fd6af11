"""A number that is not finite ends the work before it does harm; the example that did it is named and written out in full."""

import dataclasses
import json
import math
from types import SimpleNamespace

import pytest
import torch

from harness.config import GenerationConfig
from harness.language.benchmark.lm import as_lm
from harness.language.model.choosing import SamplingParams
from harness.language.model.sampling import Request
from harness.language.phases.generate import generate
from harness.language.records import Example
from harness.records import Group, PromptGroup, Response
from harness.train.nonfinite import NonFiniteError, TrainingStopped, dump_on_error, with_example_ids
from harness.train.score import score
from objectives import LossOutput, Needs
from objectives.sft import SFT
from objectives.space import SPACE
from tests.helpers.peers import quiet
from tests.helpers.training import run, weights

POISON = 90  # a token whose embedding is not a number
PLAIN = GenerationConfig(max_new_tokens=6)


@pytest.fixture
def poisoned(policy):
    """A policy that computes nan wherever it reads the token POISON, and only there."""
    with torch.no_grad():
        policy.model.get_input_embeddings().weight[POISON] = math.nan
    return policy


def make_groups(needs=None, poison=(), reference=None):
    """Eight prompts; those in `poison` hold the token POISON."""
    groups = []
    for i in range(8):
        prompt = [1, 3, POISON if i in poison else 30 + i, 4]
        synthetic = (Response([70 + i, 71 + k, 2], reference) for k in range((needs or Needs()).synthetic))
        groups.append(Group(f"x{i}", 0, prompt, Response([60 + i, 61, 2], reference), tuple(synthetic), ()))
    return groups


def stopped(policy, groups, loss, **settings):
    """The error that training ends with; the adapter must be as it was."""
    before = weights(policy)
    with pytest.raises(TrainingStopped) as caught:
        run(policy, groups, loss, **{"batch_size": 8, "epochs": 1, **settings})
    assert all(torch.equal(before[n], p) for n, p in policy.adapter_parameters())
    return caught.value


def spoiled(policy, groups, number, spoil):
    """SFT, but for what `spoil` makes of the loss of the example `number`, told by its log-probability."""
    (target,) = policy.score([PromptGroup(groups[number].prompt, [groups[number].real.content])], 64)

    class Spoiled(SFT):
        def loss(self, batch):
            value = super().loss(batch).loss.clone()
            chosen = (batch.real.logp[:, 0] - target).abs() < 1e-9
            value[chosen] = spoil(value[chosen])
            return LossOutput(value)

    return Spoiled()


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("how", [{"micro_batch": 8}, {"micro_batch": 2}, {"micro_batch": 3, "two_pass": True}])
def test_the_one_example_whose_loss_is_bad_is_named_of_its_batch(policy, value, how):
    groups = make_groups()
    error = stopped(policy, groups, spoiled(policy, groups, 5, lambda loss: loss * value), **how)
    assert "step 0: " in str(error) and str(error).endswith("nothing was updated; 1 of 8 examples: x5")
    (one,) = error.examples
    assert (one.name, one.prompt_ids, one.responses[0].token_ids) == ("x5", groups[5].prompt, [65, 61, 2])
    assert not math.isfinite(one.values["loss"])


def test_a_finite_loss_whose_gradient_is_not_names_its_example(policy):
    """sqrt(0 * loss) is 0 with an infinite slope times 0: the loss looks well, the gradient is nan."""
    groups = make_groups()
    error = stopped(policy, groups, spoiled(policy, groups, 2, lambda loss: torch.sqrt(0.0 * loss)))
    assert math.isfinite(error.context["loss"]) and not math.isfinite(error.context["gradient_norm"])
    (one,) = error.examples
    assert one.name == "x2" and math.isfinite(one.values["loss"]) and not math.isfinite(one.values["gradient_norm"])


def test_a_log_probability_that_is_no_number_stops_even_a_loss_that_hides_it(poisoned):
    """A loss that leaves nan out of its mean would go on as if nothing were; the prompts beside the bad one are not blamed."""

    class Hiding(SFT):
        def loss(self, batch):
            return LossOutput(torch.nan_to_num(super().loss(batch).loss))

    (one,) = stopped(poisoned, make_groups(poison={3}), Hiding(), micro_batch=8).examples
    assert one.name == "x3" and math.isnan(one.responses[0].logp)


@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_a_stored_reference_that_is_no_number_stops_and_is_shown(policy, value):
    groups = make_groups(SPACE().needs, reference=-3.0)
    groups[6] = dataclasses.replace(groups[6], synthetic=(Response([70, 71, 2], value),))
    (one,) = stopped(policy, groups, SPACE()).examples
    assert (one.name, [r.role for r in one.responses]) == ("x6", ["real", "synthetic"])


def test_a_sum_that_is_bad_only_together_names_all(policy):
    """Eight finite losses of 1e308 have no finite sum."""

    class Huge(SFT):
        def loss(self, batch):
            return LossOutput(super().loss(batch).loss * 0 + 1e308)

    error = stopped(policy, make_groups(), Huge())
    assert len(error.examples) == 8 and "no example non-finite by itself, in the batch: x" in str(error)


def test_an_update_that_leaves_weights_that_are_not_finite_stops_with_what_to_lower(policy):
    with pytest.raises(TrainingStopped, match="step 0: weights of norm .* lower training.lr"):
        run(policy, make_groups(), SFT(), lr=1e308, schedule="constant", warmup=0)


def test_a_metric_that_is_no_number_is_missing_in_the_record_and_stops_nothing(policy):
    class Odd(SFT):
        def loss(self, batch):
            output = super().loss(batch)
            return LossOutput(output.loss, metrics={"odd": output.loss * math.inf, "even": output.loss * 0 + 2})

    _, records = run(policy, make_groups(), Odd(), batch_size=8, epochs=1)
    assert [r.metrics for r in records] == [{"even": 2.0}]
    json.dumps(dataclasses.asdict(records[0]), allow_nan=False)


def test_scoring_names_the_example_with_a_bad_log_probability_and_not_its_neighbours(poisoned):
    """All eight prompts go through the model in one row, so nan reaches more than the one that made it."""
    with pytest.raises(NonFiniteError, match=r"under 1 of 8 prompts: x4$") as caught:
        score(poisoned, make_groups(Needs(synthetic=2), poison={4}), 4096, quiet)
    assert [list(r.token_ids) for r in caught.value.examples[0].responses] == [[64, 61, 2], [74, 71, 2], [74, 72, 2]]


@pytest.mark.parametrize("known", [math.nan, -math.inf])
def test_a_known_log_probability_that_is_no_number_is_scored_again_not_taken_over(policy, known):
    groups = make_groups()
    (right,) = policy.score([PromptGroup(groups[0].prompt, [groups[0].real.content])], 64)
    groups[0] = dataclasses.replace(groups[0], real=Response(groups[0].real.content, cached_logp=known))
    assert score(policy, groups, 64, quiet).scores[0].reference_logp == pytest.approx(right, abs=1e-9)


@pytest.mark.parametrize("temperature", [1.0, 0.5, 0.0])
def test_nothing_is_drawn_from_what_is_no_distribution(poisoned, temperature):
    """Every token is as likely as nan: neither the first nor the last of the vocabulary, and no run to the length limit."""
    requests = [Request([1, 3, POISON if i == 2 else 30 + i], i, 50) for i in range(5)]
    with pytest.raises(NonFiniteError, match="not finite after 0 tokens of a response") as caught:
        poisoned.generate_tokens(requests, SamplingParams(temperature), frozenset({2}), 8)
    assert [one.name for one in caught.value.examples] == [2]


def test_a_response_that_goes_bad_on_its_way_is_named_with_what_it_said_so_far(policy):
    """The token that the third response begins with is poisoned after it has been drawn once."""
    examples = [Example(f"e{i}", f"what is {i} ?", "x", f"what is {i} ?") for i in range(4)]
    first = generate(policy, examples, [0], 0, PLAIN, 0, quiet)[2].token_ids
    with torch.no_grad():
        policy.model.get_input_embeddings().weight[first[0]] = math.nan
    with pytest.raises(NonFiniteError, match="after 1 tokens of a response: .*e2") as caught:
        generate(policy, examples, [0], 0, PLAIN, 0, quiet)
    (one,) = [one for one in caught.value.examples if one.name == "e2"]
    assert one.responses[0].token_ids == first[:1]


def test_an_evaluation_gives_no_likelihood_and_no_text_that_is_made_of_nan(poisoned):
    lm = as_lm(poisoned, 4096, 4, {})
    with pytest.raises(NonFiniteError, match="under 1 of 2 prompts"):
        lm._loglikelihood_tokens([(("", ""), [5, 6], [7]), (("", ""), [5, POISON], [7])])
    request = SimpleNamespace(args=(poisoned.tokenizer.decode([POISON]), {"until": ["."], "max_gen_toks": 4}))
    with pytest.raises(NonFiniteError, match="not finite"):
        lm.generate_until([request])


def test_a_saved_player_with_weights_that_are_no_numbers_takes_no_seat(policy, tmp_path):
    with torch.no_grad():
        policy.adapter_parameters()[0][1][0, 0] = math.nan
    policy.save_adapter(tmp_path / "adapter")
    with pytest.raises(NonFiniteError, match="adapter: weights that are not finite"):
        policy.load_adapter(tmp_path / "adapter")


def test_the_file_has_every_number_and_text_and_is_json_for_everyone(poisoned, tmp_path):
    """The bad ones first; nan is spelled out, since JSON has no word for it; the line names player and file."""
    groups = make_groups(Needs(synthetic=1), poison={1, 4}, reference=-3.0)
    phase = "mine/seed-0/iteration-2/train"
    with pytest.raises(TrainingStopped) as caught, dump_on_error(tmp_path, phase, "abc", poisoned.tokenizer.decode):
        run(poisoned, groups, SPACE(), batch_size=8)
    assert str(caught.value).endswith(f"; checkpoint abc; written out in {phase}.failed.json")
    assert "\n" not in str(caught.value)

    kept = json.loads((tmp_path / f"{phase}.failed.json").read_text(), parse_constant=pytest.fail)
    assert (kept["phase"], kept["player"], kept["step"], kept["epoch"], kept["loss"]) == (phase, "abc", 0, 0, "nan")
    assert {row["id"] for row in kept["examples"]} == {"x1", "x4"}
    row = next(row for row in kept["examples"] if row["id"] == "x4")
    assert row["prompt"] == {"text": poisoned.tokenizer.decode([1, 3, POISON, 4]), "token_ids": [1, 3, POISON, 4]}
    said = [(r["role"], r["logp"], r["reference_logp"]) for r in row["responses"]]
    assert said == [("real", "nan", -3.0), ("synthetic", "nan", -3.0)]
    assert row["responses"][0]["text"] == poisoned.tokenizer.decode([64, 61, 2])
    with dump_on_error(tmp_path, phase, "abc", str):  # once the phase is begun again, it is gone
        assert not (tmp_path / f"{phase}.failed.json").exists()


def test_a_line_names_a_few_examples_however_many_there_are(poisoned):
    with pytest.raises(NonFiniteError, match="x0, x1, x2, x3, x4 and 3 more$"):
        score(poisoned, make_groups(poison=set(range(8))), 64, quiet)
    with pytest.raises(ZeroDivisionError), with_example_ids(["a"]):
        _ = 1 / 0
