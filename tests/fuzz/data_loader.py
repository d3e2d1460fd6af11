"""A fuzz target for the data loader: any bytes under any name are either pairs or one UserError. python -m tests.fuzz.data_loader

    python -m tests.fuzz.data_loader --seconds 60 --seed 1

It needs no package: files that are well are damaged at random, and what can still be read is damaged further.
"""

import argparse
import io
import json
import random
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

from harness.config import DataConfig
from harness.errors import UserError
from harness.language.data.dataset import Pair, _clean, read_pairs
from harness.sources.rows import FILE_SUFFIXES

TALK = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b\u00e9"}, {"role": "user", "content": "c"}]
WORDS = (
    b"NaN", b"\\ud800", b"null", b"{}", b"[[", b'"', b",", b"\n", b"\r", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"1e999",
    b"messages", b"Human: ", b"[{", b'"role"',
)  # fmt: skip
LARGEST = 1 << 20  # bytes of a damaged file


def target(raw: bytes, suffix: str, folder: Path) -> list[Pair] | None:
    """The pairs in a file of these bytes, None where it was refused in one line. Whatever else is raised is a find."""
    path = folder / f"pairs{suffix}"
    path.write_bytes(raw)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pairs = _clean(read_pairs(DataConfig(source=str(path)), str(path), None), Counter())
    except UserError as error:
        if str(path) not in str(error) or not str(error).isprintable():
            raise RuntimeError("refused, but not in one line that names the file") from error
        return None
    for pair in pairs:
        assert pair.prompt and pair.real
        (pair.prompt + pair.real).encode("utf-8")
    return pairs


def corpus() -> list[tuple[bytes, str]]:
    """Small files that are well, of every kind."""
    import pandas

    rows = [{"prompt": f"say {i}", "response": f"it is {i}, \u00e9"} for i in range(4)]
    chats = [{"messages": TALK}, {"messages": TALK[:2]}]
    alpaca = [{"instruction": "add", "input": "1 2", "output": "3"}]
    parts = [{"role": turn["role"], "content": [{"type": "text", "text": turn["content"]}]} for turn in TALK]
    chosen = [{"prompt": TALK[:1], "chosen": [TALK[1]], "rejected": [TALK[1]]}, {"prompt": TALK, "chosen": TALK[1:2], "id": "x"}]
    shared = [{"system": "s t", "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}]
    earlier = [{"prompt": "a", "response": "b", "history": [["c", "d"]], "context": "e f"}]
    dialogue = [{"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "c d"}]
    found = []
    for kind in (rows, chats, alpaca, [{"messages": parts}], chosen, shared, earlier, dialogue):
        found.append(("".join(json.dumps(row) + "\n" for row in kind).encode(), ".jsonl"))
        found.append((json.dumps(kind, ensure_ascii=False).encode(), ".json"))
        table = io.BytesIO()
        pandas.DataFrame(kind).to_parquet(table)
        found.append((table.getvalue(), ".parquet"))
    for kind in (rows, alpaca):
        found.append((pandas.DataFrame(kind).to_csv(index=False).encode(), ".csv"))
    return found


def damaged(raw: bytes, draw: random.Random) -> bytes:
    """One to three wounds: a byte changed, a part cut out, doubled or repeated, a word put in, the encoding changed."""
    data = bytearray(raw)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        at, end = sorted(draw.randrange(len(data) + 1) for _ in range(2))
        wound = draw.randrange(7)
        if wound == 0 and data:
            data[min(at, len(data) - 1)] = draw.randrange(256)
        elif wound == 1:
            del data[at : min(end, at + draw.choice((1, 4, 64, 4096)))]
        elif wound == 2:
            data[at:at] = data[at : min(end, at + 256)]
        elif wound == 3:
            data[at:at] = draw.choice(WORDS)
        elif wound == 4 and len(data) < 4096:
            data[at:at] = data[at : at + draw.randint(1, 4)] * draw.choice((16, 16, 2000, 50_000))
        elif wound == 5 and draw.random() < 0.1:
            data = bytearray(bytes(data).decode("latin-1").encode(draw.choice(("utf-16", "utf-32", "utf-8"))))
        elif wound == 6:
            del data[at:]
        del data[LARGEST:]
    return bytes(data)


def attack(seed: int, count: int | None = None, seconds: float | None = None) -> Counter[str]:
    """Damage files until one of the two is used up; returns how many were read and how many refused, by kind of file."""
    draw, done, pool = random.Random(seed), Counter(), corpus()
    began, tried = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as folder:
        while (count is None or tried < count) and (seconds is None or time.monotonic() - began < seconds):
            suffix = draw.choice(FILE_SUFFIXES)
            raw = damaged(draw.choice([raw for raw, kind in pool if kind == suffix or draw.random() < 0.01]), draw)
            tried += 1
            try:
                pairs = target(raw, suffix, Path(folder))
            except BaseException:
                kept = Path(f"found-{seed}-{tried}{suffix}")
                kept.write_bytes(raw)
                print(f"kept in {kept}")
                raise
            done[f"{suffix} {'refused' if pairs is None else 'read'}"] += 1
            if pairs is not None and len(pool) < 500:
                pool.append((raw, suffix))
    return done


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    print(dict(sorted(attack(asked.seed, seconds=asked.seconds).items())))
