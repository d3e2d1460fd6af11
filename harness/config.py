"""The configuration of a run: recipe TOML + command line -> one validated RunConfig. Independent of the hardware.

Every key of a recipe is a field below, with its default and meaning. A setting that may change with the iteration takes a
list: one value per iteration, the last one repeated. `builtin:` at the start of a path means the installed harness package.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from harness.errors import UserError
from harness.records import digest
from harness.security.redact import redact
from harness.settings.numbers import number_problem, storage_problem
from harness.settings.plugins import BackendName
from harness.settings.renamed_keys import RENAMED_KEYS, rename_keys
from harness.settings.toml_files import find_toml, iter_leaves, iter_text, parse_toml_value, read_toml, set_nested, setting_source
from harness.settings.validation import error_key, format_error, relevant_error

T = TypeVar("T")
# Far above what any run needs; they keep a typing error from filling the memory or never ending.
MAX_COUNT = 1_000_000
MAX_KEY_CHARS = 1_000
MAX_TEXT_CHARS = 1_000_000  # `objectives` is bounded by harness/planning/plan_size.py
UNTYPED_PREFIXES = ("data.template_arguments.", "objective.")  # passed on as they are, to templates and objectives
Rate = Annotated[float, Field(allow_inf_nan=False)]
Scheduled = Rate | Annotated[list[Rate], Field(min_length=1)]
Epochs = Annotated[int, Field(ge=1, le=MAX_COUNT)]
# Arguments of transformers' apply_chat_template itself, not of the template.
RESERVED_TEMPLATE_ARGUMENTS = (
    "conversation", "messages", "tokenize", "add_generation_prompt", "continue_final_message", "padding", "truncation",
    "max_length", "tokenizer_kwargs",
)  # fmt: skip


class Section(BaseModel):
    """One section of a recipe: immutable, no unknown keys, and numbers only where numbers are meant."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _check_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        problem = number_problem(value, cls.model_fields[str(info.field_name)].annotation)
        if problem is not None:
            raise PydanticCustomError("number", problem)  # type: ignore[arg-type]  # the message contains no untrusted text
        return value


class ModelConfig(Section):
    """The base model, frozen; `path` is a folder, `builtin:...` or a hub id.

    `device`, `cores`, `tokens_per_pass` (tokens that go through the model at a time when scoring) and `merge_adapter` (a copy
    of the weights with the adapter merged in; None: in single precision up to 1 GiB) are for speed: results change by rounding.
    Without a `revision` the hub's newest one is taken when the run begins; its commit is recorded and used from then on.
    """

    path: str = "builtin:lab/base"
    revision: str | None = None
    adapter: str | None = None  # a peft adapter, folder or hub id, that is the initial policy in place of the bare base
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16", "float64"] = "auto"
    attention: str | None = None  # transformers' attn_implementation: sdpa, eager, flash_attention_2
    quantize: Literal["nf4", "int8"] | None = None  # the frozen base in 4 or 8 bits (QLoRA); needs the extra `qlora`
    trust_remote_code: bool = False  # lets the model's repository run its own Python code on this machine
    cores: int | None = Field(default=None, ge=1)  # CPU cores of the run; None takes all
    tokens_per_pass: int = Field(default=2048, ge=1)
    merge_adapter: bool | None = None
    context: int | None = Field(default=None, ge=2)  # tokens of prompt and response; None: the model's own, from its config.json


class LoraConfig(Section):
    """The adapter that every checkpoint consists of. Dropout is no setting: it must be 0 (the step-0 invariant)."""

    rank: int = Field(default=16, ge=1, le=65_536)
    alpha: float = Field(default=32.0, gt=0, allow_inf_nan=False)
    targets: str | list[str] = "all-linear"


class DataConfig(Section):
    """Annotated pairs; `source` is a file (.jsonl, .json, .csv, .parquet), a folder of them, `builtin:...` or a hub id.

    Columns are found by their names (language/data/formats.py). Text in any other column is an error, unless `context_columns`
    appends it to the prompt or `ignore_columns` drops it. Held-out examples are whole prompts, or come from `heldout`, a source
    of its own (its `heldout_split`). `template_arguments` are passed to the chat template, in evaluation too:
    { enable_thinking = false } for Qwen3, { chat_template = "NAME" } for a tokenizer with several named templates.
    """

    source: str = "builtin:lab/data/train.jsonl"
    config: str | None = None
    split: str = "train"
    prompt_column: str | None = None
    response_column: str | None = None
    context_columns: str | list[str] = []
    ignore_columns: str | list[str] = []
    turns: Literal["first", "last"] = "first"  # of a conversation: the first answer alone, or the last with all before it
    max_examples: int | None = Field(default=None, ge=1)
    heldout: str | None = None
    heldout_split: str | None = None
    heldout_examples: int = Field(default=128, ge=1)
    allow_heldout_overlap: bool = False
    template: Literal["auto", "chat", "instruction"] = "auto"
    template_arguments: dict[str, Any] = {}
    overlong: Literal["error", "drop"] = "error"
    max_response_tokens: int | None = Field(default=None, ge=1)
    distribution: str | None = None  # name in the entry point group harness.distributions, where p_data is known

    @field_validator("template_arguments")
    @classmethod
    def _check_template_arguments(cls, value: dict[str, Any]) -> dict[str, Any]:
        if reserved := [name for name in value if name in RESERVED_TEMPLATE_ARGUMENTS or name.startswith("return_")]:
            raise ValueError(f"{reserved[0]} is set by this program itself; leave it out")
        return value


class GenerationConfig(Section):
    """How the opponent samples. `batch_size` only changes speed. An interrupted phase resumes after every `shard` responses.

    `template`: SPIN's released code generates with one template and trains with another; setting it does the same, with a
    warning. None uses `data.template` for both.

    `backend`: "transformers" is this program's sampler over transformers' models. "vllm" (`pip install "selfplay-harness[vllm]"`)
    samples in a process of its own, on a GPU, and checks afterwards that the checkpoint's adapter was applied. The two backends
    sample different tokens, so a run uses one only. vLLM's is written against the documented API of 0.33 and tested against a
    stand-in, not yet on hardware. `vllm_memory` (share of the device's memory for vLLM, beside the base that the run itself
    holds) and `vllm_timeout` (seconds without output after which its process is killed) change no numbers. Other
    back ends: harness/settings/plugins.py.
    """

    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_new_tokens: int = Field(default=64, ge=1, le=MAX_COUNT)
    batch_size: int = Field(default=256, ge=1, le=MAX_COUNT)
    shard: int = Field(default=4096, ge=1)
    template: Literal["chat", "instruction"] | None = None
    backend: BackendName = "transformers"
    vllm_memory: float = Field(default=0.5, gt=0, le=1)
    vllm_timeout: float = Field(default=1800.0, gt=0, le=MAX_COUNT)

    def identity_fields(self) -> dict[str, Any]:
        """The settings that change the samples."""
        return self.model_dump(exclude={"batch_size", "shard", "vllm_memory", "vllm_timeout"})


class TrainingConfig(Section):
    """One iteration's training. `batch_size` and `micro_batch` count prompts.

    `micro_batch`, `two_pass` and `gradient_checkpointing` (activations are recomputed in the backward pass) save memory for time.
    Training state is saved every `save_seconds`, so that an interrupted phase can resume.
    """

    SPEED_ONLY: ClassVar[frozenset[str]] = frozenset({"micro_batch", "two_pass", "gradient_checkpointing", "save_seconds"})

    optimizer: Literal["rmsprop", "adamw"] = "rmsprop"
    lr: Scheduled = 3e-4
    schedule: Literal["linear", "constant"] = "linear"
    warmup: float = Field(default=0.1, ge=0, le=1)
    epochs: Epochs | Annotated[list[Epochs], Field(min_length=1)] = 2
    batch_size: int = Field(default=64, ge=1)
    micro_batch: int = Field(default=16, ge=1)
    max_grad_norm: float = Field(default=1.0, gt=0)
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    two_pass: bool | Literal["auto"] = "auto"
    gradient_checkpointing: bool = False
    save_seconds: float = Field(default=600.0, ge=0)

    @field_validator("lr")
    @classmethod
    def _check_lr_positive(cls, value: Scheduled) -> Scheduled:
        if any(not v > 0 for v in as_list(value)):
            raise ValueError("every learning rate must be above 0")
        return value

    def at_iteration(self, iteration: int) -> TrainingConfig:
        """The settings of one iteration, every schedule resolved to a plain number."""
        return self.model_copy(
            update={"lr": float(scheduled(self.lr, iteration)), "epochs": int(scheduled(self.epochs, iteration))}
        )


class DiagnosticsConfig(Section):
    """The measurements on held-out prompts after every iteration (drift, and KL where p_data is known)."""

    prompts: int = Field(default=200, ge=2)
    max_new_tokens: int | None = Field(default=None, ge=1, le=MAX_COUNT)


class EvaluationConfig(Section):
    """The leaderboard: a suite by name or path; `limit` items per task for quick tests (recorded, shown in the report).

    `allow_unsafe_code` lets tasks marked `unsafe_code: true` run code that the model has written, on this machine.
    `judge_endpoint`, `judge_model` and `judge_key_env` (the NAME of the environment variable with the key) name the judge of a
    judged suite; other suites ignore them. `apply_chat_template` overrides the suite's own, for a model without a chat template,
    say; the suite then has another version.
    """

    suite: str = "lab-ten"
    batch_size: int = Field(default=64, ge=1)
    shard: int = Field(default=4096, ge=1)  # requests after which answers are saved, to resume from
    limit: int | None = Field(default=None, ge=1)
    apply_chat_template: bool | None = None
    allow_unsafe_code: bool = False
    judge_endpoint: str | None = None
    judge_model: str | None = None
    judge_key_env: str | None = None


class RunConfig(Section):
    """All settings of a run. `objective` holds per-objective settings and schedules, keyed by name."""

    recipe: str = "lab"
    world: str = Field(default="language", min_length=1)  # see harness/world.py
    objectives: str = "space,spin"
    iterations: int = Field(default=5, ge=1, le=10_000)
    seeds: list[Annotated[int, Field(ge=0, lt=2**63)]] = Field(default=[0], min_length=1)
    model: ModelConfig = ModelConfig()
    lora: LoraConfig = LoraConfig()
    data: DataConfig = DataConfig()
    generation: GenerationConfig = GenerationConfig()
    training: TrainingConfig = TrainingConfig()
    probe: DiagnosticsConfig = DiagnosticsConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    objective: dict[str, dict[str, Any]] = {}
    mirror: str | None = None
    recompute: bool = False  # set damaged phases aside and compute them again
    share: bool = False  # reuse phases that other runs in the same folder made from equal inputs
    _option_by_key: dict[str, str] = PrivateAttr(default_factory=dict)  # dotted key -> the option it was given with

    def source_of(self, key: str) -> str:
        """Where a setting's value comes from: the command line's option, else the recipe's file with the line."""
        return setting_source(key, self._option_by_key, find_toml("recipes", self.recipe))

    @field_validator("seeds")
    @classmethod
    def _check_seeds_distinct(cls, value: list[int]) -> list[int]:
        if len(set(value)) != len(value):
            raise ValueError("a seed is named twice")
        return value

    def identity(self) -> dict[str, Any]:
        """The settings that all trials share and that change results; what merely extends or speeds up a run is left out."""
        identity = {
            "model": self.model.model_dump(exclude={"device", "cores", "tokens_per_pass", "merge_adapter"}),
            "lora": self.lora.model_dump(),
            "data": self.data.model_dump(),
            "generation": self.generation.identity_fields(),
            "training": self.training.model_dump(exclude=set(TrainingConfig.SPEED_ONLY)),
            "probe": self.probe.model_dump(),
            **({"world": {"name": self.world}} if self.world != "language" else {}),  # older runs record none
        }
        for old, new in RENAMED_KEYS.items():  # run folders keep the names that they began with
            section, key = new.split(".")
            identity[section][old.split(".")[1]] = identity[section].pop(key)
        return identity

    def identity_digest(self) -> str:
        return digest(json.dumps(self.identity(), sort_keys=True))


def as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def scheduled(value: T | Sequence[T], iteration: int) -> T:
    """The value at `iteration`: itself, or the list's entry, the last one repeated."""
    values = as_list(value)
    return values[min(iteration, len(values) - 1)]


# Options of the command line by the setting they set.
CLI_OPTIONS = {
    "objectives": "--objectives", "iterations": "--iters", "seeds": "--seeds", "evaluation.suite": "--suite",
    "data.source": "--data", "data.max_examples": "--max-examples",
    "data.prompt_column": "--prompt-column", "data.response_column": "--response-column",
    "model.path": "--model", "model.trust_remote_code": "--trust-remote-code",
    "mirror": "--mirror", "recompute": "--recompute",
}  # fmt: skip


def load_config(
    recipe: str, settings: Sequence[str] = (), sources: Mapping[str, str] | None = None, **overrides: Any
) -> RunConfig:
    """Recipe by name or path, then `--set key=value` items, then named options (dotted keys; None means not given).

    sources: dotted key -> where an option's value comes from, where it was not typed (a study's file).
    """
    path = find_toml("recipes", recipe)
    tree = read_toml(path)
    option_by_key: dict[str, str] = {}
    for item in settings:
        key, separator, text = item.partition("=")
        key = key.strip()
        if not separator or not key:
            raise UserError(f"--set {item}: expected key=value, for example --set training.lr=1e-4")
        if len(key) > MAX_KEY_CHARS:
            raise UserError(f"--set {key[:80]}...: a key of {len(key):,} characters; the longest allowed has {MAX_KEY_CHARS:,}")
        if repeated := next((other for other in option_by_key if f"{other}.".startswith(f"{key}.")), None):
            raise UserError(f"--set {key}: {repeated} is given twice; leave one out")
        set_nested(tree, key, parse_toml_value(text.strip()), option_by_key, path)
        option_by_key[key] = f"--set {redact(key)}"
    if "recipe" in tree:
        source = setting_source("recipe", option_by_key, path)
        raise UserError(f"{source}: recipe is no setting of a recipe; choose one with --recipe NAME")
    tree["recipe"] = recipe
    for key, value in overrides.items():
        if value is not None:
            dotted_key = key.replace("__", ".")
            option = CLI_OPTIONS.get(dotted_key, f"--set {dotted_key}")
            source = (sources or {}).get(dotted_key) or option
            if dotted_key in option_by_key:
                other = "leave one out" if source == option else f"type {option} in place of --set"
                raise UserError(f"{option_by_key[dotted_key]}: is given by {source} too; {other}")
            set_nested(tree, dotted_key, value, option_by_key, path)
            option_by_key[dotted_key] = source
    rename_keys(tree, path, option_by_key)
    return validate_config(tree, path, option_by_key)


def validate_config(tree: Mapping[str, Any], path: Path, option_by_key: Mapping[str, str]) -> RunConfig:
    """RunConfig of a plain dictionary. Raises UserError with the first wrong setting and its source.

    path: the recipe's file; option_by_key: dotted key -> the option of the command line it was given with.
    """

    def error_at(key: str, message: str) -> UserError:
        return UserError(f"{setting_source(key, option_by_key, path)}: {message}")

    for key, text in iter_text(tree):
        if len(text) > MAX_TEXT_CHARS:
            message = f"{key[:80]} has {len(text):,} characters, more than {MAX_TEXT_CHARS:,}; no setting is that long"
            raise error_at(key, message)
        if any(ord(c) < 32 or ord(c) == 127 or "\ud800" <= c <= "\udfff" for c in text):
            raise error_at(key, f"{key}={text!r}: holds a control character or half of a character; leave it out")
    for key, value in iter_leaves(tree):
        if key.startswith(UNTYPED_PREFIXES) and (problem := storage_problem(value)) is not None:
            raise error_at(key, f"{key}={value!r}: {problem}")
    try:
        config = RunConfig.model_validate(tree)
    except ValidationError as error:
        raise error_at(error_key(relevant_error(error)), format_error(error, RunConfig)) from None
    config._option_by_key.update(option_by_key)
    for key, value in iter_text(config.model_dump()):
        if not value.removeprefix("builtin:").strip() and not key.startswith("objective."):
            message = f"{key}={value!r}: is empty, as an unset variable would be; give a value, or leave {key} out"
            raise error_at(key, message)
    for key, value in iter_text(config.model_dump()):
        if redact(value) != value:
            raise error_at(
                key,
                f"{key}={redact(value)}: holds a name, a password or a key, and run.json keeps every setting; leave it out "
                "(the hub's key comes from `hf auth login`, a judge's from the variable that evaluation.judge_key_env names)",
            )
    return config
