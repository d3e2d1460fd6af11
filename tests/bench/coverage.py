"""What the 95 % intervals and p-values cover: simulated scores with known means, 3, 5 and 10 seeds; skewed and 0/1 values too."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from harness.analysis import stats
from harness.analysis.comparison import Difference, ItemScores, difference, mcnemar, prob_best
from harness.analysis.item_errors import ItemLayout
from harness.analysis.stability import flip_rate, stability
from tests.bench.measure import report

SEEDS = (3, 5, 10)
TRIES = 2_000  # two standard errors of 0.95 are then 0.010
TASKS, ITEMS, TIMES = 2, 40, 5
LAYOUTS = tuple(ItemLayout((ITEMS,)) for _ in range(TASKS))
QUESTIONS = 16
QUESTION = tuple(n * QUESTIONS // ITEMS for n in range(ITEMS))
# standard deviations of an item's difficulty, of one answer in one seed, and of a seed over all tasks and in one task; an item's
# error in the mean is 0.11, so seeds that vary by 0.25 make the sum's degrees of freedom the least certain
KINDS = {
    "items": (1.0, 0.0, 0.0, 0.0),
    "items, answers by chance": (0.7, 0.7, 0.0, 0.0),
    "seeds": (0.0, 0.0, 0.1, 0.0),
    "seeds, each task": (0.0, 0.0, 0.05, 0.1),
    "both": (1.0, 0.3, 0.1, 0.0),
    "both, seeds most": (1.0, 0.3, 0.25, 0.1),
}
NORMAL = np.random.Generator.standard_normal
Noise = Callable[..., np.ndarray]
Found = Iterator[tuple[str, float]]


def skewed(generator: np.random.Generator, size: Any) -> np.ndarray:
    """Exponential values with mean 0 and standard deviation 1."""
    return generator.exponential(size=size) - 1


def answers(
    generator: np.random.Generator, seeds: int, kind: str, noise: Noise = NORMAL, tasks: int = TASKS
) -> tuple[np.ndarray, ...]:
    """What each item counted, (S, I) per task, with mean 0 over items and seeds."""
    item, answer, shared, own = KINDS[kind]
    each, by_item = (seeds, 1), (seeds, ITEMS)
    of_seed = shared * noise(generator, each)
    return tuple(
        item * noise(generator, (1, ITEMS)) + answer * noise(generator, by_item) + of_seed + own * noise(generator, each)
        for _ in range(tasks)
    )


def holds(bounds: tuple[float | None, float | None] | None, truth: float = 0.0) -> float:
    """1 where an interval holds the truth, 0 where not, NaN where there is none."""
    if bounds is None or bounds[0] is None or bounds[1] is None or np.isnan(bounds[0]):
        return np.nan
    return float(bounds[0] <= truth <= bounds[1])


def is_significant(p: float | None) -> float:
    return np.nan if p is None else float(p < 0.05)


def of_difference(name: str, found: Difference) -> Found:
    yield name, holds((found.low, found.high))
    yield f"{name}: false positives", is_significant(found.p)


def of_means(generator: np.random.Generator, seeds: int, kind: str, noise: Noise = NORMAL) -> Found:
    """(printed as, coverage) of one player's mean: leaderboard, `last` of the stability table, study table."""
    player = ItemScores(answers(generator, seeds, kind, noise), LAYOUTS)
    yield "mean: items and seeds", holds(stats.interval(player.mean, player.uncertainty()))
    if kind.startswith("seeds"):
        yield "mean: seeds alone", holds(stats.interval_of_mean(player.per_seed.mean(axis=1)))


def of_differences(generator: np.random.Generator, seeds: int, kind: str, noise: Noise = NORMAL) -> Found:
    """Comparisons and gains: coverage and false positives, of the mean over tasks."""
    a, b = (ItemScores(answers(generator, seeds, kind, noise), LAYOUTS) for _ in range(2))
    yield from of_difference("difference", difference(a, b))


def of_curves(generator: np.random.Generator, seeds: int, kind: str) -> Found:
    """What is picked out of a flat curve of T iterations: the best mean, and the last minus the best."""
    times = [ItemScores(answers(generator, seeds, kind), LAYOUTS) for _ in range(TIMES)]
    means = [one.mean for one in times]
    best = int(np.argmax(means))
    yield "best of five iterations", holds(stats.interval(means[best], times[best].uncertainty(), 1 - 0.05 / TIMES))
    if best == TIMES - 1:
        yield "last minus best: false positives", 0.0
    else:
        yield from of_difference("last minus best", difference(times[-1], times[best], num_comparisons=TIMES - 1))


def over_seeds(generator: np.random.Generator, seeds: int, expected: dict[str, float]) -> Found:
    """What a seed's curve did and what is measured on prompts: t over seeds. expected: the true means, from many seeds."""
    found = [curve_numbers(generator) for _ in range(seeds)]
    for name, truth in expected.items():
        yield f"{name}: seeds", holds(stats.interval_of_mean(np.array([one[name] for one in found])), truth)


def curve_numbers(generator: np.random.Generator) -> dict[str, float]:
    """Of one seed: a flat curve with noise, answers that flip, and a divergence, which is normal here."""
    curve = stability(0.5 + 0.02 * generator.standard_normal(TIMES))
    assert curve is not None
    right = generator.random((2, 160)) < 0.5
    numbers = {name: float(getattr(curve, name)) for name in ("best", "drop", "largest_fall", "falls", "area_lost")}
    return numbers | {"churn": flip_rate(right[0].astype(float), right[1].astype(float)), "drift": float(generator.normal())}


def right_and_wrong(generator: np.random.Generator, seeds: int, shared: float) -> Found:
    """Answers that are right or wrong, one seed or several, two equal players: false positives of p and of McNemar's test."""
    hard = [2 * generator.standard_normal((1, ITEMS)) for _ in range(TASKS)]

    def play() -> ItemScores:
        off = generator.standard_normal((seeds, 1))
        chances = [1 / (1 + np.exp(-logits - shared * off)) for logits in hard]
        return ItemScores(tuple((generator.random((seeds, ITEMS)) < p).astype(float) for p in chances), LAYOUTS)

    a, b = play(), play()
    yield from of_difference("0/1: difference of mean", difference(a, b))
    if seeds == 1:
        yield "0/1: McNemar: false positives", is_significant(mcnemar(a.values[0], b.values[0]))


def best_of_four(generator: np.random.Generator, seeds: int, kind: str) -> Found:
    """Four players whose true means differ by about their error: of those said to be best with a chance, how many are?"""
    truth = 0.3 * generator.standard_normal(4)
    players = [ItemScores(tuple(v + mean for v in answers(generator, seeds, kind)), LAYOUTS) for mean in truth]
    chances = prob_best(players, draws=1_000)
    assert chances is not None
    top = int(np.argmax(chances))
    name = "above 0.9" if chances[top] > 0.9 else "0.5 to 0.9" if chances[top] > 0.5 else None
    if name:
        yield f"best, chance {name}: said", float(chances[top])
        yield f"best, chance {name}: is", float(top == int(np.argmax(truth)))


def of_clusters(generator: np.random.Generator, seeds: int) -> Found:
    """Forty items of sixteen questions, half of whose variance the questions' items share: as clusters, and taken one by one."""
    spread = 0.1 if seeds > 1 else 0.0

    def play() -> tuple[np.ndarray, ...]:
        shared = generator.standard_normal(QUESTIONS)[np.array(QUESTION)]
        return (0.7 * shared + 0.7 * generator.standard_normal(ITEMS) + spread * generator.standard_normal((seeds, 1)),)

    a, b = play(), play()
    for name, layout in (("clusters", ItemLayout((ITEMS,), QUESTION)), ("clusters taken item by item", ItemLayout((ITEMS,)))):
        found = difference(ItemScores(a, (layout,)), ItemScores(b, (layout,)))
        yield f"{name}: difference", holds((found.low, found.high))


def exponential(generator: np.random.Generator, seeds: int) -> Found:
    yield "exponential: seeds", holds(stats.interval_of_mean(skewed(generator, seeds)))


def simulate(tries: int, *parts: Callable[[], Found]) -> dict[str, float]:
    """Means of what each of `parts` yields over all tries, NaN left out."""
    found: dict[str, list[float]] = {}
    for one in parts:
        for _ in range(tries):
            for name, value in one():
                found.setdefault(name, []).append(value)
    return {name: round(float(np.nanmean(v)), 4) if not np.isnan(v).all() else np.nan for name, v in found.items()}


def cases(tries: int) -> Iterator[tuple[str, int, dict[str, float]]]:
    """(kind of error, seeds, coverages)."""
    generator = np.random.default_rng(14)
    many = [curve_numbers(generator) for _ in range(20_000)]
    expected = {name: float(np.mean([one[name] for one in many])) for name in many[0]} | {"drift": 0.0}
    for seeds in SEEDS:
        for kind in KINDS:
            parts = (partial(part, generator, seeds, kind) for part in (of_means, of_differences, of_curves))
            yield kind, seeds, simulate(tries, *parts)
        for kind in ("items", "seeds", "both"):
            parts = (partial(part, generator, seeds, kind, skewed) for part in (of_means, of_differences))
            yield f"{kind}, skewed", seeds, simulate(tries, *parts)
        yield "over seeds", seeds, simulate(tries, partial(over_seeds, generator, seeds, expected))
        yield "over seeds, skewed", seeds, simulate(tries, partial(exponential, generator, seeds))
    for seeds in (1, *SEEDS):  # what a single seed shares cannot be seen
        yield "right or wrong", seeds, simulate(tries, partial(right_and_wrong, generator, seeds, 0.3 if seeds > 1 else 0.0))
        yield "both", seeds, simulate(tries, partial(best_of_four, generator, seeds, "both" if seeds > 1 else "items"))
    generator = np.random.default_rng(15)
    for seeds in (1, *SEEDS):
        yield "items that share a question", seeds, simulate(tries, partial(of_clusters, generator, seeds))


def run(repeats: int, save: bool) -> None:
    facts: list[dict[str, Any]] = []
    names: dict[tuple[str, str], dict[int, float]] = {}
    for kind, seeds, values in cases(TRIES):
        print(kind, seeds, values, flush=True)
        facts.append({"kind": kind, "seeds": seeds, **values})
        for name, value in values.items():
            names.setdefault((kind, name), {})[seeds] = value
    columns = (1, *SEEDS)
    rows = [[name, kind, *(_said(v.get(seeds)) for seeds in columns)] for (kind, name), v in names.items()]
    report(
        "coverage", f"share of {TRIES:,} simulated runs in which a 95 % interval holds the truth (or p < 0.05 though it is 0)",
        ["interval", "error", *(f"{s} seeds" for s in columns)], rows, {"tries": TRIES, "cases": facts}, save,
    )  # fmt: skip


def _said(value: float | None) -> str:
    return "" if value is None else "none" if np.isnan(value) else f"{value:.3f}"
