"""`harness compare`: two runs paired over the items they share, by name, refused in one line where they share none."""

import json
import lzma
import shutil

import numpy as np
import pandas as pd
import pytest

import harness
from harness.commands import compare
from harness.files import bytes_digest
from harness.reporting.tables.comparisons import OVER_ITEMS
from tests.conftest import ROOT, run_cli_in_process
from tests.helpers.damage import refused
from tests.reporting.conftest import change, only

REFERENCE = ROOT / "results" / "lab-reference"


def clone(results, name, alter=lambda record: None, labels=("sft", "space", "spin")):
    """The reference under another name, with other entries in its record and some of its objectives."""
    folder = results / name
    (folder / "facts").mkdir(parents=True)
    shutil.copy(REFERENCE / "run.json", folder)
    shutil.copy(REFERENCE / "facts" / "initial.jsonl.xz", folder / "facts")
    for label in labels:
        shutil.copytree(REFERENCE / "facts" / label, folder / "facts" / label)

    def altered(record):
        record["variants"] = {label: record["variants"][label] for label in labels}
        alter(record)

    change(folder / "run.json", altered)
    return folder


def rewrite_items(folder, unit, alter):
    """Change items.json of every evaluation in a small file, as if other items had been evaluated; digests are true of it."""
    path = folder / "facts" / f"{unit}.jsonl.xz"
    head, _, body = lzma.decompress(path.read_bytes()).partition(b"\n")
    rows = [json.loads(line) for line in body.splitlines()]
    for row in rows:
        files, outputs = row["kept"]["files"], row["kept"]["manifest"]["outputs"]
        if "items.json" in files:
            items = json.loads(files["items.json"])
            alter(items)
            files["items.json"] = json.dumps(items)
            outputs["items.json"] = bytes_digest(files["items.json"].encode())
            row["kept"]["manifest"] = with_checksum(row["kept"]["manifest"])
    body = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    header = {**json.loads(head), "digest": bytes_digest(body)}
    path.write_bytes(lzma.compress(json.dumps(header).encode() + b"\n" + body))


def with_checksum(manifest):
    from harness.store.verification import checksum

    return {**manifest, "checksum": checksum(manifest)}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """`full` is the reference, `space` and `spin` have one objective each, as two runs of the same recipe would."""
    results = tmp_path_factory.mktemp("two") / "results"
    clone(results, "full")
    clone(results, "space", lambda record: record["identity"]["training"].update(lr=0.001), labels=("space",))
    clone(results, "spin", labels=("spin",))
    return results


def test_two_runs_are_compared_as_their_objectives_would_be_in_one(results):
    across = harness.compare_runs("space:space@3", "spin:spin@last", results).table
    within = harness.open_run("full", results).compare("space@3", "spin@4")
    for name in ("task", "difference", "low", "high", "p", "p_holm", "mcnemar_p", "items", "clusters", "seeds", "over"):
        assert across[name].equals(within[name]), name
    row = only(across, task="mean")
    assert (row["run_a"], row["run_b"], row["over"]) == ("space", "spin", OVER_ITEMS)
    assert row["value_a"] - row["value_b"] == pytest.approx(row["difference"])


def test_whole_runs_are_compared_at_every_objective_and_iteration_that_both_have(results):
    comparison = harness.compare_runs("full", "space", results)
    means = comparison.table[comparison.table["task"] == "mean"]
    assert list(zip(means["a"], means["iteration_a"], means["iteration_b"], strict=True)) == [("space", t, t) for t in range(5)]
    assert (means["difference"] == 0).all() and (means["p"] == 1).all(), "the same trial under two names"
    assert comparison.settings == [("training.lr", 0.0003, 0.001)]


def test_seeds_of_two_runs_are_paired_by_number_or_in_order(results, tmp_path):
    """Trials of seed 0 under the names of seeds 3 and 4: no seed in common with seed 0."""
    other = clone(tmp_path / "results", "other", lambda record: record.update(seeds=[3, 4]), labels=("spin",))
    path = other / "facts" / "spin" / "seed-0.jsonl.xz"
    head, _, body = lzma.decompress(path.read_bytes()).partition(b"\n")
    for seed in (3, 4):
        renamed = body.replace(b'"phase": "spin/seed-0/', b'"phase": "spin/seed-%d/' % seed)
        header = {**json.loads(head), "unit": f"spin/seed-{seed}", "digest": bytes_digest(renamed)}
        path.with_name(f"seed-{seed}.jsonl.xz").write_bytes(lzma.compress(json.dumps(header).encode() + b"\n" + renamed))
    path.unlink()
    comparison = harness.compare_runs(f"{results}/space:space@4", f"{other}:spin@4", results)
    assert set(comparison.table["seeds"]) == {1}, "as many pairs as the run with fewer seeds has"
    assert ("seeds", [0], [3, 4]) in comparison.settings
    expected = harness.open_run("full", results).compare("space", "spin")
    np.testing.assert_allclose(comparison.table["difference"], expected["difference"])


@pytest.mark.parametrize(
    ("alter", "line"),
    [
        (lambda items: items["lab_facts"].update(items="0" * 16), "lab_facts has other items or prompts (digests "),
        (lambda items: items["lab_facts"].update(clusters=[0, 1] * 200), "lab_facts has other clusters of items"),
    ],
)
def test_tasks_with_other_items_are_refused_with_what_differs(results, tmp_path, alter, line):
    other = clone(tmp_path / "results", "other", labels=("spin",))
    for unit in ("initial", "spin/seed-0"):
        rewrite_items(other, unit, alter)
    message = refused(results.parent, "compare", "full", other)
    assert line in message and message.endswith("so they cannot be paired; evaluate both on the same suite version")


@pytest.mark.parametrize(
    ("a", "b", "line"),
    [
        ("space", "spin", "no objective in common; choose one of each, for example space:space spin:spin"),
        ("space:spn", "spin", 'results/space has no objective "spn"'),
        ("space:space@5", "spin:spin", "space@5: expected an iteration from 0 to 4, or last, behind the @"),
        ("space:space", "spin", "spin has no objective space; choose one of its own: spin:spin"),
        ("ful", "spin", 'no run "ful" in results (did you mean "full"?)'),
        ("full", "spinn:spin", 'no run "spinn" in results (did you mean "spin"?)'),
        ("full", "", "the run's name is empty"),
    ],
)
def test_what_cannot_be_compared_is_one_line(results, a, b, line):
    assert line in refused(results.parent, "compare", a, b)


def test_another_metric_of_a_task_is_refused(results, tmp_path):
    def other_metric(record):
        record["suites"]["lab-ten"]["task"][0]["metric"] = "acc_norm"

    clone(tmp_path / "results", "other", other_metric, labels=("spin",))
    line = refused(results.parent, "compare", "full", tmp_path / "results" / "other")
    assert "lab_arithmetic differs in metric, exact_match and acc_norm" in line


def test_the_command_prints_the_numbers_of_the_python_call(results):
    shown = run_cli_in_process("compare", "space:space@last", "spin:spin@last", cwd=results.parent).stdout
    table = harness.compare_runs("space:space@last", "spin:spin@last", results).table
    for row in table.to_dict("records"):
        values = [f"{100 * row['value_a']:.1f}", f"{100 * row['value_b']:.1f}", f"{100 * row['difference']:+.1f}"]
        values += [f"{100 * row['low']:+.1f} to {100 * row['high']:+.1f}"]
        (line,) = (line for line in shown.splitlines() if line.startswith(f"{row['task']} "))
        assert line.split()[1:4] == values[:3] and values[3] in line
    assert "n = 4000 items in 10 tasks, 1 seed(s)" in shown and "training.lr  0.001  0.0003" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_json_has_every_number_in_full(results):
    shown = json.loads(run_cli_in_process("compare", "full", "space", "--json", cwd=results.parent).stdout)
    assert set(shown) == {"a", "b", "tasks", "averaged_tasks", "settings", "rows"}
    assert shown["settings"] == [{"key": "training.lr", "a": 0.0003, "b": 0.001}]
    table = harness.compare_runs("full", "space", results).table
    assert len(shown["rows"]) == len(table) and set(shown["rows"][0]) == set(table.columns)
    for row, expected in zip(shown["rows"], table.to_dict("records"), strict=True):
        assert row["difference"] == expected["difference"] and row["probability_of_improvement"] is None


@pytest.mark.parametrize("value", [None, float("nan"), np.float64("nan"), pd.NA])
def test_what_is_missing_in_a_column_of_any_type_is_printed_as_missing(value):
    assert compare._missing(value) and compare._plain(value) is None
    assert not compare._missing(0.0) and compare._plain(np.int64(3)) == 3
