"""Generated blocks of the documentation: `python -m harness.reporting.generated_docs` rewrites them, a test compares."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path

from harness.discovery.variants import builtin_folder, list_objectives, load_objective
from harness.settings.listing import list_settings
from harness.settings.paths import PACKAGE
from objectives import Citation, Objective

# A file that was written from a note about a paper keeps its text, by whose digest recorded runs know it; the paper is cited.
PAPERS_BEHIND_NOTES = {"https://en.papernotes.org/NeurIPS2025/": ("https://arxiv.org/abs/2512.07175", "NeurIPS 2025")}
BEGIN, END = "<!-- generated: {name} -->", "<!-- end: {name} -->"


def objective_index() -> str:
    """The paper index of objectives/README.md: equation, needs, hyper-parameters, source, per objective."""
    return "\n".join(_entry(name, load_objective(path)) for name, path in _builtin_objectives().items())


def objective_table() -> str:
    """The README's table: name, title and paper, per objective that ships."""
    rows = []
    for name, path in _builtin_objectives().items():
        cls = load_objective(path)
        url, where = _paper(cls.citation)
        venue = f", {where}" if where != cls.citation.where else ""
        rows.append(f"| `{name}` | {cls.title} | {cls.citation.label}, [{cls.citation.title}]({url}){venue} |")
    return "\n".join(["| name | objective | paper |", "| --- | --- | --- |", *rows])


def _builtin_objectives() -> dict[str, Path]:
    folder = builtin_folder()
    return {name: path for name, path in list_objectives().items() if path.parent == folder}


def _paper(citation: Citation) -> tuple[str, str]:
    """The paper's address and where it is to be found in it, or where it appeared if the source was a note about it."""
    papers = [paper for note, paper in PAPERS_BEHIND_NOTES.items() if citation.url.startswith(note)]
    return papers[0] if papers else (citation.url, citation.where)


def _entry(name: str, cls: type[Objective]) -> str:
    doc = inspect.cleandoc(cls.__doc__ or "")
    equation = doc.partition("\n\n")[0].replace("\n", " ")
    needs = ", ".join(k if v is True else f"{k} {v}" for k, v in dataclasses.asdict(cls().needs).items() if v) or "nothing"
    lines = [f"### `{name}`", "", f"{cls.title}.", "", f"    {equation}", "", f"Needs: {needs}.", ""]
    for spec in dataclasses.fields(cls):
        lines.append(f"- `{spec.name}` = {spec.default!r}: {spec.metadata['doc']}")
    citation = cls.citation
    url, where = _paper(citation)
    note = "" if url == citation.url else f"; read in a [note about it]({citation.url})"
    source = f"Source: {citation.label}, [{citation.title}]({url}), {where}{note}."
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
