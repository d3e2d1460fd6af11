"""The settings of a run as a list: key, default, type, unit and meaning, read from the text of config.py.

The classes there are not imported: pydantic takes longer to load than all the rest of `harness run --help`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.settings.paths import PACKAGE

TYPE_NAMES = {"str": "text", "int": "integer", "float": "number", "bool": "true or false", "dict": "table"}


def list_settings(source: str | None = None) -> Iterator[tuple[str, str]]:
    """(`key = default`, meaning, type and unit) of every setting, those of a section behind its heading. source: in place of
    config.py's text.
    """
    tree = ast.parse(source or (PACKAGE / "config.py").read_text(encoding="utf-8"))
    assignments = [node for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)]
    names = {node.targets[0].id: node.value for node in assignments if isinstance(node.targets[0], ast.Name)}
    sections = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    return _Declarations(names, sections).settings("RunConfig")


@dataclass(frozen=True)
class _Declarations:
    """What the text declares by name: values and types, and sections."""

    names: dict[str, ast.expr]
    sections: dict[str, ast.ClassDef]

    def settings(self, section: str, prefix: str = "") -> Iterator[tuple[str, str]]:
        for line in self.sections[section].body:
            if not isinstance(line, ast.AnnAssign) or not isinstance(line.target, ast.Name) or line.target.id.startswith("_"):
                continue
            name, annotation = line.target.id, line.annotation
            if isinstance(annotation, ast.Name) and annotation.id in self.sections:
                yield f"[{name}]", (ast.get_docstring(self.sections[annotation.id]) or "").partition("\n\n")[0]
                yield from self.settings(annotation.id, f"{prefix}{name}.")
                continue
            assert isinstance(line.value, ast.Call), f"{section}.{name} is not written as a setting"
            default, meaning, *unit = map(self._value, line.value.args)
            kind = ", ".join([self._type(annotation), *unit])
            yield f"{prefix}{name} = {_format_value(default)}", f"{meaning} ({kind})"

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
            return " or ".join(_format_value(self._value(argument)) for argument in arguments)
        if node.value.id == "Annotated":
            return self._type(arguments[0])
        return f"list of {self._type(arguments[0])}" if node.value.id == "list" else TYPE_NAMES[node.value.id]


def _format_value(value: Any) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
