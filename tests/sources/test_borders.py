"""What a mirror holds reads no file outside its folder and asks no network, whatever its own files say."""

import json
import os
import socket

import datasets
import pytest

from harness.commands.fetch import fetch_command
from harness.config import DataConfig
from harness.errors import UserError
from harness.sources.confinement import check_no_foreign_code, outside_references
from harness.sources.datasets_in_mirror import in_mirror
from harness.sources.mirror import data_item, locate_item
from harness.sources.offline import NetworkBlocked, go_offline, network_allowed
from harness.sources.rows import read_rows

ROW = '{"prompt": "who", "response": "PRIVATE"}\n'


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A mirror, rows beside it that are none of its business, and a cache of the library's own."""
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "secret.jsonl").write_text(ROW)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    (tmp_path / "mirror").mkdir()
    return tmp_path / "mirror"


def data_set(mirror, name, readme=None, **files):
    folder = mirror / "org" / name
    folder.mkdir(parents=True)
    for file, text in files.items():
        (folder / file.replace("__", ".")).write_text(text)
    if readme is not None:
        (folder / "README.md").write_text(f"---\nconfigs:\n- config_name: default\n  {readme}\n---\n")
    return folder


def read(mirror, name):
    return read_rows(DataConfig(source=f"org/{name}"), f"org/{name}", mirror)


NAMED = {
    "an address": "data_files: http://192.0.2.1/x.jsonl",
    "the hub": "data_files: hf://datasets/other/set/x.jsonl",
    "a bucket": "data_files: s3://bucket/x.jsonl",
    "a file by address": "data_files: file:///etc/hostname",
    "an archive in an address": "data_files: zip://x.jsonl::http://192.0.2.1/x.zip",
    "an absolute path": "data_files: /etc/hostname",
    "the way up": "data_files: ../../../beside/secret.jsonl",
    "the way up behind a folder": "data_files: a/../../../../beside/*.jsonl",
    "the home": "data_files: ~/x.jsonl",
    "a split's path": "data_files: [{split: train, path: [own.jsonl, ../../../beside/secret.jsonl]}]",
    "a folder": "data_dir: ../../../beside",
}


NESTED = ", ".join(f"&{n} [{', '.join([f'*{n - 1}' if n else 'own.jsonl'] * 10)}]" for n in range(9))
LONG = "".join(f"- config_name: c{n}\n  data_files: own.jsonl\n  " for n in range(25_000))
ENDLESS = {
    "itself": ("data_files: &a [own.jsonl, *a]", "holds more than 1,000,000 values"),
    "nested": (f"data_files: [{NESTED}]", "holds more than 1,000,000 values"),
    "long": (LONG, "its YAML has more than 1,048,576 characters"),
}
READMES = {case: (words, "data_(files|dir) names .* outside its folder") for case, words in NAMED.items()} | ENDLESS


@pytest.mark.parametrize("case", READMES)
def test_a_readme_that_names_what_is_outside_or_takes_minutes_is_refused_before_anything_is_read(case, mirror):
    words, said = READMES[case]
    data_set(mirror, "x", words, own__jsonl=ROW)
    with pytest.raises(UserError, match=rf"README\.md: {said}"):
        read(mirror, "x")
    assert not (mirror.parent / "cache").exists()


def test_the_library_is_held_to_the_folder_where_the_words_were_not_understood(mirror, monkeypatch):
    """With the look at the words taken away: files by every other way."""
    monkeypatch.setattr("harness.sources.datasets_in_mirror.outside_references", lambda *_: ())
    monkeypatch.setattr("harness.sources.mirror.outside_references", lambda *_: ())
    for number, words in enumerate((NAMED["the way up"], NAMED["a split's path"], f"data_files: {mirror.parent}/beside/*.jsonl")):
        data_set(mirror, f"n{number}", words, own__jsonl=ROW)
        with pytest.raises(UserError, match="outside its folder"):
            read(mirror, f"n{number}")


def test_a_data_set_with_files_of_its_own_is_read(mirror):
    data_set(mirror, "honest", "data_files: [{split: train, path: own*.jsonl}]", own__jsonl=ROW)
    assert [row["response"] for _, row in read(mirror, "honest")] == ["PRIVATE"]
    locate_item(mirror, data_item("org/honest", heldout=False))


def test_links_out_are_refused_and_those_of_the_hubs_cache_are_not(mirror):
    outside = mirror.parent / "beside"
    for name, to in (("file", outside / "secret.jsonl"), ("folder", outside), ("upwards", "../../../beside/secret.jsonl")):
        (data_set(mirror, name) / "train.jsonl").symlink_to(to)
        with pytest.raises(UserError, match=r"train\.jsonl: is a link to .*outside its folder"):
            read(mirror, name)
    (mirror / "org" / "whole").symlink_to(outside)
    with pytest.raises(UserError, match="outside the mirror"):
        read(mirror, "whole")
    blobs = [mirror / "hub" / "blobs", mirror / "hub" / "datasets--org--cached" / "blobs"]
    snapshot = mirror / "hub" / "datasets--org--cached" / "snapshots" / "c0ffee"
    for folder in (*blobs, snapshot):
        folder.mkdir(parents=True)
    (blobs[0] / "ab12").write_text(ROW)  # shared between the repositories of the cache
    (blobs[1] / "ab12").symlink_to("../../blobs/ab12")
    (snapshot / "train.jsonl").symlink_to("../../blobs/ab12")
    (mirror / "org" / "cached").symlink_to(snapshot)
    assert [row["response"] for _, row in read(mirror, "cached")] == ["PRIVATE"]
    (snapshot / "test.jsonl").symlink_to(outside / "secret.jsonl")
    with pytest.raises(UserError, match=r"test\.jsonl: is a link to .*outside its folder"):
        read(mirror, "cached")


MADE = {
    "a link to itself": ("leads in a circle", lambda folder: (folder / "train.jsonl").symlink_to("train.jsonl")),
    "a pipe": ("neither a file nor a folder", lambda folder: os.mkfifo(folder / "train.jsonl")),
    "a description that is a pipe": ("neither a file nor a folder", lambda folder: os.mkfifo(folder / "README.md")),
    "a description without an end": ("is a link to /dev/zero", lambda folder: (folder / "README.md").symlink_to("/dev/zero")),
}


@pytest.mark.parametrize("case", MADE)
def test_what_has_no_end_is_named_and_not_read(case, mirror, capsys):
    said, make = MADE[case]
    make(data_set(mirror, "x"))
    with pytest.raises(UserError, match=said):
        read(mirror, "x")
    assert fetch_command({}, mirror, check=True) == 1 and said in capsys.readouterr().out


def test_a_file_that_cannot_be_read_is_one_line_with_its_cause(mirror, capfd):
    data_set(mirror, "x", train__jsonl="no JSON\n" + ROW)
    with pytest.raises(UserError, match="JSON"):
        read(mirror, "x")
    assert capfd.readouterr().err == ""


def test_a_column_of_pictures_opens_no_path(mirror):
    """Decoding a picture opens whatever path or address its row has."""
    types = {"prompt": "string", "response": "string", "image": "image"}
    features = "".join(f"  - {{name: {name}, dtype: {kind}}}\n" for name, kind in types.items())
    folder = data_set(mirror, "pictures")
    (folder / "README.md").write_text(f"---\ndataset_info:\n  features:\n{features}---\n")
    row = {"prompt": "p", "response": "r", "image": str(mirror.parent / "beside" / "secret.jsonl")}
    (folder / "train.jsonl").write_text(json.dumps(row) + "\n")
    ((_, found),) = read(mirror, "pictures")
    assert found["image"] == {"bytes": None, "path": row["image"]}


MODELS = {
    "weights": ("model.safetensors.index.json", {"weight_map": {"a": "../other/model.safetensors"}}),
    "a tokenizer's file": ("tokenizer_config.json", {"vocab_file": "/etc/hostname"}),
    "a tokenizer's files": ("tokenizer_config.json", {"vocab_file": ["vocab.txt", "../other/vocab.txt"]}),
    "a base": ("adapter_config.json", {"base_model_name_or_path": "other/base"}),
}


@pytest.mark.parametrize("case", MODELS)
def test_a_model_that_names_files_outside_is_refused(case, mirror):
    folder = mirror / "models" / "org" / "m"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert not list(outside_references(folder, mirror))
    name, said = MODELS[case]
    (folder / name).write_text(json.dumps(said))
    (line,) = outside_references(folder, mirror)
    assert name in line


def test_code_of_another_repository_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"auto_map": {"AutoModelForCausalLM": "modeling.Own"}}))
    check_no_foreign_code(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"auto_map": {"AutoTokenizer": [None, "other/repo--t.Theirs"]}}))
    with pytest.raises(UserError, match=r"code of another repository or folder, other/repo,"):
        check_no_foreign_code(tmp_path)
    for said in ({"auto_map": "other/repo--m.C"}, {"text_config": {"auto_map": {"AutoConfig": "../other/m.C"}}}):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(said))
        with pytest.raises(UserError, match="code of another repository or folder"):
            check_no_foreign_code(tmp_path)


def test_fetch_check_says_what_leads_out(mirror, capsys):
    data_set(mirror, "honest", "data_files: own.jsonl", own__jsonl=ROW)
    with pytest.raises(UserError, match=r"no mirror\.json there"):
        fetch_command({}, mirror, check=True)
    data_set(mirror, "web", NAMED["an address"])
    (data_set(mirror, "linked") / "train.jsonl").symlink_to(mirror.parent / "beside" / "secret.jsonl")
    assert fetch_command({}, mirror, check=True) == 1
    printed = capsys.readouterr().out
    said = [line for line in printed.splitlines() if line.startswith("PROBLEM")]
    assert len(said) == 2 and "192.0.2.1" in said[1] and "linked" in said[0]
    (mirror / "org" / "notes.txt").write_text("a file beside data sets")
    assert fetch_command({}, mirror, check=True) == 1
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(printed.splitlines())


# ---------------------------------------------------------------- the network


@pytest.mark.loopback
def test_no_connection_and_no_look_up_once_a_mirror_stands_for_the_hub():
    """Each is refused where it would be made, by whatever library; a judge's thread may connect."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        address = server.getsockname()
        socket.create_connection(address).close()
        go_offline()
        for reach in (
            lambda: socket.create_connection(address),
            lambda: tcp.connect_ex(address),
            lambda: socket.getaddrinfo("localhost", address[1]),
            lambda: socket.gethostbyname("localhost"),
            lambda: udp.sendto(b"x", address),
        ):
            with pytest.raises(NetworkBlocked, match="no network with --mirror"):
                reach()
        with network_allowed():
            socket.create_connection(address).close()
        a, b = socket.socketpair()
        with a, b:
            a.sendmsg([b"x"])
            assert b.recv(1) == b"x"


@pytest.mark.loopback
def test_a_task_that_names_an_address_itself_reaches_nothing(mirror):
    """`dataset_kwargs` of a task of one's own: refused, with nobody at the door of a server that would have answered."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        go_offline()
        address = f"http://127.0.0.1:{server.getsockname()[1]}/x.jsonl"
        with in_mirror(mirror), pytest.raises(FileNotFoundError, match="Unable to find"):
            datasets.load_dataset("json", data_files={"test": address})
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()
