"""The house's import rules, parsed from the source and compared with this table; and what no file may say."""

import ast
import re
from pathlib import Path

import pytest

from harness.discovery import list_objectives

ROOT = Path(__file__).parent.parent

# module -> what it may import from the project. A sub-package's name stands for the modules in it.
BASE = {"harness.errors", "harness.files", "harness.records"}
ALLOWED = {
    "objectives._contract": set(),
    "objectives.__init__": {"objectives._contract"},
    "harness.__init__": set(),
    "harness.__main__": {"harness.cli"},
    "harness.errors": {"harness.masking", "harness.shown"},
    "harness.masking": set(),
    "harness.paths": {"harness.errors"},
    "harness.places": {"harness.errors", "harness.lease"},
    "harness.plain_numbers": set(),
    "harness.findings": {"harness.errors"},
    "harness.toml_files": {"harness.errors", "harness.paths", "harness.plain_numbers"},
    "harness.names": {"harness.errors"},
    "harness.shown": set(),
    "harness.stranger": {"harness.errors", "harness.files", "harness.names", "harness.store"},
    "harness.terminal": {"harness.masking", "harness.shown"},
    "harness.records": set(),
    "harness.files": {"harness.errors"},
    "harness.intact": BASE,
    "harness.small_files": BASE | {"harness.intact", "harness.names"},
    "harness.played": BASE | {"harness.intact", "harness.small_files"},
    "harness.text_columns": {"harness.shown"},
    "harness.earlier": {"harness.text_columns"} | {"harness.errors", "harness.shown"},
    "harness.stored_data": BASE | {"harness.config", "harness.data", "harness.policy", "harness.store", "harness.templates"},
    "harness.remaining": {"harness.errors", "harness.plan", "harness.played", "harness.small_files"},
    "harness.merging": BASE
    | {"harness.config", "harness.intact", "harness.names", "harness.played", "harness.provenance"}
    | {"harness.small_files", "harness.store", "harness.versions"},
    "harness.owner": set(),
    "harness.lease": {"harness.errors", "harness.files", "harness.owner"},
    "harness.provenance": set(),
    "harness.shards": BASE | {"harness.kept", "harness.progress"},
    "harness.training_state": {"harness.errors", "harness.records"},
    "harness.kept": BASE,
    "harness.objective_copies": BASE | {"harness.discovery", "harness.store"},
    "harness.config": {"harness.findings", "harness.plain_numbers"}
    | {"harness.paths", "harness.toml_files"}
    | BASE
    | {"harness.masking"},
    "harness.draft": {"harness.errors", "harness.files", "harness.kept"},
    "harness.store": BASE
    | {"harness.draft"}
    | {"harness.lease", "harness.intact", "harness.kept", "harness.masking", "harness.names", "harness.provenance"}
    | {"harness.played", "harness.small_files"},
    "harness.versions": {"harness.errors", "harness.played", "harness.provenance", "harness.store", "harness.suite"},
    "harness.row_scale": set(),
    "harness.suite": {"harness.paths", "harness.toml_files"}
    | BASE
    | {"harness.config", "harness.judge.settings", "harness.names", "harness.row_scale"},
    "harness.board": {"harness.policy", "harness.progress", "harness.records", "harness.suite"} | {"harness.shards"},
    "harness.judge.__init__": set(),
    "harness.judge.settings": {"harness.config"},
    "harness.judge.questions": {"harness.paths"} | BASE | {"harness.config", "harness.rows"},
    "harness.judge.endpoint": {"harness.config", "harness.errors", "harness.judge.settings", "harness.offline"},
    "harness.judge.rating": {"harness.judge.questions", "harness.judge.settings"},
    "harness.judge.judgements": BASE,
    "harness.judge.answers": BASE
    | {"harness.encoding", "harness.judge.questions", "harness.model.sampling", "harness.policy", "harness.progress"},
    "harness.judge.judging": BASE | {"harness.judge", "harness.progress"},
    "harness.judge.board": BASE
    | {"harness.board", "harness.config", "harness.judge", "harness.policy", "harness.progress", "harness.suite"}
    | {"harness.clusters", "harness.shards"},
    "harness.suite_check": {"harness.errors", "harness.row_check", "harness.suite", "harness.task_check", "harness.task_file"},
    "harness.registered": set(),
    "harness.task_file": set(),
    "harness.row_check": {"harness", "harness.errors", "harness.registered", "harness.suite", "harness.task_file"},
    "harness.row_scores": BASE | {"harness.clusters", "harness.suite"},
    "harness.task_trial": {"harness.errors", "harness.row_check", "harness.suite", "harness.task_file"},
    "harness.task_notices": {"harness.own_shots", "harness.suite"},
    "harness.own_shots": BASE | {"harness.policy"},
    "harness.task_check": set(),
    "harness.progress": {"harness.terminal"},
    "harness.discovery": {"harness.plain_numbers", "harness.process_state"}
    | BASE
    | {"harness.config", "harness.names", "harness.paths", "objectives"},
    "harness.objective_batches": {"objectives"},
    "harness.objective_checks": {"harness.objective_batches", "objectives"},
    "harness.objective_precision": {"harness.objective_batches", "harness.objective_checks", "objectives"},
    "harness.objective_needs": {"harness.objective_batches", "objectives"},
    "harness.objective_slopes": {"harness.objective_batches", "objectives"},
    "harness.objective_file": {"harness.objective_batches"},
    "harness.objective_review": {"harness.objective_batches", "harness.objective_checks", "harness.objective_file"}
    | {"harness.objective_needs", "harness.objective_precision", "harness.objective_slopes", "objectives"},
    "harness.objective_process": BASE
    | {"harness.discovery", "harness.paths"}
    | {"harness.objective_file", "harness.objective_review", "harness.objective_slopes"},
    "harness.docs_blocks": {"harness.discovery", "objectives"},
    "harness.tokens": {"harness.errors", "harness.template_limits"},
    "harness.template_limits": {"harness.template_sizes"},
    "harness.template_sizes": set(),
    "harness.templates": {"harness.errors", "harness.template_limits", "harness.tokens"},
    "harness.encoding": BASE | {"harness.templates", "harness.tokens"},
    "harness.token_notices": {"harness.data", "harness.policy", "harness.templates", "harness.tokens"},
    "harness.first_ids": {"harness.encoding", "harness.records"},
    "harness.inside": {"harness.errors"},
    "harness.offline": set(),
    "harness.mirror": {"harness.inside"}
    | {"harness.paths"}
    | {"harness.config", "harness.errors", "harness.store"}
    | {"harness.files"},
    "harness.wanted": {"harness.paths"} | BASE | {"harness.config", "harness.mirror", "harness.suite", "harness.suite_check"},
    "harness.hub": {"harness.errors", "harness.masking", "harness.mirror"},
    "harness.fetch": {"harness.errors", "harness.files", "harness.hub", "harness.lease", "harness.mirror"}
    | {"harness.model.adapter_files", "harness.progress"},
    "harness.rows": {"harness.inside"}
    | {"harness.paths"}
    | {"harness.config", "harness.errors", "harness.mirror", "harness.splits"},
    "harness.splits": {"harness.errors", "harness.files"},
    "harness.columns": {"harness.errors"},
    "harness.conversations": {"harness.errors"},
    "harness.formats": {"harness.paths"} | {"harness.columns", "harness.config", "harness.conversations", "harness.errors"},
    "harness.data": BASE
    | {"harness.config", "harness.encoding", "harness.formats", "harness.rows", "harness.templates", "harness.tokens"},
    "harness.ahead": set(),
    "harness.optimizer_steps": BASE | {"harness.config"},
    "harness.bad_numbers": {"harness.files"},
    "harness.bad_step": {"harness.bad_numbers", "harness.model.packing", "harness.policy", "harness.records"},
    "harness.task_definition": set(),
    "harness.nltk_data": set(),
    "harness.lanes": set(),
    "harness.model.__init__": set(),
    "harness.model.adapter_files": set(),
    "harness.model.beginnings": set(),
    "harness.model.packing": set(),
    "harness.model.room": set(),
    "harness.model.checkpointing": set(),
    "harness.model.quantised": {"harness.errors"},
    "harness.model.context": {"harness.errors"},
    "harness.model.supported": {"harness.errors"},
    "harness.model.targets": {"harness.model.logprobs"},
    "harness.model.generating": {"harness.model.logprobs", "harness.model.sampling"},
    "harness.model.verify": {
        "harness.model.generating",
        "harness.model.logprobs",
        "harness.model.packing",
        "harness.model.sampling",
    },
    "harness.model.cache": set(),
    "harness.model.lora": {"harness.config", "harness.errors", "harness.model.targets"},
    "harness.model.logprobs": {"harness.model.cache", "harness.model.packing"},
    "harness.model.sampling": {"harness.bad_numbers", "harness.model.beginnings", "harness.model.cache"}
    | {"harness.model.logprobs"},
    "harness.model.decoding": {"harness.model.logprobs", "harness.model.sampling", "harness.templates"},
    "harness.policy": BASE
    | {"harness.bad_numbers"}
    | {"harness.config", "harness.encoding", "harness.lanes", "harness.model", "harness.store"},
    "harness.model.start": BASE
    | {"harness.config", "harness.mirror", "harness.model.adapter_files", "harness.policy", "harness.store"}
    | {"harness.paths"},
    "harness.model.loading": BASE
    | {
        "harness.paths",
        "harness.config",
        "harness.inside",
        "harness.templates",
        "harness.lanes",
        "harness.mirror",
        "harness.model.logprobs",
        "harness.model.lora",
        "harness.model.quantised",
        "harness.model.start",
        "harness.model.context",
        "harness.model.supported",
        "harness.model.targets",
        "harness.model.verify",
    }
    | {"harness.paths", "harness.policy"}
    | {"harness.store"},
    "harness.engine.__init__": set(),
    "harness.engine.worker": set(),
    "harness.engine.line": set(),
    "harness.engine.canary": {"harness.model.packing", "harness.policy"},
    "harness.engine.preflight": BASE | {"harness.config", "harness.engine.line", "harness.model.loading"},
    "harness.engine.sampler": BASE
    | {"harness.config", "harness.encoding", "harness.engine", "harness.model", "harness.policy", "harness.store"},
    "harness.lm": BASE
    | {"harness.model.decoding", "harness.model.packing", "harness.policy", "harness.model.sampling"}
    | {"harness.shards"},
    "harness.phases.__init__": set(),
    "harness.phases.generate": BASE
    | {"harness.bad_numbers"}
    | {"harness.config", "harness.encoding", "harness.policy", "harness.progress"}
    | {"harness.shards"},
    "harness.phases.score": BASE | {"harness.bad_numbers"} | {"harness.model.packing", "harness.policy", "harness.progress"},
    "harness.phases.train": BASE
    | {"harness.optimizer_steps"}
    | {"harness.bad_step"}
    | {"harness.ahead", "harness.config", "harness.model.packing", "harness.model.room", "harness.policy", "harness.progress"}
    | {"objectives"}
    | {"harness.training_state"},
    "harness.clusters": {"harness.columns", "harness.errors"},
    "harness.task_clusters": BASE | {"harness.clusters", "harness.standard_errors", "harness.suite", "harness.task_trial"},
    "harness.standard_errors": {"harness.clusters"},
    "harness.generation_check": {"harness.errors", "harness.lm"},
    "harness.task_surroundings": {"harness.policy", "harness.template_limits"},
    "harness.task_errors": {"harness.errors"},
    "harness.phases.evaluate": BASE
    | {"harness.generation_check", "harness.standard_errors", "harness.task_errors", "harness.task_surroundings"}
    | {"harness.board", "harness.rows", "harness.lm", "harness.policy", "harness.progress", "harness.suite"}
    | {"harness.nltk_data", "harness.shards", "harness.suite_check", "harness.task_definition", "harness.wanted"}
    | {"harness.own_shots", "harness.row_scores", "harness.task_file", "harness.task_notices", "harness.task_trial"}
    | {"harness.task_clusters"},
    "harness.phases.probe": BASE
    | {"harness.bad_numbers"}
    | {"harness.config", "harness.encoding", "harness.model.packing", "harness.policy", "harness.progress"},
    "harness.machine": {"harness.policy"},
    "harness.rounds": {"harness.draft", "harness.versions"}
    | BASE
    | {"harness.optimizer_steps"}
    | {
        "harness.bad_numbers",
        "harness.cells",
        "harness.first_ids",
        "harness.board",
        "harness.config",
        "harness.data",
        "harness.discovery",
        "harness.encoding",
        "harness.engine",
        "harness.model.adapter_files",
        "harness.phases",
        "harness.policy",
    }
    | {"harness.progress", "harness.sharing", "harness.store", "objectives"}
    | {"harness.shards", "harness.training_state"},
    "harness.cells": BASE | {"harness.config", "harness.discovery"},
    "harness.game": {"harness.process_state"}
    | BASE
    | {"harness.bad_numbers"}
    | {"harness.cells", "harness.played", "harness.rounds", "harness.small_files", "harness.tables"},
    "harness.plan_size": {"harness.config", "harness.errors"},
    "harness.process_state": set(),
    "harness.plan": {"harness.config", "harness.discovery", "objectives"},
    "harness.calibration": BASE
    | {"harness.board", "harness.cells", "harness.config", "harness.discovery", "harness.encoding", "harness.phases"}
    | {"harness.plan", "harness.policy", "harness.rounds", "harness.store"}
    | {"harness.provenance"},
    "harness.bill": {"harness.calibration", "harness.plan"},
    "harness.commands.plan": BASE
    | {"harness.bill", "harness.board", "harness.calibration", "harness.commands.console", "harness.config", "harness.discovery"}
    | {
        "harness.clusters",
        "harness.plan",
        "harness.prepare",
        "harness.progress",
        "harness.remaining",
        "harness.stats",
        "harness.store",
        "harness.suite",
    },
    "harness.jobs": BASE | {"harness.config", "harness.game", "harness.prepare", "harness.progress", "harness.store"},
    "harness.prepare": BASE
    | {"harness.machine", "harness.paths"}
    | {
        "harness",
        "harness.board",
        "harness.cells",
        "harness.offline",
        "harness.config",
        "harness.data",
        "harness.discovery",
        "harness.engine",
        "harness.game",
        "harness.masking",
        "harness.mirror",
        "harness.judge",
        "harness.model",
        "harness.objective_copies",
        "harness.phases",
        "harness.plan",
        "harness.policy",
        "harness.preflight",
        "harness.progress",
        "harness.rounds",
        "harness.sharing",
        "harness.store",
        "harness.stored_data",
        "harness.suite",
        "harness.templates",
    }
    | {"harness.provenance", "harness.remaining", "harness.small_files", "harness.versions"},
    "harness.preflight": BASE
    | {"harness.objective_batches", "harness.objective_checks", "harness.process_state", "objectives"}
    | {"harness.config", "harness.data", "harness.discovery", "harness.model.checkpointing", "harness.policy"}
    | {"harness.cells", "harness.model.decoding", "harness.suite", "harness.templates", "harness.token_notices"},
    "harness.stats": set(),
    "harness.stability": {"harness.stats"},
    "harness.item_errors": {"harness.stats"},
    "harness.comparison": {"harness.item_errors", "harness.stats"},
    "harness.collapse": set(),
    "harness.facts": BASE | {"harness.earlier", "harness.names", "harness.played", "harness.row_scale", "harness.store"},
    "harness.surroundings": {"harness.errors", "harness.paths", "harness.shown"},
    "harness.figures": BASE
    | {"harness.surroundings"}
    | {"harness.facts", "harness.figures", "harness.row_scale", "harness.shown", "harness.store"},
    "harness.tables": BASE
    | {"harness.earlier"}
    | {"harness.collapse", "harness.comparison", "harness.facts", "harness.figures", "harness.stability", "harness.stats"}
    | {
        "harness.item_errors",
        "harness.row_scale",
        "harness.provenance",
        "harness.shown",
        "harness.store",
        "harness.study",
        "harness.tables",
        "harness.versions",
    },
    "harness.report.__init__": {"harness.report"},
    "harness.report.blocks": {"harness", "harness.shown"},
    "harness.report.content": {"harness.text_columns"}
    | BASE
    | {"harness.facts", "harness.figures", "harness.masking", "harness.report.blocks", "harness.report.content"}
    | {"harness.row_scale", "harness.shown", "harness.stats", "harness.store", "harness.tables", "harness.versions"},
    "harness.report.page": set(),
    "harness.report.document": BASE
    | {"harness.figures", "harness.places"}
    | {"harness.facts", "harness.report", "harness.store"},
    "harness.sharing": BASE | {"harness.intact", "harness.names", "harness.provenance", "harness.store"},
    "harness.study": {"harness.toml_files"} | BASE | {"harness.config", "harness.names"},
    "harness.commands.__init__": set(),
    "harness.commands.console": {"harness.terminal"},
    "harness.commands.run": {"harness.plain_numbers", "harness.text_columns"}
    | BASE
    | {"harness.figures", "harness.lease", "harness.places", "harness.plan_size", "harness.surroundings"}
    | {"harness.commands", "harness.config", "harness.jobs", "harness.names", "harness.prepare", "harness.progress"}
    | {"harness.stranger", "harness.shown"}
    | {"harness.report", "harness.small_files", "harness.stats", "harness.store", "harness.suite", "harness.tables"},
    "harness.commands.look": BASE
    | {
        "harness.commands",
        "harness.objective_copies",
        "harness.paths",
        "harness.places",
        "harness.played",
        "harness.store",
        "harness.stranger",
    },
    "harness.commands.merge": {"harness.commands", "harness.errors", "harness.merging", "harness.small_files", "harness.store"}
    | {"harness.stranger", "harness.tables"},
    "harness.commands.catalogue": BASE
    | {"harness.paths"}
    | {"harness.commands", "harness.config", "harness.discovery", "harness.judge", "harness.nltk_data"}
    | {"harness.board", "harness.objective_process"}
    | {"harness.phases", "harness.prepare", "harness.suite", "harness.suite_check", "harness.task_notices", "harness.wanted"},
    "harness.commands.fetch": BASE
    | {"harness.places"}
    | {"harness.commands", "harness.fetch", "harness.mirror", "harness.phases", "harness.progress", "harness.suite"}
    | {"harness.inside", "harness.suite_check", "harness.wanted"},
    "harness.commands.study": BASE
    | {"harness.paths"}
    | {"harness.commands", "harness.config", "harness.discovery", "harness.facts", "harness.prepare", "harness.store"}
    | {"harness.provenance", "harness.stranger", "harness.study", "harness.tables", "harness.versions"},
    "harness.card": BASE
    | {"harness.facts", "harness.model.adapter_files", "harness.shown", "harness.tables"}
    | {"harness.versions"},
    "harness.commands.push": {"harness.places"}
    | {"harness.card", "harness.commands", "harness.errors", "harness.facts", "harness.stranger"},
    "harness.commands.theory": {"harness.places"} | {"harness.commands.console", "harness.theory"},
    "harness.theory.__init__": set(),
    "harness.theory.exact": {"objectives"},
    "harness.theory.claims": {"harness.config", "harness.discovery", "harness.theory.exact"},
    "harness.theory.view": BASE
    | {"harness.figures", "harness.report", "harness.shown", "harness.store", "harness.theory.claims"},
    "harness.cli": {"harness.errors", "harness.commands", "harness.masking", "harness.paths", "harness.shown"}
    | {"harness.surroundings"},
}
LAB_MAY = BASE | {"harness.lab"}
NO_TORCH = (
    "stats",
    "stability",
    "item_errors",
    "comparison",
    "collapse",
    "study",
    "facts",
    "figures",
    "tables",
    "report",
    "cli",
    "commands",
    "config",
    "store",
    "versions",
    "played",
    "small_files",
    "merging",
    "suite",
    "records",
    "errors",
)


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
            if node.module in ("harness", "harness.phases", "harness.lab", "harness.report"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names if alias.name.strip("_").islower())


def ours(name):
    return name.split(".")[0] in ("harness", "objectives")


def permitted(name, allowed):
    return any(name == a or (a not in ("harness", "objectives") and name.startswith(a + ".")) for a in allowed)


def within(name):
    """A module and the packages it lies in, nearest first."""
    parts = name.split(".")
    return [".".join(parts[:n]) for n in range(len(parts), 0, -1)]


@pytest.mark.parametrize(("name", "path"), [pytest.param(n, p, id=n) for n, p in modules()])
def test_every_module_imports_only_what_the_table_allows(name, path):
    found = {i for i in imports(path) if ours(i)}
    if name.startswith("objectives.") and name not in ALLOWED:
        assert found == {"objectives"}
        return
    allowed = LAB_MAY if name.startswith("harness.lab") else ALLOWED[next((n for n in within(name) if n in ALLOWED), name)]
    found -= {"harness.phases", "harness.report", "harness.lab", "harness", "harness.__version__"}
    assert {i for i in found if not permitted(i, allowed)} == set()


def test_objectives_import_torch_and_the_standard_library_only():
    for name, path in modules():
        if name.startswith("objectives"):
            outside = {i.split(".")[0] for i in imports(path)} - {"objectives", "torch"}
            assert outside <= {"__future__", "abc", "collections", "dataclasses", "math", "typing"}, name


def test_phases_never_import_each_other():
    for name, path in modules():
        if name.startswith("harness.phases."):
            assert not [i for i in imports(path) if i.startswith("harness.phases.")], name


def test_lm_eval_is_imported_by_few_files():
    """The phase that runs its tasks, the model they ask, what surrounds the two, its registries, a trial of a task."""
    using = [n for n, p in modules() if any(i.split(".")[0] == "lm_eval" for i in imports(p))]
    names = ("generation_check", "lm", "phases.evaluate", "registered", "standard_errors", "task_errors", "task_surroundings",
             "task_trial", "template_limits")  # fmt: skip
    assert using == [f"harness.{n}" for n in names]


def test_openai_is_imported_by_one_file():
    using = [n for n, p in modules() if any(i.split(".")[0] == "openai" for i in imports(p))]
    assert using == ["harness.judge.endpoint"]


def test_views_never_import_torch():
    for name, path in modules():
        if name.split(".")[1] in NO_TORCH:
            assert "torch" not in {i.split(".")[0] for i in imports(path)}, name


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
                assert node.value not in names, f"{name}:{node.lineno} names {node.value}"
            if isinstance(node, (ast.Name, ast.Attribute)):
                word = node.id if isinstance(node, ast.Name) else node.attr
                assert word not in names, f"{name}:{node.lineno} names {word}"


def test_every_file_says_what_it_is_in_its_first_line():
    for name, path in modules():
        assert re.match(r'"""\S.{20,}', path.read_text(encoding="utf-8")), name


def test_no_file_has_a_second_idea():
    """About 300 lines; a little more is no crime."""
    for name, path in modules():
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 360, name


def test_the_top_level_is_what_the_readme_says():
    folders = {p.name for p in ROOT.iterdir() if p.is_dir() and not p.name.startswith(".") and not p.name.endswith("egg-info")}
    assert folders - {"build", "dist"} == {"harness", "objectives", "results", "tests", "reports"}
