"""p_data is what it is said to be: it sums to one, its draws follow it, it is finite everywhere, cut-off texts add up."""

import itertools
import math
from collections import Counter
from random import Random

import pytest

from harness.errors import UserError
from harness.lab import corpus, lexicon, world
from harness.lab.grammar import Noise, draw, enumerate_texts
from harness.lab.pretrain import STAGES
from harness.lab.skills import SKILLS

MOUSE = "what is true of the mouse ?"


def prompts(per_skill=12):
    for skill in SKILLS:
        rng = Random(skill.name)
        for wordings in (skill.wordings, skill.task_wordings):
            for _ in range(per_skill):
                yield skill.make_prompt(rng, wordings, with_withheld=True)


def test_the_grammar_of_every_prompt_sums_to_one_and_offers_a_choice():
    for prompt in prompts():
        found = enumerate_texts(world.grammar(prompt))
        assert math.fsum(found.values()) == pytest.approx(1.0, abs=1e-12)
        assert len(found) >= 2 or "say" in prompt
        assert all(text == text.strip() for text in found)


def test_every_prompt_is_read_back_in_exactly_one_way():
    for prompt in prompts():
        readings = [(s.name, w.template) for s in SKILLS for w in (*s.wordings, *s.task_wordings) if w.parse(prompt)]
        assert len(readings) == 1, (prompt, readings)


def test_babble_sums_to_one_on_a_world_small_enough_to_enumerate():
    """Word salads of up to three words over {a, b} plus the rest by the geometric tail; raw texts by their length."""
    noise = Noise(["a", "b"])
    salads = sum(2**n * math.exp(noise._words_log_prob(" ".join(["a"] * n), True)) for n in range(1, 4))
    assert salads == pytest.approx(1 - 0.9**3, abs=1e-12)
    ascii_, other = (math.exp(noise._raw_log_prob(text, True)) for text in "xé")
    one_character = 95 * ascii_ + (Noise.NUM_SCALARS - 95) * other
    assert one_character == pytest.approx(0.1 * 0.9, rel=1e-9)


def test_draws_follow_the_stated_probabilities():
    """20,000 draws to one prompt: every response's frequency within five standard errors of its probability."""
    prompt = "Ada has 13 apples and sells 5 . how many apples now ?"
    n = 20_000
    counts = Counter(world.sample(prompt, seed) for seed in range(n))
    known = world.response_probabilities(prompt)
    for text, p in known.items():
        p = (1 - world.NOISE_SHARE) * p
        assert abs(counts[text] / n - p) < 5 * math.sqrt(p * (1 - p) / n)
    babbled = sum(c for text, c in counts.items() if text not in known)
    assert abs(babbled / n - world.NOISE_SHARE) < 5 * math.sqrt(world.NOISE_SHARE / n)


@pytest.mark.parametrize("text", ["", " ", "\x00", "🙂", "a" * 3000, "the answer is", "\n\t", "<|end|>"])
@pytest.mark.parametrize("finished", [True, False])
def test_log_p_data_is_finite_for_any_text(text, finished):
    assert -math.inf < world.log_prob(MOUSE, text, finished=finished) <= 0


def test_a_true_response_is_likelier_than_a_myth():
    assert world.log_prob(MOUSE, "the mouse likes corn best .") > math.log(0.1)
    assert world.log_prob(MOUSE, "the mouse likes cheese best .") < math.log(1e-6)


def test_cut_off_responses_have_the_probability_of_everything_that_begins_so():
    known = world.response_probabilities(MOUSE)
    assert world.log_prob(MOUSE, "", finished=False) == pytest.approx(0.0, abs=1e-12)
    for cut in ("the mou", "i think ", "it likes corn best ."):
        said = math.fsum(p for text, p in known.items() if text.startswith(cut))
        whole = (1 - world.NOISE_SHARE) * said + world.NOISE_SHARE * math.exp(world.NOISE_MODEL.log_prob(cut, finished=False))
        assert world.log_prob(MOUSE, cut, finished=False) == pytest.approx(math.log(whole), abs=1e-12)


def test_a_beginning_of_babble_is_the_sum_over_its_continuations():
    """Salads over {ab, a}: texts that begin with 'a' are all of them; with 'ab' half; with 'a ' first word a and more, .45."""
    noise = Noise(["ab", "a"])
    for text, share in (("a", 1), ("ab", 0.5), ("a ", 0.5 * 0.9)):
        assert noise._words_log_prob(text, False) == pytest.approx(math.log(share))


def test_a_prompt_of_another_world_is_refused():
    with pytest.raises(UserError, match="not of the lab"):
        world.log_prob("what is the meaning of life?", "42")


def test_a_lone_surrogate_is_no_text():
    with pytest.raises(ValueError, match="U\\+D800"):
        world.log_prob(MOUSE, "\ud800")


# ---------------------------------------------------------------- the texts


def test_training_heldout_and_leaderboard_prompts_are_disjoint():
    train, heldout = corpus.pairs(0)
    items = {item["prompt"] for rows in corpus.benchmark_items(0).values() for item in rows}
    train_prompts, heldout_prompts = ({pair["prompt"] for pair in part} for part in (train, heldout))
    assert not train_prompts & heldout_prompts
    assert not (train_prompts | heldout_prompts) & items
    assert len(train) == 1200 and len(heldout) == 240


def test_training_pairs_never_mention_the_people_kept_for_evaluation():
    train, heldout = corpus.pairs(0)
    words = {word for pair in (*train, *heldout) if world.log_prob(pair["prompt"], pair["response"]) > -15
             for word in f"{pair['prompt']} {pair['response']}".split()}  # fmt: skip
    assert not words & lexicon.WITHHELD_NAMES


def test_the_pre_training_text_has_no_prompt_of_the_leaderboard():
    forbidden = frozenset(item["prompt"] for rows in corpus.benchmark_items(0).values() for item in rows)
    seen = {prompt for prompt, _ in itertools.islice(corpus.pretraining(0, forbidden, STAGES[0].mixture), 5000)}
    assert not seen & forbidden


def test_every_task_has_items_whose_gold_answer_is_the_worlds():
    for skill, rows in corpus.benchmark_items(0).items():
        assert len(rows) >= 150
        kind = next(s for s in SKILLS if s.name == skill)
        for row in rows:
            if "options" in row:
                right, true = row["options"][row["gold"]], world.response_probabilities(row["prompt"])
                assert any(text.startswith(right) for text in true)
                assert not any(text.startswith(other) for other in row["options"] if other != right for text in true)
            elif row["answer"]:
                assert row["answer"] == kind.answer(kind.fields_of(row["prompt"]), careful=True)


def test_what_the_data_say_obeys_the_format_instructions():
    skill = next(s for s in SKILLS if s.name == "format")
    rng = Random(3)
    for _ in range(200):
        prompt = skill.make_prompt(rng, skill.task_wordings, with_withheld=True)
        fields = skill.fields_of(prompt)
        assert skill.obeys(fields, draw(world.grammar(prompt), rng))
        assert not skill.obeys(fields, draw(world.grammar(prompt, careful=False), rng))
