"""What a vLLM server itself counted, from its `/metrics` page."""

from __future__ import annotations

import re
from collections.abc import Mapping

import httpx

from flab_deploy.errors import ServingError
from flab_deploy.records.bench import ServerMetrics

COUNTERS = ("request_success_total", "prompt_tokens_total", "generation_tokens_total")
_SAMPLE = re.compile(r"^vllm:(\w+)(?:\{[^}]*\})? (\S+)$", re.MULTILINE)


def read_counters(text: str) -> dict[str, float]:
    """Value of each of `COUNTERS` in a Prometheus page, summed over labels; absent counters are
    left out.
    """
    found: dict[str, float] = {}
    for name, value in _SAMPLE.findall(text):
        if name in COUNTERS:
            found[name] = found.get(name, 0.0) + float(value)
    return found


def scrape(url: str) -> dict[str, float]:
    """The server's counters now. Raises ServingError if they cannot be read."""
    try:
        answer = httpx.get(f"{url}/metrics", timeout=30, trust_env=False).raise_for_status()
    except httpx.HTTPError as error:
        raise ServingError(
            f"cannot read {url}/metrics ({error}); is the server still running?"
        ) from None
    return read_counters(answer.text)


def counted(
    before: Mapping[str, float], after: Mapping[str, float], *, requests_sent: int
) -> ServerMetrics:
    """How far each counter moved while `requests_sent` were sent; None for one that the server does
    not have.
    """
    moved = {
        name: round(after[name] - before.get(name, 0.0)) if name in after else None
        for name in COUNTERS
    }
    return ServerMetrics(
        request_success_total=moved["request_success_total"],
        prompt_tokens_total=moved["prompt_tokens_total"],
        generation_tokens_total=moved["generation_tokens_total"],
        requests_sent=requests_sent,
    )
