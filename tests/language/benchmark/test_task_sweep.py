"""Every task file has here the prompts, answers, scores and errors that it has with lm-eval's own transformers model."""

import pytest

from tests.helpers.peers import lab_policy_with_adapter
from tests.sweep.cases import CASES
from tests.sweep.compare import compare

FEW = {
    *("own_choices", "own_texts", "own_filters", "own_empty", "own_penalties", "own_length", "own_beams"),
    *("winogrande", "webqs", "gpqa_main_generative_n_shot", "lambada_openai", "wikitext", "swde"),
}


@pytest.fixture(scope="module")
def policy():
    """The lab's base with an adapter, in float64, where nothing but a mistake is larger than 1e-9."""
    found = lab_policy_with_adapter()
    found.model.double()
    return found


def asked(case, policy, folder):
    line = compare(case, policy, folder)
    assert line.items > 0 and line.differing == 0 and line.logp < 1e-9 and line.score < 1e-9, line
    return line


@pytest.mark.parametrize("case", [case for case in CASES if case.task in FEW], ids=lambda case: case.task)
def test_a_task_is_asked_and_scored_as_by_lm_evals_own_model(case, policy, tmp_path):
    asked(case, policy, tmp_path)


@pytest.mark.slow
def test_so_are_all_of_the_sweep(policy, tmp_path, capsys):
    """Prints its table: tasks, items, answers that differ, the largest difference of a log-probability and of a score."""
    lines = [asked(case, policy, tmp_path / str(n)) for n, case in enumerate(CASES) if (tmp_path / str(n)).mkdir() is None]
    with capsys.disabled():
        print("", *lines, sep="\n")
    assert len({line.task for line in lines if not line.task.startswith("own_")}) >= 60
    assert {line.kind for line in lines} >= {"multiple_choice", "generate_until", "loglikelihood", "loglikelihood_rolling"}
