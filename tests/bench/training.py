"""(b) Training alone: tokens per second of one epoch of SPIN's loss on the same pairs, against TRL's DPOTrainer."""

import os

import torch

from harness.discovery.variants import parse_variants
from harness.train.core import train
from harness.train.groups import build_groups
from tests.bench import lab, peers
from tests.bench.measure import matmul_rate, median, paired_ratio, report, time_alternating, training_operations
from tests.helpers.peers import quiet


def run(repeats: int, save: bool) -> None:
    settings, policy, listed = lab.load()
    drawn = lab.generate_samples(policy, listed, settings)
    groups = lab.with_references(policy, build_groups(policy.encoder, listed, 0, drawn))
    tokens = sum(len(g.prompt) + len(r.content) for g in groups for _, r in g.responses())
    texts = {sample.example_id: sample.text for sample in drawn}
    (variant,) = parse_variants("spin", {})
    training = settings.training.model_copy(update={"epochs": 1}).at_iteration(0)
    pairs = peers.preference_dataset(listed, [texts[example.id] for example in listed])
    cores = os.cpu_count() or 1
    trainers = []
    for _ in range(repeats + 1):  # made outside the timed part: it tokenises and precomputes the references
        with lab.silence_libraries():
            trainers.append(peers.dpo_trainer(lab.load_plain_model(settings), policy.tokenizer, pairs, settings, 1, 64))
            trainers[-1].get_train_dataloader()

    def ours() -> None:
        torch.set_num_threads(1)  # one per lane
        policy.reset_adapter(0)
        train(policy, groups, variant.objective(0), training, (0,), quiet, quiet)

    def theirs() -> None:
        torch.set_num_threads(cores)
        with lab.silence_libraries():
            trainers.pop().train()

    found = time_alternating({"harness": ours, "TRL": theirs}, repeats)
    torch.set_num_threads(cores)
    rate, (columns, operations) = matmul_rate(), training_operations(policy, groups)
    share = operations / median(found["harness"]) / rate
    rows = [[who, f"{median(s):.2f}", f"{tokens / median(s):,.0f}"] for who, s in found.items()]
    report(
        "training", f"One epoch of {len(groups)} pairs, {tokens} tokens of prompts and responses, median of {repeats}",
        ["", "seconds", "tokens/s"], rows,
        {
            "repeats": repeats, "seconds": found, "tokens": tokens, "ratio": paired_ratio(found["TRL"], found["harness"]),
            "laid_out_tokens": columns, "operations": operations, "matmul_flops_per_second": rate,
            "share_of_matmul_rate": round(share, 3),
        },
        save,
    )  # fmt: skip
