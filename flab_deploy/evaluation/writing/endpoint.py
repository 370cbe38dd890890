"""A model behind a server that speaks OpenAI's completions API, as vLLM does; prompts go out as
token ids.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import httpx

from flab_deploy.errors import ConfigError, ServingError
from flab_deploy.evaluation.writing.completion import Completion, GenerateConfig, OnDone, Request
from flab_deploy.evaluation.writing.trim import STOPS

KEY_VARIABLE = "FLAB_API_KEY"
_MOST_AT_ONCE = 64
_MOST_STOPS = 4
_RETRIES = 3
_TIMEOUT = httpx.Timeout(600.0, connect=10.0)


class EndpointClient:
    """A server, and which of its models is asked."""

    def __init__(self, url: str, model: str = "") -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(
                f"endpoint {url!r} is no URL; give the base such as http://127.0.0.1:8000/v1"
            )
        self.url = url.rstrip("/")
        key = os.environ.get(KEY_VARIABLE)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        limits = httpx.Limits(
            max_connections=_MOST_AT_ONCE, max_keepalive_connections=_MOST_AT_ONCE
        )
        self._client = httpx.Client(headers=headers, timeout=_TIMEOUT, limits=limits)
        self.model = model or self._only_model()

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def _only_model(self) -> str:
        found = self._ask("GET", "/models", None).get("data")
        names = [str(entry.get("id")) for entry in found] if isinstance(found, list) else []
        if len(names) != 1:
            raise ConfigError(
                f"{self.url} serves {', '.join(names) or 'no model'}; name one with --served-model"
            )
        return names[0]

    def write(
        self,
        requests: Sequence[Request],
        config: GenerateConfig,
        known: Mapping[int, Completion] | None = None,
        on_done: OnDone | None = None,
    ) -> list[Completion]:
        """Completions in the order of `requests`; `known` and `on_done` as for a model in this
        process.

        Raises ServingError if the server cannot be reached or refuses; what was passed to `on_done`
        is not lost.
        """
        found = dict(known or {})
        todo = iter([i for i in range(len(requests)) if i not in found])
        width = min(config.batch_size, _MOST_AT_ONCE)
        with ThreadPoolExecutor(width) as pool:
            running: dict[Future[Completion], int] = {}
            try:
                while True:
                    while len(running) < width and (i := next(todo, None)) is not None:
                        running[pool.submit(self._complete, requests[i], config)] = i
                    if not running:
                        return [found[i] for i in range(len(requests))]
                    for done in wait(running, return_when=FIRST_COMPLETED).done:
                        i = running.pop(done)
                        found[i] = done.result()
                        if on_done:
                            on_done([i], [found[i]])
            finally:
                for future in running:
                    future.cancel()

    def _complete(self, request: Request, config: GenerateConfig) -> Completion:
        body: dict[str, Any] = {
            "model": self.model,
            "prompt": list(request.ids),
            "max_tokens": config.max_new_tokens,
            "n": 1,
            "temperature": config.temperature,
            "top_p": config.top_p,
            "stop": ["\n"] if config.stop_at_newline else list(STOPS[:_MOST_STOPS]),
            "seed": config.draws(request).getrandbits(31),
        }
        answer = self._ask("POST", "/completions", body)
        try:
            choice = answer["choices"][0]
            text, reason = str(choice["text"]), choice.get("finish_reason")
            num_tokens = int((answer.get("usage") or {}).get("completion_tokens", 0))
        except (KeyError, IndexError, TypeError, ValueError):
            raise ServingError(
                f"{self.url} gave an answer without choices: {str(answer)[:120]}"
            ) from None
        whole = text.encode("utf-8", "replace").decode()  # JSON can hold half of a character
        return Completion(text=whole, ids=(), truncated=reason == "length", num_tokens=num_tokens)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        for attempt in range(_RETRIES):
            try:
                response = self._client.request(method, self.url + path, json=body)
            except httpx.HTTPError as error:
                reason = str(error) or type(error).__name__
            else:
                if response.status_code < 400:
                    return _document(response, self.url)
                reason = f"HTTP {response.status_code}: {response.text[:160].strip()}"
                if response.status_code < 500 and response.status_code != 429:
                    break
            if attempt + 1 < _RETRIES:
                time.sleep(0.2 * 4**attempt)
        raise ServingError(
            f"the server at {self.url} does not answer ({reason}); run the same command again when "
            "it does, and it goes on where it stopped"
        )


def _document(response: httpx.Response, url: str) -> dict[str, Any]:
    try:
        found = response.json()
    except ValueError:
        raise ServingError(
            f"{url} answers with something other than JSON; is it an OpenAI-compatible server?"
        ) from None
    if not isinstance(found, dict):
        raise ServingError(
            f"{url} answers with {type(found).__name__}; is it an OpenAI-compatible server?"
        )
    return found
