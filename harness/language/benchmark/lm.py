"""The loaded policy as lm-eval sees it. lm-eval keeps the tasks, this file does the computing.

Tokenisation, chat template and the cutting of long contexts are those of lm-eval's own transformers model, which this extends.
What is new: a question's choices share their context, contexts that begin alike share their beginning, and generation goes
through the sampler that self-play uses.
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from harness.errors import UserError
from harness.language.model.decoding import CannotGenerate, Decoding, resolve
from harness.language.model.sampling import Request
from harness.language.policy import Advance, Policy
from harness.language.random_state import keep_random_state
from harness.records import PromptGroup, digest, keyed_seed
from harness.store.partial_results import NOTHING_KEPT, Unfinished

Encodings = dict[tuple[str, str], tuple[list[int], list[int]]]
ENCODINGS_KEPT = 10_000  # pairs of context and continuation; beyond that they are encoded again for every player
EMPTY = "a continuation without a token behind an empty context, which lm-eval cannot score; leave out the task"

T = TypeVar("T")
_Base: Any = HFLM  # built by a decorator that hides its signature


class PolicyLM(_Base):
    """lm-eval's transformers model, with log-likelihoods and generation computed by the policy."""

    policy: Policy
    columns: int
    encodings: Encodings
    advance: Advance
    unfinished: Unfinished
    turn_ends: frozenset[int]
    asking: Sequence[str] = ()  # task and item of the requests that are being scored
    without_token: Counter[str]  # task -> continuations of which the tokens of context and continuation together leave nothing
    settings: dict[str, Asked]  # of the tasks' requests so far
    calls: int = 0  # of lm-eval's for answers, in an order that depends on the suite alone

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = True) -> Any:
        self.asking = [f"task {request.task_name}, item {request.doc_id}" for request in requests]
        try:
            return super().loglikelihood(requests, disable_tqdm=True)  # the harness shows the progress
        except IndexError as error:  # its own, of an empty continuation behind an empty context
            empty = [who for who, r in zip(self.asking, requests, strict=True) if not self._spoken(r)]
            if not empty:
                raise
            raise UserError(f"{empty[0]}: {EMPTY}") from error
        finally:
            self.asking = []

    def _spoken(self, request: Any) -> bool:
        return bool(request.args[0]) or bool(self.tok_encode(request.args[1], add_special_tokens=False))

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[float]:
        """Log-probability of every text as a whole, in windows that do not overlap, the first behind the beginning token."""
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

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        found = self.encodings.get((context, continuation))
        if found is None:
            found = super()._encode_pair(context, continuation)
            if len(self.encodings) < ENCODINGS_KEPT:
                self.encodings[context, continuation] = found
        return found

    def _loglikelihood_tokens(self, requests: Sequence[Any], disable_tqdm: bool = True, override_bs: int | None = None) -> Any:
        """[(texts, context ids, continuation ids)] -> [(log-probability in nats, whether greedy decoding would say it)]."""
        places: dict[tuple[int, ...], list[int]] = {}
        for i, (_, context, continuation) in enumerate(requests):
            room = self.max_length + 1 - len(continuation)  # the last token is never fed; too long is cut on the left
            who = self.asking[i] if self.asking else f"request {i}"
            if room < 1:
                raise UserError(
                    f"{who}: a continuation of {len(continuation)} tokens, the model's context is {self.max_length}, and lm-eval "
                    "cuts no continuation; leave the task out or use a model with a longer context"
                )
            if not context:
                raise UserError(f"{who}: a context without a token, which lm-eval cannot score; leave out the task")
            if not continuation:  # no token of its own behind the context's: 0 nats, as lm-eval counts it
                self.without_token[who.partition(",")[0]] += 1
            places.setdefault(tuple(context[-room:]), []).append(i)
        groups = [PromptGroup(context, [requests[i][2] for i in members]) for context, members in places.items()]

        def judge(part: Sequence[PromptGroup]) -> list[Any]:
            return self.policy.loglikelihood(part, self.columns, self.advance)

        values: list[Any] = self._kept("judged", groups, _tokens_of, judge)
        found = dict(zip((i for members in places.values() for i in members), values, strict=True))
        return [tuple(found[i]) for i in range(len(requests))]

    def _kept(
        self, kind: str, items: Sequence[T], key: Callable[[Sequence[T]], str], work: Callable[[Sequence[T]], list[Any]]
    ) -> list[Any]:
        """Answers, kept while the phase is unfinished."""
        self.calls += 1
        name = f"{kind}-{self.calls:03d}"
        return self.unfinished.shards.each(name, items, self.unfinished.size, key, work, self.advance)

    def _encode_context(self, context: str) -> list[int]:
        found = self.encodings.get((context, ""))
        if found is None:
            found = self.tok_batch_encode([context])[0][0].tolist(), []
            if len(self.encodings) < ENCODINGS_KEPT:
                self.encodings[context, ""] = found
        return found[0]

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[str]:
        """One text per request, cut before the first stop sequence.

        A task's `repeats` come as the same request several times: each is drawn by itself where the task samples. Equal requests
        without sampling are answered once.
        """
        asked = [self._asked(request) for request in requests]
        times: Counter[Any] = Counter()
        members: dict[Any, list[int]] = {}
        for i, (request, one) in enumerate(zip(requests, asked, strict=True)):
            number = 0
            if one.sampled:
                number = times[request.task_name, request.args[0]]
                times[request.task_name, request.args[0]] += 1
            who = request.task_name if number else None  # the first draw of a question is the same whatever the task
            members.setdefault((one, request.args[0], who, number), []).append(i)
        found: dict[int, str] = {}
        by_setting: dict[Any, list[Any]] = {}
        for key in members:
            by_setting.setdefault((key[0].decoding.how, key[0].decoding.stop_ids, key[0].decoding.whole), []).append(key)
        for keys in by_setting.values():
            whole = keys[0][0].decoding.whole
            for key, text in zip(keys, (self._searched if whole else self._drawn)(keys), strict=True):
                found.update(dict.fromkeys(members[key], text))
                self.advance(len(members[key]) - 1)
        return [found[i] for i in range(len(requests))]

    def _asked(self, request: Any) -> Asked:
        """The settings of a request, resolved once for all that have the same. Raises UserError for settings that are refused."""
        name = json.dumps(request.args[1], sort_keys=True, default=str)
        if name not in self.settings:
            self.settings[name] = resolved(self.model, request.args[1], self.max_gen_toks, self._eos, name)
        return self.settings[name]

    @property
    def _eos(self) -> str:
        return self.tok_decode(self.eot_token_id, skip_special_tokens=False)

    def _seed(self, key: Any) -> int:
        _, context, task, number = key
        return keyed_seed("evaluate", context, task, number) if number else keyed_seed("evaluate", context)

    def _drawn(self, keys: Sequence[Any]) -> list[str]:
        """Texts of one way of drawing; the number of tokens and the stop sequences are each request's own."""
        requests = []
        for key in keys:
            one, context = key[0], key[1]
            if one.longest >= self.max_length:
                raise UserError(
                    f"{one.longest} tokens to generate, the model's context is {self.max_length}; use a model with a longer one"
                )
            prompt = self._encode_context(context)[one.longest - self.max_length :]
            most = one.decoding.most or (one.whole_length - len(prompt) if one.whole_length else one.longest)
            if most < 1:
                raise UserError(
                    f"max_length={one.whole_length} leaves no room for an answer behind {len(prompt)} tokens of a prompt"
                )
            change = one.decoding.change(self.model, prompt, most)
            requests.append(Request(prompt, self._seed(key), most, self._stopped(list(one.until)), change))
        decoding = keys[0][0].decoding
        stop_ids = decoding.stop_ids | {self.eot_token_id} | self.turn_ends

        def draw(part: Sequence[Request]) -> list[Any]:
            drawn = self.policy.draw(part, decoding.how, stop_ids, int(self.batch_size), self.advance)
            return [one.ids for one in drawn]

        def made_from(part: Sequence[Request]) -> str:
            return digest(str(decoding.how), names, *(f"{list(r.prompt_ids)} {r.seed} {r.most}" for r in part))

        names = digest(*(key[0].name for key in keys))
        drawn: list[Any] = self._kept("written", requests, made_from, draw)
        ends = [self.tokenizer.decode([i]) for i in self.turn_ends]
        return [
            postprocess_generated_text(self.tok_decode(ids), stop=[*key[0].until, *ends], think_end_token=None)
            for ids, key in zip(drawn, keys, strict=True)
        ]

    def _searched(self, keys: Sequence[Any]) -> list[str]:
        """Texts by transformers' `generate`, one request at a time under its own seed, so that no other changes it."""

        def search(part: Sequence[Any]) -> list[str]:
            texts = []
            for key in part:
                with keep_random_state():
                    torch.manual_seed(self._seed(key))
                    request = Instance("generate_until", {}, (key[1], copy.deepcopy(key[0].settings)), 0)
                    texts += super(PolicyLM, self).generate_until([request], disable_tqdm=True)
                self.advance(1)
            return texts

        def made_from(part: Sequence[Any]) -> str:
            return digest(*(f"{key[0].name} {self._seed(key)}" for key in part))

        return self._kept("searched", keys, made_from, search)

    def _stopped(self, until: list[str]) -> Callable[[list[int]], bool]:
        """Whether a stop sequence has just been completed. A token has at least one byte, so the last few tokens tell."""
        reach = max((len(stop.encode()) for stop in until), default=0) + 2

        def stopped(ids: list[int]) -> bool:
            tail = self.tokenizer.decode(ids[-reach:])
            return any(stop in tail for stop in until)  # an empty one is in any text, as in lm-eval's own criterion

        return stopped


@dataclass(frozen=True)
class Asked:
    """How a request is answered. name: the task's settings as text; longest: tokens asked for; until: stop sequences.

    whole_length: `max_length` of the settings, prompt and answer together. Equal where the names are.
    """

    name: str
    settings: Any = field(compare=False)
    longest: int = field(compare=False)
    whole_length: int | None = field(compare=False)
    until: tuple[str, ...] = field(compare=False)
    decoding: Decoding = field(compare=False)

    @property
    def sampled(self) -> bool:
        return bool(self.decoding.config.do_sample)


def resolved(model: Any, settings: Any, longest: int, eos: str | None, name: str = "") -> Asked:
    """A task's generation settings as lm-eval's transformers model reads them. longest: tokens where the task does not say.

    Raises UserError for settings under which that model fails, or equal commands would give other answers.
    """
    try:
        plain: Any = normalize_gen_kwargs(settings or {}, longest)
        until = handle_stop_sequences(plain.pop("until"), eos=eos)
        if not all(isinstance(stop, str) for stop in until):
            raise CannotGenerate(f"until={until!r}, expected texts; write numbers in quotes")
        longest, whole_length = plain.pop("max_gen_toks"), plain.pop("max_length", None)
        decoding = resolve(model, plain)
    except (CannotGenerate, ValueError, TypeError) as error:
        raise UserError(f"generation_kwargs: {error}; change or leave out the task") from error
    if longest < 1:
        raise UserError(f"generation_kwargs: {longest} tokens to generate, expected at least 1; change or leave out the task")
    return Asked(name, settings, longest, whole_length, tuple(until), decoding)


def _tokens_of(groups: Sequence[PromptGroup]) -> str:
    return digest(*(f"{list(g.prompt)} {[list(c) for c in g.responses]}" for g in groups))


def as_lm(
    policy: Policy,
    columns: int,
    rows: int,
    encodings: Encodings,
    advance: Advance = lambda n: None,
    unfinished: Unfinished = NOTHING_KEPT,
    chat: bool = False,
) -> PolicyLM:
    """columns: tokens that go through the model at a time when scoring; rows: responses generated at a time.

    encodings: filled with what has been encoded, for the next player of the same run. advance: told of every answered request.
    unfinished: where answers are kept until the phase is complete. chat: whether tasks are asked in the chat template, so that
    an answer ends where its turn does.
    """
    model = PolicyLM(
        pretrained=policy.model,
        tokenizer=policy.tokenizer,
        backend="causal",
        batch_size=rows,
        max_length=policy.context,
        chat_template_args=dict(policy.template.arguments),
    )
    model.turn_ends = frozenset({policy.template.closing_id}) if chat and policy.template.kind == "chat" else frozenset()
    model.policy, model.columns, model.encodings, model.advance = policy, columns, encodings, advance
    model.unfinished, model.settings, model.without_token = unfinished, {}, Counter()
    return model
