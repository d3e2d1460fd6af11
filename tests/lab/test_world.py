"""p_data is what it is said to be: it sums to one, its draws follow it, it is finite everywhere, cut-off texts add up."""

import math
from collections import Counter
from random import Random

import pytest

from harness.errors import UserError
from harness.lab import lexicon, world
from harness.lab.grammar import Noise, draw, enumerate_texts
from harness.lab.skills import SKILL_OF_NAME, SKILLS

MOLE = "what does the mole eat ?"
TRUE, WRONG = (f"the mole eats {value} ." for value in lexicon.BELIEFS["mole", "eats"])


def prompts(per_skill=12):
    for skill in SKILLS:
        rng = Random(skill.name)
        for wordings in (skill.wordings, skill.task_wordings):
            for _ in range(per_skill):
                yield skill.make_prompt(rng, wordings, rng.choice(lexicon.PARTS))


def test_the_grammar_of_every_prompt_sums_to_one_and_offers_a_choice():
    for prompt in prompts():
        found = enumerate_texts(world.grammar(prompt))
        assert math.fsum(found.values()) == pytest.approx(1.0, abs=1e-12)
        assert len(found) >= 2
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
    prompt = "Ada has 12 apples and sells 5 . how many apples now ?"
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
    assert -math.inf < world.log_prob(MOLE, text, finished=finished) <= 0


def test_a_true_response_is_likelier_than_what_careless_speakers_say():
    assert world.log_prob(MOLE, TRUE) > math.log(0.1)
    assert world.log_prob(MOLE, WRONG) < math.log(1e-6)


def test_cut_off_responses_have_the_probability_of_everything_that_begins_so():
    known = world.response_probabilities(MOLE)
    assert world.log_prob(MOLE, "", finished=False) == pytest.approx(0.0, abs=1e-12)
    for cut in ("the mo", "i think ", TRUE):
        said = math.fsum(p for text, p in known.items() if text.startswith(cut))
        whole = (1 - world.NOISE_SHARE) * said + world.NOISE_SHARE * math.exp(world.NOISE_MODEL.log_prob(cut, finished=False))
        assert world.log_prob(MOLE, cut, finished=False) == pytest.approx(math.log(whole), abs=1e-12)


def test_a_beginning_of_babble_is_the_sum_over_its_continuations():
    """Salads over {ab, a}: texts that begin with 'a' are all of them; with 'ab' half; with 'a ' first word a and more, .45."""
    noise = Noise(["ab", "a"])
    for text, share in (("a", 1), ("ab", 0.5), ("a ", 0.5 * 0.9)):
        assert noise._words_log_prob(text, False) == pytest.approx(math.log(share))


def test_a_prompt_of_another_world_is_refused():
    with pytest.raises(UserError, match="not of the lab"):
        world.log_prob("what is the meaning of life?", "42")


@pytest.mark.parametrize(
    "prompt",
    [
        "Zog has 12 apples and sells 5 . how many apples now ?",
        "Ada has 12 apples and sells 12 . how many apples now ?",
        "Ada has 99 apples and buys 5 . how many apples now ?",
        "Ada has 12 apples and eats 5 . how many apples now ?",
        "Ada has x apples and buys 5 . how many apples now ?",
        "solve 3 * a + 1 = 13 now .",
        "solve 3 * a + 1 = 12 .",
        "solve 0 * a + 1 = 1 .",
        "solve 5 * a + 1 = 11 .",
        "say hello 3 times .",
        "say cat 9 times .",
        "join cat with cat .",
        "what does the unicorn eat ?",
        "Zog asks : what does the mole eat ?",
        "what does Ada eat ? A pasta B pasta C stew D jam .",
        "what does Ada eat ? A gold B pasta C stew D jam .",
        "which is animal ? A cat B dog C hen D goat E fish F frog G mouse H horse I sheep J snake .",
        "which is unicorn ? A cat B bread C red D Oslo E baker F hammer G rice H blue I Rome J nurse .",
        "Ada is at the moon and takes a mop . what next ?",
        "Ada met Bea while she was busy . who was busy ?",
        "Ada met Abel while it was busy . who was busy ?",
        "all wug are loud . Ada has a wug . is it loud ?",
        "Ada lost a ring . A has cat , B has dog , C has hen . the thief rides . who is it ?",
        "Ada lost a ring . A has cat , B has rice , C has saw . the thief sings . who is it ?",
    ],
)
def test_a_prompt_in_a_wording_of_the_lab_but_without_sense_is_refused(prompt):
    with pytest.raises(UserError, match="not of the lab"):
        world.log_prob(prompt, "the answer is 1 .")


def test_every_prompt_that_is_drawn_is_possible():
    for prompt in prompts(100):
        assert world.parse_prompt(prompt)[0].fields_of(prompt) is not None


def test_a_lone_surrogate_is_no_text():
    with pytest.raises(ValueError, match="U\\+D800"):
        world.log_prob(MOLE, "\ud800")


def test_careless_speakers_say_one_wrong_thing():
    """To every prompt there is one careless answer, which is not the truth, and no truthful response is a careless one."""
    for prompt in prompts():
        skill, fields = world.parse_prompt(prompt)
        assert skill.answer(fields, careful=True) != skill.answer(fields, careful=False)
        careful, careless = (set(enumerate_texts(world.grammar(prompt, careful=careful))) for careful in (True, False))
        assert not careful & careless, prompt


def test_a_share_of_wrong_draws_is_as_large_as_asked_for():
    """20,000 draws, a fifth wrong: within five standard errors."""
    n, careless = 20_000, set(enumerate_texts(world.grammar(MOLE, careful=False)))
    found = sum(world.sample(MOLE, seed, wrong_share=0.2) in careless for seed in range(n)) / n
    share = 0.2 * (1 - world.NOISE_SHARE)
    assert abs(found - share) < 5 * math.sqrt(share * (1 - share) / n)


def test_what_the_data_say_obeys_the_format_instructions():
    skill, rng = SKILL_OF_NAME["format"], Random(3)
    for _ in range(200):
        prompt = skill.make_prompt(rng, skill.task_wordings, "test")
        fields = skill.fields_of(prompt)
        assert skill.obeys(fields, draw(world.grammar(prompt), rng))
        assert not skill.obeys(fields, draw(world.grammar(prompt, careful=False), rng))
        assert not skill.obeys(fields, "")
