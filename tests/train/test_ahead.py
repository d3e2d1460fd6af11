"""Items prepared in advance come in order, and an error comes at its turn."""

import pytest

from harness.train.prefetch import prefetch


def test_the_same_items_in_the_same_order():
    assert list(prefetch(iter(range(20)))) == list(range(20))
    assert list(prefetch([])) == []


def test_an_error_comes_after_the_items_before_it():
    def items():
        yield 1
        yield 2
        raise ValueError("third")

    got: list[int] = []
    with pytest.raises(ValueError, match="third"):
        got.extend(prefetch(items()))
    assert got == [1, 2]


def test_a_consumer_that_stops_early_leaves_no_thread_waiting():
    import threading

    before = threading.active_count()
    source = prefetch(iter(range(1000)))
    assert next(source) == 0
    source.close()
    assert threading.active_count() == before
