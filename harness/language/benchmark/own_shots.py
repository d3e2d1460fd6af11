"""Few-shot examples never contain the evaluated item itself.

lm-eval draws a task's shots from its training split, else its validation split, else its test split, and leaves the item itself
out only where `fewshot_split` and `test_split` have one name. Where both are one split in another way (a test split alone, a
validation split that is evaluated), or a document occurs twice in the data, an item's prompt would contain its own text and
answer. Here such a shot is replaced by another of the pool, or left out where there is no other. All other shots are those that
lm-eval draws, so that only the prompts of such items differ from lm-eval's; `Task.shots_replaced` counts them.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from harness.errors import UserError
from harness.language.random_state import keep_random_state
from harness.records import keyed_seed

NUM_QUESTIONS_COMPARED = 20  # examples of a pool, to see whether their questions differ
SPARE_EXAMPLES = 50  # beyond the shots needed: no document occurs so often that lm-eval's own drawing runs out of others


def eval_and_fewshot_splits(task: Any) -> tuple[str | None, str | None]:
    """The split that is evaluated, and the one that shots come from; None for shots that are written out in the task's file."""
    config, fewshot_cfg = task.config, task.fewshot_cfg
    eval_split = config.test_split if config.test_split is not None else config.validation_split
    if fewshot_cfg.split is not None or fewshot_cfg.samples is not None:
        return eval_split, fewshot_cfg.split
    splits = (config.training_split, config.validation_split, config.test_split)
    return eval_split, next((split for split in splits if split is not None), None)


def shots_may_include_item(task: Any) -> bool:
    """Whether a task's shots are drawn from its own items, and lm-eval does not leave out the evaluated one."""
    if not _has_shots(task) or task.fewshot_cfg.split == task.config.test_split:
        return False
    eval_split, fewshot_split = eval_and_fewshot_splits(task)
    return fewshot_split == eval_split


def _has_shots(task: Any) -> bool:
    return bool(task.config.num_fewshot) and hasattr(task, "sampler") and hasattr(task, "fewshot_cfg")


def exclude_item_from_shots(task: Any, where: str) -> None:
    """Let the task's sampler replace shots that are the item itself. UserError where their pool is no larger than the shots."""
    task.shots_replaced = 0
    if not _has_shots(task):
        return
    num_fewshot, pool_size = task.config.num_fewshot, len(task.sampler.fewshot_docs())
    if shots_may_include_item(task) and num_fewshot >= pool_size:
        raise UserError(
            f"{where}: shots = {num_fewshot}, but {task.task_name} draws them from the {pool_size} examples that are evaluated, "
            f"one of which is the item itself; use at most {pool_size - 1}"
        )
    sampler, same_text = task.sampler, _SameText(task)
    original_sample, original_set_rnd, original_fewshot_context = sampler.sample, sampler.set_rnd, task.fewshot_context
    item: Any = None  # whose prompt is being built

    def fewshot_context(doc: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal item
        item = doc
        return original_fewshot_context(doc, *args, **kwargs)

    def sample(n: int, eval_doc: Any = None, **kwargs: Any) -> Sequence[Any]:
        shots = list(original_sample(n=n, eval_doc=eval_doc if _pool_suffices(sampler, n, eval_doc) else None, **kwargs))
        with keep_random_state():  # a task's own code may draw from it while it reads a document
            if item is None or not any(same_text(doc, item) for doc in shots):
                return shots
            task.shots_replaced += 1
            if type(sampler).__name__ == "FirstNSampler":
                return list(itertools.islice((doc for doc in sampler.fewshot_docs() if not same_text(doc, item)), n))
            remaining = _remaining_shots(sampler, shots, item, same_text)
            replaced = (next(remaining, None) if same_text(doc, item) else doc for doc in shots)
            return [doc for doc in replaced if doc is not None]

    def set_rnd(seed: int | None) -> Any:
        task.shots_replaced = 0
        return original_set_rnd(seed)

    sampler.sample, sampler.set_rnd, task.fewshot_context = sample, set_rnd, fewshot_context


def _pool_suffices(sampler: Any, n: int, eval_doc: Any) -> bool:
    """Whether lm-eval's own way of leaving the item out, which may draw one more, has enough to draw from."""
    pool = sampler.fewshot_docs()
    return eval_doc is None or len(pool) >= n + SPARE_EXAMPLES or (len(pool) > n and sum(doc != eval_doc for doc in pool) >= n)


def _remaining_shots(sampler: Any, shots: Sequence[Any], item: Any, same_text: _SameText) -> Iterator[Any]:
    """The rest of the pool, shuffled by a seed of the item alone: lm-eval's own draws for later items stay as they are."""
    pool = list(sampler.fewshot_docs())
    random.Random(keyed_seed("shots", item)).shuffle(pool)
    return (doc for doc in pool if doc not in shots and not same_text(doc, item))


class _SameText:
    """Whether a document of the pool has an item's text: the same question with the same choices; where the question does not
    identify an item (there is none, or one for all: a text to be continued, choices that are questions) the same answer too."""

    def __init__(self, task: Any) -> None:
        self.task = task
        # id -> document, question; the reference keeps the id from being reused
        self._question_cache: dict[int, tuple[Any, Any]] = {}

    def __call__(self, shot: Any, item: Any) -> bool:
        task = self.task
        if shot == item:
            return True
        if (question := self._question(shot)) != self._question(item):
            return False
        if task.config.doc_to_choice is not None and task.doc_to_choice(shot) != task.doc_to_choice(item):
            return False
        question_identifies = isinstance(question, str) and question != "" and self._questions_differ
        return question_identifies or task.doc_to_target(shot) == task.doc_to_target(item)

    @cached_property
    def _questions_differ(self) -> bool:
        questions = [self._question(doc) for doc in itertools.islice(self.task.sampler.fewshot_docs(), NUM_QUESTIONS_COMPARED)]
        return len(questions) < 2 or any(question != questions[0] for question in questions)

    def _question(self, doc: Any) -> Any:
        if id(doc) not in self._question_cache:
            if len(self._question_cache) > 20_000:
                self._question_cache.clear()
            try:
                text = self.task.doc_to_text(doc)
            except Exception:  # shots written out in the task's file may be formatted by settings of their own
                text = self.task.doc_to_text(doc, self.task.fewshot_cfg.doc_to_text)
            self._question_cache[id(doc)] = doc, text.strip() if isinstance(text, str) else text
        return self._question_cache[id(doc)][1]
