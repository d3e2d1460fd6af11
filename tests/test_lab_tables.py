"""What the README says of the lab: each cell from its csv, a claim's verdict from its interval, absence as absence."""

import pandas as pd

from harness.reporting.generated_docs import replace_block
from tests.bench import lab_tables

NO_ANSWER = "–"


def write(folder, study, **tables):
    (folder / study / "tables").mkdir(parents=True)
    for name, rows in tables.items():
        pd.DataFrame(rows).to_csv(folder / study / "tables" / f"{name}.csv", index=False)


def standing(panel, objective, last):
    row = {"panel": panel, "objective": objective, "seeds": 5}
    for name, (value, low, high) in {"last": last, "drop": (0.0, 0.0, 0.01), "churn": last, "largest_fall": last}.items():
        row |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return row


def stability(folder):
    """SPACE and SPIN at the common rate and SPIN at another; SPACE is 2 points above at the common one, 1 below at the other."""
    common, own = lab_tables.PANELS.values()
    rows = [standing(common, "space", (0.7, 0.69, 0.71)), standing(common, "spin", (0.8, 0.79, 0.81))]
    rows += [standing(own, "space", (0.7, 0.69, 0.71)), standing(own, "spin-lr0.0001", (0.6, 0.59, 0.605))]
    pair = {"question": None, "task": "mean", "iteration_a": 4, "iteration_b": 4}
    pairs = [
        {"panel": common, "a": "space", "b": "spin", "difference": 0.02, "low": 0.01, "high": 0.03} | pair,
        {"panel": common, "a": "space", "b": "spin", "difference": 0.5, "low": 0.4, "high": 0.6} | pair | {"task": "one"},
        {"panel": own, "a": "spin-lr0.0001", "b": "space", "difference": 0.01, "low": -0.01, "high": 0.04} | pair,
    ]
    kl = [
        {"objective": name, "iteration": t, "name": f"kl_{d}", "value": t + 2, "low": t + 1.5, "high": t + 2.5}
        for name in ("initial", "space", "spin", "spin-lr0.0001") for t in (-1, 4) for d in ("data_policy", "policy_data")
    ]  # fmt: skip
    write(
        folder, "study-stability", standing=rows, comparisons=pairs, drift=kl,
        leaderboard=[{"objective": "initial", "iteration": -1, "mean": 0.6, "item_stderr": 0.02}],
    )  # fmt: skip


def row_of(text, beginning):
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {beginning}")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_claim_follows_from_its_interval_per_start_and_setting(tmp_path):
    stability(tmp_path)
    text = lab_tables.claims_table(tmp_path)
    cells = row_of(text, "SPACE scores above SPIN")[1:]
    assert cells == ["+2.0 [+1.0, +3.0], yes", "-1.0 [-4.0, +1.0], not shown", "not played", "not played"]
    common, own = row_of(text, "SPACE is steadier")[1:3]
    assert common == "churn: 70.0 [69.0, 71.0] against 80.0 [79.0, 81.0], yes; largest fall: " + common.split("fall: ")[1]
    assert own.endswith("70.0 [69.0, 71.0] against 60.0 [59.0, 60.5], no, the reverse")
    assert row_of(text, "T-SPIN scores above SPIN")[1] == NO_ANSWER
    assert row_of(text, "Fresh responses")[1:] == ["not played", NO_ANSWER, NO_ANSWER, NO_ANSWER]


def test_a_study_without_chosen_rates_is_at_the_common_one(tmp_path):
    stability(tmp_path)
    for name in ("standing", "comparisons"):
        path = tmp_path / f"study-stability/tables/{name}.csv"
        table = pd.read_csv(path)
        table = table[table["panel"] == lab_tables.PANELS["common"]].assign(panel=None)
        table.to_csv(path, index=False)
    text = lab_tables.claims_table(tmp_path)
    assert row_of(text, "SPACE scores above SPIN")[1:] == ["+2.0 [+1.0, +3.0], yes", NO_ANSWER, "not played", "not played"]
    assert row_of(text, "SPACE is steadier")[2] == row_of(text, "SPACE comes closer")[2] == NO_ANSWER
    assert [line.split(" | ")[1] for line in lab_tables.objectives_table(tmp_path).splitlines()[3:5]] == ["space", "spin"]


def test_a_studys_own_questions_are_found_by_their_words(tmp_path):
    question = lab_tables.CLAIMS[-1].questions[0]
    rows = [{"question": question, "task": task, "difference": d, "low": d - 0.01, "high": d + 0.01} for task, d in
            (("mean", -0.03), ("one", 0.5))]  # fmt: skip
    write(tmp_path, "study-resample", comparisons=rows)
    assert row_of(lab_tables.claims_table(tmp_path), "Fresh responses")[1].startswith(
        f"{question}: -3.0 [-4.0, -2.0], no, the reverse; SPIN: "
    )


def test_objectives_stand_at_the_common_rate_and_at_their_own_where_it_is_another(tmp_path):
    stability(tmp_path)
    lines = lab_tables.objectives_table(tmp_path).splitlines()[2:]
    shown = [line.split(" | ")[1] for line in lines]
    assert shown == ["untouched", "space", "spin", "spin, own rate 0.0001", "not played"]
    assert row_of("\n".join(lines), "base | untouched")[2] == "60.0 ± 2.0"
    measured = row_of("\n".join(lines), "base | space")[2:6]
    assert measured == ["70.0 [69.0, 71.0]", "0.0 [0.0, 1.0]", "70.0 [69.0, 71.0]", "6.00 [5.50, 6.50]"]


def test_the_questions_are_those_of_the_studies():
    """A claim whose words no study has would stay a dash for ever."""
    studies = {path.stem: path.read_text(encoding="utf-8") for path in (lab_tables.ROOT / "harness/studies").glob("*.toml")}
    for claim in lab_tables.CLAIMS:
        for question in claim.questions:
            assert f'"{question}"' in studies[claim.study.removeprefix("study-")], question


def test_readme_shows_what_the_studies_measured_and_nothing_else():
    text = lab_tables.README.read_text(encoding="utf-8")
    for name, block in lab_tables.blocks().items():
        assert replace_block(text, name, block) == text, "run: python -m tests.bench print"


def test_one_seed_is_no_result_whatever_its_interval_over_items():
    assert lab_tables.Interval(-0.13, -0.14, -0.11, seeds=1).verdict == "1 seed, no result"
    assert lab_tables.Interval(-0.13, -0.14, -0.11, seeds=5).verdict == "no, the reverse"
