"""`harness sample`, `push --merged`, `report --json`: a checkpoint answers as the run's policy does, also as a whole model."""

import io
import json
import shutil
import sys

import pytest

from harness.commands.sample import recorded_config, split_words
from harness.errors import UserError
from harness.store.run_folder import RunFolder
from tests.conftest import run_cli_in_process
from tests.helpers.damage import edit_json, refused

PROMPT = "count the apples : Marc starts with 6 and buys 2 ."
VARIANTS = {"space": {}, "spin": {}, "spin-beta-0.5": {}}


def sampled(folder, *words):
    return run_cli_in_process("sample", "small", *words, cwd=folder).stdout.splitlines()


def test_checkpoints_answer_side_by_side_the_same_again_and_one_by_one(played):
    both = sampled(played, "space@1", "spin", "initial", PROMPT, "-n", "3", "--seed", "5")
    assert [line.partition(":")[0] for line in both] == [
        f"{name} {n}" for name in ("space@1", "spin@1", "initial") for n in (1, 2, 3)
    ]
    assert sampled(played, "spin@1", PROMPT, "-n", "3", "--seed", "5") == both[3:6]
    assert sampled(played, "spin@1", PROMPT, "-n", "2", "--seed", "5") == both[3:5], "more answers change none"
    assert len({line.partition(":")[2] for line in both}) > 3
    other = sampled(played, "initial", PROMPT, "-n", "3", "--seed", "6")
    assert other != both[6:]


def test_a_held_out_prompt_is_put_as_the_diagnostics_put_it(played):
    """Nearly no temperature: the same most probable tokens as the policy writes them in the run's own template."""
    from harness.commands.sample import base_of_run

    base = base_of_run(RunFolder(played / "results/small"), None, False, {"temperature": 1e-4})
    policy = base.load()
    policy.load_adapter(played / "results/small/spin/seed-0/iteration-1/train/adapter")
    from harness.language.records import Example

    example = Example("x", PROMPT, "", policy.template.render(policy.tokenizer, PROMPT))
    (expected,) = policy.sample([policy.encoder.generation_prompt(example)], [1], base.config.generation)
    (line,) = sampled(played, "spin@1", PROMPT, "--temperature", "0.0001")
    assert line.startswith(f"spin@1: {expected.text}")


def test_words_are_told_apart_and_standard_input_is_read(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("from a pipe\n"))
    assert split_words(["space@4", "spin", "a prompt"], VARIANTS) == (["space@4", "spin"], "a prompt")
    assert split_words(["space/seed-1@4", "initial"], VARIANTS) == (["space/seed-1@4", "initial"], "from a pipe")
    assert split_words(["spin-beta-0.5@0", "write to me@home"], VARIANTS) == (["spin-beta-0.5@0"], "write to me@home")
    with pytest.raises(UserError, match="no checkpoint before the prompt; name one or more of: space, spin"):
        split_words(["hello"], VARIANTS)
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    with pytest.raises(UserError, match="no prompt"):
        split_words(["space"], VARIANTS)


def test_whatever_is_missing_is_one_line(played_copy, run):
    for words, said in (
        (("span@0", "hello"), 'no objective "span" (did you mean "spin"?)'),
        (("spin@7", "hello"), "no adapter of a finished training; see what is complete with: harness status small"),
        (("spin/seed-x", "hello"), "seed 'x' is no number"),
        (("spin", " "), "the prompt is empty"),
        (("spin", "hello", "--temperature", "0"), "generation.temperature"),
        (("spin", "word " * 5000), "the model's context"),
    ):
        assert said in refused(played_copy, "sample", "small", *words), words
    path = run / "spin/seed-0/iteration-1/train/adapter/adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert "adapter_model.safetensors: damaged" in refused(played_copy, "sample", "small", "spin", "hello")
    edit_json(run / "run.json", base_digest="0" * 16)
    assert "its weights are not those that the run was made with" in refused(played_copy, "sample", "small", "initial", "hello")


def test_a_run_folder_cannot_let_a_models_repository_run_code(run):
    """Settings in run.json are a stranger's; whether code is run is typed here alone."""
    record = json.loads((run / "run.json").read_text())
    record["config"]["model"]["trust_remote_code"] = True
    (run / "run.json").write_text(json.dumps(record))
    assert recorded_config(RunFolder(run), {}, False).model.trust_remote_code is False
    del record["config"]["model"]["trust_remote_code"]
    record["config"]["model"]["run_code_from_model_repository"] = True
    (run / "run.json").write_text(json.dumps(record))
    assert recorded_config(RunFolder(run), {}, False).model.trust_remote_code is False


def test_the_merged_model_has_the_log_probabilities_of_base_and_adapter(played, tmp_path):
    """By transformers alone, from the folder alone; and other ones than the base's."""
    import torch
    import transformers
    from peft import PeftModel

    shutil.copytree(played / "results", tmp_path / "results")
    done = run_cli_in_process("push", "small", "spin", "--to", "package", "--merged", cwd=tmp_path)
    package = tmp_path / "package"
    assert "whole model, base and adapter merged: " in done.stdout and "merged/model.safetensors" in done.stdout
    record = json.loads((tmp_path / "results/small/run.json").read_text())
    from harness.sources.mirror import resolve_model

    base_path = resolve_model(record["identity"]["model"]["path"], None, None)
    tokenizer = transformers.AutoTokenizer.from_pretrained(package / "merged")
    ids = tokenizer("<|begin|><|user|>count the apples : Marc starts with 6 and buys 2 .<|assistant|>Marc has 8 apples .", return_tensors="pt")  # fmt: skip # noqa: E501
    load = transformers.AutoModelForCausalLM.from_pretrained
    with torch.no_grad():
        merged = load(package / "merged")(**ids).logits.log_softmax(-1)
        plain = load(base_path)(**ids).logits.log_softmax(-1)
        adapted = PeftModel.from_pretrained(load(base_path), package)(**ids).logits.log_softmax(-1)
    assert (merged - adapted).abs().max() < 1e-4 < 1e-3 < (merged - plain).abs().max()
    mode = (tmp_path / "results/small/run.json").stat().st_mode
    assert {path.stat().st_mode for path in package.rglob("*") if path.is_file()} == {mode}
    assert "exists; name a new folder" in refused(tmp_path, "push", "small", "spin", "--to", "package", "--merged")
    assert "name a folder for it with --to" in refused(tmp_path, "push", "small", "spin", "--merged")


def test_report_as_a_document_names_files_that_are_there_and_the_numbers_of_page_one(played_copy, run):
    done = run_cli_in_process("report", "small", "--json", "--out", "r.pdf", cwd=played_copy)
    report = json.loads(done.stdout)
    assert report.keys() == {"run", "paths", "suite", "seeds", "iterations", "standing"}
    assert report["paths"].keys() == {"tables", "curves", "report", "explorer"}
    assert all((played_copy / path).is_file() for path in report["paths"].values())
    assert (report["run"], report["suite"]["name"], report["iterations"]) == ("small", "two", 2)
    assert [row["objective"] for row in report["standing"]] == ["space", "spin"]
    for row in report["standing"]:
        assert {"best", "best_iteration", "best_low", "best_high", "best_item_stderr", "last", "drop", "seeds"} <= row.keys()
        assert isinstance(row["best"], float) and isinstance(row["best_iteration"], int) and row["best_low"] is None
