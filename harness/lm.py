"""The loaded policy as lm-eval sees it. lm-eval keeps the tasks, this file does the computing.

Tokenisation, chat template and the cutting of long contexts are those of lm-eval's own transformers model, which this extends.
What is new: a question's choices share their context, contexts that begin alike share their beginning, and generation goes
through the sampler that self-play uses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text

from harness.model.packing import Prefixed
from harness.model.sampling import Draw, Request, draw
from harness.policy import Policy
from harness.records import keyed_seed

Encodings = dict[tuple[str, str], tuple[list[int], list[int]]]
ENCODINGS_KEPT = 10_000  # pairs of context and continuation; beyond that they are encoded again for every player
UNDERSTOOD = {"until", "max_gen_toks", "do_sample", "temperature", "top_p"}  # generation settings our sampler has

_Base: Any = HFLM  # built by a decorator that hides its signature


class PolicyLM(_Base):
    """lm-eval's transformers model, with log-likelihoods and generation computed by the policy."""

    policy: Policy
    columns: int
    encodings: Encodings

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
        values = self.policy.judge(groups, self.columns)
        found = dict(zip((i for members in places.values() for i in members), values, strict=True))
        return [found[i] for i in range(len(requests))]

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[str]:
        """One text per request, cut before the first stop sequence. Settings the sampler lacks are left to transformers."""
        settings = [normalize_gen_kwargs(request.args[1], self.max_gen_toks) for request in requests]
        if any(not set(one) <= UNDERSTOOD for one in settings):
            return super().generate_until(requests, disable_tqdm=True)
        found: dict[int, str] = {}
        kinds: dict[str, list[int]] = {}
        for i, one in enumerate(settings):
            kinds.setdefault(repr(sorted(one.items(), key=lambda item: item[0])), []).append(i)
        for members in kinds.values():
            contexts = [requests[i].args[0] for i in members]
            found.update(zip(members, self._generated(contexts, settings[members[0]]), strict=True))
        return [found[i] for i in range(len(requests))]

    def _generated(self, contexts: list[str], settings: Any) -> list[str]:
        longest = settings["max_gen_toks"]
        eos = self.tok_decode(self.eot_token_id, skip_special_tokens=False)
        until = handle_stop_sequences(list(settings["until"]), eos=eos)
        how = Draw(settings["temperature"] if settings.get("do_sample") else 0.0, settings.get("top_p", 1.0))
        assert self.max_length > longest, f"{longest} tokens to generate, the model's context is {self.max_length}"
        prompts = [self.tok_encode(c, left_truncate_len=self.max_length - longest) for c in contexts]
        texts: dict[int, str] = {}
        for cluster in self.policy.shared_beginnings(prompts):
            requests = [Request(prompts[n], keyed_seed("evaluate", contexts[n]), longest) for n in cluster.members]
            drawn = draw(
                self.model, requests, how, self._stop_ids(), int(self.batch_size), self.policy.shares_starts, self._stopped(until)
            )
            for n, one in zip(cluster.members, drawn, strict=True):
                texts[n] = postprocess_generated_text(self.tok_decode(one.ids), stop=until, think_end_token=None)
        return [texts[n] for n in range(len(contexts))]

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


def as_lm(policy: Policy, columns: int, rows: int, encodings: Encodings) -> PolicyLM:
    """columns: tokens that go through the model at a time when scoring; rows: responses generated at a time.

    encodings: filled with what has been encoded, for the next player of the same run.
    """
    model = PolicyLM(
        pretrained=policy.model, tokenizer=policy.tokenizer, backend="causal", batch_size=rows, max_length=policy.context
    )
    model.policy, model.columns, model.encodings = policy, columns, encodings
    return model
