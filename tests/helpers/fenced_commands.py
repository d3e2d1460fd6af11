"""Commands that papers print in blocks, and the files that they show: what a reader types and saves."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

# First words of a line that make it a command, in a block that is indented and may hold a formula or a tree as well.
PROGRAMS = set("harness make python python3 pip uv git source cp cd mkdir export pytest hf sbatch".split())
SHELL_FENCES = {"sh", "bash", "console", "shell"}
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HELP_FENCES = {"text"}  # what --help prints
HELP_EXAMPLE = re.compile(r"^  (harness .*)$", re.MULTILINE)
INDENTED = re.compile(r"(?:^|\n\n)((?:    [^\n]*(?:\n|$))+)")


@dataclass(frozen=True)
class Command:
    """text: as it stands, without its comment. words: as the shell splits it."""

    paper: str
    text: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text)

    def __str__(self) -> str:
        return f"{self.paper}: {self.text}"


def commands_of(paper: str, text: str) -> list[Command]:
    """Every command of a paper. In a fence for a shell every line is one, apart from comments and blank ones."""
    fences = FENCE.findall(text)
    lines = [line for kind, body in fences if kind in SHELL_FENCES for line in body.replace("\\\n", " ").splitlines()]
    lines += [line for kind, body in fences if kind in HELP_FENCES for line in HELP_EXAMPLE.findall(body)]
    for block in INDENTED.findall(FENCE.sub("\n", text)):
        lines += [line for line in block.splitlines() if line.split()[:1] and line.split()[0] in PROGRAMS]
    found = [re.sub(r"\s+#.*", "", line).strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    return [Command(paper, line) for line in found]


def files_of(text: str) -> dict[str, str]:
    """name -> contents of the files that a paper shows: fences whose first line is the name, in a comment."""
    bodies = (body for _, body in FENCE.findall(text))
    named = ((re.match(r"# ([\w./-]+\.\w+)\n", body), body) for body in bodies)
    return {match[1]: body for match, body in named if match}


def write_files(folder: Path, contents: dict[str, str]) -> None:
    for name, text in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
