"""Work that is kept inside a phase: a killed attempt goes on from it, to the bytes of an unbroken one, or not at all."""

import contextlib
import dataclasses
import errno
import json
import os
import re
import shutil
from pathlib import Path

import pytest
import torch

from harness.config import TrainingConfig
from harness.discovery.variants import list_objectives
from harness.files import read_checked, read_jsonl, write_checked
from harness.records import StepRecord
from harness.store import run_folder
from harness.store.partial_results import PartialResults
from harness.store.phase_writer import ATTEMPTS_FILE, HARDWARE_FILE, INPUTS_FILE
from harness.store.provenance import NUMBERS_KEY
from harness.store.run_folder import RunFolder
from harness.train.checkpointing import LOG_FILE, STATE_FILE, TrainerState, TrainingCheckpointer
from harness.train.core import train
from tests.conftest import make_policy
from tests.helpers import training
from tests.helpers.damage import flipped
from tests.helpers.peers import quiet

RUBBISH = (b"", b"[]", b"null", b"{}", b"1", b"\xff\xfe", b"[" * 100_000)


class Killed(Exception):
    pass


# ---------------------------------------------------------------- training


def trained(tokenizer, name, folder, optimizer="rmsprop", stop=None, seconds=0.0):
    """The adapter after training, killed after `stop` steps and taken up again; with the steps' losses as logged."""
    policy, objective = make_policy(tokenizer), training.objective(name)
    groups = training.make_groups(policy, objective.needs)
    start = [p.detach().clone() for _, p in policy.adapter_parameters()]
    settings = TrainingConfig(lr=1e-2, epochs=3, batch_size=3, micro_batch=2, optimizer=optimizer)

    def attempt(stop):
        with torch.no_grad():
            for (_, p), value in zip(policy.adapter_parameters(), start, strict=True):
                p.copy_(value)
        keeper = TrainingCheckpointer(folder, seconds)

        def on_step(record):
            keeper.log(record)
            if record.step == stop:
                raise Killed

        return train(policy, groups, objective, settings, (0,), quiet, on_step, keeper)

    if stop is not None:
        with pytest.raises(Killed):
            attempt(stop)
    counts = attempt(None)
    losses = [(row["step"], row["loss"]) for row in read_jsonl(folder / LOG_FILE)]
    return [p.detach().clone() for _, p in policy.adapter_parameters()], counts, losses


@pytest.mark.parametrize("optimizer", ["rmsprop", "adamw"])
@pytest.mark.parametrize("name", list_objectives())
def test_training_goes_on_from_what_was_kept_to_the_same_bits(tokenizer, tmp_path, name, optimizer):
    whole = trained(tokenizer, name, tmp_path / "whole", optimizer)
    for stop in (0, 1, 5):
        broken = trained(tokenizer, name, tmp_path / f"broken-{stop}", optimizer, stop)
        assert all(torch.equal(a, b) for a, b in zip(whole[0], broken[0], strict=True))
        assert whole[1:] == broken[1:], "counts, and every step once with the same loss"
    assert [step for step, _ in whole[2]] == list(range(9))


def test_nothing_is_kept_more_often_than_asked(tokenizer, tmp_path):
    trained(tokenizer, "sft", tmp_path, seconds=3600.0)
    assert not (tmp_path / STATE_FILE).exists()


def step(number):
    return StepRecord(number, 0, 0.5, 1.0, 1e-3, {"real": -3.0}, {"real": 0.1}, {}, 40, 0.01, ["a", "b"], [0, 1])


def trainable():
    """Two small parameters in two precisions, with an optimizer that has a state; the same each time."""
    parameters = [torch.nn.Parameter(torch.full((2, 3), 0.5)), torch.nn.Parameter(torch.ones(2, dtype=torch.bfloat16))]
    optimizer = torch.optim.RMSprop(parameters, lr=1e-2)
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    return parameters, optimizer


def take_up(folder):
    parameters, optimizer = trainable()
    said = []
    found = TrainingCheckpointer(folder, 0.0, said.append).restore(parameters, optimizer)
    return found, [p.tolist() for p in parameters], len(optimizer.state), said


@pytest.mark.parametrize("name", [STATE_FILE, LOG_FILE])
def test_of_a_training_state_with_any_flipped_bit_nothing_is_taken_up_and_a_line_says_so(tmp_path, name):
    parameters, optimizer = trainable()
    fresh = [p.tolist() for p in parameters]
    keeper = TrainingCheckpointer(tmp_path)
    assert keeper.restore(parameters, optimizer) is None
    optimizer.step()
    for number in range(3):
        keeper.log(step(number))
    keeper.save(TrainerState(2 + 1, 80, 0.0, 4), parameters, optimizer)
    whole = {each: (tmp_path / each).read_bytes() for each in (STATE_FILE, LOG_FILE)}
    (tmp_path / LOG_FILE).write_bytes(whole[LOG_FILE] + b'{"step": 3')  # a kill in the middle of the next line
    assert take_up(tmp_path) == (TrainerState(3, 80, 0.0, 4), [p.tolist() for p in parameters], 2, [])
    assert (tmp_path / LOG_FILE).read_bytes() == whole[LOG_FILE]
    for content in (*(flipped(whole[name], bit) for bit in range(0, 8 * len(whole[name]), 5)), whole[name][:-9], b""):
        for each, raw in whole.items():
            (tmp_path / each).write_bytes(content if each == name else raw)
        found, values, states, said = take_up(tmp_path)
        assert (found, values, states) == (None, fresh, 0), content
        assert len(said) == 1 and f"{name}: damaged" in said[0], content
        assert (tmp_path / LOG_FILE).read_bytes() == b"", "the log begins anew with training"


def test_a_training_state_goes_on_from_a_log_that_was_cut_back_and_written_on(tmp_path):
    """The log's digest is of the lines that are there, across kills."""
    parameters, optimizer = trainable()
    optimizer.step()
    keeper = TrainingCheckpointer(tmp_path)
    for number in range(4):
        keeper.log(step(number))
        if number == 1:
            keeper.save(TrainerState(2, 80, 0.0, 4), parameters, optimizer)
    again = TrainingCheckpointer(tmp_path)
    assert again.restore(*trainable()) == TrainerState(2, 80, 0.0, 4)
    again.log(dataclasses.replace(step(2), loss=0.25))
    again.save(TrainerState(3, 120, 0.0, 4), parameters, optimizer)
    assert TrainingCheckpointer(tmp_path).restore(*trainable()) == TrainerState(3, 120, 0.0, 4)
    assert [row["loss"] for row in read_jsonl(tmp_path / LOG_FILE)] == [0.5, 0.5, 0.25]


# ---------------------------------------------------------------- chunks of rows


def test_chunks_are_taken_up_by_place_and_key_and_computed_again_where_they_do_not_fit_or_are_damaged(tmp_path):
    computed, said = [], []

    def compute(chunk):
        computed.append(list(chunk))
        return [[n, n * 0.5] for n in chunk]

    def made(items, key="a", name="x"):
        computed.clear(), said.clear()
        found = PartialResults(tmp_path, 3, said.append).map(name, items, lambda chunk: f"{key} {list(chunk)}", compute)
        assert found == [[n, n * 0.5] for n in items]
        return computed

    assert made(range(8)) == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert made(range(8)) == []
    path = tmp_path / "x-00001.json"
    whole = path.read_bytes()
    for content in (*(flipped(whole, bit) for bit in range(8 * len(whole))), *RUBBISH):
        path.write_bytes(content)
        assert made(range(8)) == [[3, 4, 5]], content
        assert said == [f"{path}: damaged; its rows are computed again"], content
    assert made([0, 1, 2, 9]) == [[9]]
    assert len(made(range(8), key="b")) == len(made(range(8), name="y")) == 3
    assert said == [], "what belongs to something else, or is not there, is not damaged"


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EACCES, errno.ESTALE, errno.EIO])
def test_what_the_system_refuses_to_read_is_not_called_damaged(tmp_path, monkeypatch, number):
    """Too many open files say nothing of what is kept: it is neither set aside nor made again."""
    assert read_checked(tmp_path / "x.json") is None
    for value in (3, {"b": [1, 2.5, None], "a": "ü"}, []):
        write_checked(tmp_path / "x.json", value)
        assert read_checked(tmp_path / "x.json") == value

    def unreadable(self, *_, **__):
        raise OSError(number, os.strerror(number), str(self))

    monkeypatch.setattr(Path, "read_text", unreadable)
    with pytest.raises(OSError, match=re.escape(os.strerror(number))):
        read_checked(tmp_path / "x.json")


# ---------------------------------------------------------------- attempts at a phase


def attempt(root, inputs="one", machine="first", fail=False):
    """One attempt at a phase that keeps a chunk: whether that was computed in it, and what was said."""
    run, computed, said = RunFolder(root), [], []
    run.show_line, run.hardware = said.append, {"machine": machine}
    with contextlib.suppress(Killed), run.write_phase("a", {"player": inputs}, {"n": 1}) as writer:
        rows = PartialResults(writer.unfinished, 1).map("x", [1], str, lambda chunk: computed.append(1) or [inputs])
        (writer.path / "out.json").write_text(json.dumps(rows))
        if fail:
            (writer.path / "half.txt").write_text("half")
            raise Killed
    return bool(computed), said


def test_a_phase_goes_on_only_from_an_attempt_at_the_same(tmp_path, monkeypatch):
    """At the same inputs, under the same numbers of this program; it names every machine."""
    assert attempt(tmp_path, "one", "AVX2, FMA", fail=True) == (True, [])
    assert (tmp_path / "a.partial/unfinished/x-00000.json").is_file()
    assert attempt(tmp_path, "two", "AVX2, FMA", fail=True) == (True, [])
    assert (tmp_path / "a.abandoned/unfinished/x-00000.json").is_file(), "the first attempt was at something else: set aside"
    monkeypatch.setattr(run_folder, "package_versions", lambda: {NUMBERS_KEY: "other"})
    assert attempt(tmp_path, "two", "AVX2, FMA", fail=True) == (True, [])
    assert attempt(tmp_path, "two", "AVX2, FMA", fail=True) == (False, [])
    assert attempt(tmp_path, "two", "card") == (False, [])
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["manifest.json", "out.json"]
    assert (tmp_path / "a/out.json").read_text() == '["two"]'
    manifest = RunFolder(tmp_path).find_phase("a").manifest
    assert (manifest.counts, manifest.hardware) == ({"attempts": 3}, {"machine": "AVX2, FMA, then card"})


@pytest.mark.parametrize("name", [INPUTS_FILE, ATTEMPTS_FILE, HARDWARE_FILE, "steps.jsonl"])
def test_of_an_attempt_whose_own_records_are_damaged_nothing_is_used(tmp_path, name):
    """Not its chunks either: the phase is made from its beginning, and a line says so. Nor where a folder has a file's name."""
    attempt(tmp_path / "template", fail=True)
    path = Path("a.partial/unfinished") / name
    whole = (tmp_path / "template" / path).read_bytes() if name != "steps.jsonl" else b""
    contents = [flipped(whole, bit) for bit in range(3, 8 * len(whole), max(1, len(whole) // 3))]
    for content in (*contents, *(RUBBISH if whole else ()), None):
        shutil.copytree(tmp_path / "template", tmp_path / "run")
        if content is None:
            (tmp_path / "run" / path).unlink(missing_ok=True)
            (tmp_path / "run" / path).mkdir()
        else:
            (tmp_path / "run" / path).write_bytes(content)
        computed, said = attempt(tmp_path / "run", machine="second")
        manifest = RunFolder(tmp_path / "run").find_phase("a").manifest
        assert (computed, manifest.counts, manifest.hardware) == (True, {}, {"machine": "second"}), content
        assert len(said) == 1, content
        assert re.search(rf"{name}: (damaged|a folder, not a file of this program); nothing of this attempt is used", said[0])
        shutil.rmtree(tmp_path / "run")
