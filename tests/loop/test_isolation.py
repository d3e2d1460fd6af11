"""No number leaks from one player, prompt or task to another: every cache there is, and what it must not mix up."""

import json
import re
import shutil
from functools import partial

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from harness.config import RunConfig
from harness.errors import UserError
from harness.files import file_digest
from harness.language.benchmark.lm_eval_benchmark import LmEvalBenchmark, evaluate, load_lm_eval_benchmark
from harness.language.benchmark.task_definition import source_code, task_fingerprint
from harness.language.encoding import Encoder, choose_template
from harness.language.model import loglikelihood, pass_plan
from harness.language.model.logprobs import prefill_prefix
from harness.language.records import Example
from harness.loop.context import RunContext
from harness.loop.suite import load_suite
from harness.loop.trials import Checkpoint
from harness.records import PromptGroup, digest
from harness.reporting.tables import refresh
from harness.store.phase_cache import PhaseCache
from harness.store.run_folder import RunFolder
from tests.conftest import ROOT, SMALL_RECIPE, make_policy, run_cli_in_process, update_manifest_digests
from tests.helpers.broken import SUITE as TWO
from tests.helpers.broken import changed
from tests.helpers.damage import edit_json, edit_manifest
from tests.helpers.peers import quiet

SUITE = str(ROOT / "tests" / "data" / "two.toml")
ROWS = [PromptGroup([1, 3, 20 + i, 4], [[50 + i, 60, 2]]) for i in range(4)]
ADAPTER = "adapter/adapter_model.safetensors"


@pytest.fixture
def long_policy(tokenizer):
    return make_policy(tokenizer, max_position_embeddings=1024)


def board(suite=SUITE):
    return load_lm_eval_benchmark(load_suite(suite), None, None)


def evaluated(policy, benchmark):
    return evaluate(policy, benchmark, 512, 8, quiet)


def other_weights(policy, seed):
    """Another player in the same slot, by the very calls that training and loading use."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, parameter in policy.adapter_parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator).to(parameter) * 0.1)


# ---------------------------------------------------------------- within a process


def test_an_adapter_swapped_under_the_same_path_gives_its_own_scores(policy, tmp_path):
    """Same folder, same names, other weights: what the policy computes is what a fresh policy computes with them."""
    policy.save_adapter(tmp_path / "adapter")
    first = policy.score(ROWS, 64)
    other_weights(policy, 5)
    expected = policy.score(ROWS, 64)
    policy.save_adapter(tmp_path / "adapter")
    policy.reset_adapter(0)
    policy.load_adapter(tmp_path / "adapter")
    assert policy.score(ROWS, 64) == expected and all(a != b for a, b in zip(first, expected, strict=True))


@pytest.mark.parametrize("name", ["lab_continuation", "lab_arithmetic"])
def test_a_board_that_served_another_player_gives_the_answers_of_a_fresh_one(long_policy, name):
    """Prompts (`_instances`) and token ids (`encodings`) are kept; answers, log-likelihoods and scores are not."""
    used = board()
    first = evaluated(long_policy, used)
    other_weights(long_policy, 7)
    again, alone = evaluated(long_policy, used), evaluated(long_policy, board())
    assert again.samples[name] == alone.samples[name]
    assert again.prompt_hash == alone.prompt_hash == first.prompt_hash and again.samples[name] != first.samples[name]


def test_a_board_serves_one_tokenizer(long_policy):
    """Its prompts and token ids are of the first one; another would be asked in the first one's template."""
    used = board()
    evaluated(long_policy, used)
    with pytest.raises(RuntimeError, match="built with another tokenizer"):
        evaluated(make_policy(lab_tokenizer(), max_position_embeddings=1024), used)


def test_lm_evals_own_caches_are_off(long_policy, monkeypatch):
    """Neither its request cache nor its response cache, whose key is no digest of the weights, is read or written."""
    import lm_eval.api.task
    import lm_eval.caching.cache
    from lm_eval.api.model import CachingLM

    def never(*_, **options):
        assert options.get("cache") is False, "a cache of lm-eval's was used"

    for module in (lm_eval.api.task, lm_eval.caching.cache):
        for name in ("load_from_cache", "save_to_cache"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, never)
    monkeypatch.setattr(CachingLM, "__init__", never)
    assert len(evaluated(long_policy, board()).records) == 2


def test_a_beginning_computed_once_belongs_to_the_player_that_computed_it(policy, monkeypatch):
    """Keys and values of a shared beginning live for one call: the next player computes its own, and continuing changes none."""
    made = []
    monkeypatch.setattr(pass_plan, "COLUMNS_PER_PASS", 0.0)
    monkeypatch.setattr(loglikelihood, "prefill_prefix", lambda model, ids: made.append(tuple(ids)) or prefill_prefix(model, ids))
    groups = [PromptGroup([*range(7, 30), 40 + i], [[50, 2], [51, 2]]) for i in range(40)]
    first = policy.loglikelihood(groups, 64)
    assert made == [tuple(range(7, 30))]
    other_weights(policy, 8)
    second = policy.loglikelihood(groups, 64)
    assert made[1:] == made[:1]
    alone = [value for group in groups for value in policy.loglikelihood([group], 64)]
    assert len(made) == 2
    assert [v for v, _ in second] == pytest.approx([v for v, _ in alone], abs=1e-9)
    assert all(abs(a - b) > 1e-6 for (a, _), (b, _) in zip(first, second, strict=True))


def test_the_encoder_keeps_nothing_but_text_and_its_ids(policy):
    """Equal rendered prompts and equal real texts have equal ids whatever the example; two templates never share an encoder."""
    one = Example("a", "say", "it", "say")
    assert policy.encoder.prompt(one) == policy.encoder.prompt(Example("b", "other", "x", "say"))
    plain = Encoder(policy.tokenizer, choose_template(policy.tokenizer, "instruction"))
    assert plain.digest != policy.encoder.digest and plain.prompt(one) == plain.prompt(one)


# ---------------------------------------------------------------- what names a task


def lab_tokenizer():
    return transformers.AutoTokenizer.from_pretrained(str(ROOT / "harness" / "lab" / "base"))


def lab_copy(folder):
    """The suite of two tasks with its task files in a folder of its own, to change."""
    shutil.copytree(ROOT / "harness" / "lab" / "tasks", folder / "tasks")
    (folder / "two.toml").write_text(changed(TWO, '"builtin:lab/tasks"', '"tasks"'))
    return folder


CHANGES = {
    "a document": ("lab_continuation.jsonl", '"prompt": "', '"prompt": "well , '),
    "the version": ("lab_continuation.yaml", "version: 2.0", "version: 3.0"),
    "the prompt's template": ("lab_continuation.yaml", "doc_to_text: prompt", 'doc_to_text: "{{prompt}} ?"'),
    "a filter": ("lab_arithmetic.yaml", "the answer is (-?[0-9]+)", "answer is (-?[0-9]+)"),
    "the length of an answer": ("lab_arithmetic.yaml", "max_gen_toks: 40", "max_gen_toks: 30"),
    "the code that scores": ("utils.py", "str(found).strip()", "str(found).strip().lower()"),
    "a shot": ("lab_arithmetic.jsonl", '"prompt": "', '"prompt": "well , '),
}


def named(folder):
    found = board(str(folder / "two.toml"))
    return found.digest, found.task_fingerprints["definition"]


@pytest.mark.parametrize("what", CHANGES)
def test_whatever_changes_in_a_task_changes_what_names_its_scores(what, tmp_path):
    folder = lab_copy(tmp_path)
    before = named(folder)
    assert named(folder) == before
    file, old, new = CHANGES[what]
    (folder / "tasks" / file).write_text(changed((folder / "tasks" / file).read_text(), old, new))
    assert named(folder) != before


def test_what_names_a_task_is_the_same_on_every_machine(tmp_path):
    """Another folder, another process: no path, address or order gets into it."""
    one, other = (board(str(lab_copy(tmp_path / name) / "two.toml")) for name in "ab")
    assert (one.digest, one.task_fingerprints) == (other.digest, other.task_fingerprints)
    said = "".join(task_fingerprint(task) for _, _, task in one._iter_tasks())
    assert said and " at 0x" not in said and str(tmp_path) not in said


def test_code_that_has_no_file_is_named_and_what_is_bound_to_it_counts():
    assert source_code(len) == ["len", ""] and source_code(partial(len, 3)) != source_code(partial(len, 4))
    assert "def test_code_that_has_no_file" in source_code(test_code_that_has_no_file_is_named_and_what_is_bound_to_it_counts)[1]


def test_what_names_a_tokenizer_changes_with_its_words_and_its_template_and_with_nothing_else(policy):
    """Padding and truncation are left over from the last call; a policy that has been evaluated is still named the same."""
    before = Encoder(lab_tokenizer(), policy.template).digest
    used = lab_tokenizer()
    used(["a", "a b c d"], padding=True, truncation=True, max_length=3)
    used.pad_token = used.eos_token
    assert Encoder(used, policy.template).digest == before
    asked, longer = lab_tokenizer(), lab_tokenizer()
    asked.chat_template = asked.chat_template + " "
    longer.add_tokens(["brillig"])
    assert before not in {Encoder(asked, policy.template).digest, Encoder(longer, policy.template).digest}


def test_prompts_built_for_a_few_items_are_not_those_of_all(long_policy):
    """Two boards over the same loaded tasks, as when a plan is timed: each gets its own items, whoever came first."""
    whole = board()
    few = LmEvalBenchmark(whole.suite, whole.loaded_tasks, 2)
    assert [r.n for r in evaluated(long_policy, few).records] == [2, 2]
    found = evaluated(long_policy, whole)
    assert [r.n for r in found.records] == [4, 6]
    assert found.prompt_hash == evaluated(long_policy, board()).prompt_hash


# ---------------------------------------------------------------- between runs


@pytest.fixture
def neighbour(played_copy):
    """An empty run beside the played one, made from the same base model; (its neighbours, the played run)."""
    played = played_copy / "results" / "small"
    run = RunFolder(played.parent / "other")
    run.root.mkdir()
    shutil.copy(played / "run.json", run.root / "run.json")
    return run, played


PHASES = ("space/seed-0/iteration-1/evaluate/two", "space/seed-0/iteration-1/probe", "spin/seed-0/iteration-1/score")


@pytest.mark.parametrize("phase", PHASES)
def test_a_phase_is_taken_over_only_where_everything_that_names_it_is_the_same(neighbour, phase):
    """One input or setting at a time: weights, documents, definition of tasks, samples, suite, limit; then the base model."""
    run, played = neighbour
    made = json.loads((played / phase / "manifest.json").read_text())
    inputs, settings = made["inputs"], made["settings"]
    assert PhaseCache(run).find(phase, inputs, settings).path.name == (played / phase).name
    for key in inputs:
        assert PhaseCache(run).find(phase, {**inputs, key: digest("other")}, settings) is None, key
        assert PhaseCache(run).find(phase, {k: v for k, v in inputs.items() if k != key}, settings) is None, key
    for key in settings:
        assert PhaseCache(run).find(phase, inputs, {**settings, key: "other"}) is None, key
    assert PhaseCache(run).find(phase.replace(phase.rpartition("/")[2], "elsewhere"), inputs, settings) is None
    edit_json(run.root / "run.json", base_digest=digest("another base"))
    assert PhaseCache(run).find(phase, inputs, settings) is None
    assert "player" in inputs
    if "evaluate" in phase:
        assert {"player", "suite", "tasks", "definition", "tokenizer"} == set(inputs)


@pytest.fixture
def again(played_copy, monkeypatch):
    """The played run, to change, and a function that repeats its command; figures and report are left out."""
    monkeypatch.setattr("harness.commands.run.write_views", lambda run, reports: refresh(run.root, everything=False) and {})

    def run(*options, name="small"):
        return run_cli_in_process("run", "--recipe", SMALL_RECIPE, "--name", name, *options, cwd=played_copy, check=False)

    return played_copy / "results" / "small", run


def swap(folder, seed):
    path = folder / ADAPTER
    weights = load_file(path)
    generator = torch.Generator().manual_seed(seed)
    changed = {name: torch.randn(w.shape, generator=generator) * 0.05 for name, w in weights.items()}
    path.unlink()
    save_file(changed, path, metadata={"format": "pt"})


def test_a_file_of_other_weights_under_the_name_of_the_recorded_ones_is_never_evaluated(again):
    """The evaluation is to be made again; the weights that lie there are not those that the run made, so it is refused."""
    run, repeat = again
    shutil.rmtree(run / "space/seed-0/iteration-1/evaluate")
    swap(run / "space/seed-0/iteration-1/train", 3)
    done = repeat()
    assert done.returncode == 1 and f"space/seed-0/iteration-1/train/{ADAPTER}" in done.stderr
    assert not (run / "space/seed-0/iteration-1/evaluate/two").exists()


def test_another_player_under_the_same_name_and_path_gets_its_own_scores_or_a_refusal(again):
    """A train folder replaced whole, manifest and all: the old scores are refused by name; without them there are new ones."""
    run, repeat = again
    folder = run / "space/seed-0/iteration-1"
    old = json.loads((folder / "evaluate/two/items.json").read_text())
    samples = (folder / "evaluate/two/samples_lab_continuation.jsonl.gz").read_bytes()
    swap(folder / "train", 4)
    update_manifest_digests(folder / "train")
    done = repeat()
    assert done.returncode == 1 and "evaluate/two: made with player=" in done.stderr
    shutil.rmtree(folder / "evaluate")
    shutil.rmtree(folder / "probe")
    done = repeat()
    assert done.returncode == 0, done.stderr
    made = json.loads((folder / "evaluate/two/manifest.json").read_text())
    assert made["inputs"]["player"] == file_digest(folder / "train" / ADAPTER)
    new = json.loads((folder / "evaluate/two/items.json").read_text())
    assert new["lab_continuation"]["items"] == old["lab_continuation"]["items"], "the same items, asked in the same words"
    assert (folder / "evaluate/two/samples_lab_continuation.jsonl.gz").read_bytes() != samples


@pytest.mark.parametrize("what", ["a document", "the version", "the prompt's template"])
def test_a_task_that_changed_under_its_name_is_refused_before_any_work(what, again, tmp_path, monkeypatch):
    """The same files elsewhere are no difference; then one of them changes and the same command is typed again."""
    (run, repeat), folder = again, lab_copy(tmp_path)
    before = [p.stat().st_mtime_ns for p in sorted(run.rglob("manifest.json"))]
    monkeypatch.setattr("harness.loop.suite.Suite.include_folders", lambda self: [folder / "tasks"])
    done = repeat()
    assert (done.returncode, "0 phases to do" in done.stdout) == (0, True), done.stderr
    file, old, new = CHANGES[what]
    (folder / "tasks" / file).write_text(changed((folder / "tasks" / file).read_text(), old, new))
    done = repeat()
    assert done.returncode == 1
    assert re.search("initial/evaluate/two: made with (definition|tasks)=.*--name OTHER", done.stderr)
    assert [p.stat().st_mtime_ns for p in sorted(run.rglob("manifest.json"))] == before


def test_inputs_that_an_older_program_did_not_record_are_no_difference(again):
    """Manifests of before tasks were named by their files, and of before probes measured both directions: the run goes on."""
    run, repeat = again
    for place, unknown in (("two", ("definition", "tokenizer")), ("iteration-*/probe", ("initial_samples",))):
        for path in run.rglob(f"{place}/manifest.json"):
            edit_manifest(path, "inputs", **dict.fromkeys(unknown))
    before = {path: path.read_bytes() for path in run.rglob("manifest.json")}
    done = repeat()
    assert (done.returncode, "0 phases to do" in done.stdout) == (0, True), done.stderr
    assert {path: path.read_bytes() for path in run.rglob("manifest.json")} == before


def test_a_player_is_never_asked_other_prompts_than_the_initial_policy(again):
    """Whatever made them differ: a score beside others of another prompt hash is refused, and not written."""
    run, repeat = again
    edit_manifest(run / "initial/evaluate/two/manifest.json", "counts", prompt_hash=digest("other prompts"))
    shutil.rmtree(run / "spin/seed-0/iteration-1/evaluate")
    done = repeat()
    assert done.returncode == 1 and "spin/seed-0/iteration-1: suite two asks other prompts" in done.stderr
    assert not (run / "spin/seed-0/iteration-1/evaluate/two").exists()


def test_a_seat_is_taken_only_by_the_weights_that_the_player_is_named_by(policy, tmp_path):
    context = RunContext(RunConfig(), "two", policy=policy)
    named = policy.save_adapter(tmp_path / "adapter")
    context.load_checkpoint(Checkpoint(0, tmp_path / "adapter", named))
    with pytest.raises(UserError, match=f"weights {named}, the run made {digest('x')}"):
        context.load_checkpoint(Checkpoint(0, tmp_path / "adapter", digest("x")))
