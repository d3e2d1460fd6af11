"""What the sweep's own task files call."""

import math


def backwards(resps, docs):
    return [[text[::-1] for text in texts] for texts in resps]


def several(doc, results):
    """A number, one that is none for some items, and a list."""
    said = str(results[0])
    return {
        "length": len(said),
        "share": math.nan if len(said) % 2 else 1.0 / (1 + len(said)),
        "words": [len(w) for w in said.split()],
    }


def all_of_them(items):
    return sum(sum(lengths) for lengths in items)
