"""Hostile input through the program: a stranger's run folder, texts that would act on their reader, names that would lead out."""

import contextlib
import errno
import gzip
import json
import os
import pickle
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.config import DataConfig, LoraConfig, ModelConfig
from harness.discovery.variants import parse_variants
from harness.errors import UserError
from harness.files import read_jsonl, write_packed_jsonl
from harness.language.model.loading import load_policy
from harness.records import digest
from harness.security.escaping import escape_invisible, escape_latex, escape_markdown
from harness.sources.rows import read_rows
from harness.store.untrusted import validate_run_folder
from tests.conftest import ROOT, SMALL_RECIPE, run_cli_in_process, update_manifest_digests
from tests.helpers.damage import edit_json, refused
from tests.helpers.pages import check_runs_its_own_script_alone

ESCAPE, TURN = "\x1b]0;owned\x07\x1b[2J", "\u202egnp.exe"
TEXT = f'=HYPERLINK("http://x") $\\frac{{ {ESCAPE}{TURN} <script>alert(1)</script> | `c` *b* #let x = 1\n# H \\input{{x}}'
UNSEEN = {chr(c) for c in (*range(32), 127, *range(0x80, 0xA0), 0x202E, 0x2066, 0x200F)} - {"\n", "\t"}


def change(path, how):
    value = json.loads(path.read_text())
    path.write_text(json.dumps(how(value) or value))


def files(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


COMMANDS = (("status", "small"), ("report", "small"), ("trace", "small", ""), ("push", "small", "spin"))


def test_a_strangers_run_folder_executes_nothing(run, played_copy):
    """Every copy of an objective leaves a mark when it is imported; four commands read the folder, none leaves it."""
    mark = played_copy / "mark"
    hostile, record = f"open({str(mark)!r}, 'w').close()\n", json.loads((run / "run.json").read_text())
    for copy in (run / "objectives").glob("*.py"):
        copy.write_text(hostile)
    for variant in record["variants"].values():
        variant["source_digest"] = digest(hostile)  # a stranger's record says what he likes
    (run / "run.json").write_text(json.dumps(record))
    for name in ("sitecustomize.py", "conftest.py", "pandas.py", "data/__init__.py"):
        (run / name).write_text(f"open({str(mark)!r}, 'w').close()\n")
    first = json.loads((run / "data/train.jsonl").read_text().splitlines()[0])["id"]
    for name, *rest in COMMANDS:
        run_cli_in_process(name, *(part or first for part in rest), cwd=played_copy)
    assert not mark.exists()


RECORDS = {
    "variant leading out": lambda r: r["variants"].update({"../../out": r["variants"].pop("spin")}),
    "absolute variant": lambda r: r["variants"].update({"/etc": r["variants"].pop("spin")}),
    "variant of a folder of the run's": lambda r: r["variants"].update(tables=r["variants"].pop("spin")),
    "suite leading out": lambda r: r["suites"]["two"].update(name="../../../out"),
    "published numbers from elsewhere": lambda r: r["suites"]["two"].update(published=["../../secret"]),
    "task leading out": lambda r: r["suites"]["two"]["task"][0].update(name="../x"),
    "suite that is not there": lambda r: r.update(suite="other"),
    "name with a slash": lambda r: r.update(name="a/b"),
    "endless iterations": lambda r: r.update(iterations=10**12),
    "seed that is a path": lambda r: r.update(seeds=["../.."]),
    "no variants": lambda r: r.update(variants={}),
    "a list": lambda r: [r],
    "study's numbers from elsewhere": lambda r: r.update(study={"title": "t", "question": "q", "published": "../x"}),
    "study that shows what is not there": lambda r: r.update(study={"title": "t", "question": "q", "shown": ["../x"]}),
}


@pytest.mark.parametrize("case", RECORDS)
def test_a_hostile_record_is_one_line_and_nothing_is_written(case, run, played_copy):
    change(run / "run.json", RECORDS[case])
    before = files(played_copy)
    for command in COMMANDS:
        assert refused(played_copy, *command).startswith("harness: ")
    assert files(played_copy) == before


def link(where, to):
    def how(run):
        path = run / where
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.symlink_to(to)

    return how


PLAYER = "spin/seed-0/iteration-0"
FOLDERS = {
    "tables are a link": link("tables", "../../outside"),
    "a csv in the making is a link": link("scores.csv.tmp", "../../outside/kept"),
    "the lease is a link": link(".lease", "../../outside/kept"),
    "samples are a link": link("initial/probe/samples.jsonl.gz", "/etc/hostname"),
    "a link that stays inside": link("scores.csv", "training.csv"),
    "a pipe": lambda run: os.mkfifo(run / "pipe.jsonl"),
    "a record without end": lambda run: (run / "run.json").write_text("[" * 200_000),
    "a number without end": lambda run: (run / "run.json").write_text("9" * 10_000),
    "a manifest without end": lambda run: (run / "initial/probe/manifest.json").write_text('{"a":' * 100_000),
    "a manifest that is a list": lambda run: (run / f"{PLAYER}/train/manifest.json").write_text("[]"),
    "scores of nothing": lambda run: (run / "initial/evaluate/two/scores.json").write_text('{"records": [{}]}'),
    "samples deeper than can be read": lambda run: (run / "initial/probe/samples.jsonl.gz").write_bytes(
        gzip.compress(b"[" * 100_000)
    ),
    "inputs from elsewhere": lambda run: edit_json(run / f"{PLAYER}/generate/manifest.json", inputs={"../../../outside": "0"}),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_a_hostile_folder_is_one_line_and_nothing_outside_it_is_touched(case, run, played_copy):
    outside = played_copy / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    shutil.rmtree(played_copy / "reports")
    FOLDERS[case](run)
    refused(played_copy, "report", "small")
    assert files(outside) == {outside / "kept": b"kept"}
    assert sorted(p.name for p in played_copy.iterdir()) == ["outside", "results"]
    assert [p.name for p in (played_copy / "results").iterdir()] == ["small"]


@pytest.mark.parametrize("said", ["results/a/run.json: name", "a/data: Permission denied"])
def test_status_of_all_runs_shows_the_others_and_ends_with_one(run, played_copy, monkeypatch, said):
    shutil.copytree(run, run.parent / "a")
    edit_json(run.parent / "a" / "run.json", name="../x")

    def refuse(root):
        if root.name == "a" and "denied" in said:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(root / "data"))
        validate_run_folder(root)

    monkeypatch.setattr("harness.store.opening.validate_run_folder", refuse)
    done = run_cli_in_process("status", cwd=played_copy, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert said in done.stderr and "small" in [line.split()[0] for line in done.stdout.splitlines() if line.strip()]


# ---------------------------------------------------------------- texts


def test_hostile_text_of_a_run_acts_nowhere(run, played_copy):
    """The same text as title, label, setting, prompt, sample, cell, measurement: through terminal, card, tables and pages."""

    def everywhere(record):
        record["variants"]["spin"].update(title=TEXT)
        record["variants"]["spin"]["citation"].update(title=TEXT, label=TEXT, url="javascript:alert(1)")
        record["suites"]["two"].update(title=TEXT, version=TEXT)
        record["suites"]["two"]["task"][0].update(label=TEXT, metric=TEXT)
        record["identity"]["data"]["source"] = TEXT
        record["versions"][TEXT] = TEXT
        record["study"] = {"title": TEXT, "question": TEXT, "panels": [{"title": TEXT, "labels": ["space", "spin"]}]}

    change(run / "run.json", everywhere)
    (run / "failed.json").write_text(json.dumps({"spin/seed-0": TEXT}))
    for path in (run / "data").glob("*.jsonl"):
        rows = [json.loads(line) | {"prompt": TEXT, "real": TEXT} for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    probed = run / "initial/probe/samples.jsonl"
    rows = [row | {"text": TEXT, "prompt": TEXT} for row in read_jsonl(probed)]
    write_packed_jsonl(probed, rows)
    change(run / "initial/probe/measurements.json", lambda m: m["measurements"][0].update(unit=TEXT))
    for phase in ("data", "initial/probe"):
        update_manifest_digests(run / phase)
    first = rows[0]["example_id"]
    said = ""
    for name, *rest in COMMANDS:
        done = run_cli_in_process(name, *(part or first for part in rest), cwd=played_copy)
        said += done.stdout + done.stderr
    assert not UNSEEN & set(said)
    assert "\\u{1b}" in said  # shown, not dropped
    for path in (run / "tables/leaderboard.md", run / "tables/leaderboard.tex", *run.rglob("*.csv"), *(played_copy / "reports").rglob("*.html"), *(played_copy / "reports").rglob("*.csv")):  # fmt: skip # noqa: E501
        assert not UNSEEN & set(path.read_text(encoding="utf-8")), path
    card = said[said.index("library_name") :]
    assert "<script" not in card and "<javascript" not in card
    page = (played_copy / "reports/small.html").read_text(encoding="utf-8")
    check_runs_its_own_script_alone(page)  # a study's page, as this record says
    assert (played_copy / "reports/small.pdf").read_bytes().startswith(b"%PDF")
    board = (run / "tables/leaderboard.md").read_text().splitlines()
    assert len({line.replace("\\|", "").count("|") for line in board if line.startswith("|")}) == 1
    tex = (run / "tables/leaderboard.tex").read_text()
    assert "\\input" not in tex.replace("\\textbackslash{}input", "")


def test_text_is_shown_and_never_sent():
    assert escape_invisible("a\x1b[31m\u202e\ud800\x9b\n", keep="\n") == "a\\u{1b}[31m\\u{202e}\\u{d800}\\u{9b}\n"
    assert escape_invisible("é 中 🙂") == "é 中 🙂"
    assert escape_markdown("- a_b <i>\n# |$") == "\\- a\\_b &lt;i&gt; \\# \\|\\$"
    assert escape_markdown("1. a") == "1\\. a"
    assert escape_latex("a_\\x\n%") == "a\\_\\textbackslash{}x \\%"
    assert escape_latex("β ≤ Λ → ς, ΑΟο") == r"$\beta$ $\leq$ $\Lambda$ $\to$ $\varsigma$, AOo"


def test_an_error_message_that_quotes_a_row_has_no_escape_codes(tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps({f"col{ESCAPE}": "a", "other": "b"}) + "\n")
    done = run_cli_in_process("run", "--recipe", SMALL_RECIPE, "--data", "rows.jsonl", cwd=tmp_path, check=False)
    assert done.returncode == 1 and "\\u{1b}]0;owned" in done.stderr
    assert not UNSEEN & set(done.stdout + done.stderr)


def test_a_bug_that_quotes_a_strangers_text_has_no_escape_codes_either(tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError(ESCAPE)

    monkeypatch.setattr("harness.commands.status.status_command", broken)
    done = run_cli_in_process("status", cwd=tmp_path, check=False)
    assert done.returncode == 1 and "Traceback" in done.stderr and not UNSEEN & set(done.stderr)


# ---------------------------------------------------------------- names

TASK = 'name = "{0}"\nlabel = "L"\nshots = 0\nmetric = "acc"\nchance = 0.0\n'
SUITE = 'title = "t"\nversion = "1"\nlm_eval = "0.4.13"\n'
PUBLISHED = 'published = ["../x"]\n'
STUDY = 'title = "t"\nquestion = "q"\nobjectives = "spin"\niterations = 1\nseeds = [0]\n'
NAMES = {
    "absolute run name": (["--name", "/tmp/x"], {}),
    "run name like a phase in the making": (["--name", "x.partial"], {}),
    "suite of dots": (["--suite", "./..toml"], {"..toml": SUITE + "[[task]]\n" + TASK.format("a")}),
    "suite with an escape code": (["--suite", "./a\x1b.toml"], {"a\x1b.toml": SUITE + "[[task]]\n" + TASK.format("a")}),
    "task that is a path": (["--suite", "./s.toml"], {"s.toml": SUITE + "[[task]]\n" + TASK.format("/etc/x")}),
    "task named as a column": (["--suite", "./s.toml"], {"s.toml": SUITE + "[[task]]\n" + TASK.format("mean")}),
    "published that leads out": (["--suite", "./s.toml"], {"s.toml": SUITE + PUBLISHED + "[[task]]\n" + TASK.format("a")}),
    "objective named as a folder of the run": (["--objectives", "./data.py"], {"data.py": "raise SystemExit('ran')"}),
    "objective with a name of dots": (["--objectives", "./..py"], {"..py": "raise SystemExit('ran')"}),
    "label longer than a name": (["--objectives", "spin:beta=" + "|".join(["0.125"] * 60)], {}),
    "mirror that is an address": (["--mirror", "https://name:hidden@host/x"], {}),
    "study tuned by a path": (["study", "./s.toml"], {"s.toml": STUDY + 'tuned_by = "../../x"\n'}),
    "study with a name of dots": (["study", "./..toml"], {"..toml": STUDY + 'tuned_by = "/x"\n'}),
}  # fmt: skip


@pytest.mark.parametrize("case", NAMES)
def test_no_name_leads_out_of_its_folder(case, tmp_path):
    arguments, made = NAMES[case]
    cwd = tmp_path / "in" / "here"
    cwd.mkdir(parents=True)
    for name, text in made.items():
        (cwd / name).write_text(text)
    before = files(tmp_path)
    command = arguments if arguments[0] == "study" else ["run", "--recipe", str(SMALL_RECIPE), *arguments]
    done = run_cli_in_process(*command, cwd=cwd, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert "hidden" not in done.stderr and not UNSEEN & set(done.stdout + done.stderr)
    assert files(tmp_path) == before


def test_a_label_has_no_character_that_could_lead_out():
    for value in ("../../x", "/etc", "a\x1b", "..\\x", "a b"):
        (one,) = parse_variants(f"spin:beta={value}")
        assert set(one.label) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
        assert one.label.startswith("spin-beta")


# ---------------------------------------------------------------- files that would run


def pickled(mark):
    class Bomb:
        def __reduce__(self):
            return (open, (str(mark), "w"))

    return pickle.dumps(Bomb())


def test_pickled_objects_in_data_are_not_loaded(tmp_path):
    """A parquet file whose column claims to hold pickled Python objects, and a pickle that is called a data file."""
    mark = tmp_path / "mark"
    bomb = pickled(mark)
    claims = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": bomb}
    field = pa.field("prompt", pa.string(), metadata=claims)
    table = pa.table([pa.array(["p"]), pa.array(["r"])], schema=pa.schema([field, pa.field("response", pa.string())]))
    pq.write_table(table, tmp_path / "a.parquet")
    with contextlib.suppress(UserError):
        assert read_rows(DataConfig(), str(tmp_path / "a.parquet"), None)[0][1]["prompt"] == "p"
    for name in ("b.parquet", "b.csv", "b.jsonl", "b.json"):
        (tmp_path / name).write_bytes(bomb)
        with pytest.raises(UserError, match=name):
            read_rows(DataConfig(), str(tmp_path / name), None)
    assert not mark.exists()


def test_code_in_a_mirrors_data_set_is_not_run(tmp_path):
    folder = tmp_path / "org" / "data"
    folder.mkdir(parents=True)
    (folder / "data.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w').close()\n")
    with pytest.raises(UserError, match="org/data"):
        read_rows(DataConfig(), "org/data", tmp_path)
    assert not (tmp_path / "mark").exists()


def test_a_pickle_called_safetensors_is_refused(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(ROOT / "harness" / "lab" / "base", folder)
    for weights in folder.glob("*.safetensors"):
        weights.write_bytes(pickled(tmp_path / "mark"))
    with pytest.raises(UserError, match=r"model\.path="):
        load_policy(ModelConfig(path=str(folder)), LoraConfig(), "auto", None, None)
    assert not (tmp_path / "mark").exists()


def test_what_the_program_writes_is_looked_over_and_passes(run):
    validate_run_folder(run)
    for record in sorted((ROOT / "results").glob("*/run.json")):
        validate_run_folder(record.parent)
