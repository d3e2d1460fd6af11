"""Diagnostics of a checkpoint on held-out prompts: drift from earlier ones, likelihood, distance to the data where it is known.

The prompts and the uniforms behind the samples are the same for every checkpoint of a run, so differences are paired.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

from harness.config import GenerationConfig, RunConfig
from harness.language.policy import Completion, Policy
from harness.language.records import Example
from harness.progress import Advance
from harness.records import Measurement, PromptGroup, keyed_seed
from harness.settings.plugins import load_plugin
from harness.train.nonfinite import with_example_ids
from harness.world import Diagnostics, EarlierCheckpoint


class Distribution(Protocol):
    """A data set whose distribution of responses is known in closed form: a module or object with these two functions."""

    def log_prob(self, prompt: str, response: str, *, finished: bool = True) -> float:
        """Nats; with finished=False, of all responses that begin with this text."""
        ...

    def sample(self, prompt: str, seed: int) -> str:
        """One draw, depending on the seed alone."""
        ...


def find_distribution(name: str | None) -> Distribution | None:
    """The distribution of that name. Raises UserError for an unknown one."""
    return None if name is None else load_plugin("distribution", name, "data.distribution")


def diagnostics_settings(config: RunConfig) -> GenerationConfig:
    """The opponent's settings, with a length of their own where one is set."""
    max_new_tokens = config.probe.max_new_tokens or config.generation.max_new_tokens
    return config.generation.model_copy(update={"max_new_tokens": max_new_tokens})


def run_diagnostics(
    policy: Policy,
    examples: Sequence[Example],
    settings: GenerationConfig,
    max_tokens_per_batch: int,
    distribution: Distribution | None,
    advance: Advance,
    earlier_checkpoints: Mapping[str, EarlierCheckpoint] = MappingProxyType({}),
) -> Diagnostics:
    """Measure the checkpoint loaded in `policy` on held-out `examples`, one sample each at temperature 1.

    earlier_checkpoints: those to measure the distance to, by name; "previous" is the opponent, whose samples also serve to
    compare rewards. They are loaded in turn, so that afterwards the last of them is loaded. Distances are measured in both
    directions: `kl_NAME` is KL(checkpoint || earlier) on the checkpoint's samples, `kl_NAME_policy` KL(earlier || checkpoint)
    on the earlier one's, in nats per response.
    """
    sampling_settings = settings.model_copy(update={"temperature": 1.0, "top_p": 1.0})
    prompts = [policy.encoder.prompt(e) for e in examples]
    seeds = [keyed_seed("probe", e.id) for e in examples]

    def scored(responses_by_kind: Mapping[str, Sequence[list[int]]]) -> dict[str, list[float]]:
        """Log-probabilities under the loaded checkpoint: per kind of response, one per prompt, in nats."""
        columns = zip(prompts, *responses_by_kind.values(), strict=True)
        with with_example_ids([e.id for e in examples]):
            groups = [PromptGroup(prompt, list(responses)) for prompt, *responses in columns]
            flat = policy.score(groups, max_tokens_per_batch, advance)
        return {kind: flat[n :: len(responses_by_kind)] for n, kind in enumerate(responses_by_kind)}

    # Always the policy's own sampler, whichever draws the training samples: only there do checkpoints share their uniforms.
    with with_example_ids([e.id for e in examples]):
        completions = policy.sample(prompts, seeds, sampling_settings, advance)
    earlier_samples = {name: earlier.samples for name, earlier in earlier_checkpoints.items() if earlier.samples}
    opponent_samples = earlier_samples.get("previous", [])
    responses_by_kind = {"drawn": [d.token_ids for d in completions], "real": [policy.encoder.real(e) for e in examples]}
    data_texts: list[str] = []
    if distribution is not None:
        data_texts = [distribution.sample(e.prompt, keyed_seed("fresh", e.id)) for e in examples]
        responses_by_kind["fresh"] = [policy.encoder.response(e, text) for e, text in zip(examples, data_texts, strict=True)]
    responses_by_kind |= {f"samples of {name}": [row["token_ids"] for row in rows] for name, rows in earlier_samples.items()}
    logps = scored(responses_by_kind)
    lengths, real_lengths = ([len(ids) for ids in responses_by_kind[kind]] for kind in ("drawn", "real"))
    measurements = [
        ratio_measurement("heldout_nll_per_token", [-x for x in logps["real"]], real_lengths, "nats per token"),
        ratio_measurement("entropy_per_token", [-x for x in logps["drawn"]], lengths, "nats per token"),
        mean_measurement("response_length", lengths, "tokens"),
        mean_measurement("truncation_rate", [float(not d.finished) for d in completions], "share of responses"),
        *distinct_2(responses_by_kind["drawn"]),
        repetition(responses_by_kind["drawn"]),
    ]
    if distribution is not None:
        measurements += kl_to_data(distribution, examples, data_texts, logps["fresh"], completions, logps["drawn"])
    if opponent_samples:
        measurements += reward_margins(opponent_samples, responses_by_kind["real"], logps["real"], logps["samples of previous"])
    for name, earlier in earlier_checkpoints.items():
        earlier.activate()
        earlier_logps = scored({"drawn": responses_by_kind["drawn"]})["drawn"]
        gaps = [a - b for a, b in zip(logps["drawn"], earlier_logps, strict=True)]
        measurements.append(mean_measurement(f"kl_{name}", gaps, "nats per response"))
        if name in earlier_samples:
            back = [row["logp"] - value for row, value in zip(earlier_samples[name], logps[f"samples of {name}"], strict=True)]
            measurements.append(mean_measurement(f"kl_{name}_policy", back, "nats per response"))
    samples = [
        {
            "example_id": example.id,
            "prompt": example.prompt,
            "real": example.real,
            "text": completion.text,
            "finished": completion.finished,
            "token_ids": completion.token_ids,
            "logp": logp,
            "real_logp": real_logp,
        }
        for example, completion, logp, real_logp in zip(examples, completions, logps["drawn"], logps["real"], strict=True)
    ]
    return Diagnostics(measurements, samples)


def reward_margins(
    opponent_samples: Sequence[Mapping[str, Any]],
    real: Sequence[list[int]],
    real_logps: Sequence[float],
    opponent_sample_logps: Sequence[float],
) -> list[Measurement]:
    """The opponent's samples against the real responses: the reward's margin, and whether reward and likelihood rank alike.

    The reward is the log-ratio to the opponent, in nats over the response. `reward_agreement` is the share of prompts on which
    the response with the higher reward is also the more likely one (the question T-SPIN asks, arXiv:2601.08198); prompts on which
    the opponent's sample is the real response itself are left out, so its n may be smaller.
    """
    margins, agreements = [], []
    for row, ids, real_logp, sample_logp in zip(opponent_samples, real, real_logps, opponent_sample_logps, strict=True):
        margins.append((real_logp - row["real_logp"]) - (sample_logp - row["logp"]))
        if row["token_ids"] != ids:
            agreements.append(float((margins[-1] > 0) == (real_logp > sample_logp)))
    measurements = [mean_measurement("reward_margin", margins, "nats per response")]
    return measurements + ([mean_measurement("reward_agreement", agreements, "share of prompts")] if agreements else [])


def kl_to_data(
    distribution: Distribution,
    examples: Sequence[Example],
    data_texts: Sequence[str],
    data_logps: Sequence[float],
    completions: Sequence[Completion],
    completion_logps: Sequence[float],
) -> list[Measurement]:
    """KL(p_data || p_theta) on fresh draws of the data, KL(p_theta || p_data) on the checkpoint's own, in nats per response.

    The probability of a text is taken along one tokenisation, a lower bound of the checkpoint's probability of that text: the
    first number bounds the divergence from above, the second from below (both tight for a tokeniser that rarely has a choice).
    """
    pairs = zip(examples, data_texts, data_logps, strict=True)
    forward = [distribution.log_prob(e.prompt, text) - value for e, text, value in pairs]
    backward = [
        value - distribution.log_prob(e.prompt, completion.text, finished=completion.finished)
        for e, completion, value in zip(examples, completions, completion_logps, strict=True)
    ]
    return [
        mean_measurement("kl_data_policy", forward, "nats per response"),
        mean_measurement("kl_policy_data", backward, "nats per response"),
    ]


# ---------------------------------------------------------------- numbers with their errors


def mean_measurement(name: str, values: Sequence[float], unit: str) -> Measurement:
    """Mean over prompts with its standard error, sample standard deviation / sqrt(n)."""
    n, mean = len(values), sum(values) / len(values)
    stderr = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1) / n) if n > 1 else None
    return Measurement(name, mean, stderr, n, unit)


def ratio_measurement(name: str, numerators: Sequence[float], denominators: Sequence[float], unit: str) -> Measurement:
    """sum(numerators) / sum(denominators) over prompts; standard error of a ratio estimator by linearisation."""
    n = len(numerators)
    value = sum(numerators) / sum(denominators)
    mean_denominator = sum(denominators) / n
    residuals = [(a - value * b) / mean_denominator for a, b in zip(numerators, denominators, strict=True)]
    stderr = math.sqrt(sum(r * r for r in residuals) / (n - 1) / n) if n > 1 else None
    return Measurement(name, value, stderr, n, unit)


def distinct_2(responses: Sequence[list[int]]) -> list[Measurement]:
    """Share of distinct token bigrams among all bigrams of the responses (Li et al., arXiv:1510.03055); no error estimate.

    n counts bigrams. It falls with the amount of text, so compare it only between checkpoints measured on the same prompts.
    Absent, not 0, when no response has two tokens.
    """
    bigrams = [pair for ids in responses for pair in itertools.pairwise(ids)]
    if not bigrams:
        return []
    return [Measurement("distinct_2", len(set(bigrams)) / len(bigrams), None, len(bigrams), "share of bigrams")]


def repetition(responses: Sequence[list[int]]) -> Measurement:
    """Share of a response's token bigrams that occurred earlier in it, mean over responses (seq-rep-2, arXiv:1908.04319, sec. 6).

    A response of one token repeats nothing.
    """
    shares = []
    for ids in responses:
        bigrams = list(itertools.pairwise(ids))
        shares.append(1 - len(set(bigrams)) / len(bigrams) if bigrams else 0.0)
    return mean_measurement("repetition", shares, "share of bigrams")
