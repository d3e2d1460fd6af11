"""The configuration of a run: recipe, command line, environment, user's file -> one validated RunConfig; of no hardware.

Every key of a recipe is a field below, one line: type, default, meaning, unit, limits. A setting that may change with the
iteration takes a list: one value per iteration, the last one repeated. `builtin:` at the start of a path means the installed
harness package.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, ValidationError, field_validator

from harness.errors import UserError
from harness.records import digest
from harness.security.redact import redact
from harness.settings.numbers import iter_leaves, iter_text, storage_problem
from harness.settings.origins import WithOrigins
from harness.settings.plugins import find_plugin
from harness.settings.recipe_files import read_recipe
from harness.settings.renamed_keys import RENAMED_KEYS, rename_keys
from harness.settings.section import Section, setting
from harness.settings.toml_files import is_given, set_nested, setting_source
from harness.settings.typed_options import CLI_OPTIONS, parse_seeds, parse_setting
from harness.settings.user_config import MIRROR_VARIABLE, fill_in, read_user_config
from harness.settings.validation import error_key, format_error, relevant_error

T = TypeVar("T")
# Far above what any run needs; they keep a typing error from filling the memory or never ending.
MAX_COUNT = 1_000_000
MAX_TEXT_CHARS = 1_000_000  # `objectives` is bounded by harness/planning/plan_size.py
DEFAULT_RECIPE = "lab"
IDENTITY_SECTIONS = ("model", "lora", "data", "generation", "training", "probe")
UNTYPED_PREFIXES = ("data.template_arguments.", "objective.")  # passed on as they are, to templates and objectives
Scheduled = float | Annotated[list[float], Field(min_length=1)]
BackendName = Annotated[str, AfterValidator(lambda name: find_plugin("backend", name).name)]
Arithmetic = Literal["dtype", "bfloat16 products"]
Tracker = Literal["tensorboard", "wandb", "trackio", "mlflow"]
Epochs = Annotated[int, Field(ge=1, le=MAX_COUNT)]
# Arguments of transformers' apply_chat_template itself, not of the template.
RESERVED_TEMPLATE_ARGUMENTS = (
    "conversation", "messages", "tokenize", "add_generation_prompt", "continue_final_message", "padding", "truncation",
    "max_length", "tokenizer_kwargs",
)  # fmt: skip


class ModelConfig(Section):
    """The base model, frozen."""

    path: str = setting("builtin:lab/base", "a folder, builtin:... or a hub id")
    revision: str | None = setting(None, "of the hub's model; none: the newest when the run begins, whose commit is kept to")
    adapter: str | None = setting(None, "a peft adapter (folder or hub id) that is the initial policy in place of the bare base")
    device: str = setting("auto", "auto, cpu, cuda or cuda:N", speed_only=True)
    dtype: Literal["auto", "float32", "bfloat16", "float16", "float64"] = setting("auto", "precision of the base's weights")
    arithmetic: Arithmetic = setting(
        "dtype", "of scoring and training; bfloat16 products: a float32 base's layers multiply in bfloat16, faster and coarser"
    )
    attention: str | None = setting(None, "transformers' attn_implementation: sdpa, eager, flash_attention_2")
    quantize: Literal["nf4", "int8"] | None = setting(None, "the base in 4 or 8 bits (QLoRA); needs the extra `qlora`")
    trust_remote_code: bool = setting(False, "let the model's repository run its own Python code on this machine")
    cores: int | None = setting(None, "CPU cores to use; none: all", speed_only=True, ge=1)
    tokens_per_pass: int = setting(2048, "go through the model at a time when scoring", "tokens", speed_only=True, ge=1)
    merge_adapter: bool | None = setting(None, "keep merged weights too; none: in single precision, up to 1 GiB", speed_only=True)
    context: int | None = setting(None, "of prompt and response; none: as the model's config.json says", "tokens", ge=2)


class LoraConfig(Section):
    """The adapter that every checkpoint consists of. Dropout is no setting: it must be 0 (the step-0 invariant)."""

    rank: int = setting(16, "inner dimension of the two matrices", ge=1, le=65_536)
    alpha: float = setting(32.0, "the adapter's output is scaled by alpha / rank", gt=0)
    targets: str | list[str] = setting("all-linear", "peft's target_modules: the layers that have an adapter")


class DataConfig(Section):
    """Annotated pairs. Held-out examples are whole prompts."""

    source: str = setting("builtin:lab/data/train.jsonl", "a .jsonl, .json, .csv or .parquet file, a folder of them or a hub id")
    config: str | None = setting(None, "the subset of a hub data set")
    split: str = setting("train", "of a hub data set or a folder")
    prompt_column: str | None = setting(None, "none: found by its name, see language/data/formats.py")
    response_column: str | None = setting(None, "none: found by its name")
    context_columns: str | list[str] = setting([], "columns whose text is appended to the prompt")
    ignore_columns: str | list[str] = setting([], "columns with text that is not used; any other such column is an error")
    turns: Literal["first", "last"] = setting("first", "of a conversation: the first answer, or the last with all before it")
    max_examples: int | None = setting(None, "train on the first so many; none: on all", "pairs", ge=1)
    heldout: str | None = setting(None, "a source of its own for held-out examples; none splits them off")
    heldout_split: str | None = setting(None, "the split of `heldout`; none: as `split`")
    heldout_examples: int = setting(128, "held out of `source` where there is no `heldout`", "prompts", ge=1)
    allow_heldout_overlap: bool = setting(False, "held-out prompts may be trained on too")
    template: Literal["auto", "chat", "instruction"] = setting("auto", "how prompts are written; auto: chat where there is one")
    template_arguments: dict[str, Any] = setting({}, "for the chat template, in evaluation too: { enable_thinking = false }")
    overlong: Literal["error", "drop"] = setting("error", "what happens to pairs longer than the context")
    max_response_tokens: int | None = setting(None, "longer real responses are overlong", "tokens", ge=1)
    distribution: str | None = setting(None, "where p_data is known: a name in the entry points harness.distributions")

    @field_validator("template_arguments")
    @classmethod
    def _check_template_arguments(cls, value: dict[str, Any]) -> dict[str, Any]:
        if reserved := [name for name in value if name in RESERVED_TEMPLATE_ARGUMENTS or name.startswith("return_")]:
            raise ValueError(f"{reserved[0]} is set by this program itself; leave it out")
        return value


class GenerationConfig(Section):
    """How the opponent samples.

    `template`: SPIN's released code generates with one template and trains with another; setting it does the same, with a
    warning. `backend`: "transformers" is this program's sampler over transformers' models. "vllm" samples in a process of its
    own, on a GPU, and checks afterwards that the checkpoint's adapter was applied. The two backends sample different tokens, so a
    run uses one only. vLLM's is written against the documented API of 0.33 and tested against a stand-in, not yet on hardware.
    """

    temperature: float = setting(1.0, "softmax temperature of sampling", gt=0)
    top_p: float = setting(1.0, "sample among the likeliest tokens that have this probability together", gt=0, le=1)
    max_new_tokens: int = setting(64, "longest response", "tokens", ge=1, le=MAX_COUNT)
    batch_size: int = setting(256, "sampled side by side", "responses", speed_only=True, ge=1, le=MAX_COUNT)
    shard: int = setting(4096, "after so many what is done is saved, to resume from", "responses", speed_only=True, ge=1)
    template: Literal["chat", "instruction"] | None = setting(None, "none: as data.template")
    backend: BackendName = setting("transformers", "vllm needs a GPU and the extra `vllm`; others: harness/settings/plugins.py")
    vllm_memory: float = setting(0.5, "of the device's memory for vLLM", "share", speed_only=True, gt=0, le=1)
    vllm_timeout: float = setting(1800.0, "without output, then vLLM is killed", "seconds", speed_only=True, gt=0, le=MAX_COUNT)


class TrainingConfig(Section):
    """One iteration's training."""

    optimizer: Literal["rmsprop", "adamw"] = setting("rmsprop", "as in torch.optim")
    lr: Scheduled = setting(3e-4, "peak learning rate")
    schedule: Literal["linear", "constant"] = setting("linear", "after the warm-up: linear decay to 0, or constant")
    warmup: float = setting(0.1, "the learning rate rises from 0 over so many", "share of the steps", ge=0, le=1)
    epochs: Epochs | Annotated[list[Epochs], Field(min_length=1)] = setting(2, "passes over the training set")
    batch_size: int = setting(64, "in an optimizer step", "prompts", ge=1)
    micro_batch: int = setting(16, "go through the model at a time", "prompts", speed_only=True, ge=1)
    max_grad_norm: float = setting(1.0, "a longer gradient is scaled down to this length", gt=0)
    weight_decay: float = setting(0.0, "the optimizer's weight decay", ge=0)
    two_pass: bool | Literal["auto"] = setting(
        "auto", "gradient caching: less memory, more time; auto: by the number of responses", speed_only=True
    )
    gradient_checkpointing: bool = setting(False, "recompute activations: less memory, more time", speed_only=True)
    save_seconds: float = setting(600.0, "between saved states of training, to resume from", "seconds", speed_only=True, ge=0)

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

    prompts: int = setting(200, "at most so many are measured", "held-out prompts", ge=2)
    max_new_tokens: int | None = setting(None, "longest response; none: as in generation", "tokens", ge=1, le=MAX_COUNT)


class EvaluationConfig(Section):
    """The leaderboard. The judge's settings are for judged suites; others ignore them."""

    suite: str = setting("lab-ten", "a suite by name or path")
    batch_size: int = setting(64, "go through the model at a time", "requests", ge=1)
    shard: int = setting(4096, "after so many the answers are saved, to resume from", "requests", ge=1)
    limit: int | None = setting(None, "at most so many, for quick tests; the report says so", "items per task", ge=1)
    apply_chat_template: bool | None = setting(None, "in place of the suite's own, which then has another version")
    allow_unsafe_code: bool = setting(False, "tasks marked unsafe_code may run code that the model wrote, on this machine")
    judge_endpoint: str | None = setting(None, "address of an OpenAI-compatible API")
    judge_model: str | None = setting(None, "the judge, as the endpoint calls it")
    judge_key_env: str | None = setting(None, "NAME of the environment variable with the endpoint's key")


class RunConfig(WithOrigins):
    """All settings of a run."""

    recipe: str = setting(DEFAULT_RECIPE, "set by --recipe alone")
    world: str = setting("language", "see harness/world.py", min_length=1)
    objectives: str = setting("space,spin", "variants, comma-separated")
    iterations: int = setting(5, "trained in all; more than before extends the run", ge=1, le=10_000)
    seeds: list[Annotated[int, Field(ge=0, lt=2**63)]] = setting([0], "a trial per seed and variant", min_length=1)
    model: ModelConfig = ModelConfig()
    lora: LoraConfig = LoraConfig()
    data: DataConfig = DataConfig()
    generation: GenerationConfig = GenerationConfig()
    training: TrainingConfig = TrainingConfig()
    probe: DiagnosticsConfig = DiagnosticsConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    objective: dict[str, dict[str, Any]] = setting({}, "per objective: its hyper-parameters, and `training` settings of its own")
    mirror: str | None = setting(None, "folder used in place of the hub")
    recompute: bool = setting(False, "set damaged phases aside and compute them again")
    report_to: list[Tracker] = setting([], "trackers that scores and training curves are logged to; see docs/trackers.md")
    share: bool = setting(False, "reuse phases that other runs in the same folder made from equal inputs")

    @field_validator("report_to", mode="before")
    @classmethod
    def _split_trackers(cls, value: Any) -> Any:
        names = [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value
        return list(dict.fromkeys(names)) if isinstance(names, list) and all(isinstance(n, str) for n in names) else names

    @field_validator("seeds")
    @classmethod
    def _check_seeds_distinct(cls, value: list[int]) -> list[int]:
        if len(set(value)) != len(value):
            raise ValueError("a seed is named twice")
        return value

    def identity(self) -> dict[str, Any]:
        """The settings that all trials share and that change results; what merely extends or speeds up a run is left out."""
        identity = {section: getattr(self, section).identity_fields() for section in IDENTITY_SECTIONS}
        for key, text in self._written.items():
            section, _, name = key.partition(".")
            if section in identity:
                identity[section][name] = text
        if self.world != "language":  # older runs record none
            identity["world"] = {"name": self.world}
        for old, new in RENAMED_KEYS.items():  # run folders keep the names that they began with
            section, key = new.split(".")
            identity[section][old.split(".")[1]] = identity[section].pop(key)
        return identity

    def identity_digest(self) -> str:
        return digest(json.dumps(self.identity(), sort_keys=True))

    def default_run_name(self) -> str:
        """The recipe's name when its shared settings are untouched, else with a digest of them behind it."""
        stem = Path(self.recipe).stem
        assert self._recipe is not None
        recipe_config = validate_config(self._recipe.tree, self._recipe.path, {})
        recipe_config._written = dict(self._recipe.written)
        return stem if self.identity() == recipe_config.identity() else f"{stem}-{self.identity_digest()[:8]}"


def as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def scheduled(value: T | Sequence[T], iteration: int) -> T:
    """The value at `iteration`: itself, or the list's entry, the last one repeated."""
    values = as_list(value)
    return values[min(iteration, len(values) - 1)]


def load_config(
    recipe: str,
    settings: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
    sources: Mapping[str, str] | None = None,
    folders: Mapping[str, Path] | None = None,
) -> RunConfig:
    """The validated configuration of a recipe (name or path), of `--set key=value` items and of overrides by dotted key.

    What they do not set comes from the environment, the recipe, the user's file (`settings/user_config.py`), in this order.
    sources: dotted key (or "recipe") -> where an override comes from, if not from its own option. folders: dotted key -> the
    folder in which an override's paths start, if not in the working directory. Raises UserError.
    """
    overrides, sources = dict(overrides or {}), sources or {}
    given = read_recipe(recipe, sources.get("recipe", "--recipe"))
    path, tree = given.path, copy.deepcopy(given.tree)
    user = read_user_config()
    outer_sources = {key: user.source_of(key) for key in fill_in(tree, user.settings)}
    if mirror := os.environ.get(MIRROR_VARIABLE):
        tree["mirror"], outer_sources["mirror"] = mirror, MIRROR_VARIABLE
    source_by_key: dict[str, str] = {}
    for item in settings:
        key, value = parse_setting(item)
        if repeated := next((other for other in source_by_key if f"{other}.".startswith(f"{key}.")), None):
            raise UserError(f"--set {key}: {repeated} is given twice; leave one out")
        set_nested(tree, key, value, source_by_key | outer_sources, path)
        source_by_key[key] = f"--set {redact(key)}"
    if "recipe" in tree:
        source = setting_source("recipe", source_by_key, path)
        raise UserError(f"{source}: recipe is no setting of a recipe; choose one with --recipe NAME")
    tree["recipe"] = recipe
    if "data.source" in overrides:  # a recipe's held-out file and distribution belong to the recipe's own data
        overrides |= {key: None for key in ("data.heldout", "data.distribution") if key not in source_by_key}
    for key, value in overrides.items():
        option = CLI_OPTIONS.get(key, f"--set {key}")
        source = sources.get(key, option)
        if key in source_by_key:
            other = "leave one out" if source == option else f"type {option} in place of --set"
            raise UserError(f"{source_by_key[key]}: is given by {source} too; {other}")
        set_nested(tree, key, parse_seeds(value, source) if key == "seeds" else value, source_by_key | outer_sources, path)
        source_by_key[key] = source
    outer_sources = {key: source for key, source in outer_sources.items() if not is_given(key, source_by_key)}
    other_sources = source_by_key | outer_sources
    config = validate_config(tree, path, other_sources)
    config._recipe = replace(given, tree={**given.tree, "recipe": recipe})
    config._written = {key: text for key, text in given.written.items() if not is_given(key, other_sources)}
    recipe_folders = {key: file.parent for key, file in given.files.items() if not is_given(key, other_sources)}
    config._folders = {**recipe_folders, **(folders or {})}
    return config


def validate_config(tree: Mapping[str, Any], path: Path, source_by_key: Mapping[str, str]) -> RunConfig:
    """RunConfig of a plain dictionary. Raises UserError with the first wrong setting and its source.

    path: the recipe's file; source_by_key: dotted key -> the option of the command line it was given with.
    """
    tree, source_by_key = rename_keys(tree, path, source_by_key)

    def error_at(key: str, message: str) -> UserError:
        return UserError(f"{setting_source(key, source_by_key, path)}: {message}")

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
        details = relevant_error(error)
        hint = "; all settings: harness settings" if details["type"] == "extra_forbidden" else ""
        raise error_at(error_key(details), format_error(error, RunConfig) + hint) from None
    config._sources = dict(source_by_key)
    for key, value in iter_text(config.model_dump()):
        if not value.removeprefix("builtin:").strip() and not key.startswith("objective."):
            message = f"{key}={value!r}: is empty, as an unset variable would be; give a value, or leave {key} out"
            raise error_at(key, message)
        if redact(value) != value:
            raise error_at(
                key,
                f"{key}={redact(value)}: holds a name, a password or a key, and run.json keeps every setting; leave it out "
                "(the hub's key comes from `hf auth login`, a judge's from the variable that evaluation.judge_key_env names)",
            )
    return config
