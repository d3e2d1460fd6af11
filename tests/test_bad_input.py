"""Whatever is typed or given wrong: exit code 1, one line that names the thing and the fix, before training, nothing written."""

import gzip
import shlex
import sys
import warnings
from dataclasses import dataclass, field

import pytest

from tests.broken import OBJECTIVE, PAIRS, RECIPE, SUITE, adapter, changed, cut, lines, model, objective, settings, text
from tests.conftest import SMALL_RECIPE


@dataclass(frozen=True)
class Case:
    """What is typed, the words its one line must hold, and the files that are there: text, bytes, or a function of the path."""

    typed: str
    words: tuple[str, ...]
    files: dict = field(default_factory=dict)


def given(typed, *words, **files):
    return Case(typed, words, files)


def run(typed, *words, **files):
    return Case(f"run {typed}", words, files)


FLAGS = {
    "unknown flag": run("--objectivs space", "no such option", "--objectivs", "--objectives"),
    "unknown command": given("rnu", "no such command 'rnu'", "'run'"),
    "flag without a value": run("--seeds", "--seeds", "requires an argument"),
    "flag of the wrong type": run("--iters many", "--iters", "valid integer"),
    "argument too many": given("trace a b c", "unexpected extra argument", "c"),
    "argument missing": given("report", "missing argument 'run'", "report --help"),
    "zero jobs": run("--jobs 0", "--jobs", "greater than or equal to 1"),
    "iterations of theory out of range": given("theory --iters 99", "--iters", "less than or equal to 20"),
    "zero iterations": run("--iters 0", "iterations=0: input should be greater than or equal to 1"),
    "iterations without end": run("--iters 1000000000", "iterations=1000000000", "less than or equal to"),
    "negative iterations": run("--iters -3", "iterations=-3"),
    "no seeds": run("--seeds=", "--seeds", "expected whole numbers"),
    "seeds that are no numbers": run("--seeds a,b", "--seeds a,b: expected whole numbers"),
    "seed twice": run("--seeds 1,1", "a seed is named twice"),
    "negative seed": run("--seeds=-1", "seeds.0=-1", "greater than or equal to 0"),
    "huge seed": run("--seeds 99999999999999999999", "seeds.0=99999999999999999999", "less than 9223372036854775808"),
    "seed of digits without end": run(f"--seeds {'9' * 5000}", "--seeds", "expected whole numbers"),
    "no objective": run("--objectives ,", "--objectives is empty"),
    "unknown objective": run("--objectives spce", '--objectives: unknown objective "spce" (did you mean "space"?)'),
    "same objective twice": run("--objectives space,space", 'names "space" twice'),
    "unknown parameter": run("--objectives spin:bta=1", 'unknown parameter "bta" (did you mean "beta"?)'),
    "parameter out of bounds": run("--objectives space:mu=-1", "mu=-1.0 is not above 0"),
    "parameter of wrong type": run("--objectives space:mu=big", "mu='big' is not of type float"),
    "parameter that is no number": run("--objectives space:mu=nan", "mu=nan is not a finite number"),
    "parameter without value": run("--objectives space:mu", '"mu" is not key=value'),
    "unknown training setting": run("--objectives space:training.lrr=1", 'unknown setting "lrr" (did you mean "lr"?)'),
    "training setting out of bounds": run("--objectives space:training.lr=-1", "lr", "above 0"),
    "more examples than there are": run(
        f"--recipe {SMALL_RECIPE} --objectives sft:data.examples=999 --jobs 1", "data.examples=999, but", "has 12 pairs"
    ),
    "examples that are no count": run("--objectives sft:data.examples=0", "data.examples=0 is not a count"),
    "missing objective file": run("--objectives ./none.py", "--objectives: objective ./none.py: no such file"),
    "objective that is a folder": run("--objectives ./mine.py", "objective ./mine.py", "folder", **{"mine.py/x": ""}),
    "setting without value": run("--set training.lr", "expected key=value"),
    "setting without key": run("--set =3", "expected key=value"),
    "unknown setting": run("--set trainin.lr=1", 'unknown setting "trainin" (did you mean "training"?)'),
    "unknown setting, deeper": run("--set training.lrr=1", 'unknown setting "training.lrr" (did you mean "lr"?)'),
    "setting below a value": run("--set iterations.x=1", "iterations is a value, not a section"),
    "setting below a value, deeper": run("--set training.lr.x=1", "training.lr"),
    "section set to a value": run("--set training=3", "training=3", "[training]"),
    "negative rate": run("--set training.lr=-1", "every learning rate must be above 0"),
    "rate without end": run("--set training.lr=inf", "training.lr", "finite"),
    "rates that are none": run("--set training.lr=[]", "training.lr", "at least 1 item"),
    "word for a number": run("--set lora.rank=big", "lora.rank='big'", "integer"),
    "huge rank": run("--set lora.rank=1000000000", "lora.rank=1000000000", "less than or equal to"),
    "NUL in a path": run("--set model.path='\"a\\u0000b\"'", "model.path", "control character"),
    "unknown choice": run("--set training.optimizer=sgd", "training.optimizer='sgd'", "'rmsprop' or 'adamw'"),
    "run name with slashes": run("--name ../x", "--name ../x: letters, digits"),
    "run name of dots": run("--name ..", "--name ..: letters, digits"),
    "run name with a space": run("--name 'a b'", "--name a b: letters, digits"),
    "run name with a control character": run("--name 'a\x1b[31m'", r"--name a\u{1b}[31m: letters, digits"),
    "unknown device": run("--set model.device=tpu9", "model.device=tpu9: not a device of this machine"),
    "unknown distribution": run("--set data.distribution=lob", 'unknown distribution "lob" (did you mean "lab"?)'),
    "unknown recipe": run("--recipe lob", '--recipe: unknown recipe "lob" (did you mean "lab"?)'),
    "unknown suite": run("--suite lab-tem", '--suite: unknown suite "lab-tem" (did you mean "lab-ten"?)'),
    "unknown suite to check": given("suites check lab-tem", 'suites check: unknown suite "lab-tem" (did you mean "lab-ten"?)'),
    "unknown study": given("study stabilty", 'study: unknown study "stabilty" (did you mean "stability"?)'),
    "study that chooses nothing": given("study mu --validation lab-ten", "study mu chooses no setting"),
    "study of an unknown objective": given("study stability --objectives spce", '--objectives: unknown objective "spce"'),
    "theory of an unknown objective": given(
        "theory --objectives spce", '--objectives: unknown objective "spce" (did you mean "space"?)'
    ),
    "theory of no objective": given("theory --objectives ,", "--objectives is empty"),
    "no such run": given("report nothing", 'no run "nothing"'),
    "fetch of an unknown recipe": given(
        "fetch --recipe lob --to reports", '--recipe: unknown recipe "lob" (did you mean "lab"?)'
    ),
    "check of an empty mirror": given("fetch --to nowhere --check", "--to nowhere: no mirror.json there"),
    "empty data": run("--data ''", "data.source=''", "is empty"),
    "data of white space": run("--data ' '", "data.source=' '", "is empty"),
    "empty data as a setting": run("--set data.source=", "data.source=''", "is empty"),
    "data of builtin: alone": run("--data builtin:", "data.source='builtin:'", "is empty"),
    "empty held-out data": run("--set data.heldout=", "data.heldout=''", "is empty"),
    "empty split": run("--set data.split=", "data.split=''", "is empty"),
    "empty model": run("--model ''", "model.path=''", "is empty"),
    "empty adapter": run("--set model.adapter=", "model.adapter=''", "is empty"),
    "empty mirror": run("--mirror ''", "mirror=''", "is empty"),
    "empty suite": run("--suite ''", "evaluation.suite=''", "is empty"),
    "empty recipe": run("--recipe ''", 'unknown recipe ""'),
    "empty name": run("--name ''", "--name : letters, digits"),
    "empty results": run("--results ''", "'--results': is empty; name a path"),
    "empty reports": run("--reports ' '", "'--reports': is empty; name a path"),
    "empty folder to fetch to": given("fetch --to ''", "'--to': is empty; name a path"),
    "empty data to fetch": given("fetch --to m --data ''", "data.source=''", "is empty"),
    "empty suite to check": given("suites check ''", 'unknown suite ""'),
    "empty mirror to check with": given("suites check lab-ten --mirror ''", "--mirror: mirror='': is empty"),
    "empty run to report": given("report ''", "the run's name is empty"),
    "empty run to trace in": given("trace '' a", "the run's name is empty"),
    "empty study": given("study ''", 'unknown study ""'),
    "empty suite of a study": given("study mu --suite ''", "--suite: evaluation.suite='': is empty"),
    "empty validation of a study": given("study lr --validation ''", "--validation is empty"),
    "missing mirror": run("--mirror nowhere", "--mirror nowhere: no such folder"),
    "mirror that is a file": run("--mirror it", "--mirror it", "is a file, not a folder", it="x"),
    "results that are a file": run("--results it", "it", "is a file, not a folder", "--results", it="x"),
    "reports that are a file": run("--reports it", "it", "is a file, not a folder", "--reports", it="x"),
}
SMALLER = f"--recipe {SMALL_RECIPE}"
STUDY = f"title='t'\nquestion='q'\nrecipe='{SMALL_RECIPE}'\nobjectives='space'\niterations=1\nseeds=[0]\n"
TOML = {
    "recipe that is not there": run("--recipe ./a.toml", "--recipe: recipe ./a.toml: no such file"),
    "recipe that is a folder": run(
        "--recipe ./a.toml", "recipe ./a.toml: is a folder, expected a .toml file", **{"a.toml/x": ""}
    ),
    "recipe that is not TOML": run("--recipe a.toml", "a.toml: not valid TOML", "line 1", **{"a.toml": "iterations = = 3"}),
    "recipe in Latin-1": run("--recipe a.toml", "a.toml: not in UTF-8", **{"a.toml": "recipe = 'é'".encode("latin-1")}),
    "recipe in UTF-16": run("--recipe a.toml", "a.toml: not in UTF-8", **{"a.toml": RECIPE.encode("utf-16")}),
    "recipe nested without end": run("--recipe a.toml", "a.toml", "nested too deep", **{"a.toml": "a = " + "[" * 100_000}),
    "recipe with an unknown key": run("--recipe a.toml", 'unknown setting "iters"', **{"a.toml": "iters = 3"}),
    "recipe with an unknown section": run(
        "--recipe a.toml", 'unknown setting "trainin" (did you mean "training"?)', **{"a.toml": "[trainin]\nlr = 1"}
    ),
    "recipe with a value for a section": run("--recipe a.toml", "lora=4", "[lora]", **{"a.toml": "lora = 4"}),
    "recipe with text for a number": run("--recipe a.toml", "iterations='five'", "integer", **{"a.toml": "iterations = 'five'"}),
    "recipe with a list for an objective": run("--recipe a.toml", "objectives=['space']", **{"a.toml": "objectives = ['space']"}),
    "recipe with an unknown parameter": run(
        "--recipe a.toml", 'space: unknown parameter "muu" (did you mean "mu"?)', **{"a.toml": "[objective.space]\nmuu = 1"}
    ),
    "recipe with settings of an unknown objective": run(
        "--recipe a.toml", "[objective.spce]", 'did you mean "space"?', **{"a.toml": "[objective.spce]\nmu = 1"}
    ),
    "recipe with an unknown suite": run(
        "--recipe a.toml", "a.toml: line 2: unknown suite", 'mean "lab-ten"?', **{"a.toml": '[evaluation]\nsuite = "lab-tem"'}
    ),
    "recipe with an unknown objective": run(
        "--recipe a.toml", "a.toml: line 1: unknown objective", **{"a.toml": 'objectives = "spce"'}
    ),
    "study of an unknown recipe": given(
        "study a.toml", 'study a: recipe: unknown recipe "lob"', **{"a.toml": STUDY.replace(str(SMALL_RECIPE), "lob")}
    ),
    "study of an unknown suite": given(
        "study a.toml", 'study a: suite: unknown suite "lab-tem"', **{"a.toml": STUDY + "suite='lab-tem'"}
    ),
    "study that runs an unknown objective": given(
        "study a.toml", 'study a: objectives: unknown objective "spce"', **{"a.toml": STUDY.replace("'space'", "'spce'")}
    ),
    "recipe with a NUL in a path": run(
        "--recipe a.toml", "data.source", "control character", **{"a.toml": '[data]\nsource = "a\\u0000b"'}
    ),
    "recipe with a name no run can have": run("--recipe './a b.toml'", "--name", "letters, digits", **{"a b.toml": RECIPE}),
    "suite that is empty": run("--suite a.toml", 'a.toml: has no "title"', **{"a.toml": ""}),
    "suite without tasks": run("--suite a.toml", 'a.toml: has no "task"', **{"a.toml": SUITE.partition("[[task]]")[0]}),
    "suite whose tasks are no rows": run(
        "--suite a.toml", "task", "a.toml", **{"a.toml": SUITE.partition("[[task]]")[0].replace("title", "task = 3\ntitle", 1)}
    ),
    "suite that is not there": run("--suite ./a.toml", "--suite: suite ./a.toml: no such file"),
    "suite with an unknown filter": run(
        f"{SMALLER} --suite a.toml",
        'no filter "strict" (it has flexible-extract, strict-match)',
        **{"a.toml": changed(SUITE, '"strict-match"', '"strict"')},
    ),
    "suite with an unknown task": run(
        f"{SMALLER} --suite a.toml",
        'no such task (did you mean "lab_arithmetic"?)',
        **{"a.toml": changed(SUITE, '"lab_arithmetic"', '"lab_arithmetik"')},
    ),
    "suite with an unknown metric": run(
        f"{SMALLER} --suite a.toml",
        'no metric "exact_math" (did you mean "exact_match"?)',
        **{"a.toml": changed(SUITE, '"exact_match"', '"exact_math"')},
    ),
    "suite without a metric": run(
        "--suite a.toml", 'a.toml: has no "task.0.metric"', **{"a.toml": changed(SUITE, 'metric = "exact_match"', "")}
    ),
    "suite with an unknown key": run(
        "--suite a.toml", 'unknown key "task.0.shoots"', **{"a.toml": changed(SUITE, "shots = 2", "shots = 2\nshoots = 3")}
    ),
    "suite with fewer than no shots": run(
        "--suite a.toml", "task.0.shots=-1", **{"a.toml": changed(SUITE, "shots = 2", "shots = -1")}
    ),
    "suite with more shots than there are": run(
        f"{SMALLER} --suite a.toml",
        "shots = 100000, but lab_arithmetic has",
        "use fewer",
        **{"a.toml": changed(SUITE, "shots = 2", "shots = 100000")},
    ),
    "suite with a label twice": run(
        "--suite a.toml", "two tasks have the label 'Arithmetic'", **{"a.toml": changed(SUITE, '"Continuation"', '"Arithmetic"')}
    ),
    "suite with a task twice": run(
        "--suite a.toml", "two tasks have the name", **{"a.toml": changed(SUITE, '"lab_continuation"', '"lab_arithmetic"')}
    ),
    "suite with chance above 1": run("--suite a.toml", "task.1.chance=1.5", **{"a.toml": changed(SUITE, "0.25", "1.5")}),
    "suite with a task's name that leaves its folder": run(
        "--suite a.toml", "task.0.name: becomes the name of a file", **{"a.toml": changed(SUITE, '"lab_arithmetic"', '"../../x"')}
    ),
    "suite with a name of dots": run("--suite ./...toml", "suite", "rename", **{"...toml": SUITE}),
    "suite with an empty folder": run(
        "--suite a.toml", "include_paths has an empty path", **{"a.toml": changed(SUITE, "builtin:lab/tasks", "")}
    ),
    "suite with folders that are not there": run(
        "--suite a.toml", "include_paths names", "nowhere", **{"a.toml": changed(SUITE, "builtin:lab/tasks", "nowhere")}
    ),
    "study with an unknown key": given(
        "study a.toml",
        'unknown setting "colour"',
        **{"a.toml": STUDY + "colour=1"},
    ),
    "study that is not UTF-8": given("study a.toml", "a.toml: not in UTF-8", **{"a.toml": b"\xff"}),
    "study with a contrast of nothing that is played": given(
        "study a.toml --dry-run",
        "contrast",
        "spin",
        **{"a.toml": STUDY + "[[contrast]]\nquestion='q'\na='space@0'\nb='spin@0'"},
    ),
}


def data(*words, name="p.jsonl", holds=b"", more=""):
    return run(f"{SMALLER} --data {name} {more}", *words, **{name: holds})


def parquet(path):
    import pandas

    pandas.DataFrame(PAIRS).to_parquet(path)


def half_a_parquet(path):
    parquet(path)
    path.write_bytes(path.read_bytes()[:-100])


def numbers_in_parquet(path):
    import pandas

    pandas.DataFrame({"prompt": [1, 2], "response": [3, 4]}).to_parquet(path)


CSV = "prompt,response\n" + "".join(f"say {i},it is {i}\n" for i in range(20))
TALK = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
DATA = {
    "data that is not there": run("--data none.jsonl", "data none.jsonl: no such file"),
    "data of an unknown kind": data("p.txt: unknown kind of file '.txt'; use .jsonl", name="p.txt", holds="x"),
    "data that is empty": data("no rows"),
    "data that is not JSON": data("line 2: not a JSON object in UTF-8", holds=lines(PAIRS[0]) + b'{"prompt"\n'),
    "data with other columns": data("cannot tell prompt from response among the columns a", holds=lines({"a": "b"})),
    "data with a number for text": data("line 1: response=3 is int, expected text", holds=lines({"prompt": "a", "response": 3})),
    "data with null for text": data("line 2: prompt=None is NoneType", holds=lines(PAIRS[0], {"prompt": None, "response": "a"})),
    "data with nested text": data(
        "line 1: prompt={'text': 'a'} is dict", holds=lines({"prompt": {"text": "a"}, "response": "b"})
    ),
    "data with a huge number for text": data(
        "line 1: response=", "is int, expected text", "...", holds=lines({"prompt": "a", "response": 10**4000})
    ),
    "data with not a number": data("line 1: ", "NaN is no JSON value", holds=b'{"prompt": "a", "response": NaN}\n'),
    "data with a number of digits without end": data("line 1", holds=b'{"prompt": "a", "response": ' + b"9" * 5000 + b"}\n"),
    "data nested without end": data("line 1: nested too deep", holds=b"[" * 200_000 + b"\n"),
    "data file nested without end": data("p.json: nested too deep", name="p.json", holds=b"[" * 200_000),
    "data whose row is a list": data("a row is list", holds=lines(["a"])),
    "data whose later row is a list": data("line 2: list where an object", holds=lines(PAIRS[0], ["a"])),
    "data whose later row has other columns": data(
        "line 2: no column 'response'", "question", holds=lines(PAIRS[0], {"prompt": "a", "question": "b"})
    ),
    "data in one object": data("expected a list of objects, found dict", name="p.json", holds="{}"),
    "data with empty pairs only": data("0 pairs to train on", holds=lines({"prompt": "", "response": "x"})),
    "data of one pair": data("1 pairs to train on and 0 held out", holds=lines(PAIRS[0])),
    "data longer than the context": data(
        "do not fit the context of 2048", "overlong=drop", holds=lines({"prompt": "é" * 3000, "response": "x"})
    ),
    "data with a response of 5 MB": data(
        "line 21", "do not fit the context of 2048", holds=lines(*PAIRS, {"prompt": "a", "response": "x" * 5_000_000})
    ),
    "data with a lone surrogate": data("line 1: prompt", "surrogate", holds=b'{"prompt": "\\ud800", "response": "x"}\n'),
    "data with a NUL": data("line 1: response", "NUL", holds=b'{"prompt": "a", "response": "x\\u0000"}\n'),
    "data in Latin-1": data("line 1: not a JSON object in UTF-8", holds='{"prompt": "é", "response": "x"}\n'.encode("latin-1")),
    "data in UTF-16": data("not a JSON object in UTF-8", "UTF-16", holds=lines(*PAIRS).decode().encode("utf-16")),
    "table in UTF-16": data("p.csv", "UTF-16", name="p.csv", holds=CSV.encode("utf-16")),
    "table in Latin-1": data("p.csv: cannot be read", "utf-8", name="p.csv", holds=(CSV + "é,é\n").encode("latin-1")),
    "table with a NUL": data("p.csv: row 21: response", "NUL", name="p.csv", holds=CSV + "a,b\0c\n"),
    "table with longer rows": data(
        "p.csv: line 22: a row of 3 values, the first line names 2", name="p.csv", holds=CSV + "a,b,c\n"
    ),
    "table with shorter rows": data("p.csv: line 22: a row of 1 values, the first line names 2", name="p.csv", holds=CSV + "a\n"),
    "table whose every row is longer": data(
        "p.csv: line 2: a row of 3 values, the first line names 2", name="p.csv", holds="prompt,response\na,b,c\nd,e,f\n"
    ),
    "table of a header alone": data("no rows", name="p.csv", holds="prompt,response\n"),
    "table of nothing": data("no rows", name="p.csv"),
    "table with a column twice": data(
        "p.csv", "column 'prompt' is named twice", name="p.csv", holds="prompt,response,prompt\na,b,c\n"
    ),
    "table with a quote that never closes": data("p.csv: cannot be read as .csv", name="p.csv", holds=CSV + '"a,b\n'),
    "half a parquet file": data("p.parquet: cannot be read as .parquet", name="p.parquet", holds=half_a_parquet),
    "gzip called parquet": data(
        "p.parquet: cannot be read as .parquet", name="p.parquet", holds=gzip.compress(lines(*PAIRS))[:-20]
    ),
    "parquet with numbers": data("row 1: prompt=1 is int, expected text", name="p.parquet", holds=numbers_in_parquet),
    "conversation that is text": data("messages must be a list", holds=lines({"messages": "hello"})),
    "conversation of one turn": data("at least two turns", holds=lines({"messages": TALK[:1]})),
    "conversation with an unknown role": data(
        "the role 'humna'",
        "system, developer, user, assistant",
        holds=lines({"messages": [{"role": "humna", "content": "x"}, *TALK]}),
    ),
    "conversation with an empty turn": data(
        "0 pairs to train on", "'empty': 1", holds=lines({"messages": [{"role": "user", "content": " "}, TALK[1]]})
    ),
    "conversation that ends with the user": data("no assistant turn follows a user turn", holds=lines({"messages": TALK[::-1]})),
    "conversation with an image": data(
        "line 1: a turn's content has a part of the kind 'image'",
        "leave such rows out",
        holds=lines({"messages": [{"role": "user", "content": [{"type": "image", "url": "a.png"}]}, TALK[1]]}),
    ),
    "conversation with a call of a tool": data(
        "line 1: column 'messages.tool_calls'",
        "data.ignore_columns=messages.tool_calls",
        holds=lines({"messages": [TALK[0], {"role": "assistant", "content": "", "tool_calls": [{"name": "add"}]}]}),
    ),
    "prompt that ends with the assistant": data(
        "line 1: prompt ends in a turn of 'assistant', expected the user's", holds=lines({"prompt": TALK, "completion": "c"})
    ),
    "completion of several turns": data(
        "line 1: completion has 2 turns, which do not begin with prompt", holds=lines({"prompt": "q", "completion": TALK})
    ),
    "completion by the user": data(
        "line 1: completion ends in a turn of 'user'", holds=lines({"prompt": "q", "completion": TALK[:1]})
    ),
    "chosen text without a prompt": data(
        "line 1: chosen must be a list of at least two turns",
        "column of prompts",
        holds=lines({"chosen": "x y", "rejected": "z"}),
    ),
    "answers that are not wanted": data(
        "line 1: label=false", "data.ignore_columns=label", holds=lines({"prompt": "q", "completion": "a", "label": False})
    ),
    "text alone": data(
        "cannot tell prompt from response among the columns text; split `text`", holds=lines({"text": "Q: a A: b"})
    ),
    "text in a column that is not used": data(
        "line 21: column 'persona' holds text that is in neither prompt nor response: 'a kind pirate'",
        "--set data.context_columns=persona",
        "--set data.ignore_columns=persona",
        holds=lines(*PAIRS, {**PAIRS[0], "persona": "a kind pirate"}),
    ),
    "text in a structure that is not used": data(
        "line 1: column 'facts'",
        "--set data.ignore_columns=facts",
        holds=lines({**PAIRS[0], "facts": {"town": ["in the north"]}}),
    ),
    "images beside the text": data("line 1: column 'images'", "not text", holds=lines({**PAIRS[0], "images": ["a.png"]})),
    "history that is no list": data(
        "line 1: column 'history' must be a list of [question, answer]", holds=lines({**PAIRS[0], "history": "we spoke"})
    ),
    "context that is no text": data(
        "line 1: column 'context' belongs to the prompt and is dict", holds=lines({**PAIRS[0], "context": {"a": ["b c"]}})
    ),
    "two system texts": data(
        "line 1: column 'system' is another text than the conversation's own",
        holds=lines({"system": "be long", "messages": [{"role": "system", "content": "be brief"}, *TALK]}),
    ),
    "system turns with a template for generation alone": data(
        "generation.template=instruction: only with single prompts, and 20 pairs have a system turn",
        holds=lines(*[{**pair, "system": "be brief"} for pair in PAIRS]),
        more="--set generation.template=instruction --set data.heldout_examples=2",
    ),
    "context column that is not there": data(
        "no column 'fact' (data.context_columns); it has prompt, response",
        holds=lines(*PAIRS),
        more="--set data.context_columns=fact",
    ),
    "named column that is not there": data(
        "no column 'q'; it has prompt, response", holds=lines(*PAIRS), more="--prompt-column q"
    ),
    "one column for both": data(
        "prompt_column", "response_column", holds=lines(*PAIRS), more="--prompt-column prompt --response-column prompt"
    ),
    "folder without data": run(f"{SMALLER} --data ./d", "holds no .jsonl", **{"d/x.txt": ""}),
    "folder without the split": run(
        f"{SMALLER} --data ./d --set data.split=validation",
        "no file is called after the split 'validation'; it has test.jsonl, train.jsonl",
        "data.split=",
        **{"d/train.jsonl": lines(*PAIRS), "d/test.jsonl": lines(*PAIRS)},
    ),
    "folder of several sets": run(
        f"{SMALLER} --data ./d", "it has a.jsonl, b.jsonl", "give a file", **{"d/a.jsonl": lines(*PAIRS), "d/b.jsonl": b""}
    ),
    "held-out pairs among the others": data(
        "held-out pairs are also in data.source", holds=lines(*PAIRS), more="--set data.heldout=p.jsonl"
    ),
}


def mine(text, *words):
    return run(f"{SMALLER} --objectives ./mine.py", *words, **{"mine.py": text})


OBJECTIVES = {
    "objective with a syntax error": mine("def f(:", "mine.py: line 1: SyntaxError"),
    "objective with a missing module": mine("import not_a_module", "mine.py: line 1", "No module named 'not_a_module'"),
    "objective that fails at import": mine("from objectives import Objective\n\n1 / 0\n", "mine.py: line 3: ZeroDivisionError"),
    "objective that exits at import": mine("import sys\nsys.exit(3)\n", "mine.py: line 2: SystemExit"),
    "objective in Latin-1": mine("# é\n".encode("latin-1"), "mine.py: not in UTF-8"),
    "objective with a NUL": mine(OBJECTIVE + "\0", "mine.py", "null bytes"),
    "objective of nothing": mine("", "defines 0 subclasses of Objective (none)"),
    "objective of two classes": mine(
        OBJECTIVE + "\n@dataclass(frozen=True)\nclass Two(SPIN):\n    pass\n", "defines 2 subclasses"
    ),
    "objective that is no dataclass": mine(OBJECTIVE.replace("@dataclass(frozen=True)\n", ""), "not a frozen dataclass"),
    "objective without a title": mine(changed(objective(), '    title = "mine"\n', ""), "Mine has no title"),
    "objective with a title of the wrong type": mine(changed(objective(), 'title = "mine"', "title = 3"), "Mine", "title=3"),
    "objective with a citation of the wrong type": mine(
        changed(objective(), 'Citation("a", "b", "c", "d")', '"a"'), "Mine", "citation='a'"
    ),
    "objective without a loss": mine(changed(objective(), "def loss", "def lost"), "mine", "abstract", "loss"),
    "objective with a mutable default": mine(objective(fields="steps: list = param([1, 2], 'x')"), "mine.py", "mutable default"),
    "objective with a mutable default by factory": mine(
        objective(fields="steps: list = field(default_factory=dict)"), "steps={}", "list"
    ),
    "objective with a default out of its bounds": mine(
        objective(fields="beta: float = param(-1.0, 'x', above=0)"), "beta=-1.0 is not above 0"
    ),
    "objective with a default of the wrong type": mine(
        objective(fields="beta: float = 'big'"), "beta='big' is not of type float"
    ),
    "objective with a parameter without default": mine(objective(fields="beta: float"), "mine", "beta"),
    "objective that needs fewer than none": mine(objective(needs="Needs(synthetic=-1)"), "needs.synthetic=-1"),
    "objective that needs half a response": mine(
        objective(needs="Needs(synthetic=0.5)"), "needs.synthetic=0.5 is not a whole number"
    ),
    "objective that needs true responses": mine(objective(needs="Needs(synthetic=True)"), "needs.synthetic=True"),
    "objective that needs maybe a reference": mine(
        objective(needs="Needs(reference=1)"), "needs.reference=1 is not True or False"
    ),
    "objective whose needs are a dict": mine(objective(needs="{'synthetic': 1}"), "needs", "dict", "expected Needs"),
    "objective whose needs fail": mine(objective(needs="{}['x']"), "mine: needs", "KeyError"),
    "objective that needs history of nothing": mine(objective(needs="Needs(history=1)"), "needs.history=1", "synthetic"),
    "objective that needs a billion responses": mine(
        objective(needs="Needs(synthetic=10**9)"), "needs.synthetic=1000000000", "at most"
    ),
    "objective that reads what it did not ask for": mine(
        objective(needs="Needs(synthetic=1)"), "mine: ", "needs.reference is False"
    ),
    "objective whose loss fails": mine(objective(loss="batch.nothing"), "mine: ", "mine.py: line 17: AttributeError"),
    "objective whose loss is no LossOutput": mine(
        objective(loss="batch.real.logp[:, 0]"), "mine: ", "Tensor", "expected LossOutput"
    ),
    "objective with a loss per response": mine(
        objective(loss="LossOutput(-batch.real.log_ratio)"), "loss has shape (4, 1), expected (4,)"
    ),
    "objective with one loss": mine(
        objective(loss="LossOutput(-batch.real.log_ratio.mean())"), "loss has shape (), expected (4,)"
    ),
    "objective with whole numbers": mine(objective(loss="LossOutput(batch.real.logp[:, 0].long())"), "loss is torch.int64"),
    "objective with a half as precise loss": mine(
        objective(loss="LossOutput(-batch.real.logp[:, 0].half())"), "loss is torch.float16"
    ),
    "objective with a weight of the wrong shape": mine(
        objective(loss="LossOutput(-batch.real.logp[:, 0], weight=batch.real.length)"), "weight has shape (4, 1)"
    ),
    "objective with a metric of the wrong shape": mine(
        objective(loss="LossOutput(-batch.real.logp[:, 0], metrics={'m': batch.real.length})"), "metric m has shape (4, 1)"
    ),
    "objective with not a number": mine(objective(loss="LossOutput(-batch.real.logp[:, 0] * float('nan'))"), "loss is nan"),
    "objective without a gradient": mine(objective(loss="LossOutput(-batch.real.logp[:, 0].detach())"), "no gradient", "detach"),
    "objective that mutates its input": mine(objective(before="batch.real.logp.data.mul_(1.01)"), "changed its input in place"),
    "objective that draws random numbers": mine(
        objective(loss="LossOutput(-batch.real.logp[:, 0] * torch.rand(batch.real.logp.shape[0]))"),
        "two calls on the same batch differ",
    ),
    "objective whose rows see each other": mine(
        objective(loss="LossOutput(-batch.real.logp[:, 0] + batch.real.logp.mean())"),
        "depends on other rows",
        "couples_batch=True",
    ),
    "objective called initial": run(
        "--objectives ./initial.py", '"initial" is a reserved name in every run folder', **{"initial.py": objective()}
    ),
    "objective with a name no file should have": run(
        "--objectives ./a-b.py", "letters, digits and _ only", **{"a-b.py": objective()}
    ),
}


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


MODELS = {
    "model that is not there": base("no such folder", path="nothing"),
    "model that is a file": base("is a file", m="x"),
    "model that is an empty folder": base("config.json", **{"m/x.txt": ""}),
    "model whose config is no JSON": base("config.json", m=model(text("config.json", "{"))),
    "model whose config is a list": base("config.json", m=model(text("config.json", "[]"))),
    "model of an unknown kind": base("lamma", m=model(settings("config.json", model_type="lamma"))),
    "model with half its weights": base("model.safetensors", "damaged", m=model(cut("model.safetensors"))),
    "model without weights": base("no .safetensors weights there", m=model(nothing, ["*.safetensors"])),
    "model whose index is no JSON": run(
        f"{SMALLER} --model ./m",
        "m/model.safetensors.index.json: is no index",
        m=model(text("model.safetensors.index.json", "{")),
    ),
    "model with weights of another shape": base(
        "other shapes than its config.json", m=model(settings("config.json", intermediate_size=100))
    ),
    "model without a tokenizer": base("tokenizer", m=model(nothing, ["tokenizer*"])),
    "model whose tokenizer is no JSON": base("tokenizer", m=model(text("tokenizer.json", "{"))),
    "model without an end-of-sequence token": run(
        f"{SMALLER} --model ./m",
        "end-of-sequence",
        "use another model",
        m=model(settings("tokenizer_config.json", eos_token=None)),
    ),
    "model with fewer words than its tokenizer": base("its vocabulary has 50 tokens and its tokenizer", m=model(fewer_words)),
    "chat asked of a model without a template": run(
        f"{SMALLER} --model ./m --set data.template=chat",
        "no chat template",
        "data.template=instruction",
        m=model(nothing, ["chat_template.jinja"]),
    ),
    "chat template that cannot be read": run(
        f"{SMALLER} --model ./m", "chat template", "data.template=instruction", m=model(text("chat_template.jinja", "{% for %}"))
    ),
    "adapter that is not there": start("no such folder"),
    "adapter without its settings": start("adapter_config.json is missing", **{"a/x": ""}),
    "adapter whose settings are no JSON": start("adapter_config.json is damaged", **{"a/adapter_config.json": "{"}),
    "adapter of another kind": start("a IA3 adapter, expected LORA", a=adapter(peft_type="IA3")),
    "adapter of another rank": start("its rank is 8, the run's 4", "lora.rank=8", a=adapter(r=8)),
    "adapter of another base": start("made for another base model", a=adapter(width=48)),
    "adapter without weights": start(
        "no adapter_model.safetensors", a=lambda p: (adapter()(p), (p / "adapter_model.safetensors").unlink())
    ),
    "adapter with half its weights": start("is damaged", a=lambda p: (adapter()(p), cut("adapter_model.safetensors")(p))),
}
CASES = {**FLAGS, **TOML, **DATA, **OBJECTIVES, **MODELS}


def put(folder, files):
    for name, holds in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(holds):
            holds(path)
        else:
            path.write_bytes(holds if isinstance(holds, bytes) else holds.encode())


def tree(folder):
    """Everything in a folder, with its size."""
    return {(str(p.relative_to(folder)), p.stat().st_size if p.is_file() else None) for p in folder.rglob("*")}


@pytest.fixture
def typed(tmp_path, monkeypatch, capsys):
    """Type a command in this process, in a folder of its own: (exit code, lines of stderr that are not progress)."""

    def type_(command):
        from harness.cli import main
        from harness.launch import workers as jobs

        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(jobs, "warm_up", lambda at_once: None)  # starts processes for the training that must not come
        monkeypatch.setattr(jobs, "run_trials", lambda *_: pytest.fail("it would be trained"))
        monkeypatch.setattr(sys, "argv", ["harness", *shlex.split(command)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(SystemExit) as end:
                main()
        return end.value.code, [x for x in capsys.readouterr().err.splitlines() if not x.startswith("run ")]

    return type_


@pytest.mark.parametrize("name", CASES)
def test_it_is_one_line_before_any_training_and_nothing_is_written(name, tmp_path, typed):
    case = CASES[name]
    put(tmp_path, case.files)
    before = tree(tmp_path)
    code, said = typed(case.typed)
    assert (code, len(said)) == (1, 1), said
    assert said[0].startswith("harness: ")
    assert [words for words in case.words if words not in said[0]] == [], said[0]
    assert len(said[0]) < 600
    assert tree(tmp_path) == before
