"""The loaded policy as an lm-eval model: lm-eval keeps the tasks, this file computes log-likelihoods and generations.

Tokenisation, chat template and truncation of long contexts are those of lm-eval's own transformers model, which this extends.
What is new: the choices of a question share the forward pass of their context, contexts with a common prefix share its pass, and
generation uses the sampler of the self-play loop.
"""

from __future__ import annotations

import copy
import json
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any, TypeVar

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from harness.errors import UserError
from harness.language.benchmark.lm_eval_benchmark import Encoding, EncodingCache
from harness.language.model.decoding import CannotGenerate, Decoding, resolve_decoding
from harness.language.model.sampling import Request
from harness.language.policy import Advance, Policy
from harness.language.random_state import keep_random_state
from harness.records import PromptGroup, digest, keyed_seed
from harness.store.partial_results import NO_PARTIAL_RESULTS, PartialResults

MAX_CACHED_TOKENS = 20_000_000  # of 4 bytes each; pairs beyond that are encoded again for every checkpoint
NUM_LAST_TEXTS = 4  # texts whose tokens are at hand: a context is encoded once for all its choices
EMPTY_CONTINUATION_ERROR = "a continuation without a token after an empty context, which lm-eval cannot score; leave out the task"

T = TypeVar("T")
_Base: Any = HFLM  # built by a decorator that hides its signature


class PolicyLM(_Base):
    """lm-eval's transformers model, with log-likelihoods and generation computed by the policy."""

    policy: Policy
    max_tokens_per_batch: int
    encoding_cache: EncodingCache
    num_cached_tokens: int
    last_context: tuple[Sequence[int], array[int]]  # as encoded and as cached: the choices of a context share one array
    advance: Advance
    partial_results: PartialResults
    turn_end_ids: frozenset[int]
    request_labels: Sequence[str] = ()  # task and item of the requests that are being scored
    without_token: Counter[str]  # task -> continuations that add no token to those of their context
    settings_cache: dict[str, GenerationSettings]  # by the request's generation_kwargs as JSON
    num_calls: int = 0  # calls by lm-eval so far; their order depends on the suite alone

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = True) -> Any:
        self.request_labels = [f"task {request.task_name}, item {request.doc_id}" for request in requests]
        try:
            return super().loglikelihood(requests, disable_tqdm=True)  # the harness shows the progress
        except IndexError as error:  # lm-eval's own, for an empty continuation after an empty context
            empty_labels = [label for label, r in zip(self.request_labels, requests, strict=True) if not self._has_tokens(r)]
            if not empty_labels:
                raise
            raise UserError(f"{empty_labels[0]}: {EMPTY_CONTINUATION_ERROR}") from error
        finally:
            self.request_labels = []

    def _has_tokens(self, request: Any) -> bool:
        return bool(request.args[0]) or bool(self.tok_encode(request.args[1], add_special_tokens=False))

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[float]:
        """Log-probability of every text as a whole, in windows that do not overlap, the first after the prefix token."""
        windows = [
            [(None, *make_disjoint_window(window)) for window in get_rolling_token_windows(
                token_list=self.tok_encode(request.args[0]),
                prefix_token=self.prefix_token_id,
                max_seq_len=self.max_length,
                context_len=1,
            )]
            for request in requests
        ]  # fmt: skip
        values = iter(self._loglikelihood_tokens([window for text in windows for window in text]))
        return [sum(next(values)[0] for _ in text) for text in windows]

    def _encode_pair(self, context: str, continuation: str) -> Encoding:
        return self._cached((context, continuation), lambda: super(PolicyLM, self)._encode_pair(context, continuation))

    def _encode_context(self, context: str) -> list[int]:
        return self._cached((context, ""), lambda: (self.tok_batch_encode([context])[0][0].tolist(), []))[0].tolist()

    def _cached(self, key: tuple[str, str], encode: Callable[[], tuple[list[int], list[int]]]) -> Encoding:
        if key in self.encoding_cache:
            return self.encoding_cache[key]
        context, continuation = encode()
        if self.last_context[0] is not context:
            self.last_context = context, array("i", context)
            self.num_cached_tokens += len(context)
        encoding = self.last_context[1], array("i", continuation)
        if self.num_cached_tokens < MAX_CACHED_TOKENS:
            self.encoding_cache[key] = encoding
            self.num_cached_tokens += len(continuation)
        return encoding

    def _loglikelihood_tokens(self, requests: Sequence[Any], disable_tqdm: bool = True, override_bs: int | None = None) -> Any:
        """[(texts, context ids, continuation ids)] -> [(log-probability in nats, whether it is the greedy continuation)]."""
        indices_by_context: dict[tuple[int, ...], list[int]] = {}
        for i, (_, context, continuation) in enumerate(requests):
            max_context = self.max_length + 1 - len(continuation)  # the last token is never fed; too long is cut on the left
            label = self.request_labels[i] if self.request_labels else f"request {i}"
            if max_context < 1:
                raise UserError(
                    f"{label}: a continuation of {len(continuation)} tokens, the model's context is {self.max_length}, and "
                    "lm-eval cuts no continuation; leave the task out or use a model with a longer context"
                )
            if not context:
                raise UserError(f"{label}: a context without a token, which lm-eval cannot score; leave out the task")
            if not continuation:  # no token beyond the context's: 0 nats, as lm-eval counts it
                self.without_token[label.partition(",")[0]] += 1
            indices_by_context.setdefault(tuple(context[-max_context:]), []).append(i)
        groups = [PromptGroup(c, [list(requests[i][2]) for i in members]) for c, members in indices_by_context.items()]

        def fingerprint(chunk: Sequence[PromptGroup]) -> str:
            return digest(*(f"{list(g.prompt)} {[list(c) for c in g.responses]}" for g in chunk))

        def compute(chunk: Sequence[PromptGroup]) -> list[Any]:
            return self.policy.loglikelihood(chunk, self.max_tokens_per_batch, self.advance)

        values: list[Any] = self._resumable_map("judged", groups, fingerprint, compute)
        value_by_index = dict(zip((i for members in indices_by_context.values() for i in members), values, strict=True))
        return [tuple(value_by_index[i]) for i in range(len(requests))]

    def _resumable_map(
        self, kind: str, items: Sequence[T], key: Callable[[Sequence[T]], str], compute: Callable[[Sequence[T]], list[Any]]
    ) -> list[Any]:
        """Answers in the order of `items`, stored chunk by chunk while the phase is unfinished."""
        self.num_calls += 1
        name = f"{kind}-{self.num_calls:03d}"
        return self.partial_results.map(name, items, key, compute, self.advance)

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[str]:
        """One text per request, cut before the first stop sequence.

        A task's `repeats` come as the same request several times: each is sampled by itself where the task samples. Equal
        requests without sampling are answered once.
        """
        repeat_counts: Counter[Any] = Counter()
        indices_by_question: dict[Question, list[int]] = {}
        for i, request in enumerate(requests):
            settings, context, repeat = self._generation_settings(request), request.args[0], 0
            if settings.sampled:
                repeat = repeat_counts[request.task_name, context]
                repeat_counts[request.task_name, context] += 1
            question = Question(settings, context, request.task_name if repeat else None, repeat)
            indices_by_question.setdefault(question, []).append(i)
        texts: dict[int, str] = {}
        by_decoding: dict[Any, list[Question]] = {}
        for question in indices_by_question:
            decoding = question.settings.decoding
            by_decoding.setdefault((decoding.uses_generate, decoding.sampling_params, decoding.stop_ids), []).append(question)
        for (uses_generate, *_), questions in by_decoding.items():
            answer = self._hf_generate if uses_generate else self._sample
            for question, text in zip(questions, answer(questions), strict=True):
                texts.update(dict.fromkeys(indices_by_question[question], text))
                self.advance(len(indices_by_question[question]) - 1)
        return [texts[i] for i in range(len(requests))]

    def _generation_settings(self, request: Any) -> GenerationSettings:
        """The settings of a request, resolved once for all that have the same. Raises UserError for unsupported settings."""
        key = json.dumps(request.args[1], sort_keys=True, default=str)
        if key not in self.settings_cache:
            eos = self.tok_decode(self.eot_token_id, skip_special_tokens=False)
            self.settings_cache[key] = resolve_settings(self.model, request.args[1], self.max_gen_toks, eos, key)
        return self.settings_cache[key]

    def _sample(self, questions: Sequence[Question]) -> list[str]:
        """Texts of requests with equal sampling settings; the number of tokens and the stop sequences are each request's own."""
        decoding = questions[0].settings.decoding
        stop_ids = decoding.stop_ids | {self.eot_token_id} | self.turn_end_ids
        settings_digest = digest(*(question.settings.name for question in questions))

        def generate_tokens(chunk: Sequence[Request]) -> list[Any]:
            batch_size = int(self.batch_size)
            completions = self.policy.generate_tokens(chunk, decoding.sampling_params, stop_ids, batch_size, self.advance)
            return [completion.ids for completion in completions]

        def fingerprint(chunk: Sequence[Request]) -> str:
            texts = (f"{list(r.prompt_ids)} {r.seed} {r.max_new_tokens}" for r in chunk)
            return digest(str(decoding.sampling_params), settings_digest, *texts)

        requests = [self._to_request(question) for question in questions]
        generated_ids: list[Any] = self._resumable_map("written", requests, fingerprint, generate_tokens)
        turn_end_texts = [self.tokenizer.decode([i]) for i in self.turn_end_ids]
        stops = [[*question.settings.until, *turn_end_texts] for question in questions]
        texts = zip(map(self.tok_decode, generated_ids), stops, strict=True)
        return [postprocess_generated_text(text, stop=stop, think_end_token=None) for text, stop in texts]

    def _to_request(self, question: Question) -> Request:
        settings = question.settings
        prompt = self._encode_context(question.context)[settings.max_gen_toks - self.max_length :]
        room = settings.max_length - len(prompt) if settings.max_length else settings.max_gen_toks
        max_new_tokens = settings.decoding.max_new_tokens or room
        if max_new_tokens < 1:
            raise UserError(
                f"max_length={settings.max_length} leaves no room for an answer after a prompt of {len(prompt)} tokens"
            )
        logits_processor = settings.decoding.logits_processor(self.model, prompt, max_new_tokens)
        return Request(prompt, question.seed, max_new_tokens, self._make_stop_fn(list(settings.until)), logits_processor)

    def _hf_generate(self, questions: Sequence[Question]) -> list[str]:
        """Texts by transformers' `generate`, one request at a time under its own seed, so that no text depends on the others."""

        def generate_texts(chunk: Sequence[Question]) -> list[str]:
            texts = []
            for question in chunk:
                with keep_random_state():
                    torch.manual_seed(question.seed)
                    arguments = (question.context, copy.deepcopy(question.settings.settings))
                    request = Instance("generate_until", {}, arguments, 0)
                    texts += super(PolicyLM, self).generate_until([request], disable_tqdm=True)
                self.advance(1)
            return texts

        def fingerprint(chunk: Sequence[Question]) -> str:
            return digest(*(f"{question.settings.name} {question.seed}" for question in chunk))

        return self._resumable_map("searched", questions, fingerprint, generate_texts)

    def _make_stop_fn(self, until: list[str]) -> Callable[[list[int]], bool]:
        """Whether a stop sequence has just been completed. A token has at least one byte, so the last few tokens suffice."""
        tail_length = max((len(stop.encode()) for stop in until), default=0) + 2

        def has_stopped(ids: list[int]) -> bool:
            tail = self.tokenizer.decode(ids[-tail_length:])
            return any(stop in tail for stop in until)  # an empty one is in any text, as in lm-eval's own criterion

        return has_stopped


@dataclass(frozen=True, eq=False)
class GenerationSettings:
    """How requests with the same settings are answered; one object for them all.

    name: the task's settings as text; max_gen_toks: tokens asked for; max_length: that of the settings, prompt and answer
    together; until: stop sequences.
    """

    name: str
    settings: Any
    max_gen_toks: int
    max_length: int | None
    until: tuple[str, ...]
    decoding: Decoding

    @property
    def sampled(self) -> bool:
        return bool(self.decoding.config.do_sample)


@dataclass(frozen=True)
class Question:
    """A request that is answered once. `task` is None for the first sample of a question: it is the same whatever the task."""

    settings: GenerationSettings
    context: str
    task: str | None
    repeat: int

    @property
    def seed(self) -> int:
        repeat = (self.task, self.repeat) if self.repeat else ()
        return keyed_seed("evaluate", self.context, *repeat)


def resolve_settings(model: Any, settings: Any, max_gen_toks: int, eos: str | None, name: str = "") -> GenerationSettings:
    """A task's generation settings as lm-eval's transformers model reads them. max_gen_toks: for a task that sets none.

    Raises UserError for settings under which that model fails, or under which equal commands would give different answers.
    """
    try:
        gen_kwargs: Any = normalize_gen_kwargs(settings or {}, max_gen_toks)
        until = handle_stop_sequences(gen_kwargs.pop("until"), eos=eos)
        if not all(isinstance(stop, str) for stop in until):
            raise CannotGenerate(f"until={until!r}, expected texts; write numbers in quotes")
        max_gen_toks, max_length = gen_kwargs.pop("max_gen_toks"), gen_kwargs.pop("max_length", None)
        decoding = resolve_decoding(model, gen_kwargs)
        if max_gen_toks < 1:
            raise CannotGenerate(f"{max_gen_toks} tokens to generate, expected at least 1")
    except (CannotGenerate, ValueError, TypeError) as error:
        raise UserError(f"generation_kwargs: {error}; change or leave out the task") from error
    return GenerationSettings(name, settings, max_gen_toks, max_length, tuple(until), decoding)


def as_lm(
    policy: Policy,
    max_tokens_per_batch: int,
    batch_size: int,
    encoding_cache: EncodingCache,
    advance: Advance = lambda n: None,
    partial_results: PartialResults = NO_PARTIAL_RESULTS,
    use_chat_template: bool = False,
) -> PolicyLM:
    """max_tokens_per_batch: for scoring; batch_size: responses generated at a time.

    encoding_cache: filled here, reused for the next checkpoint of the same run. advance: called for every answered request.
    partial_results: where answers are stored until the phase is complete. use_chat_template: whether prompts are in the chat
    template, so that an answer ends with its turn.
    """
    model = PolicyLM(
        pretrained=policy.model,
        tokenizer=policy.tokenizer,
        backend="causal",
        batch_size=batch_size,
        max_length=policy.context_length,
        chat_template_args=dict(policy.template.arguments),
    )
    ends_turn = use_chat_template and policy.template.kind == "chat"
    model.turn_end_ids = frozenset({policy.template.end_token_id} if ends_turn else ())
    model.policy, model.max_tokens_per_batch = policy, max_tokens_per_batch
    model.tok_encode = lru_cache(NUM_LAST_TEXTS)(model.tok_encode)
    model.encoding_cache, model.advance, model.last_context = encoding_cache, advance, ((), array("i"))
    # contexts of one array come one after the other
    contexts = (context for context, _ in groupby(encoding_cache.values(), key=lambda encoding: encoding[0]))
    model.num_cached_tokens = sum(map(len, contexts)) + sum(len(continuation) for _, continuation in encoding_cache.values())
    model.partial_results, model.settings_cache, model.without_token = partial_results, {}, Counter()
    return model
