"""Parts found by name: whoever does not ask for a back end does not need it, and one of another package is as good as ours."""

import ast
import json
import os
import subprocess
import sys

import pytest

from harness.errors import UserError
from harness.settings.plugins import find_plugin, load_plugin
from tests.conftest import GUARD_FOLDER, ROOT, SMALL_RECIPE, run_cli_in_process

OPTIONAL = ("harness.language.engine", "harness.language.judge")
PROGRAM = f"""
import json, sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.startswith({(*OPTIONAL, "vllm", "openai")}):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hidden())
import contextlib, io, pytest
with contextlib.redirect_stdout(io.StringIO()) as collected:
    pytest.main(["--collect-only", "-q", "-n", "0", "--rootdir", sys.argv[2], sys.argv[2] + "/tests/language"])
from tests.conftest import run_cli_in_process
results = []
for command in json.loads(sys.argv[1]):
    done = run_cli_in_process(*command, cwd=".", check=False)
    results.append((done.returncode, done.stdout, done.stderr))
print(json.dumps([results, collected.getvalue()]))
"""


def test_without_the_folders_of_vllm_and_judge_the_rest_runs_and_who_asks_for_them_is_told(tmp_path):
    """Their tests are not collected then, and the others are."""
    small = ("run", "--recipe", str(SMALL_RECIPE), "--iters", "1", "--objectives", "sft")
    check = ("suites", "check", str(ROOT / "tests/data/two.toml"))
    fine = ((*small, "--name", "small"), ("report", "results/small"), ("suites",), check, ("--help",))
    not_there = "cannot be imported (No module named 'harness.language.{}'); install it, or name another {}"
    suite, sampler = not_there.format("judge", "benchmark"), not_there.format("engine", "backend")
    refused = {
        ("suites", "check", "mt-bench"): ('PROBLEM  suite mt-bench: benchmark "judge"', suite),
        (*small, "--suite", "mt-bench", "--name", "judged"): ('suite mt-bench: benchmark "judge"', suite),
        (*small, "--set", "generation.backend=vllm", "--name", "other"): ('generation.backend: backend "vllm"', sampler),
    }
    program = [sys.executable, "-W", "ignore", "-c", PROGRAM, json.dumps([*fine, *refused]), str(ROOT)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(GUARD_FOLDER), str(ROOT)])}
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
    results, collected = json.loads(done.stdout)
    for command, (code, out, err) in zip((*fine, *refused), results, strict=True):
        assert code == (command in refused), (command, out, err)
        assert "Traceback" not in err
        if command in refused:
            (line,) = [x for x in (out + err).splitlines() if "cannot be imported" in x]
            assert all(words in line for words in refused[command]), line
    assert (tmp_path / "reports/small.pdf").read_bytes().startswith(b"%PDF")
    assert "mt-bench" in results[2][1] and "tests/language/phases/test_probe.py" in collected
    assert "tests/language/engine" not in collected and "tests/language/judge" not in collected


def test_nobody_imports_a_back_end_but_itself_and_its_tests():
    own = [ROOT / wing / name.replace(".", "/").partition("/")[2] for name in OPTIONAL for wing in ("harness", "tests")]
    for path in [*(ROOT / "harness").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]:
        if "bench" not in path.parts and not any(path.is_relative_to(folder) for folder in own):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", None) or ""]
                assert not any(name.startswith((*OPTIONAL, "tests.language.judge")) for name in names), path


OTHER_ENGINE = """
from harness.language.phases.generate import PolicySampler

class Sampler(PolicySampler):
    def sample(self, prompts, seeds, settings, advance):
        self.engine_record = {"other": len(prompts)}
        return super().sample(prompts, [seed + 1 for seed in seeds], settings, advance)
"""


def test_a_back_end_of_another_distribution_draws_a_run(tmp_path, monkeypatch):
    site = tmp_path / "site"
    (site / "other-1.0.dist-info").mkdir(parents=True)
    (site / "other-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (site / "other-1.0.dist-info" / "entry_points.txt").write_text("[harness.backends]\nother = other_engine:Sampler\n")
    (site / "other_engine.py").write_text(OTHER_ENGINE)
    monkeypatch.syspath_prepend(str(site))
    asked = ("run", "--recipe", SMALL_RECIPE, "--iters", "1", "--objectives", "spin", "--set", "generation.backend=other")
    run_cli_in_process(*asked, "--name", "it", cwd=tmp_path)
    manifest = json.loads((tmp_path / "results/it/initial/seed-0/generate/k-0/manifest.json").read_text())
    assert manifest["settings"]["backend"] == "other" and manifest["counts"]["other"] == 12
    assert load_plugin("backend", "other_engine:Sampler", "x") is load_plugin("backend", "other", "x"), "by module as by name"


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("generation.backend", "os:path", 'backend "os:path" is os:path, which is no backend: it has no check'),
        ("generation.backend", "raising:Part", "which cannot be imported (boom); install it, or name another backend"),
        (
            "generation.backend",
            "hf",
            '--set generation.backend: generation.backend: unknown backend "hf" (known: transf',
        ),
        ("generation.backend", "transformers:", 'unknown backend "transformers:"'),
        ("world", "os:path", 'world "os:path" is os:path, which is no world: it has no load_policy'),
        ("data.distribution", "os:path", 'distribution "os:path" is os:path, which is no distribution: it has no log_prob'),
    ],
)
def test_what_is_no_part_of_its_kind_is_one_line(setting, value, expected, tmp_path, monkeypatch):
    (tmp_path / "raising.py").write_text("raise ValueError('boom')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    asked = ("run", "--recipe", SMALL_RECIPE, "--set", f"{setting}={value}")
    done = run_cli_in_process(*asked, cwd=tmp_path, check=False)
    assert done.returncode == 1 and expected in done.stderr and "Traceback" not in done.stderr


def test_finding_imports_nothing_and_a_part_that_is_not_there_is_named():
    assert find_plugin("backend", "no.such:Thing").value == "no.such:Thing"
    for value in ("no.such:Thing", "json:Thing"):
        with pytest.raises(UserError, match=f'backend "{value}" is {value}, which cannot be imported .*; install it, or name'):
            load_plugin("backend", value, "generation.backend")
