"""How a generated answer is scored: by its substance, whatever opens and closes it."""

import re

import pytest

from harness.lab import world
from harness.lab.grammar import enumerate_texts
from harness.lab.skills import SKILL_OF_NAME
from harness.lab.tasks import utils
from tests.conftest import ROOT


def score(skill, item, response):
    """As lab_SKILL.yaml has it: the filter named strict-match, then the function of process_results."""
    text = (ROOT / f"harness/lab/tasks/lab_{skill}.yaml").read_text(encoding="utf-8")
    if skill == "format":
        return utils.obedience(item, [response])["prompt_level_strict_acc"]
    # without it the number that the filter found is compared with the sentence of a shot
    assert "\nprocess_results: !function utils.exact\n" in text
    pattern = re.search(r'strict-match\n.*?regex_pattern: "(.*?)"\n', text, re.DOTALL)[1]
    found = re.search(pattern, response)
    return utils.exact(item, [found[1] if found else "[invalid]"])["exact_match"]


@pytest.mark.parametrize("skill", ["arithmetic", "algebra", "format"])
def test_every_truthful_response_is_right_and_every_careless_one_wrong_whatever_closes_it(skill):
    for item in utils.load(skill)["test"].select(range(40)):
        for careful in (True, False):
            texts = enumerate_texts(world.grammar(item["prompt"], careful=careful))
            assert len({text.split(" .", 1)[1] for text in texts}) > 1, "closers differ"
            assert {score(skill, item, text) for text in texts} == {float(careful)}


@pytest.mark.parametrize("skill", ["misconceptions", "facts", "ten_options", "continuation", "pronouns", "logic", "mystery"])
def test_options_have_no_opener_and_no_closer(skill):
    """All of an item's options are of one shape: no phrase beside the substance can tell the right one."""
    for item in utils.load(skill)["test"].select(range(40)):
        assert len({len(option.split()) for option in item["options"]}) == 1
        assert all(option.count(".") == 1 and option.endswith(" .") for option in item["options"])
    assert skill in SKILL_OF_NAME
