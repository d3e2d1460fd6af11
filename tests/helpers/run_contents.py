"""What a run states about its numbers, to compare two of them."""

from tests.conftest import read_csv_rows

RUN = "results/small"

# Everything a run states about its numbers; `seconds` and memory are facts of the machine, not of the run.
COMPARED = (
    *("scores.csv", "training.csv", "dynamics.csv"),
    *("tables/leaderboard.csv", "tables/leaderboard.md", "tables/stability.csv"),
)


def contents(run, objectives=None):
    """Each compared file's rows without `seconds`; with `objectives`, only the rows of those."""
    found = {}
    for name in COMPARED:
        if name.endswith(".md"):
            found[name] = None if objectives else (run / name).read_bytes()
            continue
        rows = read_csv_rows(run / name)
        for row in rows:
            row.pop("seconds", None)
            if objectives:
                row.pop("source", None)
        found[name] = [r for r in rows if not objectives or r["objective"] in objectives]
    return found


def assert_same_run(run, other):
    """Every table without its seconds, and every byte of what was drawn, scored and trained."""
    assert contents(run) == contents(other)
    for name in ("*.jsonl.gz", "adapter_model.safetensors"):
        for path in sorted(other.rglob(name)):
            assert (run / path.relative_to(other)).read_bytes() == path.read_bytes(), path
