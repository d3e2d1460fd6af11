"""Rows that come and go, shared prompts and beginnings leave a draw as it is alone; kept log-probabilities are scored ones."""

import pytest
import torch

from harness.language.model.choosing import SamplingParams
from harness.language.model.logprobs import LayoutCheck, collate, continuation_logps, decoder_of
from harness.language.model.sampling import Request, generate_tokens
from harness.records import PromptGroup
from tests.helpers.families import FAMILIES, SINGLE, family

HEAD = [*range(7, 31)]
CHECK = LayoutCheck("packed", 0.0, "")
STOPS = frozenset({2, 3, 4, 5, 6})


def requests(head=(), count=23):
    """Prompts of different lengths, some asked for several times, with room for different numbers of tokens."""
    return [Request([*head, 30 + i % 7, *range(40, 40 + i % 5)], 100 + i, 5 + i % 9) for i in range(count)]


@pytest.mark.parametrize("name", FAMILIES | SINGLE)
@pytest.mark.parametrize("batch_size", [1, 4, 23])
@pytest.mark.parametrize("head", [(), HEAD])
def test_a_draw_is_the_same_alone_and_in_any_batch(name, batch_size, head):
    model = family(name, torch.float32 if name in SINGLE else torch.float64)
    wanted = requests(head)
    alone = [generate_tokens(model, [one], SamplingParams(), STOPS, 1, CHECK)[0] for one in wanted]
    found = generate_tokens(model, wanted, SamplingParams(), STOPS, batch_size, CHECK)
    assert [f.ids for f in found] == [a.ids for a in alone]
    assert [f.logp for f in found] == pytest.approx([a.logp for a in alone], abs=1e-4 if name in SINGLE else 1e-10)
    ended = [f.ids[-1] in STOPS for f in found]
    assert any(ended) and not all(ended)
    assert all(len(f.ids) <= r.max_new_tokens and not STOPS & set(f.ids[:-1]) for f, r in zip(found, wanted, strict=True))


@pytest.mark.parametrize("how", [SamplingParams(), SamplingParams(0.6), SamplingParams(top_p=0.5), SamplingParams(2.0, 0.9)])
def test_the_kept_log_probability_is_the_scored_one_whatever_the_draw_used(how):
    model = family("llama")
    wanted = requests()
    found = generate_tokens(model, wanted, how, STOPS, 8, CHECK)
    with torch.no_grad():
        groups = [PromptGroup(r.prompt_ids, [f.ids]) for r, f in zip(wanted, found, strict=True)]
        scored = continuation_logps(model, collate(groups, "packed"), "packed").logps
    assert [f.logp for f in found] == pytest.approx(scored.tolist(), abs=1e-9)


def test_a_row_ends_where_it_is_told_to():
    """Every other row ends when its tokens sum to more than 150."""
    wanted = [Request(r.prompt_ids, r.seed, 12, lambda ids: sum(ids) > 150) if i % 2 else r for i, r in enumerate(requests())]
    found = generate_tokens(family("llama"), wanted, SamplingParams(), frozenset(), 8, CHECK)
    assert all(sum(f.ids[:-1]) <= 150 < sum(f.ids) or len(f.ids) == 12 for f in found[1::2])
    assert any(len(f.ids) < 12 for f in found[1::2])
    assert all(len(f.ids) == r.max_new_tokens for f, r in zip(found[::2], wanted[::2], strict=True))


def test_prompts_asked_for_several_times_are_computed_once():
    """Tokens fed before the first draw: one row per different prompt."""
    model = family("llama")
    fed = []
    decoder_of(model).register_forward_pre_hook(lambda m, a, k: fed.append(tuple(k["input_ids"].shape)), with_kwargs=True)
    wanted = [Request(prompt, s, 4) for prompt in ([30, 31, 32], [40, 41]) for s in range(6)]
    generate_tokens(model, wanted, SamplingParams(), STOPS, 12, CHECK)
    assert fed[0] == (2, 3)


def test_finished_rows_make_room_before_the_last_one_is_done():
    """40 requests, 8 at a time, the seventh of each eight long: without replacement every batch would wait for its longest."""
    model = family("llama")
    wanted = [Request([30 + i, 31], i, 40 if i % 8 == 0 else 4) for i in range(40)]
    steps = []
    decoder_of(model).register_forward_pre_hook(lambda m, a, k: steps.append(k["input_ids"].shape), with_kwargs=True)
    found = generate_tokens(model, wanted, SamplingParams(), frozenset(), 8, CHECK)
    assert [len(f.ids) for f in found] == [r.max_new_tokens for r in wanted]
    assert sum(1 for shape in steps if shape[1] == 1) < 5 * 39 / 2
