"""The house's rules: imports run one way, as pyproject.toml says it; wings say what they are; and what no file may say."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from harness.discovery.variants import list_objectives

ROOT = Path(__file__).parent.parent
AT_THE_DOOR = 9  # modules in harness/ itself
LINES = 360  # of a file: about 300; a little more is no crime


def modules():
    for package in ("harness", "objectives"):
        for path in sorted((ROOT / package).rglob("*.py")):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts), path


def imports(path):
    """Every name a file imports, at any depth, type-checking blocks included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module


def test_imports_run_one_way():
    """The contracts of pyproject.toml; a module that stands in none of the layers would be held by none."""
    program = "import sys; from importlinter.cli import lint_imports_command; sys.argv = ['lint-imports', '--no-cache']; "
    done = subprocess.run(
        [sys.executable, "-c", program + "lint_imports_command()"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = {name for line in contracts[0]["layers"] for name in line.split(" : ")}
    top = {p.stem for p in (ROOT / "harness").iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()}
    assert {f"harness.{name}" for name in top - {"__init__"}} == layers - {"objectives"}


def test_no_test_module_imports_another():
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        found = {i for i in imports(path) if i and i.startswith("tests.") and i.rpartition(".")[2].startswith("test_")}
        assert found == set(), path


def test_benchmarks_and_helpers_are_collected_by_no_test_run():
    """pytest takes test_*.py alone, and these folders have none."""
    folders = [ROOT / "tests" / name for name in ("bench", "fuzz", "guard", "helpers", "sweep")]
    assert [path for folder in folders for path in folder.rglob("test_*.py")] == []


def test_no_function_of_the_loop_has_more_than_four_parameters():
    """What flows from one phase to the next is in the iteration, what all of them need in the run's context."""
    for name, path in modules():
        if name.startswith(("harness.loop", "harness.launch")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef):
                    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                    assert sum(a.arg not in ("self", "cls") for a in arguments) <= 4, f"{name}: {node.name}"


def test_few_modules_stand_at_the_door():
    assert len(list((ROOT / "harness").glob("*.py"))) <= AT_THE_DOOR


def test_every_wing_says_what_lives_in_it_and_where_to_start():
    """The lab's tasks apart, which lm-eval reads, and the papers, of which Sphinx reads conf.py."""
    others = {ROOT / "harness" / "lab" / "tasks", ROOT / "harness" / "docs"}
    for folder in {path.parent for path in (ROOT / "harness").rglob("*.py")} - others:
        init = folder / "__init__.py"
        text = init.read_text(encoding="utf-8")
        named = re.findall(r"Start with\s+`([\w/]+\.py)`", text)
        if folder != ROOT / "harness" and folder.parent.name not in ("reporting",) and folder.name != "content":
            assert named or folder.name == "lab", f"{init}: says not where to start"
        assert all((folder / name).is_file() for name in named), init


def test_imports_of_the_project_stand_at_the_top():
    """Inside a function only where that keeps a command light, and the line says so; commands and the door are such places."""
    for name, path in modules():
        if name.startswith(("harness.commands", "harness.cli")):
            continue
        text = path.read_text(encoding="utf-8")
        tree, lines = ast.parse(text), text.splitlines()
        top = {id(node) for node in tree.body}
        checked = {id(n) for node in tree.body if isinstance(node, ast.If) for n in ast.walk(node)}
        for node in ast.walk(tree):
            ours = isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in ("harness", "objectives")
            if ours and id(node) not in top | checked:
                assert "#" in lines[node.lineno - 1], f"{path}:{node.lineno}: says not why it is imported here"


def test_objectives_import_torch_and_the_standard_library_only():
    for name, path in modules():
        if name.startswith("objectives"):
            outside = {i.split(".")[0] for i in imports(path)} - {"objectives", "torch"}
            assert outside <= {"__future__", "abc", "collections", "dataclasses", "math", "typing"}, name


def test_lm_eval_is_imported_by_few_files():
    """The benchmark, the model its tasks ask, what is not documented of it, its metrics and their errors, a trial of a task."""
    using = [n for n, p in modules() if any(i.split(".")[0] == "lm_eval" for i in imports(p))]
    names = ("benchmark.lm", "benchmark.lm_eval_benchmark", "benchmark.lm_eval_internals", "benchmark.load_tasks",
             "benchmark.row_check", "benchmark.standard_errors", "benchmark.task_trial", "text.template_limits")  # fmt: skip
    assert using == [f"harness.language.{n}" for n in names]


def test_no_objective_is_named_in_the_harness():
    """Neither in code nor in text a user sees; the words of a docstring's example are what is left."""
    names = set(list_objectives())
    for name, path in modules():
        if not name.startswith("harness"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docs = {id(n.body[0].value) for n in ast.walk(tree) if isinstance(n, (ast.Module, ast.FunctionDef, ast.ClassDef)) and n.body and isinstance(n.body[0], ast.Expr)}  # fmt: skip # noqa: E501
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
                a_start = (name, node.value) == ("harness.lab.build", "sft")  # the folder of the fine-tuned start
                assert node.value not in names or a_start, f"{name}:{node.lineno} names {node.value}"
            word = getattr(node, "id", getattr(node, "attr", None))  # of a name or an attribute
            assert word not in names, f"{name}:{node.lineno} names {word}"


def test_every_file_says_what_it_is_in_its_first_line_and_has_no_second_idea():
    for name, path in modules():
        text = path.read_text(encoding="utf-8")
        assert re.match(r'"""\S.{20,}', text) and len(text.splitlines()) <= LINES, name


def test_the_top_level_is_what_the_readme_says():
    folders = {p.name for p in ROOT.iterdir() if p.is_dir() and not p.name.startswith(".") and not p.name.endswith("egg-info")}
    assert folders - {"build", "dist"} == {"harness", "objectives", "results", "tests", "reports"}
