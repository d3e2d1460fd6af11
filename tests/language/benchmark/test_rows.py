"""A suite's rows against lm-eval itself: groups and their parts, what a task reports, directions, and an item's own shots."""

import random

import numpy as np
import pytest

from harness.analysis.comparison import ItemScores, difference
from harness.analysis.item_errors import ItemLayout, overall_mean
from harness.errors import UserError
from harness.language.benchmark.load_tasks import make_task_manager, task_files
from harness.language.benchmark.own_shots import shots_may_include_item
from harness.language.benchmark.row_check import filter_names, reported_metrics
from harness.language.benchmark.suite_check import requirements
from harness.language.benchmark.task_file import TaskFile, subtasks
from harness.language.benchmark.task_notices import describe_sampling, task_notes
from harness.language.benchmark.task_trial import reported_metric_names
from tests.conftest import make_policy
from tests.language.benchmark.conftest import CHOICE, WRITTEN, answered


def test_a_group_of_equal_tasks_is_paired_with_the_weights_of_its_score(made):
    """Four items and nine: the score is the mean of two means, its error lm-eval's, and the items keep their parts."""
    for name, count in (("one", 4), ("two", 9)):
        made.task(name, docs=[{"q": f"{name} {n} ?", "a": n % 3} for n in range(count)])
    for weighed in ("true", "false"):
        metrics = f"aggregate_metric_list: [{{metric: acc, weight_by_size: {weighed}}}]"
        made.file(f"{weighed}.yaml", f"group: g_{weighed}\ntask: [one, two]\n{metrics}\n")
    done = made.evaluated({"name": "g_false"}, {"name": "g_true"}, {"name": "one"}, {"name": "two"})
    equal, sized, one, two = done.records
    assert equal.value == pytest.approx((one.value + two.value) / 2)
    assert equal.stderr == pytest.approx(np.hypot(one.stderr, two.stderr) / 2)
    assert sized.value == pytest.approx((4 * one.value + 9 * two.value) / 13) and (equal.n, sized.n) == (13, 13)
    items = done.items["g_false"]
    assert items["parts"] == [4, 9] and "parts" not in done.items["g_true"]
    assert items["values"] == done.items["one"]["values"] + done.items["two"]["values"]
    assert overall_mean(np.array(items["values"]), tuple(items["parts"])) == pytest.approx(equal.value)


def test_every_part_weighs_the_same_in_a_difference_and_its_error():
    """The mean is the mean of the parts' means, so that the difference and its interval are the score's."""
    a = np.array([[1.0, 0, 1, 1, 0, 1, 0, 0, 0, 0, 1]])
    b = np.array([[1.0, 0, 0, 1, 0, 1, 0, 1, 1, 0, 1]])
    of_a, of_b = (ItemScores((side,), (ItemLayout((5, 6)),)) for side in (a, b))
    assert of_a.per_seed[0, 0] == pytest.approx((3 / 5 + 2 / 6) / 2)
    found = difference(of_a, of_b)
    assert found.value == pytest.approx(((3 - 2) / 5 + (2 - 4) / 6) / 2)
    assert (found.items, of_a.items) == (11, 11)
    gaps = [np.array([0, 0, 1.0, 0, 0]), np.array([0, 0, -1, -1, 0, 0.0])]
    variance = sum(part.var(ddof=1) / part.size for part in gaps) / 4
    assert of_a.minus(of_b).uncertainty().variance == pytest.approx(variance)
    with pytest.raises(ValueError, match="expected 1 seeds of 11 items, got 1 of 8"):
        ItemScores((a[:, :8],), of_a.layouts)


def test_a_group_whose_tasks_report_it_in_part_is_scored_over_those_as_lm_eval_does(made):
    made.task("has")
    made.task("has_not", CHOICE.replace("metric: acc,", "metric: acc_norm,"))
    made.file("g.yaml", "group: g\ntask: [has, has_not]\naggregate_metric_list: [{metric: acc}]\n")
    suite = made.suite({"name": "g"})
    (needs,) = requirements(suite, task_files(make_task_manager(suite)))
    assert needs.problems == []
    assert needs.notes == ["suite suite, task g: 1 of its 2 tasks report acc, none; its score is over these"]
    done = made.evaluated({"name": "g"}, {"name": "has"})
    group, task = done.records
    assert (group.value, group.n, done.items["g"]["values"]) == (task.value, 6, done.items["has"]["values"])


AGGREGATED = "aggregate_metric_list: [{metric: acc}]\n"


@pytest.mark.parametrize("metric", ["acc", "acc_norm", "acc_bytes"])
def test_the_option_said_to_be_chosen_is_the_one_that_lm_eval_scored(metric, made):
    """Right where and only where it is the gold one; options of unlike length, so that the metrics choose differently."""
    options = 'doc_to_choice: ["yes", "no , it is not so and never was", "café"]'
    text = CHOICE.replace('doc_to_choice: ["yes", "no", "maybe"]', options)
    metrics = "".join(
        f"  - {{metric: {m}, aggregation: mean, higher_is_better: true}}\n" for m in ("acc", "acc_norm", "acc_bytes")
    )
    made.task("a", text[: text.index("  - ")] + metrics, [{"q": f"question {n} ?", "a": n % 3} for n in range(30)])
    found = made.evaluated({"name": "a", "metric": metric}).items["a"]
    assert found["values"] == [float(place == n % 3) for n, place in enumerate(found["chosen"])]
    assert len(set(zip(found["chosen"], found["predictions"], strict=True))) == len(set(found["chosen"]))


@pytest.mark.parametrize(
    ("text", "metric", "expected"),
    [
        ("task: [a, b]\n", "acc", "is a group without aggregate_metric_list, so it has no score"),
        ("task: [a, b]\naggregate_metric_list: [{metric: f1}]", "acc", "is a group that averages f1, not acc"),
        ("task: [a]\naggregate_metric_list: {metric: acc, filter_list: strict}", "acc", 'acc of filter strict, not of "none"'),
        (AGGREGATED, "acc", "is a group without a list of tasks"),
        ("task: [a, b]\naggregate_metric_list: [{metric: f1}]", "f1", 'the row\'s metric and filter: a has no metric "f1"'),
        (AGGREGATED + "task: [{group: inner, task: [a, nowhere]}]", "acc", "its group names nowhere, which is not installed"),
        (AGGREGATED + "task: [a, g]", "acc", "contains itself"),
    ],
)
def test_a_group_that_gets_no_number_is_one_line_before_anything_is_loaded(text, metric, expected, made):
    made.task("a")
    made.task("b")
    made.file("g.yaml", f"group: g\n{text}")
    assert any(expected in said for said in made.problems({"name": "g", "metric": metric}))
    with pytest.raises(UserError, match="suite suite, task g: "):
        made.board({"name": "g", "metric": metric})


def test_a_tag_has_no_score_of_its_own(made):
    for name in ("a", "b"):
        made.task(name, CHOICE + "tag: both\n")
    (said,) = made.problems({"name": "both"})
    assert "is a tag of 2 task(s), which has no score of its own; name its tasks as rows (a, ...)" in said


GROUPS = {
    "nested": "task: [{group: inner, task: [a, b], aggregate_metric_list: [{metric: acc}]}, c]",
    "members with settings": "task: [{task: a, num_fewshot: 2}, {task: b, target_delimiter: ''}]",
    "settings of all": "num_fewshot: 1\ntask: [a, {task: b, num_fewshot: 3}]",
    "a group in a group": "task: [small, c]",
    "another group with settings": "task: [{group: small, num_fewshot: 2}, c]",
    "a tag": "task: [tagged, c]",
}


@pytest.mark.parametrize("case", GROUPS)
def test_groups_open_as_lm_evals_own_factory_opens_them(case, made):
    for name in "abc":
        made.task(name, CHOICE + ("tag: tagged\n" if name != "c" else ""))
    made.file("small.yaml", "group: small\ntask: [b]\n")
    made.file("g.yaml", f"group: g\n{GROUPS[case]}\n")
    manager = make_task_manager(made.suite({"name": "g"}))
    mine = {task.name: task.settings for task in subtasks("g", task_files(manager)) if isinstance(task, TaskFile)}
    theirs = manager.load(["g"])["tasks"]
    assert set(mine) == set(theirs)
    for name, task in theirs.items():
        assert mine[name].get("num_fewshot") == task.config.num_fewshot, name
        assert mine[name].get("target_delimiter", " ") == task.config.target_delimiter, name


CODE = """
def results(doc, answers): return {"hits": 1.0, "spread": 2.0}
def overlap(references, predictions, **kwargs): return {"overlap@1": 0.0, "overlap@2": 1.0}
def refuses(doc, answers): raise ValueError("not an answer")
"""
ROLLING = 'output_type: loglikelihood_rolling\ndoc_to_text: ""\ndoc_to_target: "{{q}}"\n'
OVERLAP = "metric_list: [{metric: !function utils.overlap, aggregation: mean, higher_is_better: true}]\n"
KINDS = {
    "defaults": (WRITTEN, {"exact_match"}, True),
    "default choices": (CHOICE.partition("metric_list")[0], {"acc", "acc_norm"}, True),
    "never computed": (CHOICE + "  - {metric: bleu, aggregation: bleu, higher_is_better: true}\n", {"acc"}, True),
    "likelihood": ('output_type: loglikelihood\ndoc_to_text: "{{q}}"\ndoc_to_target: "{{a}}"\n', {"acc", "perplexity"}, True),
    "rolling": (ROLLING, {"word_perplexity", "byte_perplexity", "bits_per_byte"}, True),
    "own code": (WRITTEN + "process_results: !function utils.results\n", {"hits", "spread"}, False),
    "a function": (WRITTEN + OVERLAP, {"overlap@1", "overlap@2"}, False),
    "no output type": (WRITTEN.partition("\n")[2], {"exact_match"}, True),
}


@pytest.mark.parametrize("case", KINDS)
def test_the_metrics_of_a_task_are_those_that_it_reports(case, made):
    """What files and a trial with made-up answers tell is what lm-eval's result has in the end."""
    text, expected, from_the_file = KINDS[case]
    made.file("utils.py", CODE)
    made.task("t", text)
    metric = sorted(expected)[0]
    board = made.board({"name": "t", "metric": metric, "higher_is_better": metric not in {"bits_per_byte", "perplexity"}})
    names, complete = reported_metrics(task_files(make_task_manager(board.suite))["t"].settings)
    assert complete == from_the_file and (not complete or names == expected)
    assert reported_metric_names(board.loaded_tasks["t"]["tasks"]["t"], "none") == expected
    done = answered(make_policy(made.tokenizer, max_position_embeddings=512), board)
    kept = done.raw["t"]["results"]["t"]
    assert {key.partition(",")[0] for key in kept if "," in key and "_stderr" not in key} == expected


def test_a_metric_that_own_code_does_not_report_is_refused_after_a_trial_unless_it_refuses_made_up_answers(made):
    made.file("utils.py", CODE)
    made.task("t", WRITTEN + "process_results: !function utils.results\nmetric_list: [{metric: acc, aggregation: mean}]\n")
    with pytest.raises(UserError, match='task t: reports no metric "acc" \\(known: hits, spread\\)'):
        made.board({"name": "t", "metric": "acc"})
    made.board({"name": "t", "metric": "hits"})
    made.task("t", WRITTEN + "process_results: !function utils.refuses\n")
    board = made.board({"name": "t", "metric": "anything"})
    assert reported_metric_names(board.loaded_tasks["t"]["tasks"]["t"], "none") is None


@pytest.mark.parametrize(
    ("text", "metric", "row", "expected"),
    [
        (ROLLING, "word_perplexity", {}, "lower word_perplexity is better for t, the row declares the opposite; write"
                                         " higher_is_better = false"),
        (CHOICE, "acc", {"higher_is_better": False}, "higher acc is better for t"),
        (CHOICE.replace("true", "false"), "acc", {}, "lower acc is better for t"),
        (CHOICE.replace("true", "false"), "acc", {"higher_is_better": False}, None),
        (ROLLING, "word_perplexity", {"higher_is_better": False}, None),
    ],
)  # fmt: skip
def test_the_direction_is_that_which_lm_eval_declares(text, metric, row, expected, made):
    made.task("t", text)
    found = made.problems({"name": "t", "metric": metric, **row})
    assert [f"in lm-eval {expected}" in said for said in found] == ([True] if expected else [])


def test_filters_are_those_of_the_file():
    assert filter_names({}) == {"none"} and filter_names({"filter_list": []}) == set()
    assert filter_names({"filter_list": [{"name": "a"}, {"name": "b"}]}) == {"a", "b"}


SAME = [{"q": f"is town {n} old ?", "a": n % 3} for n in range(7)]
SPLITS = {
    "a test split alone": "test_split: train",
    "a validation split that is evaluated": "validation_split: train\nfewshot_split: train",
    "training and test are one": "training_split: train\ntest_split: train",
    "lm-eval leaves it out": "test_split: train\nfewshot_split: train",
    "first ones": "test_split: train\nfewshot_config: {sampler: first_n}",
}


def prompts(done):
    """Question -> prompt, and how many towns are in each; an item's own text is nowhere but at the end."""
    asked = {s["doc"]["q"]: s["arguments"][0][0] for s in done.samples["t"]}
    assert all(prompt.count(question) == 1 and prompt.endswith(question) for question, prompt in asked.items())
    return asked, [prompt.count("is town") for prompt in asked.values()]


@pytest.mark.parametrize("case", SPLITS)
def test_no_item_is_among_its_own_shots_and_all_other_prompts_are_lm_evals(case, made, monkeypatch):
    row = {"name": "t", "shots": 3}
    made.task("t", docs=SAME, split=SPLITS[case])
    board = made.board(row)
    done = made.evaluated(row)
    asked, towns = prompts(done)
    assert towns == [4] * len(SAME), "three shots and the item"
    (task,) = make_task_manager(board.suite).load(["t"])["tasks"].values()
    task.set_config(key="num_fewshot", value=3)
    task.set_fewshot_seed(1234)
    task.build_all_requests(rank=0, world_size=1)
    theirs = {one.doc["q"]: one.args[0] for one in task.instances}
    differing = {question for question in asked if asked[question] != theirs[question]}
    assert differing == {question for question in theirs if theirs[question].count(question) > 1}
    may_differ = case != "lm-eval leaves it out"
    assert bool(differing) == may_differ == shots_may_include_item(board.loaded_tasks["t"]["tasks"]["t"])
    assert done.raw["t"].get("own_shots_replaced", {}) == ({"t": len(differing)} if differing else {})
    now = board.task_fingerprints
    no_rule = "harness.language.benchmark.lm_eval_benchmark.shots_may_include_item"  # as before there was such a rule
    monkeypatch.setattr(no_rule, lambda task: False)
    assert (made.board(row).task_fingerprints == now) != may_differ, "scores made with other prompts are not taken for these"


def test_a_text_that_stands_in_the_training_split_too_is_no_shot_of_itself(made):
    """The same question under another number, and with another column beside it."""
    test = [{**doc, "id": 100 + n} for n, doc in enumerate(SAME[:4])]
    made.task("t", docs=SAME[:4], test=test, split="training_split: train\ntest_split: test")
    done = made.evaluated({"name": "t", "shots": 3})
    assert prompts(done)[1] == [4] * 4
    replaced = done.raw["t"]["own_shots_replaced"]["t"]
    assert done.notes == (f"task t: {replaced} items got another shot in place of their own text",)


def test_a_pool_without_another_shot_gives_one_fewer_and_one_of_just_the_shots_serves(made):
    """Three examples to draw from, one of them the item: two shots are left. lm-eval draws one more than there are from three
    for other items, to leave the item out, and ends in a traceback.
    """
    made.task("t", docs=SAME[:3], test=SAME[:5], split="training_split: train\ntest_split: test")
    assert prompts(made.evaluated({"name": "t", "shots": 3}))[1] == [3, 3, 3, 4, 4]
    made.task("t", docs=SAME[:3], val=SAME[3:], split="training_split: train\nvalidation_split: val")
    assert prompts(made.evaluated({"name": "t", "shots": 3}))[1] == [4] * 4


def test_as_many_shots_as_there_are_items_to_draw_from_is_refused(made):
    made.task("t", docs=SAME)
    with pytest.raises(UserError, match="one of which is the item itself; use at most 6"):
        made.board({"name": "t", "shots": 7})
    made.board({"name": "t", "shots": 6})


NO_QUESTION = 'output_type: loglikelihood\ndoc_to_text: ""\ndoc_to_target: "{{q}}"\nmetric_list: [{metric: acc}]\n'
ONE_QUESTION = WRITTEN.replace("{{q}}", "name a town :", 1).replace('"{{a}}"', '"{{q}}"')


@pytest.mark.parametrize(("text", "shots", "metric"), [(NO_QUESTION, 6, "acc"), (ONE_QUESTION, 3, "exact_match")])
def test_items_that_no_question_tells_apart_are_told_apart_by_their_answers(text, shots, metric, made):
    made.task("t", text, docs=SAME, split="training_split: train\ntest_split: train")
    for sample in made.evaluated({"name": "t", "shots": shots, "metric": metric}).samples["t"]:
        prompt = sample["arguments"][0][0]
        assert prompt.count("is town") == shots and sample["doc"]["q"] not in prompt


def test_prompts_are_the_same_whoever_is_asked_first(made):
    made.task("t", docs=SAME)
    board, other = (made.board({"name": "t", "shots": 3}) for _ in range(2))
    policy = make_policy(made.tokenizer, max_position_embeddings=512)
    random.seed(5)
    assert len({answered(policy, one).prompt_hash for one in (board, other, board)}) == 1


def test_shots_of_the_evaluated_split_and_sampled_answers_are_said(made):
    made.task("own", docs=SAME)
    made.task("drawn", WRITTEN.replace("max_gen_toks: 4", "do_sample: true, temperature: 0.8, top_k: 5") + "repeats: 4\n")
    made.task("plain", WRITTEN)
    written = {"metric": "exact_match"}
    board = made.board({"name": "own", "shots": 2}, {"name": "drawn", **written}, {"name": "plain", **written})
    said = list(board.notices())
    assert said == list(task_notes(board.suite, board.loaded_tasks)) and len(said) == 2
    assert said[0].startswith("task own: shots are drawn from the split that is evaluated (train)")
    assert said[1].startswith("task drawn: answers are sampled (temperature 0.8, top_k 5, 4 samples per item) with fixed seeds")
    assert describe_sampling(board.loaded_tasks["plain"]["tasks"]["plain"]) is None
