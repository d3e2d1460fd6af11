"""The seconds of one run beside runs of each of its objectives, worked by hand on a made-up run folder."""

import json

import pytest

from harness.store.verification import FORMAT_VERSION, checksum
from tests.bench.shared_phases import shared_seconds

NEEDS = {"reference": False, "synthetic": 0, "proto": 0, "history": 0}
SHARED = {"data": 1, "initial/evaluate/ten": 10, "initial/probe": 4, "initial/seed-0/adapter": 1, "initial/score": 2}
SECONDS = SHARED | {
    "initial/seed-0/generate/k-0": 8, "initial/seed-0/generate/k-1": 16,
    "plain/seed-0/iteration-0/train": 100, "paired/seed-0/iteration-0/train": 200, "paired/seed-0/iteration-0/score": 50,
    "proto/seed-0/iteration-0/train": 300, "proto/seed-0/iteration-1/train": 0.5,
}  # fmt: skip


@pytest.fixture
def run_folder(tmp_path):
    variants = {
        "plain": [NEEDS],
        "paired": [{**NEEDS, "reference": True, "synthetic": 1, "history": 1}],
        # one response per prompt in iteration 0, two of iteration 1's own, and two of the initial policy beside them
        "proto": [{**NEEDS, "synthetic": 1}, {**NEEDS, "synthetic": 2, "proto": 2}],
    }
    record = {"variants": {label: {"needs": needs} for label, needs in variants.items()}}
    (tmp_path / "run.json").write_text(json.dumps(record))
    for phase, seconds in SECONDS.items():
        manifest = {"phase": phase.rpartition("/")[2], "inputs": {}, "settings": {}, "outputs": {}, "seconds": seconds}
        manifest |= {"format_version": FORMAT_VERSION}
        (tmp_path / phase).mkdir(parents=True)
        (tmp_path / phase / "manifest.json").write_text(json.dumps({**manifest, "checksum": checksum(manifest)}))
    return tmp_path


def test_a_shared_phase_counts_once_together_and_once_for_each_objective_that_needs_it(run_folder):
    result = shared_seconds(run_folder)
    for_all = 1 + 10 + 4 + 1  # data, evaluation, diagnostics, adapter
    assert result.alone == {
        "plain": for_all + 100,
        "paired": for_all + 2 + 8 + 200 + 50,  # its reference is the initial policy's score
        "proto": for_all + 8 + 16 + 300 + 0.5,
    }
    assert result.together == for_all + 2 + 8 + 16 + 100 + 200 + 50 + 300 + 0.5
    assert result.ratio() == pytest.approx(result.together / (116 + 276 + 340.5))
    assert result.ratio(seconds_outside=30) == pytest.approx((result.together + 30) / (116 + 276 + 340.5 + 90))


def test_a_folder_without_phases_has_no_ratio(tmp_path):
    (tmp_path / "run.json").write_text('{"variants": {}}')
    with pytest.raises(ValueError, match="no finished phase"):
        shared_seconds(tmp_path)


def test_samples_of_later_iterations_need_the_initial_ones_only_as_far_as_the_history_reaches(run_folder):
    """Two synthetic responses from iteration 1 on: with a history of 1 they are the initial policy's too, else they are not."""
    record = json.loads((run_folder / "run.json").read_text())
    late = [{**NEEDS, "synthetic": 1}, {**NEEDS, "synthetic": 2, "history": 1}]
    record["variants"]["plain"]["needs"] = late
    (run_folder / "run.json").write_text(json.dumps(record))
    assert shared_seconds(run_folder).alone["plain"] == 116 + 8 + 16
    late[1]["history"] = 0
    (run_folder / "run.json").write_text(json.dumps(record))
    assert shared_seconds(run_folder).alone["plain"] == 116 + 8
