"""(d) Generation: one response to every prompt of the lab, and four to each, against transformers' generate."""

import os

import peft
import torch

from tests.bench import lab, peers
from tests.bench.measure import median, paired_ratio, report, time_alternating


def run(repeats: int, save: bool) -> None:
    settings, policy, listed = lab.load()
    prompts = [policy.encoder.prompt(e) for e in listed]
    stops, cores = sorted(policy.template.stop_ids), os.cpu_count() or 1
    plain = peft.get_peft_model(lab.load_plain_model(settings), peft.LoraConfig(**lab.LORA)).eval()
    rows, facts = [], {}
    for each in (1, 4):
        tokens: dict[str, list[int]] = {"harness": [], "transformers": []}

        def ours(each=each, tokens=tokens) -> None:
            torch.set_num_threads(1)  # one per lane
            drawn = lab.generate_samples(policy, listed[: 1200 // each], settings, each)
            tokens["harness"].append(sum(len(sample.token_ids) for sample in drawn))

        def theirs(each=each, tokens=tokens) -> None:
            torch.set_num_threads(cores)
            many = [p for p in prompts[: 1200 // each] for _ in range(each)]
            drawn = peers.generate(plain, policy.tokenizer, many, stops, 64, settings.generation.batch_size)
            tokens["transformers"].append(sum(next((i + 1 for i, t in enumerate(d) if t in stops), len(d)) for d in drawn))

        found = time_alternating({"harness": ours, "transformers": theirs}, repeats)
        speed = {who: [n / s for n, s in zip(tokens[who][1:], found[who], strict=True)] for who in found}
        faster = paired_ratio(speed["harness"], speed["transformers"])
        rows.append([f"{each} per prompt", *(f"{median(speed[who]):,.0f}" for who in found), faster["median"]])
        facts[f"{each} per prompt"] = {"seconds": found, "tokens": tokens, "ratio": faster}
    report(
        "generation", f"1,200 responses of at most 64 tokens, tokens per second, median of {repeats}",
        ["", "harness", "transformers", "ratio"], rows, {"repeats": repeats, **facts}, save,
    )  # fmt: skip
