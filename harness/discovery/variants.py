"""Name or path -> objective, and what is typed -> variants: `space`, `space:mu=3`, `./mine.py:gamma=2 as "Mine"`.

An objective's name is its file's stem; there is no list and no decorator. Three sources, in this order: a path, the `objectives`
folder, entry points in the group `harness.objectives`. Listing imports nothing, and only files that were asked for are imported.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import re
import sys
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from harness.config import as_list, scheduled
from harness.discovery.process_state import preserve_process_state
from harness.discovery.spelling import parse_spellings
from harness.errors import UserError, did_you_mean, is_termination
from harness.records import digest
from harness.settings.paths import resolve_path

if TYPE_CHECKING:
    from objectives import Objective

ENTRY_POINT_GROUP = "harness.objectives"
NAME_PATTERN = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
MAX_TITLE_LENGTH = 1000  # characters of an objective's title, and of each part of its citation


def builtin_folder() -> Path:
    """The installed `objectives` package, found without importing it."""
    spec = importlib.util.find_spec("objectives")
    if spec is None or spec.origin is None:
        raise UserError("the package `objectives` is not installed beside `harness`; reinstall selfplay-harness")
    return Path(spec.origin).parent


def list_objectives(folder: Path | None = None) -> dict[str, Path]:
    """Name -> file of every objective in the folder and behind entry points. Imports nothing; UserError on a clash."""
    from importlib.metadata import entry_points

    folder = folder or builtin_folder()
    paths = {p.stem: p for p in sorted(folder.glob("*.py")) if not p.stem.startswith("_")}
    for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: entry.name):
        path = _entry_path(entry)
        if entry.name in paths and paths[entry.name].resolve() != path.resolve():
            raise UserError(f'objective "{entry.name}" comes from two places, {paths[entry.name]} and {path}; remove one')
        paths[entry.name] = path
    return paths


def _entry_path(entry: Any) -> Path:
    module = entry.value.partition(":")[0]
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise UserError(f'objective "{entry.name}" is declared as {entry.value}, which is not installed')
    return Path(spec.origin)


def find_objective(name: str, known: Mapping[str, Path] | None = None, source: str = "", relative_to: Path | None = None) -> Path:
    """The file of an objective given by path or name. Raises UserError with the nearest known name.

    known: what `list_objectives` gives, where it has been called. source: the option or file that names the objective.
    relative_to: the folder in which a path starts; none: the working directory.
    """
    known = list_objectives() if known is None else known
    prefix = f"{source}: " if source else ""
    if name.endswith(".py") or "/" in name:
        path = resolve_path(name, relative_to)
        if not path.is_file():
            problem = "is a folder, expected a .py file" if path.is_dir() else "no such file"
            raise UserError(f"{prefix}objective {name}: {problem}")
        if path.stem in known and known[path.stem].resolve() != path.resolve():
            raise UserError(f'{prefix}objective "{path.stem}" comes from two places, {path} and {known[path.stem]}; rename one')
        return path
    if name not in known:
        hint = did_you_mean(name, known)
        if Path(f"{name}.py").is_file():
            hint = f"; for the file {name}.py of this folder type ./{name}.py"
        raise UserError(f'{prefix}unknown objective "{name}"{hint}')
    return known[name]


def load_objective(path: Path, source_digest: str | None = None) -> type[Objective]:
    """The one Objective subclass that a file defines. Raises UserError with the file's own error, line included.

    source_digest: what the file must be; it is not read again where that has been imported already.
    """
    from objectives import Citation, Objective  # the package of a program that has none is missed when it is needed

    if not NAME_PATTERN.fullmatch(path.stem):
        raise UserError(f"{path}: an objective's name is its file's stem, letters, digits and _ only; rename the file")
    module = _import_file(path, source_digest)
    own_classes = (v for v in vars(module).values() if inspect.isclass(v) and v.__module__ == module.__name__)
    classes = [cls for cls in own_classes if issubclass(cls, Objective)]
    if len(classes) != 1:
        names = ", ".join(c.__name__ for c in classes) or "none"
        raise UserError(f"{path}: defines {len(classes)} subclasses of Objective ({names}); expected exactly one")
    (cls,) = classes
    parameters = getattr(cls, "__dataclass_params__", None)
    if "__dataclass_fields__" not in vars(cls) or parameters is None or not parameters.frozen:
        raise UserError(f"{path}: {cls.__name__} is not a frozen dataclass; write @dataclass(frozen=True) above it")
    for attribute, kind in (("title", str), ("citation", Citation)):
        if not isinstance(value := getattr(cls, attribute, None), kind):
            raise UserError(f"{path}: {cls.__name__}.{attribute}={value!r} is no {kind.__name__}; see objectives/README.md")
        texts = [value] if isinstance(value, str) else [str(word) for word in dataclasses.astuple(value)]
        if (longest := max(map(len, texts))) > MAX_TITLE_LENGTH:
            raise UserError(
                f"{path}: {cls.__name__}.{attribute} has {longest:,} characters, more than {MAX_TITLE_LENGTH:,}; shorten it"
            )
    return cls


def _import_file(path: Path, source_digest: str | None) -> ModuleType:
    """Run a file as a module under a name that follows from its content, without writing bytecode beside it."""
    source_digest = source_digest or digest(path.read_bytes())
    name = f"_objective_{path.stem}_{digest(str(path.resolve()), source_digest)}"
    if name in sys.modules:
        return sys.modules[name]
    raw = path.read_bytes()
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not in UTF-8 (byte {error.start}: {error.reason}); save it as UTF-8") from error
    if digest(raw) != source_digest:
        raise UserError(f"{path}: was changed while the run goes on; repeat the command to go on with one of the two")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up by name
    dont_write_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        with preserve_process_state():
            spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if is_termination(error):
            raise
        raise UserError(describe_error(path, error)) from error
    finally:
        sys.dont_write_bytecode = dont_write_bytecode
    return module


def describe_error(path: Path, error: BaseException) -> str:
    """`mine.py: line 12: ValueError: ...`, with the line where an exception passed through the file."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).resolve() == path.resolve()]
    line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
    return f"{path}{f': line {line}' if line else ''}: {type(error).__name__}: {error}"


@dataclass(frozen=True)
class Variant:
    """One objective with its settings; lists in `params` are schedules.

    `label` names its folders and follows from what is typed. `shown_as` is the name that the user chose for tables and figures;
    None: the same. No number depends on it.
    """

    name: str
    label: str
    path: Path
    source_digest: str
    params: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    examples: int | None = None  # trains on the first so many annotated pairs; None: on all
    shown_as: str | None = None

    def objective(self, iteration: int) -> Objective:
        """The objective of one iteration, with schedules resolved to numbers. Raises UserError for an invalid parameter."""
        cls = load_objective(self.path, self.source_digest)
        self.check_names([f.name for f in dataclasses.fields(cls)])
        try:
            with preserve_process_state():
                return cls(**{name: scheduled(value, iteration) for name, value in self.params.items()})
        except (ValueError, TypeError) as error:
            raise self.refusal(error) from error
        except BaseException as error:  # its check of its parameters may be any code
            if is_termination(error):
                raise
            raise UserError(f"{self.label}: cannot be built: {describe_error(self.path, error)}") from error

    def check_names(self, known: Sequence[str]) -> None:
        """Raises UserError for a hyper-parameter that is not among the known ones, or an empty schedule."""
        for name in self.params:
            if name not in known:
                raise UserError(f'{self.label}: unknown parameter "{name}"{did_you_mean(name, known)}')
            if as_list(self.params[name]) == []:
                raise UserError(f"{self.label}: {name}=[]: an empty list; a schedule has at least one value")

    def refusal(self, error: Exception) -> UserError:
        """The error of a hyper-parameter's value that the objective refuses."""
        command_name = self.name if self.path.parent == builtin_folder() else self.path  # by which the command finds it
        return UserError(f"{self.label}: {error}; see: harness objectives show {command_name}")

    def objectives(self, iterations: int) -> list[Objective]:
        """The objectives of all iterations, for checks before the run. After the end of the last schedule they are the same
        object."""
        scheduled_objectives = [self.objective(t) for t in range(min(iterations, self.longest))]
        return [scheduled_objectives[min(t, len(scheduled_objectives) - 1)] for t in range(iterations)]

    @property
    def longest(self) -> int:
        """Entries of the longest schedule; 1 where there is none."""
        return max((len(as_list(value)) for value in self.params.values()), default=1) or 1

    def source(self) -> str:
        return self.path.read_text(encoding="utf-8")


def parse_variants(
    text: str,
    defaults: Mapping[str, Mapping[str, Any]] | None = None,
    folder: Path | None = None,
    source: str = "--objectives",
    relative_to: Path | None = None,
) -> list[Variant]:
    """`space,space:mu=3,spin:beta=0.5:history=0:training.lr=1e-4,sft:data.examples=300` -> variants; see spelling.py.

    defaults: the recipe's settings per objective name; the command line's override them and alone enter the label.
    source: the option that named them, for errors. relative_to: as in `find_objective`.
    """
    known = list_objectives(folder)
    files: dict[str, tuple[Path, str]] = {}  # by name as typed: path, digest of the source
    variants = []
    for spelling in parse_spellings(text, source):
        name, item, label = spelling.name, spelling.text, spelling.folder(known, source)
        if name not in files:
            path = find_objective(name, known, source, relative_to)
            files[name] = path, digest(path.read_bytes())
        path, source_digest = files[name]
        settings = {**_flatten((defaults or {}).get(path.stem, {})), **spelling.settings}
        examples = settings.pop("data.examples", None)
        if examples is not None and (not isinstance(examples, int) or isinstance(examples, bool) or examples < 1):
            raise UserError(f"{source} {item}: data.examples={examples!r} is not a count of pairs, for example 300")
        training = {key: value for key, value in settings.items() if key.startswith("training.") and key != "training."}
        params = {key: value for key, value in settings.items() if key not in training}
        training = {key.removeprefix("training."): value for key, value in training.items()}
        variants.append(Variant(path.stem, label, path, source_digest, params, training, examples, spelling.label))
    if not variants:
        raise UserError(f"{source} is empty; name at least one, for example space,spin (see: harness objectives)")
    for label, count in Counter(v.label for v in variants).items():
        if count > 1:
            raise UserError(f'{source} names "{label}" twice')
    for name, count in Counter(v.shown_as or v.label for v in variants).items():
        if count > 1:
            raise UserError(f'{source}: two variants are shown as "{name}"; give one of them another label')
    return variants


def split_variants(text: str, source: str = "--objectives") -> list[str]:
    """Every variant of a text as it is typed, its label with it."""
    return [spelling.text for spelling in parse_spellings(text, source)]


def variant_label(text: str, known: Mapping[str, Path]) -> str:
    """The name of one variant's folder; its objective need not exist. known: what `list_objectives` gives."""
    (spelling,) = parse_spellings(text)
    return spelling.folder(known, "--objectives")


def _flatten(section: Mapping[str, Any]) -> dict[str, Any]:
    training = section.get("training")
    if not isinstance(training, Mapping):
        return dict(section)
    return {k: v for k, v in section.items() if k != "training"} | {f"training.{k}": v for k, v in training.items()}
