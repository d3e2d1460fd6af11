"""Command `new-objective`: a file that is a complete objective, to be changed into one's own."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from harness.commands.console import echo
from harness.discovery.variants import NAME_PATTERN, builtin_folder, list_objectives
from harness.errors import UserError
from harness.settings.paths import expand_user
from harness.settings.safe_paths import RESERVED_FOLDERS

TEMPLATE = "_template.py"
TEMPLATE_CLASS, TEMPLATE_NAME = "Template", "template"


def new_objective_command(name: str) -> None:
    """Write NAME.py. Raises UserError for a name that no objective can have, or a file that is there: nothing is overwritten."""
    path = expand_user(name if name.endswith(".py") else f"{name}.py")
    stem = path.stem
    if not NAME_PATTERN.fullmatch(stem) or stem in RESERVED_FOLDERS:
        raise UserError(f"new-objective {name}: an objective's name is letters, digits and _, a letter first; for example: mine")
    if stem in (known := list_objectives()):
        raise UserError(f"new-objective {name}: there is an objective {stem} ({known[stem]}); take another name")
    text = (builtin_folder() / TEMPLATE).read_text(encoding="utf-8")
    text = text.replace(TEMPLATE_CLASS, _class_name(stem, text)).replace(TEMPLATE_NAME, stem)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UserError(f"new-objective {name}: {path} exists and is not overwritten; take another name, or remove it") from None
    except FileNotFoundError:
        raise UserError(f"new-objective {name}: no folder {path.parent}; make it, or name another") from None
    typed = _as_typed(path)
    echo(f"written {typed}: change its first line, equation, citation, hyper-parameters and loss; then type")
    echo(f"  harness objectives check {typed}")
    echo(f"  harness run --recipe smoke --objectives {typed} --dry-run")


def _class_name(stem: str, text: str) -> str:
    """`my_loss` -> `MyLoss`; a word of Python or of the template gets a word behind it."""
    name = "".join(word[:1].upper() + word[1:] for word in stem.split("_"))
    return f"{name}Loss" if keyword.iskeyword(name) or re.search(rf"\b{name}\b", text) else name


def _as_typed(path: Path) -> str:
    """The path as `--objectives` takes it: one of this folder begins with ./"""
    return str(path) if path.is_absolute() or len(path.parts) > 1 else f"./{path}"
