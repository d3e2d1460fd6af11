"""What holds for any input, asked of many: packing, encoding, differences, TOML, CSV, JSON lines, variants, seeds."""

import csv
import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.analysis.comparison import ItemScores, difference, holm, mcnemar, prob_best
from harness.analysis.item_errors import ItemLayout
from harness.config import RunConfig, load_config, validate_config
from harness.discovery.spelling import parse_value
from harness.discovery.variants import parse_variants
from harness.errors import MAX_MESSAGE_CHARS, UserError
from harness.files import read_jsonl, write_jsonl
from harness.language.encoding import choose_template, encode_prompt, encode_response
from harness.language.model.packing import pack
from harness.language.text.tokens import QUOTE_MARK
from harness.loop.suite import load_suite
from harness.records import PromptGroup, digest, keyed_seed
from harness.settings.safe_paths import FORMULA_STARTS

settings.register_profile(
    "here", derandomize=True, deadline=None, max_examples=40, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
settings.load_profile("here")

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)  # any characters but halves of them
NUMBER = st.floats(-1e6, 1e6, allow_subnormal=False)
IDS = st.lists(st.integers(0, 99), max_size=6)
GROUP = st.builds(PromptGroup, st.lists(st.integers(0, 99), min_size=1, max_size=8), st.lists(IDS, max_size=4))
GROUPS = st.lists(GROUP, min_size=1, max_size=8)

# ---------------------------------------------------------------- packing


@given(GROUPS, st.booleans())
def test_every_continuation_is_laid_out_once_after_its_own_prefix(groups, alone):
    """Row by row: what a token may see (columns not after it that do not stop before it) spells prefix + continuation."""
    packed = pack(groups, one_per_row=alone)
    listed = [(g, c) for g in groups for c in g.responses]
    assert packed.count == len(listed)
    assert sorted(packed.owner.tolist()) == [n for n, (_, c) in enumerate(listed) for _ in c]
    ids, stop, positions = (t.flatten() for t in (packed.ids, packed.stop, packed.positions))
    width = packed.ids.shape[1]
    for number, (own, continuation) in enumerate(listed):
        mine = packed.owner == number
        assert packed.target[mine].tolist() == list(continuation)
        if not continuation:
            continue
        assert ids[packed.source[mine]].tolist() == [own.prompt[-1], *continuation[:-1]]
        assert positions[packed.source[mine]].tolist() == [len(own.prompt) - 1 + i for i in range(len(continuation))]
        last = int(packed.source[mine][-1])
        row = slice(last // width * width, last + 1)
        seen = stop[row] > last % width
        assert ids[row][seen].tolist() == [*own.prompt, *continuation[:-1]]
        assert positions[row][seen].tolist() == list(range(len(own.prompt) + len(continuation) - 1))
    assert sum(s.end - s.start for row in packed.segments for s in row) == sum(g.width for g in groups)


# ---------------------------------------------------------------- encoding


@given(text=TEXT)
def test_any_text_survives_the_labs_tokenizer(tokenizer, text):
    template = choose_template(tokenizer, "auto")
    ids = encode_response(tokenizer, text, template)
    assert ids[-1] == template.end_token_id and ids.count(template.end_token_id) == 1
    assert tokenizer.decode(ids[:-1], clean_up_tokenization_spaces=False) == text


@pytest.mark.parametrize("kind", ["chat", "instruction"])
@given(text=TEXT)
def test_a_prompt_begins_once_and_holds_its_text(tokenizer, kind, text):
    template = choose_template(tokenizer, kind)
    rendered = template.render(tokenizer, text)
    ids = encode_prompt(tokenizer, rendered, template)
    shown = rendered.replace(QUOTE_MARK, "")
    assert text.strip() in shown
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == shown[: len(shown) - template.seam_offset]
    begins = int(kind == "chat")  # the lab's beginning token is its chat template's
    assert ids.count(tokenizer.bos_token_id) == begins and (ids[0] == tokenizer.bos_token_id) == begins


# ---------------------------------------------------------------- statistics


close = pytest.approx
SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 12))  # seeds, items
PAIRS = SHAPES.flatmap(lambda shape: st.tuples(*[arrays(np.float32, shape, elements=st.sampled_from([0.0, 1.0]))] * 2))


@given(PAIRS)
def test_a_difference_turns_its_sign_and_nobody_differs_from_himself(pair):
    a, b = pair
    mine, theirs = (ItemScores((side,), (ItemLayout((a.shape[1],)),)) for side in (a, b))
    there, back = difference(mine, theirs), difference(theirs, mine)
    assert there.value == close(float(a.mean() - b.mean()), abs=1e-6) == close(-back.value, abs=1e-6)
    if a.shape[1] < 5:
        assert (there.low, there.high, there.p, prob_best([mine, theirs])) == (None, None, None, None)
    else:
        assert (there.low, there.high) == close((-back.high, -back.low), abs=1e-6)
        assert 0 < there.p == back.p <= 1 and there.low < there.high
        assert (there.low <= 0 <= there.high) == (there.p > 0.05)
        itself = difference(mine, mine)
        assert (itself.value, itself.low, itself.p) == (0, -itself.high, 1)
        shares = prob_best([mine, theirs, mine], draws=200)
        assert shares.sum() == close(1) and shares[0] == shares[2]
    assert mcnemar(a, b) == close(mcnemar(b, a)) and 0 < mcnemar(a, b) <= 1 == mcnemar(a, a)


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=10))
def test_holm_raises_p_and_keeps_order_and_holes(p):
    adjusted = holm(p)
    assert [x is None for x in adjusted] == [x is None for x in p]
    known = sorted((x, y) for x, y in zip(p, adjusted, strict=True) if x is not None)
    assert all(x <= y <= 1 for x, y in known)
    assert [y for _, y in known] == sorted(y for _, y in known)
    if known:
        assert known[0][1] == close(min(1.0, known[0][0] * len(known)))


# ---------------------------------------------------------------- files


def as_toml(value):
    """A plain value as TOML: what JSON and TOML write alike, and inline tables."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{as_toml(k)} = {as_toml(v)}" for k, v in value.items() if v is not None) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


PRINTED = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20)
NAMED = PRINTED.filter(lambda text: text.removeprefix("builtin:").strip())
RATE = st.floats(1e-9, 1)
RATES = st.one_of(RATE, st.lists(RATE, min_size=1, max_size=3))
PARAMETERS = st.dictionaries(st.sampled_from(["mu", "beta"]), st.floats(0.1, 9))
REQUESTS = st.fixed_dictionaries({
    "iterations": st.integers(1, 50), "seeds": st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=3, unique=True),
    "data": st.fixed_dictionaries({"source": NAMED, "max_examples": st.one_of(st.none(), st.integers(1, 99))}),
    "training": st.fixed_dictionaries({"lr": RATES, "warmup": st.floats(0, 1)}),
    "objective": st.dictionaries(st.sampled_from(["space", "spin"]), PARAMETERS),
})  # fmt: skip


@given(request=REQUESTS)
def test_a_recipe_written_as_toml_or_json_reads_back_equal(request, tmp_path):
    config = validate_config(request, Path("here"), {})
    path = tmp_path / "r.toml"
    dumped = config.model_dump(exclude_none=True, exclude={"recipe"})
    path.write_text("".join(f"{key} = {as_toml(value)}\n" for key, value in dumped.items()), encoding="utf-8")
    assert load_config(str(path)).model_dump() == config.model_dump() | {"recipe": str(path)}
    assert RunConfig.model_validate(json.loads(config.model_dump_json())) == config


LABELS = PRINTED.filter(lambda t: 0 < len(t) <= 20 and not t.lstrip().startswith(FORMULA_STARTS))


@given(chance=st.floats(0, 1, exclude_max=True), shots=st.integers(0, 50), label=LABELS, title=PRINTED)
def test_a_suite_written_as_toml_reads_back_equal(chance, shots, label, title, tmp_path):
    path = tmp_path / "suite.toml"
    row = {"name": "a_task", "label": label, "shots": shots, "metric": "acc", "chance": chance}
    tree = {"title": title, "version": "1", "lm_eval": "0", "task": [row]}
    path.write_text("".join(f"{key} = {as_toml(value)}\n" for key, value in tree.items()), encoding="utf-8")
    suite = load_suite(str(path))
    assert {key: getattr(suite.task[0], key) for key in row} == row
    again = {k: v for k, v in suite.model_dump(exclude_none=True).items() if k not in ("name", "source")}
    path.write_text("".join(f"{key} = {as_toml(value)}\n" for key, value in again.items()), encoding="utf-8")
    assert load_suite(str(path)) == suite


# No text of a table holds a carriage return: names and settings refuse control characters, errors are made one line.
TEXTS = TEXT.filter(lambda text: "\r" not in text)
CELLS = st.lists(st.tuples(TEXTS, st.floats(allow_nan=False), st.integers(-(2**53), 2**53)), min_size=1, max_size=6)


@given(cells=CELLS)
def test_tables_keep_numbers_and_text(cells, tmp_path):
    """Written as harness.reporting.tables writes them, read by pandas and by the standard library; numbers to the last bit."""
    path = tmp_path / "t.csv"
    table = pd.DataFrame(cells, columns=["text", "number", "count"])
    with path.open("w", encoding="utf-8", newline="") as handle:
        handle.write(table.to_csv(index=False, lineterminator="\n"))
    with path.open(encoding="utf-8", newline="") as handle:
        plain = list(csv.reader(handle))[1:]
    read = pd.read_csv(path, keep_default_na=False, dtype=str)
    for (text, number, count), row, (_, other) in zip(cells, plain, read.iterrows(), strict=True):
        assert (row[0], float(row[1]), int(row[2])) == (text, number, count)
        assert (other["text"], float(other["number"]), int(other["count"])) == (text, number, count)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=10)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)


@given(records=st.lists(st.dictionaries(st.text(max_size=5), JSON, max_size=4), max_size=5))
def test_json_lines_read_back_equal_one_line_each(records, tmp_path):
    path = tmp_path / "r.jsonl"
    assert write_jsonl(path, records) == len(records) == path.read_bytes().count(b"\n")
    assert read_jsonl(path) == records


# ---------------------------------------------------------------- names

ROUNDED = st.floats(1e-6, 1e6).map(lambda x: float(f"{x:.6g}"))
VALUES = st.one_of(st.integers(-999, 999), ROUNDED, st.sampled_from(["hinge", "true", "none"]))
GIVEN = st.one_of(VALUES, st.lists(VALUES, min_size=2, max_size=3))
SETTINGS = st.dictionaries(st.sampled_from(["mu", "beta", "training.lr"]), GIVEN, max_size=3)


@given(st.sampled_from(["space", "spin", "sft"]), SETTINGS)
def test_a_variants_spelling_gives_the_variant(name, given_):
    def spell(value):
        return "|".join(map(str, value)) if isinstance(value, list) else str(value)

    text = ":".join([name, *(f"{key}={spell(value)}" for key, value in given_.items())])
    (variant,) = parse_variants(text)
    meant = {key: parse_value(spell(value)) for key, value in given_.items()}
    assert {**variant.params, **{f"training.{k}": v for k, v in variant.training.items()}} == meant
    assert parse_variants(text) == [variant]
    assert all(c.isalnum() or c in "._-" for c in variant.label)
    for value in meant.values():
        assert parse_value(spell(value)) == value


@given(st.lists(st.one_of(TEXT, st.integers()), min_size=1, max_size=4))
def test_a_seed_depends_on_its_key_alone(key):
    first = keyed_seed(*key)
    np.random.default_rng(0).random()
    assert keyed_seed(*key) == first == int(digest(*map(str, key)), 16) >> 1 and 0 <= first < 2**63
    assert first not in (keyed_seed(*key, 0), keyed_seed("".join(map(str, key)), ""))


def test_ordinary_keys_do_not_collide():
    keys = itertools.product(("sample", "order", "init"), range(10), range(10), [f"id-{n}" for n in range(60)])
    seeds = [keyed_seed(*key) for key in keys]
    assert len(set(seeds)) == len(seeds) == 18_000 and keyed_seed("a", "bc") != keyed_seed("ab", "c")


@given(st.text(max_size=3000))
def test_an_error_is_one_line_of_printable_characters_that_is_not_too_long(text):
    said = str(UserError(text))
    assert said.isprintable() and len(said) <= MAX_MESSAGE_CHARS + 3
