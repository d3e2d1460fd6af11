"""A packaged player: peft loads it and it has the recorded scores; its card says what was measured; no upload unasked."""

import json

import pytest
from huggingface_hub import ModelCard

from harness.analysis.facts import RunResults
from harness.reporting.card import model_card
from harness.security.escaping import escape_markdown
from tests.conftest import ROOT, read_csv_rows, run_cli_in_process
from tests.helpers.damage import refused


@pytest.fixture(scope="module")
def package(played, tmp_path_factory):
    folder = tmp_path_factory.mktemp("package") / "spin"
    run_cli_in_process("push", "small", "spin", "--iteration", "0", "--to", folder, cwd=played)
    return folder


def scores_of_player(played):
    table = read_csv_rows(played / "results/small/scores.csv")
    return [row for row in table if (row["objective"], row["iteration"]) == ("spin", "0")]


def test_peft_loads_it_and_lm_eval_gives_the_recorded_scores(package, played):
    """Base by transformers, adapter by peft, tasks by lm-eval's own model: the numbers of scores.csv, to the last digit."""
    import peft
    import transformers
    from lm_eval import evaluator
    from lm_eval.models.huggingface import HFLM

    from harness.language.benchmark.lm_eval_benchmark import load_lm_eval_benchmark
    from harness.language.benchmark.load_tasks import FEWSHOT_SEED
    from harness.language.benchmark.row_scores import make_record
    from harness.loop.suite import load_suite

    base = str(ROOT / "harness" / "lab" / "base")
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    model = peft.PeftModel.from_pretrained(transformers.AutoModelForCausalLM.from_pretrained(base), str(package)).eval()
    board = load_lm_eval_benchmark(load_suite(str(ROOT / "tests" / "data" / "two.toml")), None, None)
    found = {}
    for row in board.suite.task:
        result = evaluator.evaluate(
            lm=HFLM(pretrained=model, tokenizer=tokenizer, batch_size=4), task_dict=board.loaded_tasks[row.name],
            samples={row.name: list(range(row.limit))}, apply_chat_template=True, fewshot_as_multiturn=True, log_samples=True,
        )  # fmt: skip
        found[row.name] = make_record(row, board.suite, result, [row.name]).value
    assert FEWSHOT_SEED == 1234
    assert {r["task"]: float(r["value"]) for r in scores_of_player(played)} == found


def test_its_names_are_pefts_own_and_so_are_those_in_the_run_folder(package, played):
    from safetensors.numpy import load_file

    kept = played / "results/small/spin/seed-0/iteration-0/train/adapter/adapter_model.safetensors"
    assert kept.read_bytes() == (package / "adapter_model.safetensors").read_bytes()
    names = list(load_file(package / "adapter_model.safetensors"))
    assert names and all(name.endswith((".lora_A.weight", ".lora_B.weight")) for name in names)
    assert sorted(p.name for p in package.iterdir()) == ["README.md", "adapter_config.json", "adapter_model.safetensors"]


def test_the_card_says_objective_equation_data_and_scores_with_n(package, played):
    text = (package / "README.md").read_text(encoding="utf-8")
    assert text.startswith("---\nbase_model: ") and ModelCard(text).data.library_name == "peft"
    for said in ("equation 4.7", "arxiv.org/abs/2401.01335", "| data.source | ", "no interval over seeds: n = 1"):
        assert said in text
    for row in scores_of_player(played):
        error = f" ± {100 * float(row['stderr']):.1f}" if float(row["stderr"]) else ""  # none of answers that are all alike
        assert f"| {100 * float(row['value']):.1f}{error} | {row['n']} |" in text


def test_a_dry_push_writes_and_uploads_nothing(played):
    before = set(played.rglob("*"))
    said = run_cli_in_process("push", "small", "space", cwd=played).stdout
    assert "nothing written, nothing uploaded" in said and "library_name" in said
    assert set(played.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("small", "spce"), 'no objective "spce" (did you mean "space"?)'),
        (("small", "space", "--iteration", "7"), "no adapter"),
        (("small", "space", "--upload"), "--upload needs --repo"),
        (("small", "space", "--to", "."), "not an empty folder"),
    ],
)
def test_what_cannot_be_pushed_is_one_line(played, arguments, expected):
    assert expected in refused(played, "push", *arguments)


def test_hostile_text_stays_text_in_the_card(played_copy):
    run = played_copy / "results" / "small"
    record = json.loads((run / "run.json").read_text())
    record["variants"]["spin"]["title"] = "<script>x</script>\n# heading | `code`"
    record["identity"]["model"]["path"] = "a\n---\nlicense: mit\u202e"
    (run / "run.json").write_text(json.dumps(record))
    text = model_card(RunResults(run), "spin", 0, 0)
    assert not [hostile for hostile in ("<script>", "\n# heading", "\u202e") if hostile in text]
    data = ModelCard(text).data
    assert (data.base_model, data.license) == (r"a\u{a}---\u{a}license: mit\u{202e}", None)
    assert escape_markdown("a|b") == "a\\|b"
