"""Whatever is typed or given wrong: exit code 1, one line that names the thing and the fix, before training, nothing written."""

import gzip
import re
import shlex
import sys
import warnings
from collections import namedtuple

import pandas
import pytest

from harness.cli import main
from harness.launch import workers as jobs
from tests.conftest import SMALL_RECIPE
from tests.helpers.broken import OBJECTIVE, PAIRS, RECIPE, SUITE, adapter, changed, cut, lines, model, objective, settings, text

# What is typed, the words its one line must hold, and the files that are there: text, bytes, or a function of the path.
Case = namedtuple("Case", "typed words files")


def given(typed, *words, **files):
    return Case(typed, words, files)


def run(typed, *words, **files):
    return Case(f"run {typed}", words, files)


def recipe(text, *words):
    return run("--recipe a.toml", *words, **{"a.toml": text})


def suite(old, new, *words):
    return run(f"{SMALLER} --suite a.toml", *words, **{"a.toml": changed(SUITE, old, new)})


def study(text, *words):
    return given("study a.toml", *words, **{"a.toml": text})


SMALLER = f"--recipe {SMALL_RECIPE}"
EMPTY = {
    "run --data ''": ("--data: data.source='': is empty",), "run --data ' '": ("--data: data.source=' '", "is empty"),
    "run --set data.source=": ("data.source=''", "is empty"), "run --data builtin:": ("data.source='builtin:'", "is empty"),
    "run --set data.heldout=": ("data.heldout=''", "is empty"), "run --set data.split=": ("data.split=''", "is empty"),
    "run --model ''": ("model.path=''", "is empty"), "run --set model.adapter=": ("model.adapter=''", "is empty"),
    "run --mirror ''": ("--mirror: mirror=''", "is empty"), "run --suite ''": ("evaluation.suite=''", "is empty"),
    "run --recipe ''": ('unknown recipe ""',), "run --name ''": ("--name : letters, digits",),
    "run --results ''": ("'--results' (env var: 'HARNESS_RESULTS'): is empty; name a path",),
    "run --reports ' '": ("'--reports' (env var: 'HARNESS_REPORTS'): is empty; name a path",),
    "fetch --to ''": ("'--to': is empty; name a path",), "fetch --to m --data ''": ("data.source=''", "is empty"),
    "suites check ''": ('unknown suite ""',), "suites check lab-ten --mirror ''": ("--mirror: mirror='': is empty",),
    "report ''": ("the run's name is empty",), "trace '' a": ("the run's name is empty",), "study ''": ('unknown study ""',),
    "study mu --suite ''": ("--suite: evaluation.suite='': is empty",), "study lr --validation ''": ("--validation is empty",),
}  # fmt: skip
FLAGS = [
    run("--objectivs space", "no such option", "--objectivs", "--objectives"),
    given("rnu", "no such command 'rnu'", "'run'"),
    run("--seeds", "--seeds", "requires an argument"),
    run("--iters many", "--iters", "valid integer"),
    given("trace a b c", "unexpected extra argument", "c"),
    given("report", "missing argument 'RUN'", "report --help"),
    run("--jobs 0", "--jobs", "greater than or equal to 1"),
    given("theory --iters 99", "--iters", "less than or equal to 20"),
    run("--iters 0", "--iters: iterations=0: input should be greater than or equal to 1"),
    run("--iters 1000000000", "iterations=1000000000", "less than or equal to"),
    run("--seeds a,b", "--seeds a,b: expected whole numbers"),
    run("--seeds 1,1", "a seed is named twice"),
    run("--seeds=-1", "seeds.0=-1", "greater than or equal to 0"),
    run("--seeds 99999999999999999999", "seeds: 99999999999999999999", "larger than 9223372036854775807"),
    run(f"--seeds {'9' * 5000}", "--seeds", "expected whole numbers"),
    run("--objectives ,", "--objectives is empty"),
    run("--objectives spce", '--objectives: unknown objective "spce" (did you mean "space"?)'),
    run("--objectives space,space", 'names "space" twice'),
    run("--objectives spin:bta=1", 'unknown parameter "bta" (did you mean "beta"?)'),
    run("--objectives space:mu=-1", "mu=-1.0 is not above 0"),
    run("--objectives space:mu=big", "mu='big' is not of type float"),
    run("--objectives space:mu=nan", "mu=nan is not a finite number"),
    run("--objectives space:mu", '"mu" is not key=value'),
    run("--objectives space:training.lrr=1", 'unknown setting "lrr" (did you mean "lr"?)'),
    run("--objectives space:training.lr=-1", "lr", "above 0"),
    run(f"--recipe {SMALL_RECIPE} --objectives sft:data.examples=999 --jobs 1", "data.examples=999, but", "has 12 pairs"),
    run("--objectives sft:data.examples=0", "data.examples=0 is not a count"),
    run("--objectives ./none.py", "--objectives: objective ./none.py: no such file"),
    run("--objectives ./mine.py", "objective ./mine.py", "folder", **{"mine.py/x": ""}),
    run("--set training.lr", "expected key=value"),
    run("--set =3", "expected key=value"),
    run("--set trainin.lr=1", 'unknown setting "trainin" (did you mean "training"?)'),
    run("--set training.lrr=1", 'unknown setting "training.lrr" (did you mean "lr"?)'),
    run("--set iterations.x=1", "iterations is a value, not a section"),
    run("--set training.lr.x=1", "training.lr"),
    run("--set training=3", "training=3", "[training]"),
    run("--set training.lr=-1", "every learning rate must be above 0"),
    run("--set training.lr=inf", "training.lr", "finite"),
    run("--set training.lr=[]", "training.lr", "at least 1 item"),
    run("--set lora.rank=big", "lora.rank='big'", "whole number"),
    run("--set lora.rank=1000000000", "lora.rank=1000000000", "less than or equal to"),
    run("--set model.path='\"a\\u0000b\"'", "model.path", "control character"),
    run("--set training.optimizer=sgd", "training.optimizer='sgd'", "'rmsprop' or 'adamw'"),
    run("--name ../x", "--name ../x: letters, digits"),
    run("--name ..", "--name ..: letters, digits"),
    run("--name 'a b'", "--name a b: letters, digits"),
    run("--name 'a\x1b[31m'", "--name a\\u{1b}[31m: letters, digits"),
    run("--set model.device=tpu9", "model.device=tpu9: not a device of this machine"),
    run("--set data.distribution=lob", 'unknown distribution "lob" (did you mean "lab"?)'),
    run("--set world=langauge", 'world: unknown world "langauge" (did you mean "language"?)'),
    run("--set generation.backend=vlm", 'generation.backend: unknown backend "vlm" (did you mean "vllm"?)'),
    run("--set generation.backend=neither", 'generation.backend: unknown backend "neither" (known: transformers, vllm)'),
    run("--recipe lob", '--recipe: unknown recipe "lob" (did you mean "lab"?)'),
    run("--suite lab-tem", '--suite: unknown suite "lab-tem" (did you mean "lab-ten"?)'),
    given("suites check lab-tem", 'suites check: unknown suite "lab-tem" (did you mean "lab-ten"?)'),
    given("study stabilty", 'study: unknown study "stabilty" (did you mean "stability"?)'),
    given("study mu --validation lab-ten", "study mu chooses no setting"),
    given("study stability --objectives spce", '--objectives: unknown objective "spce"'),
    given("theory --objectives spce", '--objectives: unknown objective "spce" (did you mean "space"?)'),
    given("theory --objectives ,", "--objectives is empty"),
    given("report nothing", 'no run "nothing"'),
    given("fetch --recipe lob --to reports", '--recipe: unknown recipe "lob" (did you mean "lab"?)'),
    given("fetch --to nowhere --check", "--to nowhere: no mirror.json there"),
    *(given(command, *words) for command, words in EMPTY.items()),
    run("--mirror nowhere", "--mirror nowhere: no such folder"),
    run("--mirror it", "--mirror it", "is a file, not a folder", it="x"),
    run("--results it", "it", "is a file, not a folder", "--results", it="x"),
    run("--reports it", "it", "is a file, not a folder", "--reports", it="x"),
]
STUDY = f"title='t'\nquestion='q'\nrecipe='{SMALL_RECIPE}'\nobjectives='space'\niterations=1\nseeds=[0]\n"
TOML = [
    run("--recipe ./a.toml", "--recipe: recipe ./a.toml: no such file"),
    run("--recipe ./a.toml", "recipe ./a.toml: is a folder, expected a .toml file", **{"a.toml/x": ""}),
    recipe("iterations = = 3", "a.toml: not valid TOML", "line 1"),
    recipe("recipe = 'é'".encode("latin-1"), "a.toml: not in UTF-8"),
    recipe(RECIPE.encode("utf-16"), "a.toml: not in UTF-8"),
    recipe("a = " + "[" * 100000, "a.toml", "nested too deep"),
    recipe("iters = 3", 'unknown setting "iters"'),
    recipe("[trainin]\nlr = 1", 'unknown setting "trainin" (did you mean "training"?)'),
    recipe("lora = 4", "lora=4", "[lora]"),
    recipe(f"seeds = {list(range(300_000))}", "300,000 seeds"),
    recipe("iterations = 'five'", "iterations='five'", "whole number"),
    recipe("objectives = ['space']", "objectives=['space']"),
    recipe("[objective.space]\nmuu = 1", 'space: unknown parameter "muu" (did you mean "mu"?)'),
    recipe("[objective.spce]\nmu = 1", "[objective.spce]", 'did you mean "space"?'),
    recipe('[evaluation]\nsuite = "lab-tem"', "a.toml: line 2: unknown suite", 'mean "lab-ten"?'),
    recipe('objectives = "spce"', "a.toml: line 1: unknown objective"),
    study(STUDY.replace(str(SMALL_RECIPE), "lob"), 'study a: recipe: unknown recipe "lob"'),
    study(STUDY + "suite='lab-tem'", 'study a: suite: unknown suite "lab-tem"'),
    study(STUDY.replace("'space'", "'spce'"), 'study a: objectives: unknown objective "spce"'),
    recipe('[data]\nsource = "a\\u0000b"', "data.source", "control character"),
    run("--recipe './a b.toml'", "--name", "letters, digits", **{"a b.toml": RECIPE}),
    run("--suite a.toml", 'a.toml: has no "title"', **{"a.toml": ""}),
    run("--suite a.toml", 'a.toml: has no "task"', **{"a.toml": SUITE.partition("[[task]]")[0]}),
    run("--suite a.toml", "task", "a.toml", **{"a.toml": SUITE.partition("[[task]]")[0].replace("title", "task = 3\ntitle", 1)}),
    run("--suite ./a.toml", "--suite: suite ./a.toml: no such file"),
    suite('"strict-match"', '"strict"', 'no filter "strict" (it has flexible-extract, strict-match)'),
    suite('"lab_arithmetic"', '"lab_arithmetik"', 'no such task (did you mean "lab_arithmetic"?)'),
    suite('"exact_match"', '"exact_math"', 'no metric "exact_math" (did you mean "exact_match"?)'),
    suite('metric = "exact_match"', "", 'a.toml: has no "task.0.metric"'),
    suite("shots = 2", "shots = 2\nshoots = 3", 'unknown key "task.0.shoots"'),
    suite("shots = 2", "shots = -1", "task.0.shots=-1"),
    suite("shots = 2", "shots = 100000", "shots = 100000, but lab_arithmetic has", "use fewer"),
    suite('"Continuation"', '"Arithmetic"', "two tasks have the label 'Arithmetic'"),
    suite('"lab_continuation"', '"lab_arithmetic"', "two tasks have the name"),
    suite("0.25", "1.5", "task.1.chance=1.5"),
    suite('"lab_arithmetic"', '"../../x"', "task.0.name: becomes the name of a file"),
    run("--suite ./...toml", "suite", "rename", **{"...toml": SUITE}),
    suite("builtin:lab/tasks", "", "include_paths has an empty path"),
    suite("builtin:lab/tasks", "nowhere", "include_paths names", "nowhere"),
    study(STUDY + "colour=1", 'unknown setting "colour"'),
    study(STUDY + "[[arm]]\nvariant='space'\nnote='n'\ncolour=1", 'unknown setting "arm.0.colour" (known: note, variant)'),
    study(STUDY.replace("iterations=1", "iterations=0"), "iterations=0"),
    study(STUDY + "[[contrast]]\nquestion='q'\na='space'\nb='space@0'", "contrast"),
    study(STUDY + "[grid]\nkey='training.lr'\nvalues=[1e-4]\nvalidation='v'", "grid.values"),
    study(b"\xff", "a.toml: not in UTF-8"),
    given("study a.toml --dry-run", "contrast", "spin",
        **{"a.toml": STUDY + "[[contrast]]\nquestion='q'\na='space@0'\nb='spin@0'"}),
]  # fmt: skip


def data(*words, name="p.jsonl", holds=b"", more=""):
    return run(f"{SMALLER} --data {name} {more}", *words, **{name: holds})


def row(row, *words, more=""):
    return data(*words, holds=lines(row), more=more)


def pairs(*words, rows=(), more=""):
    """Enough pairs, and more rows."""
    return data(*words, holds=lines(*PAIRS, *rows), more=more)


def parquet(path):
    pandas.DataFrame(PAIRS).to_parquet(path)


def half_a_parquet(path):
    parquet(path)
    path.write_bytes(path.read_bytes()[:-100])


def numbers_in_parquet(path):
    pandas.DataFrame({"prompt": [1, 2], "response": [3, 4]}).to_parquet(path)


CSV = "prompt,response\n" + "".join(f"say {i},it is {i}\n" for i in range(20))
TALK = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
DATA = [
    run("--data none.jsonl", "data none.jsonl: no such file"),
    data("p.txt: unknown kind of file '.txt'; use .jsonl", holds="x", name="p.txt"),
    data("no rows"),
    data("line 2: not a JSON object in UTF-8", holds=lines(PAIRS[0]) + b'{"prompt"\n'),
    row({"a": "b"}, "cannot tell prompt from response among the columns a"),
    row({"prompt": "a", "response": 3}, "line 1: response=3 is int, expected text"),
    data("line 2: prompt=None is NoneType", holds=lines(PAIRS[0], {"prompt": None, "response": "a"})),
    row({"prompt": {"text": "a"}, "response": "b"}, "line 1: prompt={'text': 'a'} is dict"),
    row({"prompt": "a", "response": 10**4000}, "line 1: response=", "is int, expected text", "..."),
    data("line 1: ", "NaN is no JSON value", holds=b'{"prompt": "a", "response": NaN}\n'),
    data("line 1", holds=b'{"prompt": "a", "response": ' + b"9" * 5000 + b"}\n"),
    data("line 1: nested too deep", holds=b"[" * 200000 + b"\n"),
    data("p.json: nested too deep", holds=b"[" * 200000, name="p.json"),
    row(["a"], "a row is list"),
    data("line 2: list where an object", holds=lines(PAIRS[0], ["a"])),
    data("line 2: no column 'response'", "question", holds=lines(PAIRS[0], {"prompt": "a", "question": "b"})),
    data("expected a list of objects, found dict", holds="{}", name="p.json"),
    row({"prompt": "", "response": "x"}, "0 pairs to train on"),
    row(PAIRS[0], "1 pairs to train on and 0 held out"),
    row({"prompt": "é" * 3000, "response": "x"}, "do not fit the context of 2048", "overlong=drop"),
    pairs("line 21", "do not fit the context of 2048", rows=[{"prompt": "a", "response": "x" * 5000000}]),
    data("line 1: prompt", "surrogate", holds=b'{"prompt": "\\ud800", "response": "x"}\n'),
    data("line 1: response", "NUL", holds=b'{"prompt": "a", "response": "x\\u0000"}\n'),
    data("line 1: not a JSON object in UTF-8", holds='{"prompt": "é", "response": "x"}\n'.encode("latin-1")),
    data("not a JSON object in UTF-8", "UTF-16", holds=lines(*PAIRS).decode().encode("utf-16")),
    data("p.csv", "UTF-16", holds=CSV.encode("utf-16"), name="p.csv"),
    data("p.csv: cannot be read", "utf-8", holds=(CSV + "é,é\n").encode("latin-1"), name="p.csv"),
    data("p.csv: row 21: response", "NUL", holds=CSV + "a,b\x00c\n", name="p.csv"),
    data("p.csv: line 22: a row of 3 values, the first line names 2", holds=CSV + "a,b,c\n", name="p.csv"),
    data("p.csv: line 22: a row of 1 values, the first line names 2", holds=CSV + "a\n", name="p.csv"),
    data("p.csv: line 2: a row of 3 values, the first line names 2", holds="prompt,response\na,b,c\nd,e,f\n", name="p.csv"),
    data("no rows", holds="prompt,response\n", name="p.csv"),
    data("no rows", name="p.csv"),
    data("p.csv", "column 'prompt' is named twice", holds="prompt,response,prompt\na,b,c\n", name="p.csv"),
    data("p.csv: cannot be read as .csv", holds=CSV + '"a,b\n', name="p.csv"),
    data("p.parquet: cannot be read as .parquet", holds=half_a_parquet, name="p.parquet"),
    data("p.parquet: cannot be read as .parquet", holds=gzip.compress(lines(*PAIRS))[:-20], name="p.parquet"),
    data("row 1: prompt=1 is int, expected text", holds=numbers_in_parquet, name="p.parquet"),
    row({"messages": "hello"}, "messages must be a list"),
    row({"messages": TALK[:1]}, "at least two turns"),
    row({"messages": [{"role": "humna", "content": "x"}, *TALK]}, "the role 'humna'", "system, developer, user, assistant"),
    row({"messages": [{"role": "user", "content": " "}, TALK[1]]}, "0 pairs to train on", "'empty': 1"),
    row({"messages": TALK[::-1]}, "no assistant turn follows a user turn"),
    row({"messages": [{"role": "user", "content": [{"type": "image", "url": "a.png"}]}, TALK[1]]},
        "line 1: a turn's content has a part of the kind 'image'", "leave such rows out"),
    row({"messages": [TALK[0], {"role": "assistant", "content": "", "tool_calls": [{"name": "add"}]}]},
        "line 1: column 'messages.tool_calls'", "data.ignore_columns=messages.tool_calls"),
    row({"prompt": TALK, "completion": "c"}, "line 1: prompt ends in a turn of 'assistant', expected the user's"),
    row({"prompt": "q", "completion": TALK}, "line 1: completion has 2 turns, which do not begin with prompt"),
    row({"prompt": "q", "completion": TALK[:1]}, "line 1: completion ends in a turn of 'user'"),
    row({"chosen": "x y", "rejected": "z"}, "line 1: chosen must be a list of at least two turns", "column of prompts"),
    row({"prompt": "q", "completion": "a", "label": False}, "line 1: label=false", "data.ignore_columns=label"),
    row({"text": "Q: a A: b"}, "cannot tell prompt from response among the columns text; split `text`"),
    pairs("line 21: column 'persona' holds text that is in neither prompt nor response: 'a kind pirate'",
        "--set data.context_columns=persona", "--set data.ignore_columns=persona",
        rows=[{**PAIRS[0], "persona": "a kind pirate"}]),
    row({**PAIRS[0], "facts": {"town": ["in the north"]}}, "line 1: column 'facts'", "--set data.ignore_columns=facts"),
    row({**PAIRS[0], "images": ["a.png"]}, "line 1: column 'images'", "not text"),
    row({**PAIRS[0], "history": "we spoke"}, "line 1: column 'history' must be a list of [question, answer]"),
    row({**PAIRS[0], "context": {"a": ["b c"]}}, "line 1: column 'context' belongs to the prompt and is dict"),
    row({"system": "be long", "messages": [{"role": "system", "content": "be brief"}, *TALK]},
        "line 1: column 'system' is another text than the conversation's own"),
    data("generation.template=instruction: only with single prompts, and 20 pairs have a system turn",
        holds=lines(*[{**pair, "system": "be brief"} for pair in PAIRS]),
        more="--set generation.template=instruction --set data.heldout_examples=2"),
    pairs("no column 'fact' (data.context_columns); it has prompt, response", more="--set data.context_columns=fact"),
    pairs("no column 'q'; it has prompt, response", more="--prompt-column q"),
    pairs("prompt_column", "response_column", more="--prompt-column prompt --response-column prompt"),
    run(f"{SMALLER} --data ./d", "holds no .jsonl", **{"d/x.txt": ""}),
    pairs("held-out pairs are also in data.source", more="--set data.heldout=p.jsonl"),
]  # fmt: skip


def mine(text, *words):
    return run(f"{SMALLER} --objectives ./mine.py", *words, **{"mine.py": text})


OBJECTIVES = [
    mine("def f(:", "mine.py: line 1: SyntaxError"),
    mine("import not_a_module", "mine.py: line 1", "No module named 'not_a_module'"),
    mine("from objectives import Objective\n\n1 / 0\n", "mine.py: line 3: ZeroDivisionError"),
    mine("import sys\nsys.exit(3)\n", "mine.py: line 2: SystemExit"),
    mine("# é\n".encode("latin-1"), "mine.py: not in UTF-8"),
    mine(OBJECTIVE + "\x00", "mine.py", "null bytes"),
    mine("", "defines 0 subclasses of Objective (none)"),
    mine(OBJECTIVE + "\n@dataclass(frozen=True)\nclass Two(SPIN):\n    pass\n", "defines 2 subclasses"),
    mine(OBJECTIVE.replace("@dataclass(frozen=True)\n", ""), "not a frozen dataclass"),
    mine(changed(objective(), '    title = "mine"\n', ""), "Mine.title=None is no str"),
    mine(changed(objective(), 'title = "mine"', "title = 3"), "Mine", "title=3"),
    mine(changed(objective(), 'Citation("a", "b", "c", "d")', '"a"'), "Mine", "citation='a'"),
    mine(changed(objective(), "def loss", "def lost"), "mine", "abstract", "loss"),
    mine(objective(fields="steps: list = param([1, 2], 'x')"), "mine.py", "mutable default"),
    mine(objective(fields="steps: list = field(default_factory=dict)"), "steps={}", "list"),
    mine(objective(fields="beta: float = param(-1.0, 'x', above=0)"), "beta=-1.0 is not above 0"),
    mine(objective(fields="beta: float = 'big'"), "beta='big' is not of type float"),
    mine(objective(fields="beta: float"), "mine", "beta"),
    mine(objective(needs="Needs(synthetic=-1)"), "needs.synthetic=-1"),
    mine(objective(needs="Needs(synthetic=0.5)"), "needs.synthetic=0.5 is not a whole number"),
    mine(objective(needs="Needs(synthetic=True)"), "needs.synthetic=True"),
    mine(objective(needs="Needs(reference=1)"), "needs.reference=1 is not True or False"),
    mine(objective(needs="{'synthetic': 1}"), "needs", "dict", "expected Needs"),
    mine(objective(needs="{}['x']"), "mine: needs", "KeyError"),
    mine(objective(needs="Needs(history=1)"), "needs.history=1", "synthetic"),
    mine(objective(needs="Needs(synthetic=10**9)"), "needs.synthetic=1000000000", "at most"),
    mine(objective(needs="Needs(synthetic=1)"), "mine: ", "needs.reference is False"),
    mine(objective(loss="batch.nothing"), "mine: ", "mine.py: line 17: AttributeError"),
    mine(objective(loss="batch.real.logp[:, 0]"), "mine: ", "Tensor", "expected LossOutput"),
    mine(objective(loss="LossOutput(-batch.real.log_ratio)"), "loss has shape (4, 1), expected (4,)"),
    mine(objective(loss="LossOutput(-batch.real.log_ratio.mean())"), "loss has shape (), expected (4,)"),
    mine(objective(loss="LossOutput(batch.real.logp[:, 0].long())"), "loss is torch.int64"),
    mine(objective(loss="LossOutput(-batch.real.logp[:, 0].half())"), "loss is torch.float16"),
    mine(objective(loss="LossOutput(-batch.real.logp[:, 0], weight=batch.real.length)"), "weight has shape (4, 1)"),
    mine(objective(loss="LossOutput(-batch.real.logp[:, 0], metrics={'m': batch.real.length})"), "metric m has shape (4, 1)"),
    mine(objective(loss="LossOutput(-batch.real.logp[:, 0] * float('nan'))"), "loss is nan"),
    mine(objective(loss="LossOutput(-batch.real.logp[:, 0].detach())"), "no gradient", "detach"),
    mine(objective(before="batch.real.logp.data.mul_(1.01)"), "changed its input in place"),
    mine(objective(loss="LossOutput(-batch.real.logp[:, 0] * torch.rand(batch.real.logp.shape[0]))"),
        "two calls on the same batch differ"),
    mine(objective(loss="LossOutput(-batch.real.logp[:, 0] + batch.real.logp.mean())"), "depends on other rows",
        "couples_batch=True"),
    run("--objectives ./initial.py", '"initial" is a reserved name in every run folder', **{"initial.py": objective()}),
    run("--objectives ./a-b.py", "letters, digits and _ only", **{"a-b.py": objective()}),
]  # fmt: skip


def base(*words, more="", path="m", **files):
    return run(f"{SMALLER} --model ./{path} {more}", f"model.path=./{path}", *words, **files)


def start(*words, **files):
    return run(f"{SMALLER} --set model.adapter=./a", "model.adapter=./a", *words, **files)


def nothing(folder):
    pass


def fewer_words(folder):
    import transformers

    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=50, **sizes)).save_pretrained(folder)


MODELS = [
    base("no such folder", path="nothing"),
    base("is a file", m="x"),
    base("config.json", **{"m/x.txt": ""}),
    base("config.json", m=model(text("config.json", "{"))),
    base("config.json", m=model(text("config.json", "[]"))),
    base("lamma", m=model(settings("config.json", model_type="lamma"))),
    base("model.safetensors", "damaged", m=model(cut("model.safetensors"))),
    base("no .safetensors weights there", m=model(nothing, ["*.safetensors"])),
    run(f"{SMALLER} --model ./m", "m/model.safetensors.index.json: is no index",
        m=model(text("model.safetensors.index.json", "{"))),
    base("other shapes than its config.json", m=model(settings("config.json", intermediate_size=100))),
    base("tokenizer", m=model(nothing, ["tokenizer*"])),
    base("tokenizer", m=model(text("tokenizer.json", "{"))),
    run(f"{SMALLER} --model ./m", "end-of-sequence", "use another model",
        m=model(settings("tokenizer_config.json", eos_token=None))),
    base("its vocabulary has 50 tokens and its tokenizer", m=model(fewer_words)),
    run(f"{SMALLER} --model ./m --set data.template=chat", "no chat template", "data.template=instruction",
        m=model(nothing, ["chat_template.jinja"])),
    run(f"{SMALLER} --model ./m", "chat template", "data.template=instruction",
        m=model(text("chat_template.jinja", "{% for %}"))),
    start("no such folder"),
    start("adapter_config.json is missing", **{"a/x": ""}),
    start("adapter_config.json is damaged", **{"a/adapter_config.json": "{"}),
    start("a IA3 adapter, expected LORA", a=adapter(peft_type="IA3")),
    start("its rank is 8, the run's 4", "lora.rank=8", a=adapter(r=8)),
    start("made for another base model", a=adapter(width=48)),
    start("no adapter_model.safetensors", a=lambda p: (adapter()(p), (p / "adapter_model.safetensors").unlink())),
    start("is damaged", a=lambda p: (adapter()(p), cut("adapter_model.safetensors")(p))),
]  # fmt: skip
PROGRESS = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  ")  # a line of progress begins with its time
CASES = [*FLAGS, *TOML, *DATA, *OBJECTIVES, *MODELS]


def put(folder, files):
    for name, holds in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(holds):
            holds(path)
        else:
            path.write_bytes(holds if isinstance(holds, bytes) else holds.encode())


def tree(folder):
    return {(str(p.relative_to(folder)), p.stat().st_size if p.is_file() else None) for p in folder.rglob("*")}


@pytest.fixture
def typed(tmp_path, monkeypatch, capsys):
    """Type a command in this process, in a folder of its own: (exit code, lines of stderr that are not progress)."""

    def type_(command):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(jobs, "warm_up", lambda at_once: None)  # starts processes for the training that must not come
        monkeypatch.setattr(jobs, "run_trials", lambda *_: pytest.fail("it would be trained"))
        monkeypatch.setattr(sys, "argv", ["harness", *shlex.split(command)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(SystemExit) as end:
                main()
        return end.value.code, [x for x in capsys.readouterr().err.splitlines() if not PROGRESS.match(x)]

    return type_


@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join(case.words)[:60])
def test_it_is_one_line_before_any_training_and_nothing_is_written(case, tmp_path, typed):
    put(tmp_path, case.files)
    before = tree(tmp_path)
    code, said = typed(case.typed)
    assert (code, len(said)) == (1, 1), said
    assert said[0].startswith("harness: ")
    assert [words for words in case.words if words not in said[0]] == [], said[0]
    assert len(said[0]) < 600 and tree(tmp_path) == before
