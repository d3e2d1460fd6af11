"""What is kept or finished is used as it was written or not at all: flipped bits, manifests and records of all sorts."""

import json
import math
import shutil

import pytest
import torch

from harness.analysis.facts import RunResults
from harness.discovery.copies import check_copies, save_copy
from harness.discovery.variants import Variant
from harness.errors import DamagedError, OtherFormatError, UserError
from harness.files import RECOMPUTE_ADVICE, read_jsonl, write_json, write_jsonl
from harness.language.model.verify import verify_model
from harness.planning.prepare import write_failed_trials
from harness.records import digest
from harness.reporting.card import write_adapter_package
from harness.store.run_folder import RunFolder
from harness.store.small_files import phase_folders
from harness.store.trained_adapter import find_adapter
from harness.store.untrusted import check_record, set_record_aside
from harness.store.verification import checksum
from tests.conftest import SMALL_RECIPE, make_policy, run_cli_in_process
from tests.helpers.damage import events, flip, flipped, refused

# ---------------------------------------------------------------- phases


@pytest.fixture
def run(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.root.mkdir()
    return folder


INPUTS, SETTINGS = {"player": "abc"}, {"training": {"lr": 0.1}, "iteration": 0}


def make(run, where="a/train"):
    with run.write_phase(where, INPUTS, SETTINGS) as writer:
        write_jsonl(writer.path / "out.json", [{"x": 1}])
        writer.counts["rows"] = 1
    return run.find_phase(where)


def test_a_committed_phase_has_its_manifest_with_digests_and_counts(run):
    make(run)
    done = run.lookup("a/train", INPUTS, SETTINGS)
    assert (done.manifest.counts, list(done.manifest.outputs)) == ({"rows": 1}, ["out.json"])
    assert len(done.digest_of("out.json")) == 16
    assert not (run.root / "a/train.partial").exists()


def test_a_failing_phase_is_not_there_and_its_remains_are_set_aside(run):
    def fail():
        with run.write_phase("a/train", INPUTS, SETTINGS) as writer:
            (writer.path / "half").write_text("half")
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError):
        fail()
    assert run.find_phase("a/train") is None
    make(run)
    assert (run.root / "a/train.abandoned/half").exists() and run.find_phase("a/train") is not None
    assert [event for event, _ in events(run.root)] == ["started", "failed", "started", "committed"]


def test_nothing_finished_is_overwritten(run):
    make(run)
    with pytest.raises(OSError, match=r"not empty|exists"):
        make(run)
    assert run.find_phase("a/train").manifest.counts == {"rows": 1}


def test_other_inputs_or_settings_are_refused_by_name(run):
    make(run)
    for inputs, settings, named in (
        ({"player": "xyz"}, SETTINGS, "player='abc', now asked for 'xyz'"),
        (INPUTS, {"training": {"lr": 0.2}, "iteration": 0}, "training.lr=0.1, now asked for 0.2"),
        (INPUTS, {"training": {"lr": 0.1}}, "iteration=0, now asked for None"),
    ):
        with pytest.raises(UserError, match=named):
            run.lookup("a/train", inputs, settings)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_never_written(tmp_path, number):
    with pytest.raises(ValueError, match="Out of range float values"):
        write_json(tmp_path / "x.json", {"value": number})
    with pytest.raises(ValueError, match="Out of range float values"):
        write_jsonl(tmp_path / "x.jsonl", [{"value": [number]}])


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
        assert run.find_phase("a/train") is None and make(run).manifest.outputs == outputs
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
    assert run.find_phase("a/train") is None and make(run).manifest.outputs == outputs
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
    of_another = path.read_bytes()
    for command in ("report small", "trace small a", "push small space", "status small", f"run --recipe {SMALL_RECIPE}"):
        assert "format version 2, this program writes 3; use --name OTHER" in refused(played_copy, *command.split())
    assert path.read_bytes() == of_another
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


def test_report_trace_and_push_refuse_what_run_refuses(played_copy):
    run = played_copy / "results/small"
    wanted, player = read_jsonl(run / "data/train.jsonl")[0]["id"], "space/seed-0/iteration-1"
    commands = {"trace": ("trace", "small", wanted), "push": ("push", "small", "space", "--to", "package")}
    commands["report"] = ("report", "small")
    for file, by in (
        (f"{player}/evaluate/two/scores.json", ("report",)),
        (f"{player}/evaluate/two/items.json", ("report",)),
        (f"{player}/probe/measurements.json", ("report",)),
        (f"{player}/train/steps.jsonl", ("report",)),
        (f"{player}/train/adapter/adapter_model.safetensors", ("push", "trace")),
        (f"{player}/train/adapter/adapter_config.json", ("push",)),
        (f"{player}/train/manifest.json", ("push",)),
        ("initial/seed-0/generate/k-0/samples.jsonl.gz", ("trace",)),
        ("data/train.jsonl", ("trace",)),
        ("objectives/space.py", ("push",)),
        ("spin/seed-0/iteration-0/train/steps.jsonl", ("trace",)),
    ):
        path = run / file
        whole = path.read_bytes()
        flip(path)
        for command in by:
            line = refused(played_copy, *commands[command])
            assert f"{file}: damaged" in line, (file, command)
            assert not (played_copy / "package").exists(), file
        path.write_bytes(whole)
    (run / player / "train/manifest.json").rename(played_copy / "aside")
    assert "no adapter of a finished training" in refused(played_copy, *commands["push"])
    (played_copy / "aside").rename(run / player / "train/manifest.json")
    (run / "space/seed-0/iteration-0/train.partial/unfinished").mkdir(parents=True)
    (run / "space/seed-0/iteration-0/train.partial/unfinished/steps.jsonl").write_text('{"step": 0, "exam')
    (run / "failed.json").write_text("[]")
    assert "failed.json: damaged" in refused(played_copy, "report", "small")
    assert "loss" in run_cli_in_process(*commands["trace"], cwd=played_copy).stdout, "what is in the making is no part of the run"
    (run / "data/manifest.json").unlink()
    assert "held-out prompts are here" in refused(played_copy, *commands["trace"])


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
    assert phase not in [*run.phases(), *phase_folders(run.root, "space/seed-0")]


@pytest.mark.parametrize("manifest", ["[]", '{"format_version": 99}', "half"])
def test_status_shows_a_damaged_manifest_as_damaged_beside_what_is_sound(played_copy, manifest):
    path = played_copy / "results/small/space/seed-0/iteration-1/train/manifest.json"
    path.write_text(path.read_text()[:100] if manifest == "half" else manifest)
    done = run_cli_in_process("status", "small", cwd=played_copy, check=False)
    assert done.returncode == 1 and "space/seed-0/iteration-1/train" in done.stderr
    assert "gs!ep" in done.stdout and "! damaged: 1" in done.stdout and "complete" not in done.stdout


def test_push_can_be_repeated_whenever_it_was_killed(played, tmp_path):
    """Whatever part of the package is there, the same command ends with the same files; anything else there is left alone."""
    facts = RunResults(played / "results/small")
    adapter, seed, iteration = find_adapter(RunFolder(facts.root), "space", None, None)

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
    modules = json.loads((tmp_path / "adapter_config.json").read_text())["target_modules"]
    assert modules == sorted(modules) and len(modules) > 3


def test_the_layouts_check_does_not_depend_on_what_was_drawn_before(tokenizer):
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
