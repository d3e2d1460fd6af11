"""Measure one row: contestants in turn, a round at a time, each round kept before the next one begins."""

import gc
import os
import time
from collections.abc import Callable
from typing import Any

from tests.bench.limits import measure_rates, operator_shares
from tests.bench.row import BFLOAT16, Outcome, Row, Situation, Work
from tests.bench.row_file import RowFile

Rates = Callable[[bool], dict[str, float]]


def measure_row(row: Row, file: RowFile, situation: Situation, repeats: int, rates: Rates = measure_rates) -> None:
    """Rounds until the file has `repeats` of them, then the profile; whatever the file has already is not measured again."""
    situation.tried, situation.save = file.content["tried"], file.save
    work = row.prepare(situation)
    file.set_sizes(work.sizes)
    situation.tried = file.content["tried"]
    file.content |= {"unit": work.unit, "bound": work.bound}
    gc.collect()
    gc.freeze()  # as a run does after its preparation
    try:
        if len(file.content["rounds"]) < repeats:
            warm_up(work)
            if work.check is not None:
                work.check()
        while len(done := file.content["rounds"]) < repeats:
            file.add_round(measure_round(work, reverse=len(done) % 2 == 1, rates=rates))
            print(f"{row.name}: round {len(done)} of {repeats}", flush=True)
    finally:
        gc.unfreeze()
    if "profile" not in file.content:
        file.content["profile"] = operator_shares(work.profiled) if work.profiled else []
        file.save()


def warm_up(work: Work) -> None:
    if work.warm_up is not None:
        work.warm_up()
    else:
        for run in work.contestants.values():
            run()


def measure_round(work: Work, reverse: bool, rates: Rates = measure_rates) -> dict[str, Any]:
    """Every contestant once; load: average over a minute before and after; rates: of this machine at this moment."""
    before = os.getloadavg()[0]
    found = {"rates": rates(BFLOAT16 in work.contestants), "contestants": {}}
    for name in list(work.contestants)[:: -1 if reverse else 1]:
        found["contestants"][name] = timed(work.contestants[name])
    return found | {"load": [before, os.getloadavg()[0]]}


def timed(run: Callable[[], Outcome | None]) -> dict[str, Any]:
    """seconds: of the wall clock; processor_seconds: of all threads and of children; amount and parts as in `Outcome`."""
    processor, began = processor_seconds(), time.perf_counter()
    outcome = run() or Outcome()
    seconds = outcome.seconds if outcome.seconds is not None else time.perf_counter() - began
    spent = processor_seconds() - processor
    return {"seconds": seconds, "processor_seconds": round(spent, 3), "amount": outcome.amount, "parts": outcome.parts}


def processor_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
