"""The judge's endpoint: its address, a ping, and one chat request at a time. The only file that imports openai.

openai's client retries requests that fail transiently (429, 5xx, no connection, no answer in time) with a delay; a request that
fails after that is an EvaluationError. The key is read from the environment when it is needed, sent, and removed from every text
that is received, so that it gets into no file and no message; addresses that hold a name, a password or a query are an error.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from harness.config import EvaluationConfig
from harness.errors import EvaluationError, UserError
from harness.loop.judge_settings import JudgeSettings
from harness.sources.offline import network_allowed

INSTALL_COMMAND = 'pip install "selfplay-harness[judge]"'
DUMMY_KEY = "none"  # openai's client requires a key; without this it would send that of OPENAI_API_KEY to any endpoint
PING_TIMEOUT_SECONDS, PING_RETRIES = 60.0, 2  # upper limits for the ping
MAX_QUOTED_CHARS = 200  # characters of a response that an error quotes


def resolve_judge(settings: JudgeSettings, evaluation: EvaluationConfig) -> JudgeSettings:
    """The suite's settings with the judge that the run names. A suite's key is sent to the suite's own endpoint only."""
    own_key = None if evaluation.judge_endpoint else settings.key_env
    overrides = {
        "endpoint": evaluation.judge_endpoint or settings.endpoint,
        "key_env": evaluation.judge_key_env or own_key,
        "model": evaluation.judge_model or settings.model,
    }
    return settings.model_copy(update=overrides)


def check_judge_settings(settings: JudgeSettings, suite: str) -> None:
    """Raises UserError when endpoint, model or key are not set or cannot be used. Quotes no address that may hold a secret."""
    if not settings.endpoint:
        raise UserError(
            f"suite {suite}: no judge is named; give any OpenAI-compatible server, for example "
            "--set evaluation.judge_endpoint=http://localhost:8000/v1 --set evaluation.judge_model=NAME"
        )
    shown_endpoint = "" if set("@?#") & set(settings.endpoint) else f"={settings.endpoint}"
    try:
        parts = urlsplit(settings.endpoint)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable, parts = False, urlsplit("")
    if parts.username or parts.password or parts.query or parts.fragment or (usable and not shown_endpoint):
        raise UserError(
            "evaluation.judge_endpoint: the address holds a name, a password or a query, which would be recorded; give it "
            "without, put the key into an environment variable and name that with --set evaluation.judge_key_env=VARIABLE"
        )
    if not usable:
        raise UserError(f"evaluation.judge_endpoint{shown_endpoint}: expected an address such as http://localhost:8000/v1")
    if not settings.model:
        raise UserError(f"suite {suite}: no judge's model is named; add --set evaluation.judge_model=NAME")
    if settings.key_env is not None and not os.environ.get(settings.key_env):
        # not quoted: it may be the key itself, put here by mistake
        raise UserError(
            "evaluation.judge_key_env (or the suite's key_env): no variable of this name is set in the environment; set it, "
            "for example: export JUDGE_KEY=..., then --set evaluation.judge_key_env=JUDGE_KEY"
        )


class Endpoint:
    """One judge behind its address. Safe to share between threads."""

    def __init__(self, settings: JudgeSettings) -> None:
        assert settings.endpoint and settings.model
        self.settings = settings
        self.host = urlsplit(settings.endpoint).hostname or ""  # without the port: a server on another one is the same judge
        self.model = settings.model
        self.name = f"judge {self.model} at {self.host}"

    def request(self, messages: Sequence[dict[str, str]]) -> dict[str, Any]:
        """The body of a chat request: everything that the reply depends on."""
        return {
            "model": self.model,
            "messages": list(messages),
            "temperature": self.settings.temperature,
            "max_tokens": self.settings.max_tokens,
        }

    def reply(self, messages: Sequence[dict[str, str]]) -> str:
        """The judge's next message. Raises EvaluationError when there is none after all retries."""
        return self._send(self._client, self.request(messages))

    def ping(self) -> None:
        """One tiny request. Raises UserError when openai is not installed, or the judge cannot be reached or refuses."""
        if importlib.util.find_spec("openai") is None:
            raise UserError(f"{self.name}: needs the package openai; install it with: {INSTALL_COMMAND}")
        timeout = min(PING_TIMEOUT_SECONDS, self.settings.timeout_seconds)
        client = self._client.with_options(timeout=timeout, max_retries=min(PING_RETRIES, self.settings.retries))
        ping_request = {**self.request([{"role": "user", "content": "Say 1."}]), "max_tokens": 1}
        try:
            self._send(client, ping_request)
        except EvaluationError as error:
            raise UserError(f"{self.name}: {error}; check evaluation.judge_endpoint, judge_model and judge_key_env") from None

    def _send(self, client: Any, request: dict[str, Any]) -> str:
        import openai

        try:
            with network_allowed():
                completion = client.chat.completions.create(**request)
            choices = getattr(completion, "choices", None)
            if not choices:
                raise EvaluationError(f"its response is not a chat completion: {self._clean(str(completion))!r}")
            return self._without_key(getattr(choices[0].message, "content", None) or "")
        except openai.APITimeoutError:
            message = f"no answer within {client.timeout:g} s, {client.max_retries + 1} times"
        except openai.APIConnectionError as error:
            message = f"no connection, {client.max_retries + 1} times ({self._clean(str(error.__cause__ or error))})"
        except openai.APIStatusError as error:
            message = f"HTTP {error.status_code}: {self._clean(error.message)}"
        except (openai.OpenAIError, ValueError) as error:  # a body that is not JSON, or not of the expected shape
            message = f"its answer cannot be read ({self._clean(str(error))})"
        raise EvaluationError(message)

    @cached_property
    def _client(self) -> Any:
        import openai

        return openai.OpenAI(
            api_key=self._key or DUMMY_KEY,
            base_url=self.settings.endpoint,
            timeout=self.settings.timeout_seconds,
            max_retries=self.settings.retries,
        )

    @property
    def _key(self) -> str:
        return os.environ.get(self.settings.key_env, "") if self.settings.key_env else ""

    def _clean(self, text: str) -> str:
        return " ".join(self._without_key(text).split())[:MAX_QUOTED_CHARS]

    def _without_key(self, text: str) -> str:
        """Servers may quote the request, above all in errors."""
        return text.replace(self._key, "(key)") if self._key else text
