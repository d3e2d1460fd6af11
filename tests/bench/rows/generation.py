"""Generation: one response to every prompt, the harness's sampler beside transformers' generate over merged weights."""

from functools import partial

import peft
import torch

from tests.bench import lab, peers
from tests.bench.measure import flops_per_token
from tests.bench.row import Outcome, Situation, Work
from tests.bench.subjects import Subject, load_subject, one_thread

WIDTHS = {"lab": (64, 128, 256, 512, 1200), "smollm2": (16, 32, 64, 128)}
TRIED_TOKENS = 24  # per response while widths are tried on the large model


def prepare(situation: Situation, subject: str) -> Work:
    loaded = load_subject(subject, situation)
    longest = loaded.settings.generation.max_new_tokens
    merged = peft.get_peft_model(loaded.load_plain_model(), peft.LoraConfig(**lab.LORA)).merge_and_unload().eval()
    stops = loaded.policy.stop_ids
    drawn: list[int] = []  # lengths of the last responses

    def ours() -> Outcome:
        torch.set_num_threads(1)  # one per lane
        samples = lab.generate_samples(loaded.policy, loaded.examples, loaded.settings)
        drawn[:] = [len(sample.token_ids) for sample in samples]
        return Outcome(amount=sum(drawn))

    def theirs(width: int, max_new_tokens: int) -> Outcome:
        peers.use_all_cores()
        ids = peers.generate(merged, loaded.policy.tokenizer, loaded.prompts, sorted(stops), max_new_tokens, width)
        return Outcome(amount=sum(map(len, ids)))

    tried = longest if subject == "lab" else min(longest, TRIED_TOKENS)
    width = situation.best_size("rows of generate", WIDTHS[subject], lambda n: theirs(n, tried))
    ours()
    return Work(
        {"harness": ours, "transformers": partial(theirs, width, longest)},
        {**loaded.sizes(), "max_new_tokens": longest},
        bound(loaded, drawn),
        unit="tokens/s",
        profiled=lambda: (one_thread(loaded.policy), ours()),
    )


def bound(subject: Subject, lengths: list[int]) -> dict[str, float]:
    """Tokens go through the layers once, the output layer chooses each drawn one; one pass over the weights per position."""
    per_token = flops_per_token(subject.policy)
    tokens = sum(map(len, subject.prompts)) + sum(lengths)
    return {
        "operations": tokens * per_token["forward"] + sum(lengths) * per_token["logits"],
        # a weight is two operations and four bytes
        "weight_bytes": max(lengths) * 2.0 * (per_token["forward"] + per_token["logits"]),
    }
