"""The loaded policy as lm-eval sees it. lm-eval keeps the tasks, this file does the computing.

Tokenisation, chat template and the cutting of long contexts are those of lm-eval's own transformers model, which this extends.
What is new: a question's choices share their context, contexts that begin alike share their beginning, and generation goes
through the sampler that self-play uses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text

from harness.model.packing import Prefixed
from harness.model.sampling import Draw, Request
from harness.policy import Advance, Policy
from harness.records import digest, keyed_seed
from harness.shards import NOTHING_KEPT, Unfinished

Encodings = dict[tuple[str, str], tuple[list[int], list[int]]]
ENCODINGS_KEPT = 10_000  # pairs of context and continuation; beyond that they are encoded again for every player
UNDERSTOOD = {"until", "max_gen_toks", "do_sample", "temperature", "top_p"}  # generation settings our sampler has

T = TypeVar("T")
_Base: Any = HFLM  # built by a decorator that hides its signature


class PolicyLM(_Base):
    """lm-eval's transformers model, with log-likelihoods and generation computed by the policy."""

    policy: Policy
    columns: int
    encodings: Encodings
    advance: Advance
    unfinished: Unfinished
    calls: int = 0  # of lm-eval's for answers, in an order that depends on the suite alone

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = True) -> Any:
        return super().loglikelihood(requests, disable_tqdm=True)  # the harness shows the progress

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
            assert room > 0, f"a continuation of {len(continuation)} tokens, the model's context is {self.max_length}"
            places.setdefault(tuple(context[-room:]), []).append(i)
        groups = [Prefixed(context, [requests[i][2] for i in members]) for context, members in places.items()]

        def judge(part: Sequence[Prefixed]) -> list[Any]:
            return self.policy.judge(part, self.columns, self.advance)

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
            found = self.tok_encode(context), []
            if len(self.encodings) < ENCODINGS_KEPT:
                self.encodings[context, ""] = found
        return found[0]

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[str]:
        """One text per request, cut before the first stop sequence. Settings the sampler lacks are left to transformers."""
        settings: list[Any] = [normalize_gen_kwargs(request.args[1], self.max_gen_toks) for request in requests]
        found: dict[int, str] = {}
        ours: dict[Draw, list[int]] = {}
        others = []
        for i, one in enumerate(settings):
            if set(one) <= UNDERSTOOD:
                how = Draw(one["temperature"] if one.get("do_sample") else 0.0, one.get("top_p", 1.0))
                ours.setdefault(how, []).append(i)
            else:
                others.append(i)
        if others:
            texts = super().generate_until([requests[i] for i in others], disable_tqdm=True)
            found.update(zip(others, texts, strict=True))
            self.advance(len(others))
        for how, members in ours.items():
            texts = self._generated([requests[i].args[0] for i in members], [settings[i] for i in members], how)
            found.update(zip(members, texts, strict=True))
        return [found[i] for i in range(len(requests))]

    def _generated(self, contexts: Sequence[str], settings: Sequence[Any], how: Draw) -> list[str]:
        """Texts of one way of drawing; the number of tokens and the stop sequences are each request's own."""
        eos = self.tok_decode(self.eot_token_id, skip_special_tokens=False)
        stops = [handle_stop_sequences(list(one["until"]), eos=eos) for one in settings]
        requests = []
        for context, one, until in zip(contexts, settings, stops, strict=True):
            longest = one["max_gen_toks"]
            assert self.max_length > longest, f"{longest} tokens to generate, the model's context is {self.max_length}"
            prompt = self._encode_context(context)[longest - self.max_length :]
            requests.append(Request(prompt, keyed_seed("evaluate", context), longest, self._stopped(until)))

        def draw(part: Sequence[Request]) -> list[Any]:
            drawn = self.policy.draw(part, how, self._stop_ids(), int(self.batch_size), self.advance)
            return [one.ids for one in drawn]

        def asked(part: Sequence[Request]) -> str:
            return digest(str(how), *(f"{list(r.prompt_ids)} {r.seed} {r.most}" for r in part))

        drawn: list[Any] = self._kept("written", requests, asked, draw)
        return [
            postprocess_generated_text(self.tok_decode(ids), stop=until, think_end_token=None)
            for ids, until in zip(drawn, stops, strict=True)
        ]

    def _stop_ids(self) -> frozenset[int]:
        """The tokens at which transformers would stop generating."""
        configured = getattr(self.model.generation_config, "eos_token_id", None)
        listed = configured if isinstance(configured, list) else [configured]
        return frozenset({self.eot_token_id, *(i for i in listed if i is not None)})

    def _stopped(self, until: list[str]) -> Callable[[list[int]], bool]:
        """Whether a stop sequence has just been completed. A token has at least one byte, so the last few tokens tell."""
        spoken = [stop for stop in until if stop]
        reach = max((len(stop.encode()) for stop in spoken), default=0) + 2

        def stopped(ids: list[int]) -> bool:
            tail = self.tokenizer.decode(ids[-reach:])
            return any(stop in tail for stop in spoken)

        return stopped


def _tokens_of(groups: Sequence[Prefixed]) -> str:
    return digest(*(f"{list(g.prefix)} {[list(c) for c in g.continuations]}" for g in groups))


def as_lm(
    policy: Policy,
    columns: int,
    rows: int,
    encodings: Encodings,
    advance: Advance = lambda n: None,
    unfinished: Unfinished = NOTHING_KEPT,
) -> PolicyLM:
    """columns: tokens that go through the model at a time when scoring; rows: responses generated at a time.

    encodings: filled with what has been encoded, for the next player of the same run. advance: told of every answered request.
    unfinished: where answers are kept until the phase is complete.
    """
    model = PolicyLM(
        pretrained=policy.model, tokenizer=policy.tokenizer, backend="causal", batch_size=rows, max_length=policy.context
    )
    model.policy, model.columns, model.encodings, model.advance = policy, columns, encodings, advance
    model.unfinished = unfinished
    return model
