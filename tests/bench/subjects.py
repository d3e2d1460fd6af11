"""What the rows are measured on: the lab, and SmolLM2-135M-Instruct with pairs of dolly_hhrlhf out of a mirror of the hub."""

from dataclasses import dataclass
from typing import Any

import torch

from harness.config import ModelConfig, RunConfig, load_config
from harness.language.data.dataset import load_examples
from harness.language.model.loading import load_policy
from harness.language.policy import Policy
from harness.language.records import Example
from harness.settings.paths import resolve_path
from harness.sources.mirror import resolve_model
from harness.train.thread_pool import OrderedThreadPool
from tests.bench import lab
from tests.bench.row import BFLOAT16, Situation

SMOLLM2, DOLLY = "HuggingFaceTB/SmolLM2-135M-Instruct", "mosaicml/dolly_hhrlhf"
MAX_TOKENS = 96  # of a prompt and of a real response of SmolLM2's pairs
MICRO_BATCH = 8  # pairs of SmolLM2 at a time on each lane: the lab's 32 take more than 24 GiB
ARITHMETIC = "bfloat16 products"


@dataclass
class Subject:
    """settings, policy and pairs of one model. epochs, micro_batches: of training; prompts: as many as there are pairs."""

    name: str
    settings: RunConfig
    policy: Policy
    examples: list[Example]
    path: str
    epochs: int
    micro_batches: tuple[int, ...]  # that TRL is tried with

    @property
    def prompts(self) -> list[list[int]]:
        return [self.policy.encoder.prompt(example) for example in self.examples]

    def load_plain_model(self) -> Any:
        """The base as transformers loads it, in float32: what a peer starts from."""
        import transformers

        return transformers.AutoModelForCausalLM.from_pretrained(self.path, dtype=torch.float32).eval()

    def sizes(self) -> dict[str, Any]:
        real = sum(len(self.policy.encoder.real(example)) for example in self.examples)
        base = {"base": self.policy.base_digest}
        return base | {"pairs": len(self.examples), "prompt_tokens": sum(map(len, self.prompts)), "real_tokens": real}


def load_subject(name: str, situation: Situation, arithmetic: str | None = None) -> Subject:
    """name: lab or smollm2. arithmetic: `model.arithmetic`, None for its default."""
    return load_lab(situation, arithmetic) if name == "lab" else load_smollm2(situation, arithmetic)


def load_lab(situation: Situation, arithmetic: str | None = None) -> Subject:
    settings, policy, examples = lab.load(with_arithmetic(arithmetic))
    path = str(resolve_path(settings.model.path))
    return Subject("lab", settings, policy, examples[: 16 if situation.tiny else None], path, 2, (8, 16, 32, 64))


def load_smollm2(situation: Situation, arithmetic: str | None = None) -> Subject:
    """The first 128 pairs of the training set whose prompt and whose real response have at most 96 tokens each."""
    assert situation.mirror is not None
    overrides = {
        "model.path": SMOLLM2, "data.source": DOLLY, "data.max_response_tokens": MAX_TOKENS, "data.overlong": "drop",
        "data.heldout_examples": 32, "mirror": str(situation.mirror), "training.micro_batch": MICRO_BATCH,
        "generation.max_new_tokens": 8 if situation.tiny else 64,
    }  # fmt: skip
    settings = load_config("lab", with_arithmetic(arithmetic), overrides)
    policy = load_policy(settings.model, settings.lora, settings.data.template, situation.mirror)
    policy.reset_adapter(0)
    data = load_examples(settings.data, policy.tokenizer, policy.template, policy.context_length, situation.mirror)
    short = [example for example in data.train if len(policy.encoder.prompt(example)) <= MAX_TOKENS]
    path = resolve_model(SMOLLM2, situation.mirror)
    return Subject("smollm2", settings, policy, short[: 4 if situation.tiny else 128], path, 1, (2, 4, 8))


def with_arithmetic(arithmetic: str | None) -> list[str]:
    return [] if arithmetic is None else [f'model.arithmetic="{arithmetic}"']


def load_contestants(name: str, situation: Situation) -> dict[str, Subject]:
    """The subject in float32, and with bfloat16 products where this version has that setting and the model is a real one."""
    subjects = {"harness": load_subject(name, situation)}
    if name != "lab" and "arithmetic" in ModelConfig.model_fields:
        subjects[BFLOAT16] = load_subject(name, situation, ARITHMETIC)
    return subjects


def one_thread(policy: Policy) -> None:
    """From now on everything runs in the caller's thread, where a profiler sees it."""
    torch.set_num_threads(1)
    policy.pool = OrderedThreadPool()
