"""An open-loop load: arrivals are drawn before the run and nobody waits for anybody.

Latency counts from the scheduled time, so a server that stalls is charged for everyone who
would have arrived meanwhile, and a generator that lags invalidates its own run.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from random import Random

import httpx

from flab_deploy.artifacts import json_digest
from flab_deploy.errors import ConfigError
from flab_deploy.records.bench import Outcome, PlannedRequest

_LEAD_S = 0.1
"""Time to set up every request before the first is due."""


@dataclass(frozen=True, kw_only=True)
class LoadPlan:
    """Requests in order of their scheduled times."""

    requests: tuple[PlannedRequest, ...]
    """At least one."""
    request_rate: float
    """Mean arrivals per second; infinite if all are due at once."""
    seed: int
    """Of every draw."""

    @property
    def digest(self) -> str:
        """SHA-256 over every request."""
        return json_digest([asdict(request) for request in self.requests])

    @property
    def duration_s(self) -> float:
        """Scheduled time of the last request."""
        return self.requests[-1].at_s


def draw_plan(
    prompts: Sequence[str],
    *,
    request_rate: float,
    num_requests: int,
    output_tokens: tuple[int, int],
    seed: int,
) -> LoadPlan:
    """Poisson arrivals at `request_rate` per second with prompts and output lengths (inclusive
    bounds), all seeded.

    Raises ConfigError for no prompts, a rate that is not positive, no requests or empty lengths.
    """
    low, high = output_tokens
    if not prompts or request_rate <= 0 or num_requests < 1 or not 1 <= low <= high:
        raise ConfigError(
            f"no load from {len(prompts)} prompts, {num_requests} requests at {request_rate}/s "
            f"with {low} to {high} output tokens; each must be at least 1 and the rate positive"
        )
    arrivals, words, lengths = (
        Random(f"{seed}|{part}") for part in ("arrivals", "prompts", "lengths")
    )
    requests, now = [], 0.0
    for index in range(num_requests):
        now += arrivals.expovariate(request_rate) if request_rate != float("inf") else 0.0
        salt = hashlib.sha256(f"{seed}|{index}".encode()).hexdigest()[:8]
        prompt = f"# {salt}\n{words.choice(prompts)}"
        tokens = lengths.randint(low, high)
        requests.append(
            PlannedRequest(index=index, at_s=round(now, 6), prompt=prompt, output_tokens=tokens)
        )
    return LoadPlan(requests=tuple(requests), request_rate=request_rate, seed=seed)


def run_load(
    url: str,
    model: str,
    headers: dict[str, str],
    requests: Sequence[PlannedRequest],
    *,
    timeout_s: float = 60.0,
) -> list[Outcome]:
    """Send each request at its time to `URL/v1/completions`, streaming; outcomes in the order of
    the requests.

    A request that is refused, cut off or not done `timeout_s` after it was sent is a failed
    outcome, not an error.
    """
    return asyncio.run(_with_client(url, model, headers, requests, timeout_s))


async def _with_client(
    url: str,
    model: str,
    headers: dict[str, str],
    requests: Sequence[PlannedRequest],
    timeout_s: float,
) -> list[Outcome]:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
    timeout = httpx.Timeout(timeout_s, pool=None)
    client = httpx.AsyncClient(
        base_url=url, headers=headers, limits=limits, timeout=timeout, trust_env=False
    )
    async with client:
        return await send_all(client, model, requests, timeout_s)


async def send_all(
    client: httpx.AsyncClient, model: str, requests: Sequence[PlannedRequest], timeout_s: float
) -> list[Outcome]:
    """As `run_load`, with the given client; all times are read from the event loop's clock."""
    started = asyncio.get_running_loop().time() + _LEAD_S
    sends = [_send_at(client, model, request, started, timeout_s) for request in requests]
    return list(await asyncio.gather(*sends))


@dataclass
class _Progress:
    """What is known of a stream so far."""

    first_s: float | None = None
    last_s: float | None = None
    prompt_tokens: int = 0
    output_tokens: int = 0
    finished: bool = False


async def _send_at(
    client: httpx.AsyncClient, model: str, request: PlannedRequest, started: float, timeout_s: float
) -> Outcome:
    now = asyncio.get_running_loop().time
    await asyncio.sleep(started + request.at_s - now())
    sent_s, seen, error = now() - started, _Progress(), ""
    try:
        async with asyncio.timeout(timeout_s):
            error = await _stream(client, _body(model, request), started, seen)
    except TimeoutError:
        error = f"not done after {timeout_s:g} s"
    except (httpx.HTTPError, ValueError) as failure:
        error = type(failure).__name__
    return Outcome(
        index=request.index,
        scheduled_s=request.at_s,
        sent_s=sent_s,
        first_s=seen.first_s,
        last_s=seen.last_s,
        prompt_tokens=seen.prompt_tokens,
        output_tokens=seen.output_tokens,
        error=error,
    )


def _body(model: str, request: PlannedRequest) -> dict[str, object]:
    return {
        "model": model,
        "prompt": request.prompt,
        "max_tokens": request.output_tokens,
        "temperature": 0.0,
        "ignore_eos": True,
        "repetition_penalty": 1.0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def _stream(
    client: httpx.AsyncClient, body: dict[str, object], started: float, seen: _Progress
) -> str:
    """Read one answer into `seen`; the reason if it is not whole."""
    now = asyncio.get_running_loop().time
    async with client.stream("POST", "/v1/completions", json=body) as response:
        if response.status_code != 200:
            return f"status {response.status_code}"
        async for line in response.aiter_lines():
            if line.startswith("data: ") and line != "data: [DONE]":
                _read_chunk(json.loads(line[6:]), now() - started, seen)
    if not seen.finished:
        return "cut off"
    return "" if seen.output_tokens and seen.first_s is not None else "no text or no token counts"


def _read_chunk(chunk: dict[str, object], now_s: float, seen: _Progress) -> None:
    choices, usage = chunk.get("choices"), chunk.get("usage")
    if isinstance(choices, list) and choices:
        if choices[0].get("text") and seen.first_s is None:
            seen.first_s = now_s
        seen.last_s = now_s
        seen.finished = seen.finished or choices[0].get("finish_reason") is not None
    if isinstance(usage, dict):
        seen.prompt_tokens = int(usage.get("prompt_tokens", 0))
        seen.output_tokens = int(usage.get("completion_tokens", 0))
