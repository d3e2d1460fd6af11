"""The hyper-parameters that an objective's file declares, read from its text: a typing error is found before torch is loaded.

Only what is written plainly is judged, as every file of `objectives/` writes it: one frozen dataclass on `Objective` alone, with
a line `name: type = param(default, "...", above=0)` per hyper-parameter. A file that is written in another way is judged when it
is imported (`Variant.objective`), which finds whatever is found here, in the same words.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import Field
from pathlib import Path

from harness.config import scheduled
from harness.discovery.variants import Variant
from objectives import param
from objectives._contract import checked_value

PLAIN_STATEMENTS = (ast.AnnAssign, ast.Assign, ast.FunctionDef, ast.Expr, ast.Pass)  # of a class; others may declare anything
PLAIN_TYPES = {"int", "float", "str", "bool", "None"}  # another name may stand for one of them


def check_declared(variant: Variant) -> None:
    """Raises UserError for a hyper-parameter that the variant's file does not declare, or a value outside its type or bounds."""
    if (declared := declared_parameters(variant.path)) is None:
        return
    variant.check_names(list(declared))
    for iteration in range(variant.longest):
        for name, spec in declared.items():
            if spec is not None and name in variant.params:
                try:
                    checked_value(spec, scheduled(variant.params[name], iteration))
                except (ValueError, TypeError) as error:
                    raise variant.refusal(error) from None


def declared_parameters(path: Path) -> Mapping[str, Field | None] | None:
    """Name -> declaration of every hyper-parameter, None where values are not judged; no mapping for a file that is not plain."""
    try:
        return _read(ast.parse(path.read_bytes()))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # said when the file is imported
        return None


def _read(tree: ast.Module) -> Mapping[str, Field | None] | None:
    subclasses = [node for node in tree.body if isinstance(node, ast.ClassDef) and "Objective" in map(ast.unparse, node.bases)]
    if len(subclasses) != 1:
        return None
    (node,) = subclasses
    decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
    is_plain = len(node.bases) == 1 and not node.keywords and decorators == ["dataclass(frozen=True)"]
    if not is_plain or not all(isinstance(statement, PLAIN_STATEMENTS) for statement in node.body):
        return None
    checks_itself = any(isinstance(statement, ast.FunctionDef) and statement.name == "__post_init__" for statement in node.body)
    fields = dict(_fields(node))
    return dict.fromkeys(fields) if checks_itself else fields


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, Field | None]]:
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            annotation = ast.unparse(statement.annotation)
            if "ClassVar" not in annotation:
                yield statement.target.id, _parse_param(statement.target.id, annotation.strip("'\""), statement.value)


def _parse_param(name: str, annotation: str, value: ast.expr | None) -> Field | None:
    """The field of a line `name: annotation = param(...)` whose type and arguments are plain."""
    has_plain_type = {kind.strip() for kind in annotation.split("|")} <= PLAIN_TYPES
    if not has_plain_type or not isinstance(value, ast.Call) or ast.unparse(value.func) != "param":
        return None
    try:
        arguments = [ast.literal_eval(argument) for argument in value.args]
        spec: Field = param(*arguments, **{str(word.arg): ast.literal_eval(word.value) for word in value.keywords})
    except (ValueError, TypeError):
        return None
    spec.name, spec.type = name, annotation
    return spec
