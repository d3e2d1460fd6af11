"""Work that is kept inside a phase: a killed attempt goes on from it, to the bytes of an unbroken one."""

import json

import pytest
import torch

from harness.config import TrainingConfig
from harness.discovery.variants import find_objective, list_objectives, load_objective
from harness.store.partial_results import PartialResults
from harness.store.run_folder import RunFolder
from harness.train.checkpointing import STATE_FILE, TrainingCheckpointer
from harness.train.core import train
from tests.conftest import make_policy
from tests.peers import quiet
from tests.training import make_groups


class Killed(Exception):
    pass


def trained(tokenizer, name, folder, optimizer="rmsprop", stop=None, seconds=0.0):
    """The adapter after training, killed after `stop` steps and taken up again; with the steps' losses as logged."""
    policy = make_policy(tokenizer)
    objective = load_objective(find_objective(name))()
    groups = make_groups(policy, objective.needs)
    start = [p.detach().clone() for _, p in policy.adapter_parameters()]
    settings = TrainingConfig(lr=1e-2, epochs=3, batch_size=3, micro_batch=2, optimizer=optimizer)

    def attempt(stop):
        with torch.no_grad():
            for (_, p), value in zip(policy.adapter_parameters(), start, strict=True):
                p.copy_(value)
        keeper = TrainingCheckpointer(folder, seconds)

        def on_step(record):
            keeper.log(record)
            if record.step == stop:
                raise Killed

        return train(policy, groups, objective, settings, (0,), quiet, on_step, keeper)

    if stop is not None:
        with pytest.raises(Killed):
            attempt(stop)
    counts = attempt(None)
    lines = [json.loads(x) for x in (folder / "steps.jsonl").read_text().splitlines()]
    return [p.detach().clone() for _, p in policy.adapter_parameters()], counts, [(r["step"], r["loss"]) for r in lines]


@pytest.mark.parametrize("optimizer", ["rmsprop", "adamw"])
@pytest.mark.parametrize("name", list_objectives())
def test_training_goes_on_from_what_was_kept_to_the_same_bits(tokenizer, tmp_path, name, optimizer):
    whole = trained(tokenizer, name, tmp_path / "whole", optimizer)
    for stop in (0, 1, 5):
        broken = trained(tokenizer, name, tmp_path / f"broken-{stop}", optimizer, stop)
        assert all(torch.equal(a, b) for a, b in zip(whole[0], broken[0], strict=True))
        assert whole[1:] == broken[1:], "counts, and every step once with the same loss"
    assert [step for step, _ in whole[2]] == list(range(9))


def test_what_is_damaged_or_belongs_to_another_log_is_not_taken_up(tokenizer, tmp_path):
    whole = trained(tokenizer, "sft", tmp_path / "whole")
    for harm in ("cut", "no log"):
        folder = tmp_path / harm
        trained(tokenizer, "sft", folder, stop=4)
        if harm == "cut":
            (folder / STATE_FILE).write_bytes((folder / STATE_FILE).read_bytes()[:-9])
        else:
            (folder / "steps.jsonl").write_text("")
        again = trained(tokenizer, "sft", folder)
        assert all(torch.equal(a, b) for a, b in zip(whole[0], again[0], strict=True))
        assert again[2] == whole[2]


def test_nothing_is_kept_more_often_than_asked(tokenizer, tmp_path):
    trained(tokenizer, "sft", tmp_path, seconds=3600.0)
    assert not (tmp_path / STATE_FILE).exists()


def test_shards_are_taken_up_by_place_and_key_and_made_again_where_they_do_not_fit(tmp_path):
    worked = []

    def work(part):
        worked.append(list(part))
        return [[n, n * 0.1] for n in part]

    def made(items, key="a"):
        worked.clear()
        return PartialResults(tmp_path, 3).map("x", items, lambda part: f"{key} {part}", work)

    expected = [[n, n * 0.1] for n in range(8)]
    assert made(range(8)) == expected
    assert worked == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert made(range(8)) == expected
    assert worked == []
    (tmp_path / "x-00001.json").write_text((tmp_path / "x-00001.json").read_text().replace("0.4", "0.5"))
    assert made(range(8)) == expected
    assert worked == [[3, 4, 5]], "one number was changed in it"
    assert made(range(8), key="b") == expected
    assert len(worked) == 3
    assert made([0, 1, 2, 9]) == [*expected[:3], [9, 0.9]]


def test_a_phase_goes_on_only_from_an_attempt_at_the_same(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.root.mkdir()

    def attempt(inputs, fail):
        with run.write_phase("a", inputs, {}) as writer:
            found = PartialResults(writer.unfinished, 1).map("x", [1, 2], str, lambda part: [f"{inputs} {part[0]}"])
            (writer.path / "half.txt").write_text("half")
            if fail:
                raise Killed
            (writer.path / "out.json").write_text(json.dumps(found))
            return found

    with pytest.raises(Killed):
        attempt({"player": "one"}, fail=True)
    assert (run.root / "a.partial/unfinished/x-00000.json").is_file()
    with pytest.raises(Killed):
        attempt({"player": "two"}, fail=True)
    assert (run.root / "a.abandoned/unfinished/x-00000.json").is_file(), "the first attempt was at something else: set aside"
    assert attempt({"player": "two"}, fail=False) == ["{'player': 'two'} 1", "{'player': 'two'} 2"]
    assert sorted(p.name for p in (run.root / "a").iterdir()) == ["half.txt", "manifest.json", "out.json"]
    assert run.find_phase("a").manifest.counts["attempts"] == 2
