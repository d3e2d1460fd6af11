"""A folder's files of one split: told by their names, and an error that lists the files where none is of the split."""

import pytest

from harness.errors import UserError
from harness.sources.splits import files_of_split


def folder(tmp_path, *names):
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    return tmp_path


@pytest.mark.parametrize(
    ("split", "names", "expected"),
    [
        ("train", ["train.jsonl", "test.jsonl"], ["train.jsonl"]),
        ("test", ["train.jsonl", "test.jsonl"], ["test.jsonl"]),
        ("train", ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet", "test-00000-of-00001.parquet"], None),
        ("train", ["data/train-00000-of-00002-0123456789abcdef.parquet", "data/test-00000-of-00001.parquet"], None),
        ("train_sft", ["data/train_sft-00000-of-00001.parquet", "data/train_gen-00000-of-00001.parquet"], None),
        ("train", ["train/part-0.jsonl", "train/p-1.jsonl", "test/part-0.jsonl"], ["train/p-1.jsonl", "train/part-0.jsonl"]),
        ("train", ["default/train/0000.parquet", "default/test/0000.parquet"], ["default/train/0000.parquet"]),
        ("train", ["train_0.csv", "train_1.csv", "eval.csv"], ["train_0.csv", "train_1.csv"]),
        ("train", ["squad-train.jsonl", "squad-dev.jsonl"], ["squad-train.jsonl"]),
        ("train", ["default_train.jsonl", "default_test.jsonl"], ["default_train.jsonl"]),
        ("train", ["training.jsonl", "testing.jsonl"], ["training.jsonl"]),
        ("validation", ["train.jsonl", "dev.jsonl"], ["dev.jsonl"]),
        ("test", ["train/test.jsonl", "train/train.jsonl"], ["train/test.jsonl"]),
        ("train", ["train.json", "test.json", "dataset_info.json"], ["train.json"]),
        ("train", ["train.jsonl", "notes.jsonl"], ["train.jsonl"]),
        ("train", ["pairs.jsonl"], ["pairs.jsonl"]),
        ("train", ["part-0001.jsonl", "part-0002.jsonl"], ["part-0001.jsonl", "part-0002.jsonl"]),
        ("train", ["0000.parquet", "0001.parquet", "README.md"], ["0000.parquet", "0001.parquet"]),
        ("train", ["pairs.jsonl", ".cache/train.jsonl"], ["pairs.jsonl"]),
        ("held", ["held.jsonl", "pairs.jsonl"], ["held.jsonl"]),
    ],
)
def test_the_files_of_a_split(tmp_path, split, names, expected):
    """expected None: those whose names begin with the split, wherever they lie."""
    found = [path.relative_to(tmp_path).as_posix() for path in files_of_split(folder(tmp_path, *names), split)]
    assert found == (expected or sorted(name for name in names if name.rpartition("/")[2].startswith(f"{split}-")))


@pytest.mark.parametrize(
    ("split", "names", "words"),
    [
        ("train_sft", ["train.jsonl", "test.jsonl"], "'train_sft'; it has test.jsonl, train.jsonl; name another with"),
        ("validation", ["train.jsonl", "test.jsonl"], "split 'validation'; it has test.jsonl, train.jsonl.*data.split="),
        ("train", ["test.jsonl"], "'train'; it has test.jsonl; name another with --set data.split=test"),
        ("train", ["test-00000-of-00001.parquet", "README.md"], "'train'; it has test-00000-of-00001.parquet"),
        ("train", ["a.jsonl", "b.jsonl"], "'train'; it has a.jsonl, b.jsonl; give a file"),
        ("test", ["pairs.jsonl"], "'test'; it has pairs.jsonl; give a file"),
        ("train", ["train_sft-0.parquet", "train_gen-0.parquet"], "files could be the split 'train'.*data.split=train_gen"),
        ("train", [f"{letter}.csv" for letter in "abcdefgh"], "a.csv, b.csv, c.csv, d.csv, e.csv, f.csv and 2 more"),
        ("train", ["dataset_info.json"], "holds no .jsonl, .csv, .parquet file"),
        ("train", ["train/data.arrow"], "holds no .jsonl, .csv, .parquet file; it has train/data.arrow; give a file"),
    ],
)
def test_a_split_that_no_file_bears_is_an_error_that_lists_the_files(tmp_path, split, names, words):
    with pytest.raises(UserError, match=words):
        files_of_split(folder(tmp_path, *names), split)


def test_a_configuration_is_a_sub_folder(tmp_path):
    made = folder(tmp_path, "main/train.jsonl", "socratic/train.jsonl")
    assert files_of_split(made, "train", "socratic") == [made / "socratic" / "train.jsonl"]
    with pytest.raises(UserError, match="has no sub-folder 'sokratic'"):
        files_of_split(made, "train", "sokratic")
