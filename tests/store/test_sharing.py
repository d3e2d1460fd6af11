"""Runs take over each other's finished phases where everything that went into them is the same, and only there."""

import gzip
import os

from harness.files import file_digest, read_json
from tests.conftest import SMALL_RECIPE, run_cli_in_process
from tests.helpers.damage import events


def taken(run):
    return {phase for event, phase in events(run) if event == "taken over"}


def made(run):
    return {phase for event, phase in events(run) if event == "committed"}


def again(folder, *arguments, name="second"):
    run_cli_in_process("run", "--recipe", SMALL_RECIPE, "--name", name, "--set", "share=true", *arguments, cwd=folder)
    return folder / "results" / name


def test_a_run_of_equal_inputs_takes_everything_over_and_ends_with_the_same_scores(played_copy):
    run = again(played_copy)
    first = played_copy / "results" / "small"
    assert made(run) <= {"data"}
    assert len(taken(run)) > 20
    for name in ("training.csv", "dynamics.csv", "tables/leaderboard.csv", "tables/stability.csv"):
        assert (run / name).read_bytes() == (first / name).read_bytes(), name
    origin = read_json(run / "space/seed-0/iteration-0/train/manifest.json")["counts"]["taken_from"]
    assert (run / origin).resolve() == (first / "space/seed-0/iteration-0/train").resolve()


def test_what_differs_in_one_setting_is_made_and_what_is_damaged_too(played_copy):
    """Another learning rate: what was made before training is shared, no player is; and not the samples with a flipped byte."""
    first = played_copy / "results" / "small"
    samples = first / "initial/seed-0/generate/k-0/samples.jsonl.gz"
    content = gzip.decompress(samples.read_bytes()).replace(b"a", b"b", 1)
    os.unlink(samples)  # a file of another run is never edited in place, it may be shared
    samples.write_bytes(gzip.compress(content))
    run = again(played_copy, "--objectives", "space", "--iters", "1", "--set", "training.lr=2e-3")
    assert taken(run) >= {"initial/evaluate/two", "initial/probe"}
    assert not [phase for phase in taken(run) if phase.startswith("space/") and not phase.endswith(("/generate", "/score"))]
    player = "space/seed-0/iteration-0"
    assert made(run) >= {"initial/seed-0/generate/k-0", f"{player}/train", f"{player}/evaluate/two"}
    mine, theirs = (read_json(root / player / "evaluate/two/manifest.json")["inputs"]["player"] for root in (run, first))
    assert mine == file_digest(run / player / "train/adapter/adapter_model.safetensors") != theirs, "under the same label"


def test_runs_share_nothing_unless_asked(played_copy):
    run_cli_in_process("run", "--recipe", SMALL_RECIPE, "--name", "own", "--objectives", "sft", "--iters", "1", cwd=played_copy)
    assert not taken(played_copy / "results" / "own")
