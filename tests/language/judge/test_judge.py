"""A judged suite in parts: questions, prompts, ratings, what is kept and under which key, and what must never be written down."""

import pandas as pd
import pytest

from harness.config import EvaluationConfig
from harness.errors import EvaluationError, UserError
from harness.files import write_jsonl
from harness.language.judge.benchmark import JudgeBenchmark, load_judge_benchmark
from harness.language.judge.endpoint import Endpoint, check_judge_settings, resolve_judge
from harness.language.judge.judgement_log import Judgement, JudgementLog
from harness.language.judge.questions import Question, load_questions
from harness.language.judge.responses import check_context_length, generate_answers, prompt_ids
from harness.language.judge.scoring import JudgeRequest, parse_rating, rating_prompt, request_key
from harness.language.model.choosing import SamplingParams
from harness.language.model.sampling import Request
from harness.loop.suite import load_suite
from harness.records import digest
from tests.conftest import make_policy
from tests.language.judge.judge_stub import KEY, QUESTIONS, write_suite

MT = load_suite("mt-bench")
ASKED = Question("q", "math", ("1 + 1 ?", "and 1 more ?"), ("2", "3"))


def asked(*answers, question=ASKED, reference=False):
    """The judge's prompt for the last of the answers."""
    return rating_prompt(MT.judge.instructions, question, answers, reference)


def judge(**changes):
    return MT.judge.model_copy(update={"endpoint": "http://h:1/v1", "model": "m", **changes})


RATED = {"Good. Rating: [[7]]": 7, "[[ 7.5 ]]": 7.5, "It says [[10]] of itself. Rating: [[2]]": 2, "[[1]]": 1, "[[10]]": 10}
UNRATED = ("[[0]]", "[[11]]", "[[-3]]", "[7]", "Rating: 7", "[[seven]]", "")


@pytest.mark.parametrize(("reply", "expected"), [*RATED.items(), *((reply, None) for reply in UNRATED)])
def test_a_rating_is_the_last_number_in_double_brackets_from_1_to_10(reply, expected):
    assert parse_rating(reply) == expected


def test_the_second_turn_shows_the_whole_conversation_and_the_first_only_itself():
    """An answer that holds a placeholder's name is left as it is."""
    first, second = asked("two"), asked("two", "three")
    said = ("1 + 1 ?", "two", "and 1 more ?", "three")
    assert [[text in prompt for text in said] for prompt in (first, second)] == [[True, True, False, False], [True] * 4]
    assert "reference" not in first + second
    assert "$question_1 {answer_2} $$5" in asked("$question_1 {answer_2} $$5", "fine")


def test_a_reference_is_shown_where_category_and_question_have_one():
    assert "<reference>\n2\n</reference>" in asked("two", reference=True)
    bare = Question("q", "math", ASKED.turns, ("", ""))
    assert asked("two", question=bare, reference=True) == asked("two", question=bare)
    both = asked("two", "three", reference=True)
    assert "<first-reference>\n2\n" in both and "<second-reference>\n3\n" in both


def test_shipped_temperatures_are_those_of_fastchat():
    warm = {"writing": 0.7, "roleplay": 0.7, "stem": 0.1, "humanities": 0.1}
    cold = dict.fromkeys(("extraction", "math", "coding", "reasoning"), 0.0)
    assert MT.judge.temperatures == warm | cold == {row.name: MT.judge.temperatures[row.name] for row in MT.task}
    assert MT.judge.max_new_tokens == 1024


BEFORE = {"tspin-ten": "1aa83a1f6645af1d", "bigbench-spin": "dac9b5a6cf5582ac"}


@pytest.mark.parametrize(("name", "before"), BEFORE.items())
def test_a_suite_without_a_judge_and_clusters_is_named_as_before_there_were_any(name, before):
    """The digest that run folders hold: another one would refuse to go on with them."""
    suite = load_suite(name)
    rows = [row.model_copy(update={"cluster": None}) for row in suite.task]
    assert digest(suite.model_copy(update={"task": rows, "version": "1"}).identity()) == before
    clustered = any(row.cluster for row in suite.task)
    assert (digest(suite.identity()) == before, suite.version) == (not clustered, "2" if clustered else "1")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('version = "1"', 'version = "1"\nlm_eval = "0.4.13"', "has a [judge] and lm_eval"),
        ('metric = "rating"', 'metric = "acc"', 'a judged row has metric = "rating"'),
        ("chance = 0.1", "chance = 0.0", "and chance = 0.1 (the lowest rating is 1 of 10)"),
        ('name = "writing"', 'name = "poetry"', "task poetry: judge.temperatures has no such category"),
        ("$question_1\n", "the question\n", "expected $answer_1, $question_1, each of them and no other"),
        ("at_once = 4", "at_onec = 4", 'unknown key "judge.at_onec"; a judge has questions, endpoint'),
        ("at_once = 4", f'key = "{KEY}"', 'unknown key "judge.key"; a judge has'),
        ("questions = ", 'endpoint = "http://u:hidden@h" #', 'has no "judge.questions"'),
    ],
)
def test_a_judged_suite_that_does_not_fit_is_told_so_without_a_secret(tmp_path, old, new, expected):
    path = write_suite(tmp_path)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(UserError) as told:
        load_suite(str(path))
    assert expected in str(told.value) and KEY not in str(told.value) and "hidden" not in str(told.value)


def test_the_suite_that_is_asked_does_not_depend_on_where_things_are():
    elsewhere, other = judge(key_env="K", retries=9, questions="q"), judge(max_new_tokens=5)
    same, differs = (MT.model_copy(update={"judge": asked}).identity() == MT.identity() for asked in (elsewhere, other))
    assert same and not differs


HUB = {"prompt_id": 81, "category": "math", "prompt": ["a", "b"], "reference": ["1"]}
FIRST = Question("81", "math", ("a", "b"), ("1", ""))


def written(path, *rows):
    write_jsonl(path, rows)
    return path


def test_questions_are_read_in_the_hubs_shape_and_in_fastchats_from_file_folder_and_mirror(tmp_path):
    path = written(tmp_path / "q.jsonl", HUB, {"question_id": 82, "category": "math", "turns": ["c", "d"]})
    both = [FIRST, Question("82", "math", ("c", "d"), ("", ""))]
    assert load_questions("q.jsonl", tmp_path, None) == load_questions(str(path), tmp_path / "elsewhere", None) == both
    source = MT.judge.questions
    folder = tmp_path / "mirror" / source / "data"
    folder.mkdir(parents=True)
    pd.DataFrame([HUB]).to_parquet(folder / "train-00000-of-00001.parquet")
    assert load_questions(str(folder), tmp_path, None) == load_questions(source, tmp_path, tmp_path / "mirror") == [FIRST]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([{"prompt_id": None}], "line 1: has no prompt_id"),
        ([{"category": 3}], "category=3: expected a text"),
        *(([{"prompt": prompt}], "must be a list of 2 texts") for prompt in (["a"], "a", ["a", " "], ["a", "b", "c"])),
        *(([{"reference": reference}], "reference must be a list") for reference in ("1", [1, 2])),
        ([{}, {}], "two questions have the id '81'"),
    ],
)
def test_a_row_that_is_no_question_is_named(tmp_path, rows, expected):
    written(tmp_path / "q.jsonl", *(HUB | row for row in rows))
    with pytest.raises(UserError, match="q.jsonl") as told:
        load_questions("q.jsonl", tmp_path, None)
    assert expected in str(told.value)


def test_limits_take_the_first_questions_of_each_row_and_a_category_without_any_is_refused(tmp_path):
    suite = load_suite(str(write_suite(tmp_path)))
    assert load_judge_benchmark(suite, EvaluationConfig(), None).items() == {"writing": 2, "math": 2}
    limited = load_judge_benchmark(suite, EvaluationConfig(limit=1), None)
    assert limited.items() == {"writing": 1, "math": 1}
    assert [q.id for q in limited.questions["writing"]] == [str(QUESTIONS[0]["prompt_id"])]
    written(tmp_path / "questions.jsonl", HUB)
    with pytest.raises(UserError, match=r"task writing: .* has no such category \(it has math\)"):
        load_judge_benchmark(suite, EvaluationConfig(), None)


def test_value_and_error_equal_the_hand_calculation():
    """Ratings (2, 4) and (8, 10): questions count 0.3 and 0.9, mean 0.6; sd 0.3 * sqrt(2), divided by sqrt(2) questions: 0.3."""
    p, q, r = (Question(name, kind, ("a", "b"), ("", "")) for name, kind in (("p", "math"), ("q", "math"), ("r", "stem")))
    board = JudgeBenchmark(MT, {"math": [p, q], "stem": [r]})
    ratings = {"p": [2.0, 4.0], "q": [8.0, 10.0], "r": [1.0, 1.0]}
    two, one = (board.make_record(row, ratings) for name in ("math", "stem") for row in MT.task if row.name == name)
    assert (two.value, two.stderr, two.n) == (pytest.approx(0.6), pytest.approx(0.3), 2)
    assert (one.value, one.stderr, one.n) == (pytest.approx(one.chance), None, 1)


def clustered(folder, key, **columns):
    path = write_suite(folder)
    path.write_text(path.read_text().replace('name = "math"\n', f'name = "math"\ncluster = "{key}"\n'))
    rows = [*QUESTIONS, QUESTIONS[-1] | {"prompt_id": 5}]
    rows = [row | {name: values[n] for name, values in columns.items()} for n, row in enumerate(rows)]
    written(folder / "questions.jsonl", *rows)
    where = EvaluationConfig(judge_endpoint="http://h/v1", judge_model="m")
    return load_judge_benchmark(load_suite(str(path)), where, None)


def test_two_turns_are_one_cluster_and_so_are_questions_of_one_passage(tmp_path):
    """math: ratings (2, 4), (8, 10), (8, 6) count 0.3, 0.9, 0.7; the last two share a passage. Of two clusters with sums of
    deviations -1/3 and 1/3 from the mean 1.9 / 3: sqrt(2 / (2 - 1) * 2 / 9) / 3 = 2 / 9.
    """
    board = clustered(tmp_path, "passage", passage=["w", "w", "a", "b", "b"])
    assert board.clusters() == {"math": [0, 1, 1]}
    row = next(row for row in board.suite.task if row.name == "math")
    ratings = {"3": [2.0, 4.0], "4": [8.0, 10.0], "5": [8.0, 6.0]}
    record = board.make_record(row, ratings)
    assert (record.n, record.clusters) == (3, 2) and record.stderr == pytest.approx(2 / 9, rel=1e-12)
    assert board.item_scores(row, ratings)["clusters"] == [0, 1, 1]


@pytest.mark.parametrize(
    ("key", "columns", "expected"),
    [
        ("pasage", {"passage": list("vwxyz")}, 'question 3 has no such column (did you mean "passage"?)'),
        ("passage", {"passage": ["w", "w", "a", "", "b"]}, "question 4 has nothing in it"),
        ("category", {}, "all 3 items are one cluster"),
        ("doc_to_text", {}, "a judged row's cluster is a column of its questions"),
    ],
)
def test_a_judged_row_with_a_key_that_does_not_fit_is_told_so(tmp_path, key, columns, expected):
    with pytest.raises(UserError) as told:
        clustered(tmp_path, key, **columns)
    assert expected in str(told.value)


THREE = [Question(str(n), c, (f"count the pens : {n} .", "and the keys ?"), ("", "")) for n, c in enumerate(("a", "b", "a"))]
HOW = {"max_new_tokens": 6, "temperatures": {"a": 0.8, "b": 0.0}, "batch_size": 8, "advance": lambda n: None}


def test_the_second_prompt_holds_the_first_answer_and_every_answer_its_own_luck(policy):
    """Answers do not depend on what else is asked, come out the same again, and change with the seeds' name where drawn."""
    drawn = generate_answers(policy, THREE, "s", **HOW)
    assert drawn == generate_answers(policy, THREE, "s", **HOW)
    assert generate_answers(policy, THREE[1:], "s", **HOW) == drawn[1:]
    other = generate_answers(policy, THREE, "t", **HOW)
    assert other[0] != drawn[0] and other[1] == drawn[1]  # temperature 0 has no luck
    held = prompt_ids(policy, THREE[1], [drawn[1][0].text])
    assert f"<|assistant|>{drawn[1][0].text}<|end|><|user|>and the keys ?" in policy.tokenizer.decode(held)
    (by_itself,) = policy.generate_tokens([Request(held, 0, 6)], SamplingParams(0.0), policy.template.stop_ids, 1)
    assert policy.tokenizer.decode(by_itself.ids, skip_special_tokens=True).strip() == drawn[1][1].text


def test_a_question_too_long_for_the_context_is_named_before_and_during(tokenizer):
    policy = make_policy(tokenizer, max_position_embeddings=40)
    n = len(prompt_ids(policy, THREE[0], ["-"]))
    check_context_length(policy, THREE[:1], "s", 40 - n)
    with pytest.raises(UserError, match=f"question 0, turn 2: {n} tokens of prompt and up to {41 - n} of answer, .* 40"):
        check_context_length(policy, THREE[:1], "s", 41 - n)
    with pytest.raises(EvaluationError, match="s, question 0, turn 2: the prompt has .* the model's context is 40"):
        generate_answers(policy, THREE[:1], "s", **HOW | {"max_new_tokens": 60, "temperatures": {"a": 5.0}})


def test_a_judgement_is_shared_by_equal_requests_alone():
    def key(prompt=None, **changes):
        return request_key(Endpoint(judge(**changes)), JudgeRequest("q", 1, prompt or asked("two")))

    assert key() == key(endpoint="http://h:2/v1", retries=0)
    others = [key(**changes) for changes in ({"model": "n"}, {"endpoint": "http://i/v1"}, {"temperature": 0.5})]
    others += [key(asked("two ")), key(asked("two", question=Question("q", "math", ("2 + 2 ?", "b"), ("", ""))))]
    assert len({key(), *others}) == 6


def test_a_line_cut_off_by_a_kill_or_damaged_is_no_judgement_and_the_damaged_one_is_told(tmp_path):
    file = tmp_path / "judgements" / "initial.jsonl"
    kept = JudgementLog(file)
    kept.append(Judgement("k", "q", 1, 3.0, ["[[3]]"], "m"))
    with file.open("a") as handle:
        handle.write('{"key": "l", "rat')
    again = JudgementLog(file)
    again.append(Judgement("l", "q", 2, 4.0, ["[[4]]"], "m"))
    assert {k: j.rating for k, j in JudgementLog(file.with_name("other.jsonl")).known.items()} == {"k": 3.0, "l": 4.0}
    whole = file.read_bytes()
    for bit in range(0, 8 * len(whole), 7):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        said = []
        found = JudgementLog(file, said.append).known
        assert all(found[key] == again.known[key] for key in found), bit
        assert len(found) < 2, bit
        assert not found or said or bit // 8 == len(whole) - 1, "the last end of line, without which a line is on its way"
        assert file.read_bytes() in whole, "nothing is written behind what is damaged"
    for rubbish in ("nonsense\n", "[]\n", "null\n", "1\n", '{"key": 3}\n'):
        file.write_text(rubbish)
        assert JudgementLog(file).known == {}
    legacy = {"key": "k", "question_id": "q", "turn": 1, "rating": 3.0, "replies": [], "model": "m"}
    assert list(JudgementLog(written(file, legacy)).known) == ["k"], "of before judgements had digests"


@pytest.mark.parametrize(
    ("evaluation", "endpoint", "key_env"),
    [
        ({}, "http://own/v1", "OWN"),
        ({"judge_model": "p"}, "http://own/v1", "OWN"),
        ({"judge_endpoint": "http://mine/v1"}, "http://mine/v1", None),
        ({"judge_endpoint": "http://mine/v1", "judge_key_env": "MINE"}, "http://mine/v1", "MINE"),
    ],
)
def test_a_suites_key_is_sent_to_the_suites_own_endpoint_only(evaluation, endpoint, key_env):
    found = resolve_judge(judge(endpoint="http://own/v1", key_env="OWN"), EvaluationConfig(**evaluation))
    assert (found.endpoint, found.key_env) == (endpoint, key_env)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"endpoint": None}, "no judge is named"),
        ({"model": None}, "no judge's model is named"),
        *(({"endpoint": f"http{rest}"}, "holds a name, a password or a query")
          for rest in ("://u:hidden@h/v1", "://hidden@h/v1", "s://h/v1?key=hidden")),
        *(({"endpoint": e}, "expected an address such as") for e in ("u:hidden@h/v1", "http://[hidden@h", "ftp://h/v1")),
        ({"endpoint": "localhost:8000/v1"}, "=localhost:8000/v1: expected an address such as http://localhost:8000/v1"),
        *(({"key_env": variable}, "no variable of this name") for variable in ("hidden-key", "hidden_key")),
    ],
)  # fmt: skip
def test_a_judge_that_cannot_be_asked_is_told_and_secrets_are_not_quoted(changes, expected):
    with pytest.raises(UserError) as told:
        check_judge_settings(judge(**changes), "s")
    assert expected in str(told.value) and "hidden" not in str(told.value)


def test_without_openai_the_way_to_install_it_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pip install "selfplay-harness\[judge\]"'):
        Endpoint(judge()).ping()
