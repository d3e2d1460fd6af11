"""Prompts with a response each that a policy drew itself."""

from harness.config import GenerationConfig
from harness.records import PromptGroup

PROMPTS = [[1, 3, 20 + i, 40 + i % 5, 4][: 3 + i % 3] for i in range(11)]


SEEDS = list(range(100, 111))


def rows_of(policy):
    drawn = policy.sample(PROMPTS, SEEDS, GenerationConfig(max_new_tokens=12, batch_size=4))
    return [PromptGroup(p, [d.token_ids]) for p, d in zip(PROMPTS, drawn, strict=True)]
