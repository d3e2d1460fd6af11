"""The data loader under damaged files: whatever stands in them, pairs come out or one line that names the file."""

import random

import pytest

from harness.config import DataConfig
from harness.language.data.dataset import read_pairs
from harness.sources.rows import FILE_SUFFIXES
from tests.fuzz.data_loader import attack, corpus, damaged, target


@pytest.mark.parametrize("seed", range(3))
def test_damaged_files_are_pairs_or_one_line(seed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a find is kept where it happens
    done = attack(seed, count=200)
    assert {kind.split()[0] for kind in done} == set(FILE_SUFFIXES)
    assert sum(n for kind, n in done.items() if kind.endswith("read")) > 5, "damage that leaves nothing readable tests little"
    assert sum(n for kind, n in done.items() if kind.endswith("refused")) > 50


def test_the_files_it_starts_from_are_well(tmp_path):
    for raw, suffix in corpus():
        assert target(raw, suffix, tmp_path), suffix


def test_the_damage_depends_on_the_seed_alone():
    raw, _ = corpus()[0]
    first, again, other = (damaged(raw, random.Random(seed)) for seed in (1, 1, 2))
    assert first == again != raw and other != first


def test_the_target_lets_other_errors_through(tmp_path, monkeypatch):
    """A fuzz target that forgave everything would find nothing."""
    monkeypatch.setattr("harness.language.data.dataset.read_rows", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        target(b"", ".jsonl", tmp_path)


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv"])
def test_a_byte_order_mark_is_left_out(suffix, tmp_path):
    row = b'{"prompt": "a", "response": "b"}'
    raw = {".jsonl": row, ".json": b"[" + row + b"]", ".csv": b"prompt,response\na,b\n"}[suffix]
    (tmp_path / f"p{suffix}").write_bytes(b"\xef\xbb\xbf" + raw)
    (pair,) = read_pairs(DataConfig(), str(tmp_path / f"p{suffix}"), None)
    assert (pair.prompt, pair.real) == ("a", "b")
