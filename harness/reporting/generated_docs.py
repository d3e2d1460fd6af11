"""Generated parts of the documentation: `python -m harness.reporting.generated_docs` rewrites them, a test compares."""

from __future__ import annotations

import dataclasses
import inspect
import re
from importlib import import_module
from pathlib import Path

from harness.discovery.variants import builtin_folder, list_objectives, load_objective
from harness.reporting.data_dictionary import data_dictionary
from harness.settings.listing import list_settings
from harness.settings.paths import PACKAGE
from objectives import Objective

BEGIN, END = "<!-- generated: {name} -->", "<!-- end: {name} -->"


def objective_index() -> str:
    """The paper index of objectives/README.md: equation, needs, hyper-parameters, source, per objective."""
    return "\n".join(_entry(name, load_objective(path)) for name, path in _builtin_objectives().items())


def objective_table() -> str:
    """The README's table: name, title and paper, per objective that ships."""
    rows = []
    for name, path in _builtin_objectives().items():
        cls = load_objective(path)
        paper = cls.citation
        rows.append(f"| `{name}` | {cls.title} | {paper.label}, [{paper.title}]({paper.url}), {paper.where} |")
    return "\n".join(["| name | objective | paper |", "| --- | --- | --- |", *rows])


def _builtin_objectives() -> dict[str, Path]:
    folder = builtin_folder()
    return {name: path for name, path in list_objectives().items() if path.parent == folder}


def _entry(name: str, cls: type[Objective]) -> str:
    doc = inspect.cleandoc(cls.__doc__ or "")
    equation = doc.partition("\n\n")[0].replace("\n", " ")
    needs = ", ".join(k if v is True else f"{k} {v}" for k, v in dataclasses.asdict(cls().needs).items() if v) or "nothing"
    lines = [f"### `{name}`", "", f"{cls.title}.", "", f"    {equation}", "", f"Needs: {needs}.", ""]
    for spec in dataclasses.fields(cls):
        lines.append(f"- `{spec.name}` = {spec.default!r}: {spec.metadata['doc']}")
    citation = cls.citation
    source = f"Source: {citation.label}, [{citation.title}]({citation.url}), {citation.where}."
    lines += [*[""] * bool(dataclasses.fields(cls)), source, ""]
    return "\n".join(lines)


def settings_index(source: str | None = None) -> str:
    """The list of harness/recipes/README.md: every setting, default, meaning, type and unit. source: as for `list_settings`."""
    lines = []
    for name, text in list_settings(source):
        lines += ["", f"`{name}` {text}", ""] if name.startswith("[") else [f"- `{name}`: {text}"]
    return "\n".join(lines)


def replace_block(text: str, name: str, block: str) -> str:
    """`text` with the block between the markers of `name` replaced. Raises ValueError when they are missing."""
    begin, end = BEGIN.format(name=name), END.format(name=name)
    pattern = re.compile(re.escape(begin) + r".*?" + re.escape(end), re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"no markers {begin} ... {end}")
    return pattern.sub(lambda _: f"{begin}\n{block.strip()}\n{end}", text)


def rewrite(readme: Path, name: str, block: str) -> None:
    readme.write_text(replace_block(readme.read_text(encoding="utf-8"), name, block), encoding="utf-8")


if __name__ == "__main__":
    rewrite(PACKAGE.parent / "README.md", "objective table", objective_table())
    rewrite(builtin_folder() / "README.md", "objectives", objective_index())
    rewrite(PACKAGE / "recipes" / "README.md", "settings", settings_index())
    # The command line stands above this wing, which imports none of it: only this command does, when it is run.
    reference = import_module("harness.commands.reference").command_reference(import_module("harness.cli").app)
    (PACKAGE / "docs" / "commands.md").write_text(reference, encoding="utf-8")
    (PACKAGE / "docs" / "columns.md").write_text(data_dictionary(), encoding="utf-8")
