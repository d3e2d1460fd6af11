"""(f) Growth: seconds and memory of training against prompts, mu and response length."""

import json
import random
import resource

from tests.bench.measure import median, python, report, seconds_of

POINTS = (
    *({"prompts": n, "mu": 1, "length": 10} for n in (300, 600, 1200)),
    *({"prompts": 300, "mu": mu, "length": 10} for mu in (1, 3, 7, 15)),
    *({"prompts": 96, "mu": 1, "length": n} for n in (16, 64, 256)),
)


def run(repeats: int, save: bool) -> None:
    rows, facts = [], []
    for point in POINTS:
        measured = [_in_a_process(point) for _ in range(max(1, repeats // 2))]
        seconds, memory = (median([m[key] for m in measured]) for key in ("seconds", "mebibytes"))
        tokens = measured[0]["tokens"]
        what = f"{point['prompts']} prompts, mu {point['mu']}, {point['length']} tokens a response"
        rows.append([what, f"{seconds:.2f}", f"{tokens:,}", f"{1e6 * seconds / tokens:.0f}", f"{memory:.0f}"])
        facts.append({**point, "measured": measured})
    report(
        "growth", "One epoch of the mu-weighted objective's loss: what it costs as the work grows",
        ["", "seconds", "laid-out tokens", "us per token", "MiB above start"], rows, {"points": facts}, save,
    )  # fmt: skip


def _in_a_process(point: dict[str, int]) -> dict[str, float]:
    """Largest memory is a process's own, so every point gets one."""
    code = f"from tests.bench.growth import measured; measured({json.dumps(point)})"
    return json.loads(python("-W", "ignore", "-c", code).splitlines()[-1])


def measured(point: dict[str, int]) -> None:
    """Train on random tokens of the asked-for sizes and print seconds, laid-out tokens and memory as JSON."""
    from harness.discovery.variants import parse_variants
    from harness.records import Group, Response
    from harness.train.core import train
    from tests.bench import lab
    from tests.helpers.peers import quiet

    settings, policy, _ = lab.load()
    draw = random.Random(0)

    def ids(count: int) -> list[int]:
        return [draw.randrange(10, 800) for _ in range(count)]

    def response() -> Response:
        return Response(ids(point["length"]))

    groups = [
        Group(f"x{i}", 0, ids(17), response(), tuple(response() for _ in range(point["mu"]))) for i in range(point["prompts"])
    ]
    (variant,) = parse_variants(f"space:mu={point['mu']}", {})
    training = settings.training.model_copy(update={"epochs": 1}).at_iteration(0)
    groups = lab.with_references(policy, groups)
    train(policy, groups[:64], variant.objective(0), training, (0,), quiet, quiet)
    policy.reset_adapter(0)
    before = _peak_memory()
    seconds = seconds_of(lambda: train(policy, groups, variant.objective(0), training, (0,), quiet, quiet))
    tokens = len(groups) * (17 + (point["length"] - 1) * (1 + point["mu"]))
    print(json.dumps({"seconds": round(seconds, 3), "tokens": tokens, "mebibytes": round(_peak_memory() - before, 1)}))


def _peak_memory() -> float:
    """Largest memory so far, in MiB: what training adds to it is what training needs beyond one warm step."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
