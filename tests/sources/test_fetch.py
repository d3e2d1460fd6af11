"""What is fetched from a hub on this machine, what a mirror refuses, and a run from it with no network at all."""

import hashlib
import json
import os
import shutil

import huggingface_hub
import pytest

from harness.commands.fetch import _hub_items
from harness.config import DataConfig, load_config
from harness.errors import UserError
from harness.files import read_jsonl
from harness.progress import Reporter
from harness.sources.fetch import fetch, select_files
from harness.sources.mirror import (
    HubItem,
    adapter_item,
    check_file_name,
    data_item,
    is_hub_id,
    locate_item,
    model_item,
    read_manifest,
    recorded_commit,
    relative_dir,
)
from harness.sources.offline import go_offline
from harness.sources.rows import read_rows
from tests.conftest import ROOT, read_csv_rows, run_cli, run_cli_in_process
from tests.helpers.damage import flip, refused
from tests.helpers.peers import lab_policy_with_adapter
from tests.helpers.stub_hub import Hub, Repository

BASE = ROOT / "harness" / "lab" / "base"
TOKEN = "hf_notToBeSeenAnywhere"
PAIRS = (ROOT / "harness" / "lab" / "data" / "train.jsonl").read_bytes().splitlines(keepends=True)
EVALSET = [{"question": f"{a} + {b} ?", "choices": [str(a + b), str(a + b + 1)], "answer": 0} for a in range(4) for b in range(3)]


def card(*configs):
    listed = "".join(f"- config_name: {c}\n  data_files:\n  - split: {s}\n    path: {c}/{s}.jsonl\n" for c, s in configs)
    return f"---\nconfigs:\n{listed}---\n# A data set\n".encode()


def repositories(adapter=None):
    model = {p.name: p.read_bytes() for p in BASE.iterdir()}
    decoys = ("pytorch_model.bin", "own.py", "onnx/model.onnx", "consolidated.safetensors", ".gitattributes", "README.md")
    pairs = {"README.md": card(("main", "train"), ("other", "train")), "main/train.jsonl": b"".join(PAIRS[:20])}
    pairs |= {"other/train.jsonl": b"".join(PAIRS[20:40]), "pairs.py": b"raise SystemExit", ".gitattributes": b"x"}
    evalset = "".join(json.dumps(row) + "\n" for row in EVALSET).encode()
    return {
        ("models", "tiny/base"): Repository(model | dict.fromkeys(decoys, b"decoy"), {"model.safetensors", "pytorch_model.bin"}),
        ("models", "tiny/start"): Repository({**(adapter or {}), "training_args.bin": b"decoy"}),
        ("models", "tiny/pickled"): Repository({"config.json": b"{}", "pytorch_model.bin": b"decoy"}),
        ("models", "tiny/gated"): Repository(model, gated=True),
        ("datasets", "tiny/pairs"): Repository(pairs),
        ("datasets", "tiny/evalset"): Repository({"README.md": card(("easy", "test")), "easy/test.jsonl": evalset}),
        ("datasets", "tiny/hostile"): Repository({"../../escaped.jsonl": b"x", "train.jsonl": b"{}"}),
        ("datasets", "tiny/script"): Repository({"README.md": b"x", "script.py": b"raise SystemExit"}),
    }


RECIPE = """
objectives = "space,spin"
iterations = 1
model = {path = "tiny/base", adapter = "tiny/start"}
data = {source = "tiny/pairs", config = "main", heldout_examples = 6, max_examples = 8}
generation = {max_new_tokens = 8}
training = {epochs = 1, batch_size = 4}
probe = {prompts = 4}
evaluation = {suite = "./own.toml"}
"""
SUITE = """
title = "A task of one's own"
version = "1"
lm_eval = "0.4.13"
include_paths = ["tasks"]
task = [{name = "own_sums", label = "Sums", shots = 1, metric = "acc", chance = 0.5}]
"""
TASK = """
task: own_sums
dataset_path: tiny/evalset
dataset_name: easy
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: choices
doc_to_target: answer
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
metadata: {version: 1.0}
"""


@pytest.fixture(scope="module")
def fetched(tmp_path_factory):
    """A folder with a recipe, and the mirror that the real program fetched for it before the hub went away."""
    folder = tmp_path_factory.mktemp("fetched")
    lab_policy_with_adapter().model.save_pretrained(str(folder / "adapter"), save_embedding_layers=False)
    (folder / "tasks").mkdir()
    for name, text in (("own-recipe.toml", RECIPE), ("own.toml", SUITE), ("tasks/own_sums.yaml", TASK)):
        (folder / name).write_text(text)
    hub = Hub(repositories({p.name: p.read_bytes() for p in (folder / "adapter").iterdir()}))
    with hub.serving():
        done = run_cli(
            "fetch", "--recipe", "own-recipe.toml", "--to", "mirror", cwd=folder,
            HF_ENDPOINT=hub.url, HF_HOME=str(folder / "home"), HF_TOKEN=TOKEN, HARNESS_TEST_LOOPBACK="1",
        )  # fmt: skip
    return folder, done, hub


def files_below(folder):
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_exactly_what_the_recipe_needs_is_fetched_and_nothing_that_runs_code(fetched):
    folder, done, _ = fetched
    assert files_below(folder / "mirror") == {
        "mirror.json", *(f"models/tiny/base/{p.name}" for p in BASE.iterdir()), "models/tiny/start/adapter_config.json",
        "models/tiny/start/adapter_model.safetensors", "tiny/pairs/README.md", "tiny/pairs/main/train.jsonl",
        "tiny/pairs/other/train.jsonl", "tiny/evalset/README.md", "tiny/evalset/easy/test.jsonl",
    }  # fmt: skip
    assert not [p for p in (folder / "mirror").rglob("*") if p.is_symlink()]
    named = [line for line in done.stderr.splitlines() if " at " in line]
    things = ["model tiny/base", "adapter tiny/start", "data set tiny/pairs", "data set tiny/evalset"]
    assert [line.partition(" at ")[0] for line in named] == things
    assert done.stderr.index("data set tiny/evalset at") < done.stderr.index("model tiny/base: ")


def test_mirror_json_has_commit_size_and_checksum_of_every_file(fetched):
    folder, _, hub = fetched
    manifest = json.loads((folder / "mirror" / "mirror.json").read_text())
    assert manifest["format_version"] == 1
    entries = {(e["kind"], e["id"]): e for e in manifest["entries"]}
    assert set(entries) == {("model", "tiny/base"), ("adapter", "tiny/start"), ("data", "tiny/pairs"), ("data", "tiny/evalset")}
    base, commit = entries["model", "tiny/base"], hub.repositories["models", "tiny/base"].commit
    assert base["commit"] == recorded_commit(folder / "mirror", "model", "tiny/base") == commit
    contents = {p.name: p.read_bytes() for p in BASE.iterdir()}
    assert base["files"] == {n: {"size": len(c), "sha256": hashlib.sha256(c).hexdigest()} for n, c in contents.items()}


def test_the_token_is_used_and_neither_printed_nor_kept(fetched):
    folder, done, hub = fetched
    assert f"Bearer {TOKEN}" in hub.tokens and TOKEN not in done.stdout + done.stderr
    assert not [p for p in (folder / "mirror").rglob("*") if p.is_file() and TOKEN.encode() in p.read_bytes()]


@pytest.mark.slow
def test_without_any_network_a_run_from_the_mirror_reaches_its_report_in_two_processes(fetched):
    """In a fresh home, so that no cache of the hub's libraries helps. In one process: tests/test_recipe_twins.py."""
    folder, *_ = fetched
    options = ("--mirror", "mirror", "--name", "two", "--jobs", "2")
    run_cli("run", "--recipe", "own-recipe.toml", *options, cwd=folder, HF_HOME=str(folder / "two"), HARNESS_TEST_LOOPBACK="")
    assert (folder / "reports" / "two.pdf").read_bytes().startswith(b"%PDF")
    scores = read_csv_rows(folder / "results" / "two" / "scores.csv")
    assert [(r["task"], r["n"]) for r in scores] == [("own_sums", "12")] * 3
    prompts = {pair["prompt"] for pair in read_jsonl(folder / "results/two/data/train.jsonl")}
    assert prompts <= {json.loads(line)["prompt"] for line in PAIRS[:20]}, "the configuration asked for"


# ---------------------------------------------------------------- in this process


@pytest.fixture
def hub(monkeypatch):
    made = Hub(repositories())
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", made.url)
    address = made.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", address)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with made.serving():
        yield made


PAIRS_WANTED, BASE_WANTED = data_item("tiny/pairs", heldout=False), model_item("tiny/base", None)


def bring(mirror, *wanted):
    fetch(wanted, mirror, Reporter())


@pytest.mark.loopback
def test_a_second_fetch_fetches_nothing_and_another_recipe_adds_to_the_same_folder(hub, tmp_path):
    bring(tmp_path, PAIRS_WANTED)
    hub.contents.clear()
    bring(tmp_path, PAIRS_WANTED, BASE_WANTED)
    assert sorted(hub.contents) == sorted(p.name for p in BASE.iterdir())
    assert {e.id for e in read_manifest(tmp_path).entries} == {"tiny/pairs", "tiny/base"}
    hub.contents.clear()
    hub.dead = True  # a complete mirror asks nobody
    bring(tmp_path, PAIRS_WANTED, BASE_WANTED)
    assert hub.contents == []
    hub.dead = False
    flip(tmp_path / "models" / "tiny" / "base" / "model.safetensors")
    bring(tmp_path, PAIRS_WANTED, BASE_WANTED)
    assert hub.contents == ["model.safetensors"], "what is damaged is fetched again, and nothing else"
    assert (locate_item(tmp_path, BASE_WANTED) / "model.safetensors").read_bytes() == (BASE / "model.safetensors").read_bytes()


@pytest.mark.loopback
def test_an_interrupted_fetch_leaves_no_half_file_and_goes_on_where_it_stopped(hub, tmp_path):
    hub.dies_in = "model.safetensors"
    with pytest.raises(UserError, match="cannot be reached, or the connection was lost .* repeat the command to go on"):
        bring(tmp_path, BASE_WANTED)
    assert not (tmp_path / "models").exists()
    before = {path.name for path in (tmp_path / ".partial" / "models" / "tiny" / "base").iterdir() if path.is_file()}
    assert before and "model.safetensors" not in before
    hub.dead, hub.dies_in = False, None
    hub.contents.clear()
    bring(tmp_path, BASE_WANTED)
    assert set(hub.contents) == ({p.name for p in BASE.iterdir()} - before) | {"model.safetensors"}
    assert locate_item(tmp_path, BASE_WANTED) == tmp_path / "models" / "tiny" / "base"
    assert files_below(tmp_path / "models" / "tiny" / "base") == {p.name for p in BASE.iterdir()}


@pytest.mark.loopback
@pytest.mark.parametrize("name", ["model.safetensors", "config.json"], ids=["by SHA-256", "by git's digest"])
def test_a_file_that_comes_with_other_bytes_than_the_hub_announces_is_refused(hub, tmp_path, name):
    hub.alters = {name}
    with pytest.raises(UserError, match=f"model tiny/base: {name} was damaged in transfer"):
        bring(tmp_path, BASE_WANTED)
    assert not (tmp_path / "models").exists()


@pytest.mark.loopback
def test_what_an_earlier_commit_left_half_fetched_does_not_get_in(hub, tmp_path):
    hub.dies_in = "other/train.jsonl"
    with pytest.raises(UserError):
        bring(tmp_path, PAIRS_WANTED)
    hub.dead, hub.dies_in = False, None
    del hub.repositories["datasets", "tiny/pairs"].files["main/train.jsonl"]
    bring(tmp_path, PAIRS_WANTED)
    assert files_below(tmp_path / "tiny" / "pairs") == {"README.md", "other/train.jsonl"}


@pytest.mark.loopback
@pytest.mark.parametrize("cache", ["hub", "."], ids=["HF_HOME", "HF_HUB_CACHE"])
def test_a_cache_of_the_hubs_libraries_can_stand_for_the_hub(hub, tmp_path, monkeypatch, cache):
    """Model and data are read from their snapshots, with the hub gone; of another revision there is nothing."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "tables"))
    for wanted in (PAIRS_WANTED, BASE_WANTED):
        huggingface_hub.snapshot_download(wanted.id, repo_type=wanted.repo_type, cache_dir=tmp_path / "mirror" / cache)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    hub.dead = True
    commit = hub.repositories["models", "tiny/base"].commit
    for revision in (None, "main", commit):
        assert locate_item(tmp_path / "mirror", model_item("tiny/base", revision)).name == commit
    with pytest.raises(UserError, match="model tiny/base: not in "):
        locate_item(tmp_path / "mirror", model_item("tiny/base", "v2"))
    rows = read_rows(DataConfig(source="tiny/pairs", config="main"), "tiny/pairs", tmp_path / "mirror")
    assert [row for _, row in rows] == [json.loads(line) for line in PAIRS[:20]]


@pytest.mark.loopback
def test_a_mirror_stays_at_its_commit_and_another_revision_is_refused(hub, tmp_path):
    bring(tmp_path, BASE_WANTED)
    commit = recorded_commit(tmp_path, "model", "tiny/base")
    hub.repositories["models", "tiny/base"].files["config.json"] += b"\n"
    bring(tmp_path, BASE_WANTED, model_item("tiny/base", commit))
    assert recorded_commit(tmp_path, "model", "tiny/base") == commit
    expected = r"has revision main \(commit .*\), expected v2; .* --set model.revision=v2 --to OTHER"
    for act in (bring, locate_item):
        with pytest.raises(UserError, match=expected):
            act(tmp_path, model_item("tiny/base", "v2"))


REFUSED = {
    "only pickled weights": (model_item("tiny/pickled", None), "has no *.safetensors; pickled weights are not read"),
    "a path out of the folder": (data_item("tiny/hostile", heldout=False), "a file '../../escaped.jsonl', which could leave"),
    "a loading script": (data_item("tiny/script", heldout=False), "has no data files (a loading script is not run)"),
    "gated": (model_item("tiny/gated", None), "gated; accept its terms on its page at 127.0.0.1 and log in (hf auth login)"),
    "not there": (model_item("tiny/nothing", None), "127.0.0.1 has none of this name, or it is private; check the id"),
    "no such revision": (model_item("tiny/base", "v9"), "has no revision v9 of it"),
    "no adapter": (adapter_item("tiny/base"), "has no adapter_config.json and no adapter_model.safetensors"),
}


@pytest.mark.loopback
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_fetched_is_one_line_and_leaves_nothing(case, hub, tmp_path, capsys):
    wanted, expected = REFUSED[case]
    with pytest.raises(UserError) as told:
        bring(tmp_path / "mirror", wanted)
    assert str(told.value).startswith(str(wanted)) and expected in str(told.value)
    assert {name for name in files_below(tmp_path) if "/.partial/" not in name} == set()
    assert ("gated: accept its terms on the hub and log in first" in capsys.readouterr().err) == (case == "gated")


@pytest.mark.loopback
def test_a_hub_that_is_not_there_is_one_line_with_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://user:secret@127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    expected = "model tiny/base: 127.0.0.1 cannot be reached, or the connection was lost .*HF_ENDPOINT"
    with pytest.raises(UserError, match=expected) as told:
        bring(tmp_path, BASE_WANTED)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("name", ["../x", "a/../b", "/etc/x", "a\\b", "C:/x", "", "a//b", "a/./b", "a\nb"])
def test_file_names_that_could_leave_their_folder_are_refused(name):
    with pytest.raises(UserError, match="could leave its folder"):
        check_file_name(name, "data x/y")


@pytest.mark.parametrize("name", ["../x", "/etc", "a/b/c", "a\\b", "..", "models/x", "nltk_data/x", "a/..", ".partial/x"])
def test_ids_that_could_lie_elsewhere_are_refused(name):
    with pytest.raises(UserError):
        relative_dir("data", name)


def test_paths_are_no_hub_ids():
    assert [t for t in ("builtin:lab/base", "./a", "/a", "~/a", "a.jsonl", "b/a.parquet", "a/b/c") if is_hub_id(t)] == []
    assert all(is_hub_id(t) for t in ("gpt2", "openai/gsm8k", "Qwen/Qwen2.5-0.5B"))


def test_of_a_model_only_what_transformers_reads_without_running_code():
    names = ["model-00001-of-00002.safetensors", "model.safetensors.index.json", "config.json", "tokenizer.model"]
    names += ["chat_template.jinja", "additional_chat_templates/rag.jinja"]
    others = ["pytorch_model.bin", "a.gguf", "flax_model.msgpack", "tf_model.h5", "x.pt", "code.py"]
    others += ["pytorch_model.bin.index.json", "sub/config.json", "adapter_model.safetensors"]
    assert select_files(BASE_WANTED, names + others) == sorted(names)


# ---------------------------------------------------------------- a mirror that is not what it was


DAMAGE = {
    "a flipped byte": (flip, "damaged, its checksum is not the one recorded"),
    "a file cut short": (lambda p: p.write_bytes(p.read_bytes()[:-1]), "damaged, it has"),
    "a deleted file": (lambda p: p.unlink(), "missing"),
}


@pytest.fixture
def copied(fetched, tmp_path, monkeypatch):
    folder, *_ = fetched
    shutil.copytree(folder, tmp_path, ignore=shutil.ignore_patterns("home", "adapter", "results", "reports"), dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(*request):
    """The exit code of `fetch --check`, and the problems it names."""
    done = run_cli_in_process("fetch", *request, "--to", "mirror", "--check", cwd=".", check=False)
    return done.returncode, [line for line in done.stdout.splitlines() if line.startswith("PROBLEM")]


def refusal(folder, *request):
    """The line that ends a run from the mirror before anything is written."""
    line = refused(".", "run", "--recipe", "own-recipe.toml", *request, "--mirror", "mirror", after_progress=True)
    assert not list(folder.glob("results/*/*"))
    return line


@pytest.mark.parametrize("case", DAMAGE)
@pytest.mark.parametrize("file", ["models/tiny/base/model.safetensors", "tiny/evalset/easy/test.jsonl"])
def test_damage_is_named_by_the_check_and_refused_by_a_run(case, file, copied):
    damage, expected = DAMAGE[case]
    assert check() == (0, [])
    damage(copied / "mirror" / file)
    code, (problem,) = check()
    line = refusal(copied)
    assert code == 1 and file in problem and expected in problem
    assert file in line and expected in line and "on a machine with the hub: harness fetch --" in line


LACKS = {
    "--model tiny/other": "model tiny/other", "--set model.adapter=tiny/other": "adapter tiny/other",
    "--data tiny/other": "data set tiny/other", "--set data.heldout=tiny/other": "data set tiny/other",
}  # fmt: skip


@pytest.mark.parametrize("options", LACKS)
def test_what_a_mirror_lacks_is_one_line_with_the_command_that_fetches_it(options, copied):
    mirror = (copied / "mirror").resolve()
    expected = f"{LACKS[options]}: not in {mirror}; on a machine with the hub: harness fetch {options} --to {mirror}"
    assert expected in refusal(copied, *options.split())
    code, problems = check("--recipe", "own-recipe.toml", *options.split())
    assert code == 1 and any("tiny/other: not in mirror;" in line for line in problems)


def test_an_evaluation_set_that_a_mirror_lacks_is_named_by_the_run_and_by_the_suites_check(copied, monkeypatch):
    shutil.rmtree(copied / "mirror" / "tiny" / "evalset")
    (copied / "mirror" / "mirror.json").unlink()  # by hand, and still without it
    expected = f"data set tiny/evalset: not in {copied.resolve()}/mirror; on a machine with the hub: harness fetch --suite"
    assert expected in refusal(copied)
    monkeypatch.setenv("HARNESS_MIRROR", "")
    done = run_cli_in_process("suites", "check", "own.toml", "--mirror", "mirror", cwd=".", check=False)
    assert done.returncode == 1 and f"PROBLEM  {expected}" in done.stdout


def test_a_mirror_json_that_is_no_such_thing_is_one_line(tmp_path):
    for text, expected in (
        ("{", "damaged"),
        ('{"format_version": 2}', "format_version"),
        ('{"entries": [{"kind": "data", "id": "x/y", "revision": null, "commit": null, "files": {"../z": {"size": 1, "sha256": "'
         + "0" * 64 + '"}}}]}', "could leave its folder"),
    ):  # fmt: skip
        (tmp_path / "mirror.json").write_text(text)
        with pytest.raises(UserError, match=expected):
            read_manifest(tmp_path)


def test_going_offline_acts_on_libraries_that_were_imported_long_ago(monkeypatch):
    import datasets

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    go_offline()
    assert huggingface_hub.is_offline_mode() and datasets.config.HF_HUB_OFFLINE
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    with pytest.raises(huggingface_hub.errors.OfflineModeIsEnabled):
        huggingface_hub.HfApi().model_info("tiny/base")


# ---------------------------------------------------------------- NLTK

PUNKT = HubItem("nltk", "punkt_tab", ("--suite", "x"))


def test_nltk_data_is_copied_from_this_machine(tmp_path, monkeypatch):
    nltk = pytest.importorskip("nltk")
    source = tmp_path / "here" / "tokenizers" / "punkt_tab" / "english"
    source.mkdir(parents=True, mode=0o700)
    (source / "abbrev_types.txt").write_text("dr\n")
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path / "here")])
    bring(tmp_path / "mirror", PUNKT)
    copy = tmp_path / "mirror/nltk_data/tokenizers/punkt_tab/english/abbrev_types.txt"
    assert copy.read_text() == "dr\n"
    assert list(read_manifest(tmp_path / "mirror").entries[0].files) == ["english/abbrev_types.txt"]
    flip(copy)
    with pytest.raises(UserError, match="abbrev_types.txt: damaged"):
        locate_item(tmp_path / "mirror", PUNKT)
    bring(tmp_path / "mirror", PUNKT)
    locate_item(tmp_path / "mirror", PUNKT)


def test_nltk_data_that_is_nowhere_is_one_line_that_says_how_to_get_it(tmp_path, monkeypatch):
    nltk = pytest.importorskip("nltk")
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path / "nowhere")])

    def unreachable(*_, **__):
        raise ValueError("<urlopen error>")

    monkeypatch.setattr(nltk, "download", unreachable)
    expected = "nltk punkt_tab: not on this machine .* python -m nltk.downloader punkt_tab, then repeat"
    with pytest.raises(UserError, match=expected):
        bring(tmp_path / "mirror", PUNKT)
    assert nltk.data.path == [str(tmp_path / "nowhere")]


def test_a_judged_suites_questions_are_fetched_like_any_evaluation_set(tmp_path):
    """By hub id; a copy of the suite whose questions lie beside it needs nothing of the hub."""
    items = _hub_items(load_config("lab", (), {"evaluation.suite": "mt-bench"}), tmp_path)
    assert [str(item) for item in items] == ["data set HuggingFaceH4/mt_bench_prompts"]
    text = (ROOT / "harness/suites/mt-bench.toml").read_text()
    (tmp_path / "own.toml").write_text(text.replace("HuggingFaceH4/mt_bench_prompts", "own.jsonl"))
    (tmp_path / "own.jsonl").write_text("{}\n")
    assert _hub_items(load_config("lab", (), {"evaluation.suite": str(tmp_path / "own.toml")}), tmp_path) == []
