"""(a) One SPIN iteration on the lab, from the same start: generate, score references, train two epochs, evaluate ten tasks."""

import gc
import os
import time
from importlib.metadata import version
from typing import Any

import torch

from harness.discovery.variants import parse_variants
from harness.language.benchmark.lm_eval_benchmark import evaluate, load_lm_eval_benchmark
from harness.loop.suite import load_suite
from harness.train.core import train
from harness.train.groups import build_groups
from tests.bench import lab, peers
from tests.bench.measure import matmul_rate, median, paired_ratio, report, training_operations
from tests.helpers.peers import quiet


def run(repeats: int, save: bool) -> None:
    settings, policy, listed = lab.load()
    board = load_lm_eval_benchmark(load_suite(settings.evaluation.suite), None, None)
    gc.collect()
    gc.freeze()  # as a run does after its preparation
    (variant,) = parse_variants("spin", {})
    prompts = [policy.encoder.prompt(e) for e in listed]
    seconds: dict[str, dict[str, list[float]]] = {"harness": {}, "TRL + transformers + lm-eval": {}}
    scores: dict[str, float] = {}

    def lap(who: str, phase: str, work: Any) -> Any:
        began = time.perf_counter()
        with lab.silence_libraries():
            done = work()
        seconds[who].setdefault(phase, []).append(time.perf_counter() - began)
        return done

    def ours() -> None:
        who = "harness"
        torch.set_num_threads(1)  # one per lane
        policy.reset_adapter(0)
        drawn = lap(who, "generate", lambda: lab.generate_samples(policy, listed, settings))
        own = {"synthetic"}
        groups = lap(who, "encode", lambda: build_groups(policy.encoder, listed, 0, drawn, (), own))
        scored = lap(who, "references", lambda: lab.with_references(policy, groups))
        objective, training = variant.objective(0), settings.training.at_iteration(0)
        lap(who, "train", lambda: train(policy, scored, objective, training, (0,), quiet, quiet))
        done = lap(who, "evaluate", lambda: evaluate(policy, board, 2048, settings.evaluation.batch_size, quiet))
        scores[who] = sum(r.value for r in done.records) / len(done.records)

    def theirs() -> None:
        who = "TRL + transformers + lm-eval"
        torch.set_num_threads(os.cpu_count() or 1)
        model = lab.load_plain_model(settings)
        stops, wide = sorted(policy.template.stop_ids), settings.generation.batch_size
        drawn = lap(who, "generate", lambda: peers.generate(model, policy.tokenizer, prompts, stops, 64, wide))
        texts = [policy.tokenizer.decode(ids, skip_special_tokens=True) for ids in drawn]
        pairs = lap(who, "encode", lambda: peers.preference_dataset(listed, texts))
        trainer = lap(who, "references", lambda: peers.dpo_trainer(model, policy.tokenizer, pairs, settings, 2, 64))
        lap(who, "train", trainer.train)
        asked = policy.tokenizer, "lab-ten", settings.evaluation.batch_size, policy.context_length
        found = lap(who, "evaluate", lambda: peers.lm_eval_scores(trainer.model.eval(), *asked))
        scores[who] = sum(found.values()) / len(found)

    for turn in range(repeats + 1):
        for contestant in (ours, theirs) if turn % 2 == 0 else (theirs, ours):
            contestant()
    mine, other = ({p: v[1:] for p, v in phases.items()} for phases in seconds.values())  # the first round warms up
    total = [[sum(v[r] for v in phases.values()) for r in range(repeats)] for phases in (mine, other)]
    faster = paired_ratio(total[1], total[0])
    groups = build_groups(policy.encoder, listed, 0, lab.generate_samples(policy, listed, settings))
    counted = int(settings.training.epochs) * training_operations(policy, groups)[1]
    torch.set_num_threads(os.cpu_count() or 1)
    rate = matmul_rate()
    medians = [(p, median(mine[p]), median(other[p])) for p in mine]
    rows = [[p, f"{own:.2f}", f"{peer:.2f}", f"{peer / own:.1f}"] for p, own, peer in medians]
    rows.append(["all", f"{median(total[0]):.2f}", f"{median(total[1]):.2f}", f"{faster['median']:.1f}"])
    report(
        "iteration", f"One SPIN iteration on the lab, seconds, median of {repeats}", ["phase", "harness", "peers", "ratio"], rows,
        {
            "repeats": repeats, "seconds": {"harness": mine, "peers": other}, "ratio": faster, "mean_score": scores,
            "train_share_of_matmul_rate": round(counted / median(mine["train"]) / rate, 3), "matmul_flops_per_second": rate,
            "versions": {name: version(name) for name in ("trl", "transformers", "peft", "lm_eval", "torch")},
        },
        save,
    )  # fmt: skip
