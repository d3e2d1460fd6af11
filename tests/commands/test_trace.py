"""`harness trace`: every use of one example, on every shipped run; nothing is printed where the id is not of one example."""

import itertools
import json
import shutil

import pytest

from harness.files import read_jsonl
from tests.conftest import ROOT, run_cli_in_process
from tests.helpers.damage import refused

SHIPPED = sorted(path.parent.name for path in (ROOT / "results").glob("*/run.json"))


def test_an_ambiguous_id_is_refused_before_anything_is_printed_and_the_candidates_are_named(played):
    ids = sorted(row["id"] for name in ("train", "heldout") for row in read_jsonl(played / f"results/small/data/{name}.jsonl"))
    beginning = next(a[0] for a, b in itertools.pairwise(ids) if a[0] == b[0])
    matches = [id_ for id_ in ids if id_.startswith(beginning)]
    done = run_cli_in_process("trace", "small", beginning, cwd=played, check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert f"{beginning}: {len(matches)} examples have an id that begins so; name more of it: {matches[0]}" in done.stderr
    assert "no example of" in refused(played, "trace", "small", "zz")


def test_the_lines_are_explained_with_their_units(played):
    example = read_jsonl(played / "results/small/data/train.jsonl")[0]["id"]
    said = run_cli_in_process("trace", "small", example, cwd=played).stdout
    plain = " ".join(said.split())
    for words in (
        "log-prob: natural logarithm",
        "under the opponent: the checkpoint before this iteration; nats",
        "log-ratio: log-",
    ):
        assert words in plain
    assert "loss 0.6931, log-ratio real " in said and " nats, with the samples of iteration 0" in said
    explained = said[said.rindex("\n\n") :]
    assert all(len(line.rstrip()) <= 80 for line in explained.splitlines())


def test_the_document_has_what_the_files_have(played):
    run = played / "results/small"
    row = read_jsonl(run / "data/train.jsonl")[3]
    trace = json.loads(run_cli_in_process("trace", "small", row["id"], "--json", cwd=played).stdout)
    assert trace.keys() == {"run", "example_id", "split", "prompt", "real", "lines", "not_here", "units"}
    assert (trace["example_id"], trace["split"], trace["real"], trace["not_here"]) == (row["id"], "train", row["real"], [])
    fields = {
        "sample": {"iteration", "index", "text", "finished"}, "score": {"response", "tokens", "log_prob"},
        "step": {"step", "epoch", "loss", "log_ratio", "prompts", "sample_iterations"},
    }  # fmt: skip
    assert {line["kind"] for line in trace["lines"]} == fields.keys()
    assert all(line["fields"].keys() == fields[line["kind"]] and (run / line["file"]).is_file() for line in trace["lines"])
    scores = [line for line in trace["lines"] if line["file"] == "spin/seed-0/iteration-1/score/scores.jsonl.gz"]
    rows = [r for r in read_jsonl(run / "spin/seed-0/iteration-1/score/scores.jsonl") if r["example_id"] == row["id"]]
    assert [line["fields"]["log_prob"] for line in scores] == [r["reference_logp"] for r in rows]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_run_says_what_it_has_of_an_example_and_what_is_not_here(name, tmp_path):
    shutil.copytree(ROOT / "results" / name, tmp_path / "results" / name)
    line = refused(tmp_path, "trace", name, "zzz")
    assert "only 128 held-out prompts are here" in line or "held-out prompts are here (small files alone)" in line
    known = line.rpartition("small files alone), ")[2].split(",")[0]
    said = run_cli_in_process("trace", name, known, cwd=tmp_path).stdout
    record = json.loads((tmp_path / "results" / name / "run.json").read_text())
    checkpoints = 1 + len(record["variants"]) * len(record["seeds"]) * record["iterations"]
    assert said.count("/probe/samples.jsonl  '") == checkpoints
    assert (
        "not here: data: the training examples" in said
        and said.count("(small files only)") == checkpoints // record["iterations"]
    )
