"""A load on a server that exists in memory, by a clock that moves only where everybody waits.

So times are exact whatever the machine does meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import selectors
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import httpx

from flab_deploy.records.bench import Outcome, PlannedRequest
from serving.load import send_all


class _Selector(selectors.DefaultSelector):
    """Does not wait: where nothing is ready, the time that would have passed has passed."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(None if timeout is None else 0)
        if not ready and timeout:
            self.now_s += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is counted, not measured."""

    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now_s

    def halt(self, seconds: float) -> None:
        """Let time pass while nothing runs, as a busy machine does."""
        self._clock.now_s += seconds


@dataclass(frozen=True, kw_only=True)
class Server(httpx.AsyncBaseTransport):
    """Streams completions; times in seconds."""

    first_token_s: float
    token_interval_s: float = 0.0
    stall: tuple[float, float] = (0.0, 0.0)
    """Nobody is answered between these times of the event loop."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(await request.aread())
        return httpx.Response(200, stream=_Tokens(self, int(body["max_tokens"])))


class _Tokens(httpx.AsyncByteStream):
    def __init__(self, server: Server, count: int) -> None:
        self._server = server
        self._count = count

    async def __aiter__(self) -> AsyncIterator[bytes]:
        server, loop = self._server, asyncio.get_running_loop()
        begin, end = server.stall
        stalled_s = end - loop.time() if begin <= loop.time() < end else 0.0
        yield _event({"choices": [{"text": "", "finish_reason": None}]})  # part of a character
        await asyncio.sleep(stalled_s + server.first_token_s)
        for index in range(self._count):
            await asyncio.sleep(server.token_interval_s if index else 0.0)
            reason = "length" if index == self._count - 1 else None
            yield _event({"choices": [{"text": "x", "finish_reason": reason}]})
        usage = {"prompt_tokens": 7, "completion_tokens": self._count}
        yield _event({"choices": [], "usage": usage}) + b"data: [DONE]\n\n"


def _event(value: object) -> bytes:
    return f"data: {json.dumps(value)}\n\n".encode()


def loaded(
    server: Server,
    requests: Sequence[PlannedRequest],
    *,
    timeout_s: float = 60.0,
    halt: tuple[float, float] | None = None,
) -> list[Outcome]:
    """Outcomes of a load by the virtual clock; `halt` is when the client halts, and how long."""

    async def send() -> list[Outcome]:
        async with httpx.AsyncClient(transport=server, base_url="http://memory") as client:
            return await send_all(client, "m", requests, timeout_s)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        if halt is not None:
            assert isinstance(loop, VirtualLoop)
            loop.call_at(halt[0], loop.halt, halt[1])
        return runner.run(send())
