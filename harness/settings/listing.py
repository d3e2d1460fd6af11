"""The settings of a run as a list: key, default, type, unit and meaning, read from the text of config.py.

The classes there are not imported: pydantic takes longer to load than all the rest of `harness settings`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.settings.paths import PACKAGE

TYPE_NAMES = {"str": "text", "int": "integer", "float": "number", "bool": "true or false", "dict": "table"}


@dataclass(frozen=True)
class SectionHeading:
    """The heading of a section and what the section is about."""

    name: str
    meaning: str


@dataclass(frozen=True)
class SettingDescription:
    """One setting, by its dotted key. type: in words; unit: empty where it has none."""

    key: str
    default: Any
    type: str
    unit: str
    meaning: str


def describe_settings(source: str | None = None) -> Iterator[SectionHeading | SettingDescription]:
    """Every setting, those of a section behind its heading. source: in place of config.py's text."""
    tree = ast.parse(source or (PACKAGE / "config.py").read_text(encoding="utf-8"))
    assignments = [node for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)]
    names = {node.targets[0].id: node.value for node in assignments if isinstance(node.targets[0], ast.Name)}
    sections = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    return _Declarations(names, sections).settings("RunConfig")


def list_settings(source: str | None = None) -> Iterator[tuple[str, str]]:
    """The same as texts: (`key = default`, meaning, type and unit), a section's heading as (`[name]`, meaning)."""
    for line in describe_settings(source):
        if isinstance(line, SectionHeading):
            yield f"[{line.name}]", line.meaning
        else:
            kind = ", ".join(filter(None, [line.type, line.unit]))
            yield f"{line.key} = {format_value(line.default)}", f"{line.meaning} ({kind})"


def format_value(value: Any) -> str:
    """A value as recipes and options have it; none for no value."""
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class _Declarations:
    """What the text declares by name: values and types, and sections."""

    names: dict[str, ast.expr]
    sections: dict[str, ast.ClassDef]

    def settings(self, section: str, prefix: str = "") -> Iterator[SectionHeading | SettingDescription]:
        for line in self.sections[section].body:
            if not isinstance(line, ast.AnnAssign) or not isinstance(line.target, ast.Name) or line.target.id.startswith("_"):
                continue
            name, annotation = line.target.id, line.annotation
            if isinstance(annotation, ast.Name) and annotation.id in self.sections:
                yield SectionHeading(name, (ast.get_docstring(self.sections[annotation.id]) or "").partition("\n\n")[0])
                yield from self.settings(annotation.id, f"{prefix}{name}.")
                continue
            assert isinstance(line.value, ast.Call), f"{section}.{name} is not written as a setting"
            default, meaning, *unit = map(self._value, line.value.args)
            yield SettingDescription(f"{prefix}{name}", default, self._type(annotation), "".join(unit), meaning)

    def _value(self, node: ast.expr) -> Any:
        """The value of an expression that is one, or the name of one."""
        return ast.literal_eval(self.names.get(node.id, node) if isinstance(node, ast.Name) else node)

    def _type(self, node: ast.expr) -> str:
        """An annotation in words: `number or list of number`."""
        if isinstance(node, ast.Constant) and node.value is None:
            return "none"
        if isinstance(node, ast.BinOp):
            return f"{self._type(node.left)} or {self._type(node.right)}"
        if isinstance(node, ast.Name):
            return self._type(self.names[node.id]) if node.id in self.names else TYPE_NAMES[node.id]
        assert isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name), f"{ast.unparse(node)}: unknown kind of type"
        arguments = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if node.value.id == "Literal":
            return " or ".join(format_value(self._value(argument)) for argument in arguments)
        if node.value.id == "Annotated":
            return self._type(arguments[0])
        return f"list of {self._type(arguments[0])}" if node.value.id == "list" else TYPE_NAMES[node.value.id]
