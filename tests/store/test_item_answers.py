"""Items and answers in the small files: what was asked and said, word for word, whatever becomes of the raw evaluations."""

import json
import shutil

from harness.analysis.facts import RunResults
from harness.files import folder_digests, read_jsonl
from harness.store.item_answers import ANSWERS_FILE, ASKED_FILE, read_answers, read_asked, shorten
from harness.store.small_files import SHARED_UNIT, PhaseSummary, read_small_file, update_small_file, write_small_file
from tests.conftest import run_cli_in_process

TRIAL = "space/seed-0"
EVALUATION, INITIAL = f"{TRIAL}/iteration-1/evaluate/two", "initial/evaluate/two"


def kept(run, phase):
    unit = SHARED_UNIT if phase.startswith("initial") else TRIAL
    return {name: json.loads(text) for name, text in read_small_file(run, unit)[phase].files.items() if name.endswith(".json")}


def test_answers_are_what_the_checkpoint_generated_and_what_the_filter_took(run):
    samples = [s for s in read_jsonl(run / EVALUATION / "samples_lab_arithmetic.jsonl") if s["filter"] == "strict-match"]
    answers = kept(run, EVALUATION)[ANSWERS_FILE]
    assert set(answers) == {"lab_arithmetic"}, "of a row with options items.json has the one chosen"
    assert answers["lab_arithmetic"]["texts"] == [s["resps"][0][0] for s in samples]
    assert answers["lab_arithmetic"].get("taken", answers["lab_arithmetic"]["texts"]) == [s["filtered_resps"][0] for s in samples]


def test_items_are_what_was_asked_once_a_run(run):
    asked = kept(run, INITIAL)[ASKED_FILE]
    assert ASKED_FILE not in kept(run, EVALUATION)
    for task in ("lab_arithmetic", "lab_continuation"):
        samples = {s["doc_id"]: s for s in read_jsonl(run / INITIAL / f"samples_{task}.jsonl")}.values()
        assert asked[task]["prompts"] == [s["arguments"][0][0] for s in samples]
    assert asked["lab_continuation"]["options"] == [[option for _, option in s["arguments"]] for s in samples]
    assert asked["lab_continuation"]["wanted"] == [s["target"] for s in samples]
    assert len(asked["lab_arithmetic"]["prompts"]) == 4 and asked["lab_arithmetic"]["wanted"][0].startswith("the answer is ")


def without_answers(run, unit):
    """A small file as the version before wrote it."""
    earlier = {
        phase: PhaseSummary(one.manifest, {k: v for k, v in one.files.items() if k not in (ANSWERS_FILE, ASKED_FILE)}, one.drawn)
        for phase, one in read_small_file(run, unit).items()
    }
    write_small_file(run, unit, earlier)


def test_a_small_file_of_the_version_before_is_read_and_given_them_where_the_raw_evaluation_is(run):
    before = {unit: read_small_file(run, unit) for unit in (TRIAL, SHARED_UNIT)}
    for unit in before:
        without_answers(run, unit)
        assert read_small_file(run, unit) != before[unit]
        update_small_file(run, unit, verify=False)
    assert {unit: read_small_file(run, unit) for unit in before} == before


def test_pruning_keeps_them(played_copy, run):
    before = kept(run, EVALUATION), kept(run, INITIAL)
    without_answers(run, TRIAL)
    run_cli_in_process("prune", "small", "--yes", cwd=played_copy)
    assert not (run / EVALUATION).exists()
    assert (kept(run, EVALUATION), kept(run, INITIAL)) == before
    results = RunResults(run)
    phase = next(folder for checkpoint, folder, _ in results.iter_phases("evaluate/two") if checkpoint.objective == "space")
    relative = results.relative_path(phase)
    assert ANSWERS_FILE in results.finished_phases.derived(relative, results.finished_phases.manifest(relative))


def test_a_merge_brings_the_items_to_a_run_of_the_version_before(played_copy, run):
    other = shutil.copytree(run, played_copy / "elsewhere/small")
    without_answers(run, SHARED_UNIT)
    for folder in (run, other):
        for top in ("data", "initial", "space", "spin"):
            shutil.rmtree(folder / top)
    assert ASKED_FILE not in kept(run, INITIAL)
    run_cli_in_process("merge", "small", other, cwd=played_copy)
    assert kept(run, INITIAL) == kept(other, INITIAL) and ASKED_FILE in kept(run, INITIAL)


def test_long_texts_are_shortened_in_the_middle():
    text = "question " + "x" * 5000 + " the answer is 7"
    short = shorten(text, 500)
    assert len(short) == 500 and short.startswith("question ") and short.endswith(" the answer is 7") and " … " in short
    assert shorten("short", 500) == "short"


def evaluation(folder, items, filters, **samples):
    """A finished evaluation's folder with these files, and as much of a manifest as is read."""
    (folder / "items.json").write_text(json.dumps(items))
    (folder / "scores.json").write_text(json.dumps({"records": [{"task": row, "filter": name} for row, name in filters.items()]}))
    for row, rows in samples.items():
        (folder / f"samples_{row}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    return {"outputs": folder_digests(folder)}


def test_a_judges_questions_and_answers_are_items_of_both_turns(tmp_path):
    rows = [{"question_id": n, "turn": turn, "question": f"ask {n}.{turn}", "reference": None, "answer": f"say {n}.{turn}"}
            for n in (81, 82) for turn in (1, 2)]  # fmt: skip
    manifest = evaluation(tmp_path, {"writing": {"items": "d", "values": [0.4, 0.6]}}, {"writing": "none"}, writing=rows)
    assert json.loads(read_answers(tmp_path, manifest))["writing"]["texts"] == ["say 81.1\n\nsay 81.2", "say 82.1\n\nsay 82.2"]
    asked = json.loads(read_asked(tmp_path, manifest))["writing"]
    assert (asked["ids"], asked["prompts"][0]) == (["81", "82"], "ask 81.1\n\nask 81.2")


def test_a_groups_items_stand_in_the_order_of_their_scores_and_one_filter_counts(tmp_path):
    def sample(task, doc, text, name="strict"):
        return {"task": task, "doc_id": doc, "filter": name, "arguments": [[f"{task} {doc}?", {}]], "resps": [[text]],
                "filtered_resps": [text[-1]], "target": "7", "doc": {"topic": task}}  # fmt: skip

    rows = [sample("b", 0, "it is 7"), sample("a", 1, "is 3"), sample("a", 0, "7"), sample("a", 0, "7", "loose")]
    items = {"group": {"items": "d", "values": [1.0, 0.0, 1.0], "clusters": [0, 0, 1]}}
    manifest = evaluation(tmp_path, items, {"group": "strict"}, group=rows)
    assert json.loads(read_answers(tmp_path, manifest))["group"] == {"texts": ["7", "is 3", "it is 7"], "taken": ["7", "3", "7"]}
    asked = json.loads(read_asked(tmp_path, manifest))["group"]
    assert (asked["ids"], asked["topic"], asked["topics"]) == (["a 0", "a 1", "b 0"], "topic", ["a", "b"])


def test_a_blank_that_is_filled_in_differs_in_the_options(tmp_path):
    filled = {f"gen_args_{i}": {"arg_0": words, "arg_1": " is big"} for i, words in enumerate(("the trophy", "the case"))}
    scored = [[-1, False], [-2, False]]
    rows = [{"doc_id": 0, "filter": "none", "arguments": filled, "filtered_resps": scored, "target": "1"}]
    manifest = evaluation(tmp_path, {"blank": {"items": "d", "values": [0.0], "chosen": [0]}}, {"blank": "none"}, blank=rows)
    assert read_answers(tmp_path, manifest) == "{}"
    asked = json.loads(read_asked(tmp_path, manifest))["blank"]
    assert (asked["options"], asked["wanted"]) == ([["the trophy is big", "the case is big"]], [1])
