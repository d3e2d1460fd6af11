"""Templates that would not end, or would fill the memory, end in seconds with one line; all others are rendered as before."""

import contextlib
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import lm_eval.utils
import pytest

from harness.errors import UserError
from harness.language.text import template_limits
from harness.language.text.template_limits import TemplateLimitExceeded, rendering_limits
from harness.language.text.templates import choose_template

LOOPS = "{% for i in range(99999) %}{% for j in range(99999) %}BODY{% endfor %}{% endfor %}"
DOUBLING = "{% set n = namespace(s='aaaaaaaaaa') %}{% for i in range(60) %}{% set n.s = STEP %}{% endfor %}{{ n.s | length }}"
NESTED = "{% set n = namespace(x=1, y=1) %}{% for i in range(60) %}{% set n.x = [n.x] * 2 %}{% set n.y = [n.y] * 2 %}{% endfor %}"
LONG = "{% set b = 'x' * 9999999 %}"
TOO_MUCH = {
    "loops": LOOPS.replace("BODY", ""),
    "loops that keep what they write": "{% set x %}" + LOOPS.replace("BODY", "{{ 'a' * 1000000 }}") + "{% endset %}{{ x }}",
    "a loop that finds nothing": "{% for i in range(99999) %}{% for j in range(99999) if j < 0 %}{% endfor %}{% endfor %}",
    "a product": "{{ 'a' * 10**10 }}",
    "a list": "{{ ([0] * 10**10) | length }}",
    "a power": "{{ 10 ** (10 ** 10) }}",
    "a width": "{{ '%9999999999d' % 1 }}",
    "a width of format": "{{ '{:>9999999999}'.format(1) }}",
    "a filter": "{{ 'a' | center(10**10) }}",
    "sums that double": DOUBLING.replace("STEP", "n.s + n.s"),
    "replacements that grow": DOUBLING.replace("STEP", "n.s.replace('a', n.s)"),
    "one text joined often": LONG + "{{ ([b] * 1000) | join | length }}",
    "a list as JSON": LONG + "{{ ([b] * 1000) | tojson | length }}",
    "many tabs": "{{ ('\t' * 99999).expandtabs(99999) }}",
    "recursion": "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
}


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Less time and memory than in a run, so that the tests are short too."""
    monkeypatch.setattr(template_limits, "MAX_SECONDS", 0.3)
    monkeypatch.setattr(template_limits, "MAX_MEMORY", 1 << 27)


@pytest.mark.parametrize("case", TOO_MUCH)
def test_a_chat_template_ends(case, tokenizer, monkeypatch):
    monkeypatch.setattr(tokenizer, "chat_template", TOO_MUCH[case] + "{{ messages[0].content }}")
    with pytest.raises(UserError, match="the model's chat template cannot be used"):
        choose_template(tokenizer, "chat")


@pytest.mark.parametrize("case", ["loops", "a product", "sums that double"])
def test_a_task_files_template_ends_where_lm_eval_renders_it(case):
    template_limits.limit_task_templates()
    with pytest.raises(TemplateLimitExceeded):
        lm_eval.utils.apply_template(TOO_MUCH[case], {})
    assert lm_eval.utils.apply_template("{{ x | regex_replace('b', 'c') }}{{ [x] | tojson }}", {"x": "abab"}) == 'acac["abab"]'


@pytest.mark.parametrize("step", ["n.x == n.y", "[n.x, n.y] | sort | length", "([[0] * 100000] * 9999) | sum(start=[]) | length"])
def test_a_step_that_is_one_call_of_c_and_does_not_end_ends_with_the_process(step):
    program = f"""
from jinja2 import Environment
from harness.language.text import template_limits
template_limits.MAX_SECONDS, template_limits.MAX_STEP_SECONDS = 0.1, 0.5
with template_limits.rendering_limits():
    Environment().from_string({NESTED + "{{ " + step + " }}"!r}).render()
"""
    ended = subprocess.run([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert ended.returncode == 1 and ended.stderr.startswith("Timeout (0:00:00.500000)!\n")


def test_an_alarm_that_was_set_still_rings_and_the_memory_is_free_again():
    heard = []
    before = signal.signal(signal.SIGALRM, lambda *_: heard.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(TemplateLimitExceeded), rendering_limits():
            bytearray(1 << 28)
        assert len(bytearray(1 << 28)) == 1 << 28
        until = time.monotonic() + 5
        while not heard and time.monotonic() < until:
            time.sleep(0.01)
        assert heard
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_other_threads_render_without_limits():
    def render():
        with rendering_limits():
            return len(bytearray(1 << 28))

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(render).result() == 1 << 28


def test_a_document_is_rendered_once_and_what_is_drawn_at_random_every_time(monkeypatch):
    """A document equal in content has the same text; another one, or another template, has its own."""
    template_limits.limit_task_templates()
    entered = []

    @contextlib.contextmanager
    def counted():
        entered.append(1)
        yield

    monkeypatch.setattr(template_limits, "rendering_limits", counted)
    doc = {"q": "once only", "choices": {"text": ["a", "b"]}}
    render = lm_eval.utils.apply_template
    equal = [{**doc, "choices": {"text": list("ab")}} for _ in range(3)]
    assert [render("{{ q }} {{ choices.text }}", other) for other in equal] == ["once only ['a', 'b']"] * 3
    assert len(entered) == 1
    assert render("{{ q }} {{ choices.text }}", {**doc, "choices": {"text": ["c"]}}) == "once only ['c']"
    assert render("{{ q }}", doc) == "once only" and len(entered) == 3
    drawn = [render("{{ range(10**6) | random }}", {}) for _ in range(4)]
    assert len(set(drawn)) > 1 and len(entered) == 7
