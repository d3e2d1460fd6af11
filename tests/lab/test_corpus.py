"""The texts of the lab: what is asked is never trained on, the parts of the world never mix, the pool is as wrong as it says."""

import itertools
import json
import math
from collections import Counter

import pytest

from harness.lab import corpus, lexicon, world
from harness.lab.grammar import enumerate_texts
from harness.lab.pretrain import SCHOOL, TOWN
from harness.lab.pretraining_text import pretraining
from harness.lab.skill import LOOSE_STYLE
from harness.lab.skills import SKILL_OF_NAME, SKILLS
from harness.lab.speakers import CARELESS_ON_RUMOURED, CARELESS_ON_SOBER, careless_share, rumoured_topics


@pytest.fixture(scope="module")
def items():
    return {part: corpus.items(0, part) for part in ("test", "validation")}


def all_prompts(rows_by_skill):
    return {row["prompt"] for rows in rows_by_skill.values() for row in rows}


def test_prompts_of_pairs_pool_validation_and_benchmark_are_disjoint(items):
    train, heldout = corpus.pairs(0)
    pool, pool_heldout = corpus.pool(0)
    trained, held_out = ({row["prompt"] for row in (*a, *b)} for a, b in ((train, pool), (heldout, pool_heldout)))
    sets = [trained, held_out, *map(all_prompts, items.values())]
    assert all(not one & other for one, other in itertools.combinations(sets, 2))
    assert (len(train), len(heldout), len(pool)) == (1200, 240, 4800)


def test_the_pairs_are_a_part_of_the_pool():
    train, pool = (Counter(json.dumps(row) for row in rows) for rows in (corpus.pairs(0)[0], corpus.pool(0)[0]))
    assert not train - pool


def test_a_fifth_of_the_pool_is_wrong_and_none_of_the_pairs():
    """Of 4,800 rows, within five standard errors of a fifth of those that are no noise."""

    def wrong(rows):
        return sum(row["response"] in enumerate_texts(world.grammar(row["prompt"], careful=False)) for row in rows)

    train, pool = corpus.pairs(0)[0], corpus.pool(0)[0]
    share = corpus.POOL_WRONG * (1 - world.NOISE_SHARE)
    assert wrong(train) == 0
    assert abs(wrong(pool) / len(pool) - share) < 5 * math.sqrt(share * (1 - share) / len(pool))


def test_no_topic_is_in_two_parts_of_the_world():
    for skill in SKILLS:
        parts = [skill.topics(part) for part in lexicon.PARTS]
        assert all(not set(one) & set(other) for one, other in itertools.combinations(parts, 2))
        assert len(skill.topics("test")) >= 25


def test_pairs_speak_of_topics_and_people_of_their_own_part():
    """No person, animal or word of another part stands in a prompt, nor in a response that is no noise (that is any words)."""
    listed = (lexicon.names, lexicon.words, lambda part: lexicon.of_part(lexicon.ANIMALS, part))
    others = {word for part in ("test", "validation") for of_part in listed for word in of_part(part)}
    (train, heldout), (pool, pool_heldout) = corpus.pairs(0), corpus.pool(0)
    for pair in (*train, *heldout, *pool, *pool_heldout):
        skill = SKILL_OF_NAME[pair["skill"]]
        assert skill.topic(skill.fields_of(pair["prompt"])) in skill.topics("pairs")
        texts = [pair["prompt"]]
        if any(pair["response"] in enumerate_texts(world.grammar(pair["prompt"], careful=c)) for c in (True, False)):
            texts.append(pair["response"])
        assert not others & {word for text in texts for word in text.split()}, pair


def test_every_task_asks_every_topic_of_its_part_as_often(items):
    """At most once more than another."""
    for part, count in (("test", 400), ("validation", 200)):
        for skill, rows in items[part].items():
            asked = Counter(row["topic"] for row in rows)
            assert len(rows) == count == len({row["prompt"] for row in rows})
            assert set(asked) == set(SKILL_OF_NAME[skill].topics(part)) and max(asked.values()) - min(asked.values()) <= 1


def test_the_examples_of_a_few_shot_prompt_speak_of_the_pairs_topics_and_their_answers_are_right():
    """A shot's target, as lm-eval renders it, is scored as right by the task itself."""
    for skill, rows in corpus.items(0, "pairs").items():
        kind = SKILL_OF_NAME[skill]
        assert len(rows) == 32 and {row["topic"] for row in rows} <= set(kind.topics("pairs"))
        for row in rows:
            said = enumerate_texts(world.grammar(row["prompt"]))
            target = row["options"][row["gold"]] if "options" in row else f"{row['answer']} ."
            assert any(text.startswith(target) or text.endswith(f"the answer is {target}") for text in said), row


def test_items_ask_in_wordings_that_no_pair_has(items):
    for skill in SKILLS:
        for row in items["test"][skill.name][:40]:
            assert all(wording.parse(row["prompt"]) is None for wording in skill.wordings)


def test_the_gold_answer_is_the_worlds_and_careless_speakers_choose_another(items):
    for skill, rows in items["test"].items():
        kind = SKILL_OF_NAME[skill]
        for row in rows[:100]:
            fields = kind.fields_of(row["prompt"])
            if "options" in row:
                right = row["options"][row["gold"]]
                said, missaid = (enumerate_texts(world.grammar(row["prompt"], careful=careful)) for careful in (True, False))
                assert any(text.startswith(right) for text in said)
                assert [o for o in row["options"] if o != right and any(text.startswith(o) for text in said)] == []
                assert len([o for o in row["options"] if o != right and any(text.startswith(o) for text in missaid)]) == 1
            elif row["answer"]:
                assert row["answer"] == kind.answer(fields, careful=True)


def test_where_the_right_option_stands_says_nothing(items):
    """Every position is right about as often: within five standard errors of an equal share (verdicts' differ)."""
    for skill, rows in items["test"].items():
        if "options" in rows[0] and skill != "logic":
            count, n = Counter(row["gold"] for row in rows), len(rows[0]["options"])
            error = math.sqrt(len(rows) * (1 / n) * (1 - 1 / n))
            assert all(abs(count[place] - len(rows) / n) < 5 * error for place in range(n)), (skill, count)


def test_of_every_part_the_same_share_of_topics_is_rumoured():
    for skill in SKILLS:
        for part in lexicon.PARTS:
            topics = skill.topics(part)
            rumoured = len(set(topics) & rumoured_topics(skill))
            assert rumoured == round(skill.rumoured * len(topics))


def test_the_pre_training_text_has_no_prompt_of_an_item_and_its_speakers_lean_as_stated(items):
    """30,000 texts: no forbidden prompt, plain or behind a source; among anonymous ones on rumoured and on sober topics the share
    of careless answers is the stated one within five standard errors; sourced texts are a third of the town's."""
    forbidden = corpus.forbidden_prompts(0)
    assert forbidden == all_prompts(items["test"]) | all_prompts(items["validation"])
    texts = list(itertools.islice(pretraining(0, forbidden, TOWN.mixture), 30_000))
    plain = {prompt.removeprefix("almanac : ").removeprefix("tavern : ") for prompt, _ in texts}
    assert not plain & forbidden
    careless: dict[float, list[bool]] = {CARELESS_ON_SOBER: [], CARELESS_ON_RUMOURED: []}
    for prompt, response in texts[:10_000]:
        found = next(((s, f) for s in SKILLS if (f := s.fields_of(prompt)) is not None), None)
        if found is not None:
            skill, fields = found
            careless[careless_share(skill, fields)].append(_is_careless(prompt, response))
    for share, seen in careless.items():
        assert abs(sum(seen) / len(seen) - share) < 5 * math.sqrt(share * (1 - share) / len(seen))


def _is_careless(prompt, response):
    return response in enumerate_texts(world.grammar(prompt, careful=False, style=LOOSE_STYLE))


def test_school_names_its_sources_always():
    texts = itertools.islice(pretraining(0, frozenset(), SCHOOL.mixture), 500)
    skills = [prompt for prompt, _ in texts if any(skill.fields_of(prompt) for skill in SKILLS)]
    assert skills == []
