"""Prompts with a response each that a policy drew itself, and the plainest computation of their log-probabilities."""

import torch

from harness.config import GenerationConfig
from harness.records import PromptGroup

PROMPTS = [[1, 3, 20 + i, 40 + i % 5, 4][: 3 + i % 3] for i in range(11)]
SEEDS = list(range(100, 111))


def rows_of(policy):
    drawn = policy.sample(PROMPTS, SEEDS, GenerationConfig(max_new_tokens=12, batch_size=4))
    return [PromptGroup(p, [d.token_ids]) for p, d in zip(PROMPTS, drawn, strict=True)]


def plain_logps(model, groups, prefix=()):
    """(N,) log-probabilities: one row per response, every logit, no padding, mask or cache; gradients where they are on."""
    values = []
    for prompt, response in ((g.prompt, list(r)) for g in groups for r in g.responses):
        logp = model(input_ids=torch.tensor([[*prefix, *prompt, *response]]), use_cache=False).logits[0].double().log_softmax(-1)
        start = len(prefix) + len(prompt) - 1
        values.append(sum((logp[start + i, token] for i, token in enumerate(response)), logp.new_zeros(())))
    return torch.stack(values)
