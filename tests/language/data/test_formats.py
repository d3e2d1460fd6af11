"""Pairs in the shapes in which people publish them: found by their columns, to the byte, and no text left out in silence."""

import json

import datasets
import pandas
import pytest

from harness.config import DataConfig
from harness.errors import UserError
from harness.files import write_jsonl
from harness.language.data.columns import is_label, iter_texts
from harness.language.data.dataset import _read, read_pairs
from harness.language.data.formats import Pair


def speaker(role, role_key="role", content_key="content"):
    return lambda text: {role_key: role, content_key: text}


user, assistant, system = map(speaker, ("user", "assistant", "system"))
human, gpt, chatgpt, bard, from_user, from_system = (
    speaker(role, "from", "value") for role in ("human", "gpt", "chatgpt", "bard", "user", "system")
)


def parts(*texts):
    return [{"type": "text", "text": text} for text in texts]


def write(folder, rows, kind=".jsonl"):
    path = folder / f"rows{kind}"
    datasets.disable_progress_bars()
    write_jsonl(path, rows) if kind == ".jsonl" else datasets.Dataset.from_list(rows).to_parquet(path)
    return str(path)


def read(folder, *rows, kind=".jsonl", **settings):
    path = write(folder, rows, kind)
    return read_pairs(DataConfig(source=path, **settings), path, None)


def note(folder, *rows, **settings):
    path = write(folder, rows)
    return _read(DataConfig(source=path, **settings), path, None)[1].removeprefix(f"{path}: ")


def told(pair: Pair):
    """(role, content) of all turns before the response, and the response."""
    return [(t["role"], t["content"]) for t in pair.turns] or [("user", pair.prompt)], pair.real


ASKED, ANSWER = "who is it ?", " it is Ada .\n"
PLAIN = [("user", ASKED)]
HERE = "Ada was here ."
WITH_HERE = [("user", f"{ASKED}\n\n{HERE}")]
BRIEF, BRIEFED = system("be brief"), [("system", "be brief"), *PLAIN]
FOUR = [("user", "one ?"), ("assistant", "one ."), ("user", ASKED)]
TALK = [user("one ?"), assistant("one ."), user(ASKED)]
BAD = "it is nobody ."
HH = "\n\nHuman: one ?\n\nAssistant: one .\n\nHuman: who is it ?\n\nAssistant: "
SHAPES = {
    "prompt, response": ({"prompt": ASKED, "response": ANSWER}, PLAIN),
    "TRL's texts": ({"prompt": ASKED, "completion": ANSWER}, PLAIN),
    "TRL's turns": ({"prompt": [user(ASKED)], "completion": [assistant(ANSWER)]}, PLAIN),
    "TRL's turns with earlier ones": ({"prompt": TALK, "completion": [assistant(ANSWER)]}, FOUR),
    "turns and a text": ({"prompt": TALK, "response": ANSWER}, FOUR),
    "a text and turns": ({"prompt": ASKED, "completion": [assistant(ANSWER)]}, PLAIN),
    "a system turn in the prompt": ({"prompt": [BRIEF, user(ASKED)], "completion": [assistant(ANSWER)]}, BRIEFED),
    "chosen": ({"prompt": ASKED, "chosen": ANSWER, "rejected": BAD}, PLAIN),
    "chosen as turns": ({"prompt": TALK, "chosen": [assistant(ANSWER)], "rejected": [assistant(BAD)]}, FOUR),
    "single turns": ({"prompt": user(ASKED), "chosen": assistant(ANSWER), "rejected": assistant(BAD)}, PLAIN),
    "chosen that repeats the prompt": ({"prompt": ASKED, "chosen": [user(ASKED), assistant(ANSWER)], "rejected": TALK}, PLAIN),
    "chosen that repeats turns": ({"prompt": TALK, "chosen": [*TALK, assistant(ANSWER)], "rejected": TALK}, FOUR),
    "chosen with a system turn": ({"prompt": ASKED, "chosen": [BRIEF, user(ASKED), assistant(ANSWER)], "rejected": []}, BRIEFED),
    "chosen without a prompt": ({"chosen": [*TALK, assistant(ANSWER)], "rejected": [*TALK, assistant(BAD)]}, FOUR),
    "HH-RLHF": ({"chosen": HH + ANSWER, "rejected": HH + BAD}, FOUR),
    "HH-RLHF's prompt": ({"prompt": HH.rstrip(), "chosen": ANSWER, "rejected": BAD}, FOUR),
    "HH-RLHF with a prompt": ({"prompt": HH.rstrip(), "chosen": HH + ANSWER, "rejected": HH + BAD}, FOUR),
    "UltraFeedback": (
        {
            "prompt": ASKED, "prompt_id": "5f", "chosen": [user(ASKED), assistant(ANSWER)], "score_chosen": 8.0,
            "rejected": [user(ASKED), assistant(BAD)], "messages": [user(ASKED), assistant(ANSWER)],
        },
        PLAIN,
    ),
    "UltraChat": ({"prompt": ASKED, "prompt_id": "5f", "messages": [user(ASKED), assistant(ANSWER), user("and ?")]}, PLAIN),
    "SPIN's": ({"real": [user(ASKED), assistant(ANSWER)], "generated": [user(ASKED), assistant(BAD)]}, PLAIN),
    "ShareGPT": ({"id": "a1", "conversations": [human(ASKED), gpt(ANSWER)]}, PLAIN),
    "ShareGPT's other names": ({"conversations": [from_system("be brief"), from_user(ASKED), bard(ANSWER)]}, BRIEFED),
    "ShareGPT with a system text": ({"system": "be brief", "conversations": [human(ASKED), chatgpt(ANSWER)]}, BRIEFED),
    "content parts": ({"messages": [user(parts("who is ", "it ?")), assistant(parts(ANSWER))]}, PLAIN),
    "texts in turn": ({"conversations": [ASKED, ANSWER], "source": "lima"}, PLAIN),
    "Alpaca": (
        {"instruction": ASKED, "input": HERE, "output": ANSWER,
         "text": f"Below it stands.\n\n### Instruction:\n{ASKED}\n\n### Input:\n{HERE}\n\n### Response:\n{ANSWER}"},
        WITH_HERE,
    ),
    "Alpaca without input": ({"instruction": ASKED, "input": "", "output": ANSWER}, PLAIN),
    "AlpacaEval": ({"instruction": ASKED, "output": ANSWER, "generator": "a model", "dataset": "help ful"}, PLAIN),
    "query, response": ({"query": ASKED, "response": ANSWER}, PLAIN),
    "input, output": ({"input": ASKED, "output": ANSWER}, PLAIN),
    "names in capitals": ({"Question": ASKED, "Answer": ANSWER}, PLAIN),
    "OpenOrca": ({"id": "t0", "system_prompt": "be brief", "question": ASKED, "response": ANSWER}, BRIEFED),
    "Dolly": ({"instruction": ASKED, "context": HERE, "response": ANSWER, "category": "closed_qa"}, WITH_HERE),
    "passages": (
        {"question": ASKED, "contexts": [HERE, "so was Otto ."], "answer": ANSWER},
        [("user", f"{ASKED}\n\n{HERE}\n\nso was Otto .")],
    ),
    "history": ({"instruction": ASKED, "output": ANSWER, "history": [["one ?", "one ."]]}, FOUR),
    "history as turns": ({"prompt": ASKED, "response": ANSWER, "history": TALK}, FOUR),
    "everything at once": (
        {"system": "be brief", "history": [["one ?", "one ."]], "query": ASKED, "input": HERE, "output": ANSWER},
        [("system", "be brief"), *FOUR[:2], *WITH_HERE],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", [".jsonl", ".parquet"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_the_same_pair_to_the_byte(tmp_path, shape, kind):
    """As JSON lines, and as `datasets` writes it: structures filled up with None."""
    row, before = SHAPES[shape]
    for pair in read(tmp_path, row, row, kind=kind):
        assert told(pair) == (before, ANSWER) and bool(pair.turns) == (len(before) > 1)


def test_structures_of_a_table_that_differ_are_filled_up_with_none(tmp_path):
    """One turn has a name, another a weight: every turn has both, most of them None."""
    rows = [
        {"messages": [user(ASKED), {**assistant(ANSWER), "weight": 1}], "extra": None},
        {"messages": [{**user(ASKED), "name": "Karl"}, assistant(ANSWER)], "extra": None},
    ]
    assert [told(pair) for pair in read(tmp_path, *rows, kind=".parquet")] == [(PLAIN, ANSWER)] * 2
    lists = {"messages": {"role": ["user", "assistant"], "content": [ASKED, ANSWER]}}
    assert told(read(tmp_path, lists, kind=".parquet")[0]) == (PLAIN, ANSWER)


def test_the_columns_are_said(tmp_path):
    row = {"instruction": "a", "context": "b", "response": "c", "category": "d e"}
    assert note(tmp_path, row) == "prompt from instruction, context, response from response; columns not used: category"
    assert note(tmp_path, {"chosen": [user("a"), assistant("b")], "rejected": [user("a"), assistant("c")]}) == (
        "the last answer of each conversation in chosen, with all before it; columns not used: rejected"
    )
    said = note(tmp_path, {"messages": [*TALK, assistant("d")]}, {"messages": TALK[:2]})
    assert said.startswith("the first answer of each conversation in messages, with all before it (1 go on after it")


def test_which_answer_of_a_conversation_is_a_setting_and_the_system_turn_stays(tmp_path):
    row = {"messages": [BRIEF, *TALK, assistant("d"), user("e")]}
    (first,), (last,) = (read(tmp_path, row, turns=turns) for turns in ("first", "last"))
    assert told(first) == ([("system", "be brief"), ("user", "one ?")], "one .")
    assert told(last) == ([("system", "be brief"), *FOUR], "d")


def test_an_answer_may_follow_a_tools_result(tmp_path):
    talk = [user("2 + 2 ?"), assistant("add(2, 2)"), {"role": "tool", "content": "4"}, assistant("it is 4 .")]
    (last,) = read(tmp_path, {"messages": talk}, turns="last")
    assert told(last) == ([("user", "2 + 2 ?"), ("assistant", "add(2, 2)"), ("tool", "4")], "it is 4 .")


def test_named_columns_overrule_what_is_found(tmp_path):
    row = {"prompt": "a", "response": "b", "ask": "c d", "told": "e f"}
    named = {"prompt_column": "ask", "response_column": "told"}
    with pytest.raises(UserError, match="line 1: column 'told' holds text"):
        read(tmp_path, row, prompt_column="ask")
    assert told(read(tmp_path, row, **named)[0]) == ([("user", "c d")], "e f")
    talk = {"prompt": "a", "response": "b", "talk": [user("c"), assistant("d"), user("e"), assistant("f")]}
    assert told(read(tmp_path, talk, prompt_column="talk", turns="last")[0])[1] == "f"
    both = {"prompt": "a b", "response": "c d", "messages": [user("e"), assistant("f")]}
    assert told(read(tmp_path, both, ignore_columns=["prompt", "response"])[0]) == ([("user", "e")], "f")


def test_text_beside_the_pair_is_refused_unless_told(tmp_path):
    row = {"prompt": "who ?", "response": "Ada", "facts": "Ada was here", "persona": "a kind pirate"}
    with pytest.raises(UserError, match="line 1: column 'facts' holds text that is in neither.*context_columns=facts, or go on"):
        read(tmp_path, row)
    (found,) = read(tmp_path, row, context_columns="facts", ignore_columns="persona")
    assert told(found) == ([("user", "who ?\n\nAda was here")], "Ada")
    assert note(tmp_path, row, context_columns="facts", ignore_columns="persona").endswith("columns not used: persona")
    row |= {"system": "be brief", "input": "Ada was here"}
    for columns in (["facts", "persona", "system", "input"], "facts, persona, system, input"):
        assert told(read(tmp_path, row, ignore_columns=columns)[0]) == ([("user", "who ?")], "Ada")


def test_a_later_rows_text_is_found_too(tmp_path):
    rows = [{"prompt": f"q {n}", "response": "a", "note": "" if n < 7 else "mind the gap"} for n in range(9)]
    with pytest.raises(UserError, match="line 8: column 'note'"):
        read(tmp_path, *rows)


def test_material_that_stands_in_the_prompt_already_is_not_put_there_twice(tmp_path):
    """A ready-made prompt beside its parts; a word of the instruction is no such thing."""
    whole = "### Instruction:\nadd\n\n### Input:\n1 2\n\n### Response:"
    (found,) = read(tmp_path, {"instruction": "add", "input": "1 2", "prompt": whole, "output": "3"})
    assert found.prompt == whole
    (found,) = read(tmp_path, {"instruction": "good or bad", "input": "good", "output": "3"})
    assert found.prompt == "good or bad\n\ngood"


def test_labels_are_told_from_text_by_name_and_length():
    labels = {"id": "a b", "prompt_id": "a b", "createdAt": "on a day", "score_chosen": "very good", "model": "a model"}
    texts = {"source": "x " * 300, "origin.source": "line\nline", "title": "a b", "identity": "a b"}
    assert [name for name, value in (labels | texts).items() if is_label(name, value)] == list(labels)


def test_codes_and_numbers_are_no_text_and_words_of_a_list_are_choices():
    codes = ["a1f3", 3, None, "2024-01-01 10:00", "http://a.b/c?d", "…", "a_word"]
    assert list(iter_texts([*codes, {"k": "x y", "l": "word"}, ["一个"]])) == ["x y", "一个"]
    assert list(iter_texts(["Lima", "Quito"])) == ["Lima", "Quito"] and list(iter_texts(["Lima"])) == []


def test_a_json_file_may_hold_a_list_or_an_object_a_line(tmp_path):
    rows = [{"prompt": f"q {n}", "response": "a"} for n in range(3)]
    path = tmp_path / "rows.json"
    for text in (json.dumps(rows), json.dumps(rows, indent=1), "".join(json.dumps(row) + "\n" for row in rows)):
        path.write_text(text)
        assert [pair.prompt for pair in read_pairs(DataConfig(), str(path), None)] == ["q 0", "q 1", "q 2"]


def test_nothing_is_stripped(tmp_path):
    """Indentation, Windows' line ends and trailing lines are part of a text, in every kind of file."""
    prompt, response = "  if x:\r\n\ty \n", "    return 1\r\n\r\n\n"
    rows = [{"prompt": prompt, "response": response}]
    pandas.DataFrame(rows).to_csv(tmp_path / "rows.csv", index=False)
    pairs = [*read(tmp_path, *rows), *read(tmp_path, *rows, kind=".parquet")]
    pairs += read_pairs(DataConfig(), str(tmp_path / "rows.csv"), None)
    pairs += read(tmp_path, {"messages": [user(prompt), assistant(response)]})
    assert [(pair.prompt, pair.real) for pair in pairs] == [(prompt, response)] * 4


def test_a_question_and_its_answer_may_stand_in_one_entry_of_a_conversation(tmp_path):
    turns = [{"input": "say 1", "output": "it is 1"}, {"input": "and 2 ?", "output": "it is 2"}]
    history = [{"question": "say 1", "answer": "it is 1"}]
    for row in ({"conversation": turns, "source": "x"}, {"instruction": "and 2 ?", "output": "it is 2", "history": history}):
        [pair] = read(tmp_path, row, turns="last")
        assert [turn["content"] for turn in pair.turns] == ["say 1", "it is 1", "and 2 ?"] and pair.real == "it is 2"
    with pytest.raises(UserError, match=r"a turn has no speaker \(it has text\); expected role, or from"):
        read(tmp_path, {"messages": [{"text": "say 1"}, {"text": "it is 1"}]})


@pytest.mark.parametrize("unwanted", [False, 0, "False"])
def test_an_answer_that_is_marked_as_not_wanted_is_refused_also_where_the_mark_is_a_number(tmp_path, unwanted):
    """As KTO's data is kept in tables. A class by this name beside another pair of columns is none of that."""
    rows = [{"prompt": "say 1", "completion": "it is 1", "label": type(unwanted)(1)}]
    rows.append({"prompt": "say 2", "completion": "no .", "label": unwanted})
    with pytest.raises(UserError, match=r"line 2: label=(?i:false|0) marks an answer that is not wanted"):
        read(tmp_path, *rows)
    assert len(read(tmp_path, *rows, ignore_columns="label")) == 2
    assert len(read(tmp_path, {"question": "say 1", "answer": "it is 1", "label": 0})) == 1


def test_what_a_refusal_says_to_type_keeps_what_is_typed_already(tmp_path):
    row = {"prompt": "say 1", "response": "it is 1", "hint": "count from one", "note": "a long day", "passage": {"a": "the text"}}
    typed = ""
    for _ in range(3):
        with pytest.raises(UserError, match="--set data.ignore_columns=") as refused:
            read(tmp_path, row, ignore_columns=typed or [])
        typed = str(refused.value).split("--set data.ignore_columns=")[1]
    assert set(typed.split(",")) == {"hint", "note", "passage"}
    assert read(tmp_path, row, ignore_columns=typed) == [Pair("say 1", "it is 1", f"{tmp_path / 'rows.jsonl'}: line 1")]
    with pytest.raises(UserError, match="--set data.context_columns=hint,note, or go on"):
        read(tmp_path, row, ignore_columns="passage", context_columns="hint")


def test_two_values_under_one_name_are_an_error(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "say 1", "response": "it is 1", "prompt": "say 2"}\n')
    with pytest.raises(UserError, match="line 1: .*'prompt' is named twice"):
        read_pairs(DataConfig(source=str(path)), str(path), None)
