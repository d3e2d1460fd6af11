"""Things that are wrong, to be given to the program: models, adapters and objectives, each made from a good one."""

import json
import shutil

from tests.conftest import ROOT, SMALL_RECIPE

BASE = ROOT / "harness" / "lab" / "base"
OBJECTIVE = (ROOT / "objectives" / "spin.py").read_text(encoding="utf-8")
RECIPE = SMALL_RECIPE.read_text(encoding="utf-8")
SUITE = (ROOT / "tests" / "data" / "two.toml").read_text(encoding="utf-8")
PAIRS = [{"prompt": f"say {i}", "response": f"it is {i}"} for i in range(20)]


def lines(*rows):
    """Rows as JSON lines, in bytes."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def changed(text, *pairs):
    """A text with replacements, each of which must be in it."""
    for old, new in zip(pairs[::2], pairs[1::2], strict=True):
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def objective(loss=None, needs="Needs(reference=True, synthetic=1)", fields="", before=""):
    """SPIN's file cut down to what a contract needs, with one part of it replaced."""
    loss = loss or "LossOutput(torch.relu(batch.synthetic.log_ratio - batch.real.log_ratio).mean(dim=1))"
    return f'''
"""An objective with a mistake in it."""
from dataclasses import dataclass, field
import torch
from objectives import Batch, Citation, LossOutput, Needs, Objective, param

@dataclass(frozen=True)
class Mine(Objective):
    title = "mine"
    citation = Citation("a", "b", "c", "d")
{"".join(f"    {line}{chr(10)}" for line in fields.splitlines())}
    @property
    def needs(self):
        return {needs}

    def loss(self, batch):
{"".join(f"        {line}{chr(10)}" for line in before.splitlines())}        return {loss}
'''


def model(edit, leave_out=()):
    """Writes a copy of the lab's base and lets `edit` break it; for a case's files."""

    def write(folder):
        shutil.copytree(BASE, folder, ignore=shutil.ignore_patterns(*leave_out))
        edit(folder)

    return write


def settings(name, **values):
    """An edit of a JSON file in a model's folder; None removes a key."""

    def edit(folder):
        path = folder / name
        kept = {k: v for k, v in {**json.loads(path.read_text()), **values}.items() if v is not None}
        path.write_text(json.dumps(kept))

    return edit


def cut(name):
    """Half a file."""

    def edit(folder):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) // 2])

    return edit


def text(name, said):
    return lambda folder: (folder / name).write_text(said)


def adapter(width=64, **values):
    """A peft adapter on disk, of rank 4 and alpha 32 as the small recipe, for a base of another width."""

    def write(folder):
        import torch
        from safetensors.torch import save_file

        folder.mkdir()
        asked = {"peft_type": "LORA", "r": 4, "lora_alpha": 32.0, "target_modules": ["q_proj"], **values}
        (folder / "adapter_config.json").write_text(json.dumps(asked))
        name = "base_model.model.model.layers.0.self_attn.q_proj"
        weights = {f"{name}.lora_A.weight": torch.zeros(4, width), f"{name}.lora_B.weight": torch.zeros(width, 4)}
        save_file(weights, folder / "adapter_model.safetensors")

    return write
