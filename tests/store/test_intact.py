"""What is kept or finished is used as it was written or not at all: flipped bits, manifests and records of all sorts."""

import dataclasses
import errno
import json
import os
import re
import shutil
from pathlib import Path

import pytest
import torch

from harness.analysis.facts import RunResults
from harness.discovery.copies import check_copies, save_copy
from harness.discovery.variants import Variant
from harness.errors import DamagedError, OtherFormatError, UserError
from harness.files import RECOMPUTE_ADVICE, read_checked, write_checked, write_json
from harness.planning.prepare import write_failed_trials
from harness.records import StepRecord, digest
from harness.store.partial_results import PartialResults
from harness.store.phase_writer import ATTEMPTS_FILE, HARDWARE_FILE, INPUTS_FILE
from harness.store.run_folder import RunFolder
from harness.store.small_files import phase_folders
from harness.store.untrusted import check_record, set_record_aside
from harness.store.verification import checksum
from harness.train.checkpointing import LOG_FILE, STATE_FILE, TrainerState, TrainingCheckpointer
from tests.conftest import make_policy, run_cli_in_process


def flipped(raw, bit):
    changed = bytearray(raw)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def step(number):
    return StepRecord(number, 0, 0.5, 1.0, 1e-3, {"real": -3.0}, {"real": 0.1}, {}, 40, 0.01, ["a", "b"], [0, 1])


# ---------------------------------------------------------------- what an unfinished phase keeps


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
    return found, [p.detach().clone() for p in parameters], len(optimizer.state), said


@pytest.mark.parametrize("name", [STATE_FILE, LOG_FILE])
def test_of_a_training_state_with_any_flipped_bit_nothing_is_taken_up_and_a_line_says_so(tmp_path, name):
    parameters, optimizer = trainable()
    fresh = [p.detach().clone() for p in parameters]
    keeper = TrainingCheckpointer(tmp_path)
    assert keeper.restore(parameters, optimizer) is None
    optimizer.step()
    for number in range(3):
        keeper.log(step(number))
    keeper.save(TrainerState(2 + 1, 80, 0.0, 4), parameters, optimizer)
    after = [p.detach().clone() for p in parameters]
    whole = {each: (tmp_path / each).read_bytes() for each in (STATE_FILE, LOG_FILE)}
    (tmp_path / LOG_FILE).write_bytes(whole[LOG_FILE] + b'{"step": 3')  # a kill in the middle of the next line
    found, values, states, said = take_up(tmp_path)
    assert (found, states, said) == (TrainerState(3, 80, 0.0, 4), 2, [])
    assert all(torch.equal(a, b) for a, b in zip(values, after, strict=True))
    assert (tmp_path / LOG_FILE).read_bytes() == whole[LOG_FILE]
    for bit in range(0, 8 * len(whole[name]), 5):
        for each, raw in whole.items():
            (tmp_path / each).write_bytes(flipped(raw, bit) if each == name else raw)
        found, values, states, said = take_up(tmp_path)
        assert (found, states) == (None, 0), bit
        assert all(torch.equal(a, b) for a, b in zip(values, fresh, strict=True)), bit
        assert len(said) == 1 and f"{name}: damaged" in said[0], bit
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
    assert [json.loads(line)["loss"] for line in (tmp_path / LOG_FILE).read_text().splitlines()] == [0.5, 0.5, 0.25]


def test_a_chunk_with_any_flipped_bit_is_computed_again_and_said(tmp_path):
    said, computed = [], []
    rows = [["a", 0.1], ["b", None]]

    def results(key="key", name="x"):
        return PartialResults(tmp_path, 2, said.append).map(
            name, rows, lambda _: key, lambda part: computed.append(1) or list(part)
        )

    results()
    path = tmp_path / "x-00000.json"
    whole = path.read_bytes()
    results()
    assert (computed, said) == ([1], [])
    results(key="another"), results(name="y")
    assert (len(computed), said) == (3, []), "what belongs to something else, or is not there, is not damaged"
    rubbish = (b"", b"[]", b"null", b"1", b"\xff\xfe", b"[" * 100_000)
    for content in (*(flipped(whole, bit) for bit in range(8 * len(whole))), *rubbish):
        computed.clear(), said.clear()
        path.write_bytes(content)
        assert results() == rows
        assert (computed, said) == ([1], [f"{path}: damaged; its rows are computed again"]), content


class Killed(Exception):
    pass


@pytest.mark.parametrize("name", [INPUTS_FILE, ATTEMPTS_FILE, HARDWARE_FILE])
def test_of_an_attempt_whose_own_records_are_damaged_nothing_is_used(tmp_path, name):
    """Not its shards either: the phase is made from its beginning, as if nothing had been kept, and a line says so."""
    template, worked = tmp_path / "template", []

    def attempt(run, machine, fail):
        worked.clear()
        run.hardware = {"machine": machine}
        with run.write_phase("a", {"player": "one"}, {"n": 1}) as writer:
            rows = PartialResults(writer.unfinished, 1).map("x", [1], str, lambda part: worked.append(1) or [1])
            write_json(writer.path / "out.json", rows)
            if fail:
                raise Killed
        return run.find_phase("a").manifest

    template.mkdir()
    with pytest.raises(Killed):
        attempt(RunFolder(template), "first", fail=True)
    path = template / "a.partial/unfinished" / name
    whole = path.read_bytes()

    def again(content):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        shutil.copytree(template, tmp_path / "run")
        run, said = RunFolder(tmp_path / "run"), []
        run.show_line = said.append
        (run.root / path.relative_to(template)).write_bytes(content)
        return attempt(run, "second", fail=False), said

    manifest, said = again(whole)
    assert (worked, said) == ([], [])
    assert manifest.counts == {"attempts": 2}
    assert manifest.hardware == {"machine": "first, then second"}
    contents = [flipped(whole, bit) for bit in range(3, 8 * len(whole), max(1, len(whole) // 3))]
    for content in (*contents, b"", b"[]", b"null", b"{}", b"\xff", b"7"):
        manifest, said = again(content)
        assert (worked, manifest.counts, manifest.hardware) == ([1], {}, {"machine": "second"}), content
        assert len(said) == 1 and f"{name}: damaged; nothing of this attempt is used" in said[0], content


def test_what_is_put_is_got_and_nothing_else(tmp_path):
    assert read_checked(tmp_path / "x.json") is None
    for value in (3, {"b": [1, 2.5, None], "a": "ü"}, []):
        write_checked(tmp_path / "x.json", value)
        assert read_checked(tmp_path / "x.json") == value


# ---------------------------------------------------------------- phases


@pytest.fixture
def run(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.root.mkdir()
    return folder


def make(run, where="a/train"):
    with run.write_phase(where, {"player": "p"}, {"lr": 0.1}) as writer:
        write_json(writer.path / "out.json", {"x": 1})
    return run.find_phase(where)


def resealed(fields, **changes):
    """Other contents whose checksum is true of them."""
    fields = {**fields, **changes}
    return json.dumps({**fields, "checksum": checksum(fields)}).encode()


def manifests(whole):
    """Name -> bytes of what is no manifest of a finished phase of this program."""
    fields = json.loads(whole)
    wrong = {"inputs": [], "outputs": None, "settings": "x", "counts": 3, "seconds": "1", "versions": [], "phase": {}}
    return {
        "[]": b"[]", "null": b"null", "{}": b"{}", "1": b"1", "text": b'"x"', "empty": b"", "half": whole[: len(whole) // 2],
        "binary": bytes(range(256)), "deep": b"[" * 100_000, "version of a text": resealed(fields, format_version="3"),
        "no version": json.dumps({k: v for k, v in fields.items() if k != "format_version"}).encode(),
        "outside": resealed(fields, outputs={"../../x": "0" * 16}), "absolute": resealed(fields, outputs={"/x": "0" * 16}),
        "no digest": resealed(fields, outputs={"out.json": 3}), "more": resealed(fields, other=1),
        **{f"{key}: {value!r}": resealed(fields, **{key: value}) for key, value in wrong.items()},
        **{f"bit {bit}": flipped(whole, bit) for bit in range(0, 8 * len(whole), 41)},
    }  # fmt: skip


def test_whatever_stands_in_a_manifests_place_is_one_line_and_recompute_mends_it(run, tmp_path):
    outputs = make(run).manifest.outputs
    whole = (run.root / "a/train/manifest.json").read_bytes()
    for name, content in manifests(whole).items():
        (run.root / "a/train/manifest.json").write_bytes(content)
        with pytest.raises(DamagedError if not name.startswith("bit") else UserError) as told:
            run.find_phase("a/train")
        assert "manifest.json: damaged" in str(told.value) or name.startswith("bit"), name
        assert str(told.value).endswith(RECOMPUTE_ADVICE), name
        with pytest.raises(UserError, match="--recompute"):
            run.verify_phases(["a/train"], recompute=False)
        run.verify_phases(["a/train"], recompute=True)
        assert run.find_phase("a/train") is None
        assert make(run).manifest.outputs == outputs
    assert (run.root / "a/train.damaged/manifest.json").read_bytes() == b"[]", "nothing is deleted"


def test_a_phase_of_another_format_is_refused_with_its_version_and_set_aside_on_request(run):
    fields = json.loads((make(run).path / "manifest.json").read_bytes())
    for version in (2, 4, 99):
        (run.root / "a/train/manifest.json").write_bytes(resealed(fields, format_version=version))
        with pytest.raises(OtherFormatError, match=rf"format version {version}, this program reads 3; use .*--recompute"):
            run.verify_phases(["a/train"], recompute=False)
        run.verify_phases(["a/train"], recompute=True)
        make(run)
    assert (run.root / "a/train.3.damaged").is_dir()


def test_a_folder_under_a_phases_name_without_a_manifest_is_set_aside_and_made_again(run):
    said = []
    run.show_line = said.append
    outputs = make(run).manifest.outputs
    (run.root / "a/train/manifest.json").unlink()
    assert run.find_phase("a/train") is None
    assert make(run).manifest.outputs == outputs
    assert (run.root / "a/train.damaged/out.json").is_file()
    assert said == [f"{run.root}/a/train: not a finished phase (no manifest.json); set aside as train.damaged, to be made again"]
    (run.root / "a/train").rename(run.root / "whole")
    (run.root / "a/train").write_text("a file")
    run.link_from("a/train", run.find_phase("whole"))
    assert run.find_phase("a/train").manifest.outputs == outputs
    assert (run.root / "a/train.2.damaged").read_text() == "a file"
    shutil.rmtree(run.root / "a/train")
    (run.root / "a/train").mkdir()
    make(run)
    assert not (run.root / "a/train.3.damaged").exists(), "an empty folder is nothing to keep"
    assert run.phases() == ["a/train", "whole"]


# ---------------------------------------------------------------- the record, and the objectives' files


def test_a_record_of_another_format_or_none_at_all_is_one_line_and_recompute_sets_it_aside(played_copy):
    run = RunFolder(played_copy / "results/small")
    path = run.root / "run.json"
    record = json.loads(path.read_bytes())
    check_record(run.root)
    damaged = [[], None, {}, 3, "x", {**record, "seeds": None}, {**record, "variants": []}, {**record, "format_version": "3"}]
    for content in (*(json.dumps(one).encode() for one in damaged), b"", b"\xff\x00", b"[" * 100_000, path.read_bytes()[:-40]):
        path.write_bytes(content)
        with pytest.raises(DamagedError, match="--recompute"):
            check_record(run.root)
        set_record_aside(run)
        assert not path.exists()
    path.write_text(json.dumps({**record, "format_version": 2}))
    for command in (("report",), ("trace", "a"), ("push", "space"), ("status",)):
        done = run_cli_in_process(command[0], "small", *command[1:], cwd=played_copy, check=False)
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert "format version 2, this program writes 3; use --name OTHER" in done.stderr
    set_record_aside(run)
    assert not path.exists()
    assert len(list(run.root.glob("run.json*.damaged"))) == len(damaged) + 5


def test_an_objectives_copy_is_what_was_played(tmp_path, run):
    def variant(text, label):
        path = tmp_path / "mine.py"
        path.write_bytes(text)
        return Variant("mine", label, path, digest(text))

    def recorded(*variants):
        return {v.label: {"name": v.name, "source_digest": v.source_digest} for v in variants}

    said = []
    run.show_line = said.append
    first = variant(b"one\r\n", "mine")
    copy = run.root / "objectives/mine.py"
    save_copy(run, first, {})
    assert copy.read_bytes() == b"one\r\n", "byte for byte"
    check_copies(run.root, recorded(first))
    copy.write_bytes(b"onf\r\n")
    with pytest.raises(DamagedError, match=r"objectives/mine\.py: damaged .* repeat the run's command"):
        check_copies(run.root, recorded(first))
    save_copy(run, first, recorded(first))
    assert copy.read_bytes() == b"one\r\n"
    assert (run.root / "objectives/mine.py.damaged").read_bytes() == b"onf\r\n"
    assert len(said) == 1 and "damaged" in said[0]
    second = variant(b"two\n", "mine-mu2")
    save_copy(run, second, recorded(first))
    assert copy.read_bytes() == b"one\r\n", "that of the variant played before stays"
    assert (run.root / f"objectives/mine-{second.source_digest}.py").read_bytes() == b"two\n"
    check_copies(run.root, recorded(first, second))
    save_copy(run, second, recorded(first, second))
    assert len(said) == 1


# ---------------------------------------------------------------- those who look


def test_trace_and_push_refuse_what_run_refuses(played_copy):
    run = played_copy / "results/small"
    wanted = json.loads((run / "data/train.jsonl").read_text().splitlines()[0])["id"]
    player = "space/seed-0/iteration-1"
    commands = {"trace": ("trace", "small", wanted), "push": ("push", "small", "space", "--to", "package")}
    for file, by in (
        (f"{player}/train/adapter/adapter_model.safetensors", ("push", "trace")),
        (f"{player}/train/adapter/adapter_config.json", ("push",)),
        (f"{player}/train/manifest.json", ("push",)),
        ("initial/seed-0/generate/k-0/samples.jsonl", ("trace",)),
        ("data/train.jsonl", ("trace",)),
        ("objectives/space.py", ("push",)),
        ("spin/seed-0/iteration-0/train/steps.jsonl", ("trace",)),
    ):
        path = run / file
        whole = path.read_bytes()
        path.write_bytes(flipped(whole, 8 * (len(whole) // 2) + 1))
        for command in by:
            done = run_cli_in_process(*commands[command], cwd=played_copy, check=False)
            assert done.returncode == 1, (file, command)
            assert done.stderr.count("\n") == 1 and path.name in done.stderr, (file, command, done.stderr)
            assert not (played_copy / "package").exists(), file
        path.write_bytes(whole)
    (run / player / "train/manifest.json").rename(played_copy / "aside")
    assert "no adapter of a finished training" in run_cli_in_process(*commands["push"], cwd=played_copy, check=False).stderr
    (played_copy / "aside").rename(run / player / "train/manifest.json")
    (run / "space/seed-0/iteration-0/train.partial/unfinished").mkdir(parents=True)
    (run / "space/seed-0/iteration-0/train.partial/unfinished/steps.jsonl").write_text('{"step": 0, "exam')
    (run / "failed.json").write_text("[]")
    assert "failed.json: damaged" in run_cli_in_process("report", "small", cwd=played_copy, check=False).stderr
    assert "loss" in run_cli_in_process(*commands["trace"], cwd=played_copy).stdout, "what is in the making is no part of the run"
    (run / "data/manifest.json").unlink()
    assert "holds no examples" in run_cli_in_process(*commands["trace"], cwd=played_copy, check=False).stderr


def test_a_folder_in_a_files_place_is_set_aside_or_counts_as_none(played_copy):
    run = RunFolder(played_copy / "results/small")
    for name in ("failed.json", "space/seed-0/iteration-0/probe/manifest.json"):
        (run.root / name).unlink()
        (run.root / name).mkdir()
    write_failed_trials(run, {"a/seed-0": "error"})
    assert json.loads((run.root / "failed.json").read_text()) == {"a/seed-0": "error"}
    assert (run.root / "failed.json.damaged").is_dir()
    phase = "space/seed-0/iteration-0/probe"
    assert run.find_phase(phase) is None
    assert phase not in run.phases()
    assert phase not in list(phase_folders(run.root, "space/seed-0"))


@pytest.mark.parametrize("manifest", ["[]", '{"format_version": 99}', "half"])
def test_status_shows_a_damaged_manifest_as_damaged_beside_what_is_sound(played_copy, manifest):
    path = played_copy / "results/small/space/seed-0/iteration-1/train/manifest.json"
    path.write_text(path.read_text()[:100] if manifest == "half" else manifest)
    done = run_cli_in_process("status", "small", cwd=played_copy, check=False)
    assert done.returncode == 1
    assert "space/seed-0/iteration-1/train" in done.stderr
    assert "gs!ep" in done.stdout
    assert "! damaged: 1" in done.stdout
    assert "complete" not in done.stdout


def test_push_can_be_repeated_whenever_it_was_killed(played, tmp_path):
    """Whatever part of the package is there, the same command ends with the same files; anything else there is left alone."""
    from harness.reporting.card import find_adapter, write_adapter_package

    facts = RunResults(played / "results/small")
    adapter, seed, iteration = find_adapter(facts, "space", None, None)

    def push(to):
        return write_adapter_package(facts, "space", seed, iteration, adapter, to)

    whole = {p.name: p.read_bytes() for p in push(tmp_path / "whole").iterdir()}
    assert len(whole) == 3
    for count in range(4):
        to = tmp_path / str(count)
        to.mkdir()
        for name in list(whole)[:count]:
            (to / name).write_bytes(whole[name])
        for name in list(whole)[count:]:
            (to / f"{name}.tmp").write_bytes(whole[name][:7])
        assert {p.name: p.read_bytes() for p in push(to).iterdir()} == whole
    for name, content in (("README.md", b"somebody's"), ("notes.txt", b""), ("adapter_config.json", b"{}")):
        to = tmp_path / f"foreign-{name}"
        to.mkdir()
        (to / name).write_bytes(content)
        with pytest.raises(UserError, match="not an empty folder"):
            push(to)
        assert [p.name for p in to.iterdir()] == [name] and (to / name).read_bytes() == content


# ---------------------------------------------------------------- equal commands


def test_an_adapters_settings_are_written_in_an_order_of_their_own(policy, tmp_path):
    policy.save_adapter(tmp_path)
    settings = json.loads((tmp_path / "adapter_config.json").read_text())
    assert settings["target_modules"] == sorted(settings["target_modules"])
    assert len(settings["target_modules"]) > 3


def test_the_layouts_check_does_not_depend_on_what_was_drawn_before(tokenizer):
    from harness.language.model.verify import verify_model

    found = []
    for draws in (0, 3):
        model = make_policy(tokenizer, dtype="float32").model
        torch.rand(draws)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_A" in name:
                    parameter.copy_(torch.randn(parameter.shape))  # as peft leaves it: another one in every process
        before = {n: p.detach().clone() for n, p in model.named_parameters()}
        found.append(verify_model(model))
        assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())
    assert found[0] == found[1]


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EACCES, errno.ESTALE, errno.EIO])
def test_what_the_system_refuses_to_read_is_not_called_damaged(tmp_path, monkeypatch, number):
    """Too many open files say nothing of what is kept: it is neither set aside nor made again."""
    write_checked(tmp_path / "x.json", [1])

    def refused(self, *_, **__):
        raise OSError(number, os.strerror(number), str(self))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", refused)
        with pytest.raises(OSError, match=re.escape(os.strerror(number))):
            read_checked(tmp_path / "x.json")
    assert read_checked(tmp_path / "x.json") == [1]
