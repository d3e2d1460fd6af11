"""The program with a judge on this machine: scores, what is paid for once, what happens when the judge does not do its work."""

import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import time
import warnings
from collections import defaultdict

import pytest

from harness.analysis.stats import minimum_detectable_effect
from harness.files import read_jsonl, write_jsonl
from harness.loop.suite import load_suite
from harness.reporting.tables import refresh
from tests.conftest import GUARD_FOLDER, SMALL_RECIPE, read_csv_rows, run_cli, run_cli_in_process
from tests.guard.network_guard import ALLOWED
from tests.helpers.report_text import report_text
from tests.language.judge.judge_stub import KEY, QUESTIONS, rule, serving, write_suite

pytestmark = pytest.mark.loopback
RUN = "results/small"
PLAYERS = ("initial", "sft/seed-0/iteration-0", "space/seed-0/iteration-0")
PER_PLAYER = 2 * len(QUESTIONS)
BASE = ("run", "--recipe", SMALL_RECIPE, "--suite", "judged.toml", "--iters", "1", "--jobs", "1", "--name", "small",
        "--set", "probe.prompts=2")  # fmt: skip
KEYED = ("--set", "evaluation.judge_key_env=STUB_KEY")


def named(url, model="stub"):
    return "--set", f"evaluation.judge_endpoint={url}", "--set", f"evaluation.judge_model={model}"


def command(url, *more, objectives="sft", model="stub"):
    return *BASE, "--objectives", objectives, *named(url, model), *more


def search_path(*before):
    return os.pathsep.join(filter(None, [*map(str, before), str(GUARD_FOLDER), os.environ.get("PYTHONPATH")]))


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """A run with two objectives, a judge that wants a key, and an lm-eval that cannot be imported; (folder, stub, output)."""
    folder = tmp_path_factory.mktemp("judged")
    write_suite(folder)
    (folder / "broken" / "lm_eval").mkdir(parents=True)
    (folder / "broken" / "lm_eval" / "__init__.py").write_text("raise ImportError('a judged suite needs no lm-eval')\n")
    more = {"PYTHONPATH": search_path(folder / "broken"), "STUB_KEY": KEY, ALLOWED: "1"}
    with serving(KEY) as stub:
        arguments = command(stub.url, *KEYED, objectives="sft,space")
        yield folder, stub, run_cli(*arguments, cwd=folder, **more), arguments


@pytest.fixture
def typed(tmp_path, monkeypatch):
    """Type a command in this process: (exit code, stdout, stderr). Figures and report are left out: `judged` has them."""
    monkeypatch.setattr("harness.commands.run.write_views", lambda run, reports: refresh(run.root, everything=False) and {})
    monkeypatch.setattr("harness.commands.answer.print_answer", lambda run: None)

    def type_(*arguments, cwd=tmp_path):
        with warnings.catch_warnings(action="ignore"):  # openai leaves its sockets to the garbage collector
            done = run_cli_in_process(*map(str, arguments), cwd=cwd, check=False)
        return done.returncode, done.stdout, done.stderr

    return type_


def samples(run, place):
    return {task: read_jsonl(run / place / f"evaluate/judged/samples_{task}.jsonl") for task in ("writing", "math")}


def recorded(folder):
    return json.loads((folder / RUN / "run.json").read_text())["suites"]["judged"]["judge"]


def read(run, place, name):
    return json.loads((run / place / "evaluate/judged" / name).read_text())


def test_scores_equal_those_computed_by_hand_from_the_recorded_answers(judged):
    run = judged[0] / RUN
    for place in PLAYERS:
        items = read(run, place, "items.json")
        for record in read(run, place, "scores.json")["records"]:
            lines = samples(run, place)[record["task"]]
            assert [(x["question_id"], x["turn"]) for x in lines[:2]] == [(lines[0]["question_id"], turn) for turn in (1, 2)]
            ratings = [rule(x["answer"] or "(no answer)") for x in lines]
            assert [x["rating"] for x in lines] == ratings and len(ratings) == 4
            by_question = [(ratings[0] + ratings[1]) / 20, (ratings[2] + ratings[3]) / 20]
            assert items[record["task"]]["values"] == pytest.approx(by_question)
            assert record["value"] == pytest.approx(sum(ratings) / 4 / 10)
            assert record["stderr"] == pytest.approx(statistics.stdev(by_question) / 2**0.5)
            assert (record["n"], record["chance"]) == (2, 0.1)
    written = {(r["objective"], r["task"]): float(r["value"]) for r in read_csv_rows(run / "scores.csv")}
    mean = statistics.fmean(x["rating"] for x in samples(run, PLAYERS[1])["math"])
    assert len(written) == 6 and written["sft", "math"] == pytest.approx(mean / 10)


def test_the_judge_was_asked_once_per_answer_with_key_reference_and_conversation(judged):
    folder, stub, _, _ = judged
    run = folder / RUN
    assert set(stub.keys) == {KEY}
    assert len(stub.requests) - len(stub.judged) == 1  # the one before anything was trained
    messages = [r["messages"][0]["content"] for r in stub.judged]
    assert len(set(messages)) == len(messages) <= 3 * PER_PLAYER
    assert {(r["model"], r["temperature"], len(r["messages"])) for r in stub.judged} == {("stub", 0.0, 1)}
    for line in samples(run, "initial")["math"]:
        mine = [m for m in messages if QUESTIONS[int(line["question_id"]) - 1]["prompt"][line["turn"] - 1] in m]
        assert any(line["answer"] in m for m in mine)
        assert all(("reference" in m) == (line["question_id"] == "3") for m in mine)


def test_players_with_other_answers_have_judgements_of_their_own(judged):
    told = defaultdict(list)  # question and turn -> (answers that the judge saw, key) of every player
    for lines in (lines for place in PLAYERS for lines in samples(judged[0] / RUN, place).values()):
        for first, second in zip(lines[::2], lines[1::2], strict=True):
            told[first["question_id"], 1].append((first["answer"], first["key"]))
            told[first["question_id"], 2].append(((first["answer"], second["answer"]), second["key"]))
    pairs = [pair for seen in told.values() for pair in itertools.combinations(seen, 2)]
    assert all((a == b) == (key == other) for (a, key), (b, other) in pairs)
    assert any(a != b for (a, _), (b, _) in pairs)


def test_host_and_model_are_recorded_and_the_key_is_nowhere(judged):
    folder, _, done, _ = judged
    assert KEY not in done.stdout + done.stderr
    assert [p for p in folder.rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()] == []
    assert read(folder / RUN, "initial", "manifest.json")["settings"]["judge"] == {"host": "127.0.0.1", "model": "stub"}
    assert recorded(folder)["key_env"] == "STUB_KEY"
    raw = read(folder / RUN, "initial", "judge.json")
    assert raw["mean_rating"] == pytest.approx(statistics.fmean(raw["mean_rating_by_turn"].values()))


def test_tables_and_report_show_it_and_say_who_judged(judged):
    run = judged[0] / RUN
    said = "Percent of the highest rating (45.0 is a mean rating of 4.5 of 10) by stub at 127.0.0.1"
    assert said in (run / "tables/leaderboard.md").read_text()
    assert "stub at 127.0.0.1" in report_text(run)
    compared = {(r["a"], r["b"], r["task"]): r for r in read_csv_rows(run / "tables/comparisons.csv")}
    sft, space = (statistics.fmean(read(run, place, "items.json")["writing"]["values"]) for place in PLAYERS[1:])
    assert float(compared["sft", "space", "writing"]["difference"]) == pytest.approx(sft - space)
    assert compared["sft", "space", "writing"]["mcnemar_p"] == ""  # ratings are not right or wrong
    assert (judged[0] / "reports/small.pdf").read_bytes().startswith(b"%PDF")


def test_the_same_command_again_asks_nothing_and_another_judge_is_refused(judged, typed, monkeypatch):
    folder, stub, _, arguments = judged
    before = len(stub.requests)
    monkeypatch.setenv("STUB_KEY", KEY)
    code, said, _ = typed(*arguments, cwd=folder)
    assert code == 0 and "0 phases to do" in said
    code, _, said = typed(*command(stub.url, *KEYED, objectives="sft,space", model="other"), cwd=folder)
    assert code == 1 and "judge.model='stub', now asked for 'other'" in said
    assert recorded(folder)["model"] == "stub"  # the report must not name another judge than the scores'
    assert len(stub.judged) == before - 1


def test_requests_that_fail_in_passing_are_repeated_and_nonsense_is_asked_again(tmp_path, typed):
    write_suite(tmp_path)
    troubles = {1: (429, "slow down"), 2: (500, "oops"), 3: (200, "I cannot say."), 4: (200, "Rating: [[12]]"), 5: (200, "")}
    with serving() as stub:
        stub.behave = lambda request, count: troubles.get(count)
        done = typed(*command(stub.url, "--set", "evaluation.limit=1"))
        assert done[0] == 0, done
        told = [r["messages"] for r in stub.judged]
    assert set(stub.keys) == {"none"}
    followed = [m for m in told if len(m) > 1]
    assert {m[1]["content"] for m in followed} <= {"I cannot say.", "Rating: [[12]]"}
    assert all("no rating from 1 to 10" in m[2]["content"] for m in followed)
    replies = [x["replies"] for t in samples(tmp_path / RUN, "initial").values() for x in t]
    assert sum(len(r) - 1 for r in replies) == 3


FAST = ("--set", "training.lr=1e-2")  # so that players answer otherwise than the one before


def test_a_judge_that_hangs_costs_one_cell_and_later_only_what_is_missing(tmp_path, typed):
    """Space's answers wait for ever; sft's cell is complete. The judge well again, the rest alone is asked for."""
    write_suite(tmp_path, retries=0, timeout_seconds=1, at_once=1)
    with serving() as stub:
        assert typed(*command(stub.url, *FAST, objectives="sft"))[0] == 0
        known = len(stub.judged)
        hung = []

        def hang(request, count):
            if count < known + 3:
                return None
            hung.append(request)
            stub.closed.wait(30)
            return 200, "too late"

        stub.behave = hang
        code, said, _ = typed(*command(stub.url, *FAST, objectives="space,sft"))
        assert code == 2 and "failed  space/seed-0: EvaluationError: judge stub at 127.0.0.1: question " in said
        assert "no answer within 1 s, 1 times" in said
        assert {r["objective"] for r in read_csv_rows(tmp_path / RUN / "scores.csv")} == {"initial", "sft"}
        assert len(hung) == 1
        stub.behave = lambda request, count: None
        before = len(stub.judged)
        assert typed(*command(stub.url, *FAST, objectives="space,sft"))[0] == 0
        asked = [r["messages"][0]["content"] for r in stub.judged]
    answered = asked[:known] + asked[known : known + 2]
    assert not set(asked[before:]) & set(answered) and hung[0]["messages"][0]["content"] in asked[before:]
    keys = [{x["key"] for t in samples(tmp_path / RUN, place).values() for x in t} for place in PLAYERS]
    assert len(asked) - before == len(keys[2] - keys[0] - keys[1]) - 2  # two were kept of the evaluation that failed


def test_a_judge_that_never_rates_ends_the_run_with_its_own_words_and_no_score(tmp_path, typed):
    write_suite(tmp_path, asked_again=1)
    with serving() as stub:
        stub.behave = lambda request, count: (200, "As a model, " + "x" * 300)
        code, _, said = typed(*command(stub.url))
    assert code == 1
    (line,) = [x for x in said.splitlines() if x.startswith("harness: ")]
    assert "initial policy: judge stub at 127.0.0.1: question " in line and ", turn " in line
    assert "no rating from 1 to 10 in double square brackets in 2 replies" in line
    assert "'As a model, " + "x" * 188 + "'" in line
    assert "Traceback" not in said
    assert not list((tmp_path / RUN).rglob("scores.json"))


def test_a_judge_that_refuses_or_is_not_there_is_known_before_training(tmp_path, typed, monkeypatch):
    def refused(*arguments):
        code, out, said = typed(*arguments)
        assert code == 1
        assert not (tmp_path / "results").exists() or not any((tmp_path / "results").iterdir())
        assert "Traceback" not in said and "hidden" not in out + said
        (line,) = [x for x in said.splitlines() if x.startswith("harness: ")]
        return line

    write_suite(tmp_path)
    assert "no judge is named" in refused(*BASE, "--objectives", "sft")
    with serving(KEY) as stub:
        monkeypatch.setenv("STUB_KEY", "sk-hidden")
        line = refused(*command(stub.url, *KEYED))
        assert "judge stub at 127.0.0.1: HTTP 401" in line and "(key)" in line
        line = refused(*command(stub.url.removesuffix("/v1")))
        assert "HTTP 404" in line and "check evaluation.judge_endpoint" in line
        assert "no variable of this name" in refused(*command(stub.url, "--set", "evaluation.judge_key_env=hidden"))
        gone = stub.url
    assert "no connection, 2 times" in refused(*command(gone))
    assert "holds a name, a password" in refused(*command(gone.replace("127", "u:hidden@127")))


@pytest.mark.slow
def test_killed_while_judging_it_goes_on_with_what_is_kept(tmp_path, typed):
    write_suite(tmp_path, at_once=1)
    with serving() as stub:
        stub.behave = lambda request, count: stub.closed.wait(30) and None if count == 4 else None
        arguments = [sys.executable, "-W", "ignore", "-m", "harness", *map(str, command(stub.url))]
        environment = {**os.environ, "PYTHONPATH": search_path()}
        process = subprocess.Popen(arguments, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while len(stub.judged) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kept = (tmp_path / RUN / "judgements/judged/initial.jsonl").read_text().splitlines()
        assert len(kept) == 3
        stub.behave = lambda request, count: None
        assert typed(*command(stub.url))[0] == 0
        asked = [r["messages"][0]["content"] for r in stub.judged]
    assert not set(asked[4:]) & set(asked[:3]) and asked[3] in asked[4:]


def test_a_dry_run_needs_no_judge(tmp_path, typed):
    write_suite(tmp_path)
    code, said, _ = typed(*BASE, "--objectives", "sft", "--dry-run")
    assert code == 0
    few, many = (100 * minimum_detectable_effect([2, 2], sd**2) for sd in (0.1, 0.2))
    assert "power: 4 items in 2 tasks" in said
    assert f"must differ by {few:.1f} points" in said and f"to {many:.1f} points (2 points)" in said
    assert not (tmp_path / "results").exists()


def test_suites_check_lists_what_is_missing_or_says_that_all_is_there(tmp_path, typed):
    suite = write_suite(tmp_path)
    code, said, _ = typed("suites", "check", suite)
    assert code == 1 and "writing: 2 questions" in said and "PROBLEM  suite judged: no judge is named" in said
    with serving() as stub:
        code, said, _ = typed("suites", "check", suite, *named(stub.url))
        assert code == 0 and "questions, package and judge are there" in said and len(stub.requests) == 1
        (tmp_path / "questions.jsonl").unlink()
        code, said, _ = typed("suites", "check", suite, *named(stub.url))
        assert code == 1 and "PROBLEM  data questions.jsonl: no such file" in said


def test_the_shipped_suite_takes_its_questions_from_a_mirror(tmp_path, typed, monkeypatch):
    for variable in ("HARNESS_MIRROR", "HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.setenv(variable, "")  # the program sets them for its whole process
    suite = load_suite("mt-bench")
    folder = tmp_path / "mirror" / suite.judge.questions
    folder.mkdir(parents=True)
    asked = [{"prompt_id": n, "category": row.name, "prompt": ["a", "b"], "reference": []} for n, row in enumerate(suite.task)]
    write_jsonl(folder / "train.jsonl", asked)
    with serving() as stub:
        code, said, _ = typed("suites", "check", "mt-bench", "--mirror", tmp_path / "mirror", *named(stub.url))
    assert code == 0 and "humanities: 1 questions of two turns, temperature 0.1" in said
