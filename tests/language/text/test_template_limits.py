"""Templates that would not end, or would fill the memory, end in seconds with one line; all others are rendered as before."""

import threading
import time

import pytest
from jinja2 import BaseLoader, Environment, StrictUndefined

from harness.errors import UserError
from harness.language.text import template_limits
from harness.language.text.template_limits import LimitedEnvironment, rendering_limits
from harness.language.text.template_sizes import TemplateLimitExceeded
from harness.language.text.templates import choose_template

LOOPS = "{% for i in range(99999) %}{% for j in range(99999) %}BODY{% endfor %}{% endfor %}"
DOUBLING = "{% set n = namespace(s='aaaaaaaaaa') %}{% for i in range(60) %}{% set n.s = STEP %}{% endfor %}{{ n.s | length }}"
NESTED = (
    "{% set n = namespace(x=1, y=1) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% set n.y = [n.y, n.y] %}{% endfor %}"
)
LONG = "{% set b = 'x' * 9999999 %}"
TOO_MUCH = {
    "loops": LOOPS.replace("BODY", ""),
    "loops that write": LOOPS.replace("BODY", "{{ 'a' * 100000 }}"),
    "loops that keep what they write": "{% set x %}" + LOOPS.replace("BODY", "{{ 'a' * 1000000 }}") + "{% endset %}{{ x }}",
    "a product": "{{ 'a' * 10**10 }}",
    "a product the other way": "{{ (10**10) * 'a' }}",
    "a list": "{{ ([0] * 10**10) | length }}",
    "a power": "{{ 10 ** (10 ** 10) }}",
    "a width": "{{ '%9999999999d' % 1 }}",
    "a width given": "{{ '%*d' % (9999999999, 1) }}",
    "a width of format": "{{ '{:>9999999999}'.format(1) }}",
    "a method": "{{ 'a'.ljust(10**10) }}",
    "a filter": "{{ 'a' | center(10**10) }}",
    "a filter's format": "{{ '%9999999999d' | format(1) }}",
    "sums that double": DOUBLING.replace("STEP", "n.s + n.s"),
    "joins that double": DOUBLING.replace("STEP", "n.s ~ n.s"),
    "replacements that grow": DOUBLING.replace("STEP", "n.s.replace('a', n.s)"),
    "one text joined often": LONG + "{{ ([b] * 1000) | join | length }}",
    "joined by a method": LONG + "{{ b.join([b] * 1000) | length }}",
    "joined by a long text": LONG + "{{ ('x' * 1000) | join(b) | length }}",
    "joined by tildes": LONG + "{{ (" + " ~ ".join(["b"] * 600) + ") | length }}",
    "translated": LONG + "{{ b.translate({120: b}) | length }}",
    "every line indented": "{{ ('a\n' * 4000000) | indent('y' * 5000) | length }}",
    "lines broken": "{{ ('a ' * 400000) | wordwrap(1, true, 'y' * 20000) | length }}",
    "a format with a long text": LONG + "{{ ('{0}' * 1000).format(b) | length }}",
    "a filter's format with one": LONG + "{{ ('%(a)s' * 1000) | format(a=b) | length }}",
    "a list written": LONG + "{{ [b] * 1000 }}",
    "a list as JSON": LONG + "{{ ([b] * 1000) | tojson | length }}",
    "a sum of lists": "{{ ([[0] * 100000] * 1000) | sum(start=[]) | length }}",
    "a division of whole numbers": "{{ (2 ** 9900000) // (3 ** 3000000) }}",
    "a loop that finds nothing": "{% for i in range(99999) %}{% for j in range(99999) if j < 0 %}{% endfor %}{% endfor %}",
    "many tabs": "{{ ('\t' * 99999).expandtabs(99999) }}",
    "many lines": "{{ ('\n' * 99999) | indent(99999) }}",
    "lists compared": NESTED + "{{ n.x == n.y }}",
    "lists in order": NESTED + "{{ n.x < n.y }}",
    "a list looked for": NESTED + "{{ n.x in [n.y] }}",
    "lists compared by a test": NESTED + "{{ [n.x] | select('eq', n.y) | list }}",
    "lists compared by a method": NESTED + "{{ [n.x].index(n.y) }}",
    "lists sorted": NESTED + "{{ [n.x, n.y] | sort | length }}",
    "the largest list": NESTED + "{{ [n.x, n.y] | max }}",
    "a key": NESTED.replace("[n.", "(n.").replace("]", ")") + "{{ {n.x: 1} | length }}",
    "a key looked for": NESTED.replace("[n.", "(n.").replace("]", ")") + "{{ {}[n.x] }}",
    "a key of a method": NESTED.replace("[n.", "(n.").replace("]", ")") + "{{ {}.get(n.x) }}",
    "keys": NESTED.replace("[n.", "(n.").replace("]", ")") + "{{ dict([(n.x, 1)]) }}",
    "recursion": "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
}  # fmt: skip


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Less time and memory than in a run, so that the tests are short too."""
    monkeypatch.setattr(template_limits, "MAX_SECONDS", 0.3)
    monkeypatch.setattr(template_limits, "MAX_MEMORY", 1 << 28)


@pytest.mark.parametrize("case", TOO_MUCH)
def test_a_chat_template_ends(case, tokenizer, monkeypatch):
    monkeypatch.setattr(tokenizer, "chat_template", TOO_MUCH[case] + "{{ messages[0].content }}")
    with pytest.raises(UserError, match="the model's chat template cannot be used"):
        choose_template(tokenizer, "chat")


@pytest.mark.parametrize("case", ["loops", "a product", "sums that double"])
def test_a_task_files_template_ends(case):
    """In lm-eval's place: the limited environment within the time."""
    with pytest.raises((TemplateLimitExceeded, MemoryError)), rendering_limits():
        LimitedEnvironment(loader=BaseLoader()).from_string(TOO_MUCH[case]).render()


def test_what_ends_is_rendered_as_before():
    texts = (
        "{{ 'a' * 3 }}{{ 2 ** 10 }}{{ '%5.2f|%s' % (1.5, x) }}{{ 7 % 3 }}",
        "{{ x.replace('b', 'c') }}{{ x | replace('b', 'c', 1) }}{{ x | center(20) }}{{ x.ljust(9) }}{{ '{:>8}'.format(x) }}",
        "{% for i in range(5) %}{{ loop.index }}{% endfor %}{{ [1, 2] | batch(3, 0) | list }}{{ x.__class__.__name__ }}",
        "{{ 'a' ~ x | upper ~ 1 ~ none }}{{ ' a\nb' | indent(2) }}{{ [x, 1] }}{{ none }}{{ 1.5 }}{{ 'a' if false }}\n",
        "{{ [1, 'b', x] | join('-') }}{{ '-'.join(['a', x]) }}{{ [{'n': x}] | map(attribute='n') | join }}{{ [1, 2.5] | sum }}",
        "{{ [{'n': 3}] | sum(attribute='n', start=1) }}{{ [[1], [2]] | sum(start=[]) }}"
        "{{ [{'n': x}] | join(' ', attribute='n') }}",
        "{{ {'a': [x, 1]} | tojson(indent=2) }}{{ x | e }}{{ x.translate({97: 'zz'}) }}"
        "{{ '%(a)s' | format(a=x) }}{{ 'a b' | urlencode }}",
        "{{ '{0}{b:>{w}}'.format(x, b=1, w=4) }}{{ 'a b c' | wordwrap(2) }}{{ [1, 2] | pprint }}"
        "{% filter upper %}{{ x }}{% endfilter %}",
        "{% set t %}{{ x }} {{ x }}{% endset %}{{ t | trim | string }}{% macro m(a) %}{{ a }}{% endmacro %}"
        "{{ m(x) ~ m(1) }}{{ 2 * 3 // 4 }}",
        "{{ 1 < 2 <= 3 }}{{ x in 'ababab' and x not in [1] }}{{ [3, 1, 1] | sort | unique | list }}{{ {x: 1, (1, 2): 2}[x] }}"
        "{{ [x, 'c'] | select('eq', 'c') | list }}{{ [1, 5] | max }}{{ {'b': 1, 'a': 2} | dictsort }}{{ x is in ['abab'] }}"
        "{{ [{'n': x}] | selectattr('n', 'equalto', x) | list }}{{ {'a': 1}.get('a') }}{{ [1, x].index(x) }}{{ 1 if x != 'a' }}"
        "{% for k, g in [{'n': 1}, {'n': 2}] | groupby('n') %}{{ k }}{% endfor %}{{ 'a\tb'.expandtabs(4) }}{{ x[0] }}",
    )
    options = {"loader": BaseLoader(), "undefined": StrictUndefined, "keep_trailing_newline": True}
    for text in texts:
        mine, theirs = (kind(**options).from_string(text) for kind in (LimitedEnvironment, Environment))
        assert mine.render(x="abab") == theirs.render(x="abab")


def test_an_alarm_that_was_set_still_rings_and_other_threads_render():
    import signal

    heard = []
    before = signal.signal(signal.SIGALRM, lambda *_: heard.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with rendering_limits():
            pass
        until = time.monotonic() + 5
        while not heard and time.monotonic() < until:
            time.sleep(0.01)
        assert heard
    finally:
        signal.signal(signal.SIGALRM, before)

    def render():
        with rendering_limits():
            heard.append(LimitedEnvironment().from_string("{{ 1 + 1 }}").render())

    thread = threading.Thread(target=render)
    thread.start()
    thread.join()
    assert heard[-1] == "2"


def test_lm_eval_renders_in_the_limited_environment():
    import lm_eval.utils

    template_limits.limit_task_templates()
    assert lm_eval.utils.apply_template("{{ x | regex_replace('b', 'c') }}{{ [x] | tojson }}", {"x": "abab"}) == 'acac["abab"]'
    with pytest.raises(TemplateLimitExceeded):
        lm_eval.utils.apply_template(LONG + "{{ ([b] * 1000) | tojson | length }}", {})
