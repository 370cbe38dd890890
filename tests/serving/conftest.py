"""A small real HTTP server that streams completions with delays it keeps at least."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import pytest


@dataclass(kw_only=True)
class Behaviour:
    """What the server does; times in seconds."""

    first_token_s: float = 0.02
    token_interval_s: float = 0.005
    hold_until: int = 0
    """Nobody is answered before so many requests have come."""
    refuse_every: int = 0
    """Every n-th request gets status 503 at once; 0 for none."""
    cut_every: int = 0
    """Every n-th stream ends after its first token; 0 for none."""
    empty_first: bool = False
    """Send a chunk without text before the first token, as servers do for partial characters."""
    tokens: dict[str, tuple[list[int], list[int]]] = field(default_factory=dict)
    """By prompt: its token ids and those of the answer, for requests that are not streamed."""
    seen: list[dict[str, object]] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when nobody is held any more."""


@dataclass(frozen=True, kw_only=True)
class Running:
    """A server that runs."""

    url: str
    behaviour: Behaviour


async def _answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, behaviour: Behaviour
) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = next(
        int(line.split(":")[1])
        for line in head.splitlines()
        if line.lower().startswith("content-length")
    )
    body = json.loads(await reader.readexactly(length))
    behaviour.seen.append(body)
    number = len(behaviour.seen)
    if number >= behaviour.hold_until:
        behaviour.released.set()
    await behaviour.released.wait()
    if not body.get("stream"):
        prompt_ids, token_ids = behaviour.tokens[body["prompt"]]
        choice = {"prompt_token_ids": prompt_ids, "token_ids": token_ids}
        text = json.dumps({"choices": [choice]})
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
        writer.write((head + text).encode())
    elif behaviour.refuse_every and number % behaviour.refuse_every == 0:
        writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    else:
        due = time.perf_counter() + behaviour.first_token_s
        cut = bool(behaviour.cut_every) and number % behaviour.cut_every == 0
        await _stream(writer, behaviour, body, due, cut)
    await writer.drain()
    writer.close()


async def _stream(
    writer: asyncio.StreamWriter,
    behaviour: Behaviour,
    body: dict[str, object],
    due: float,
    cut: bool,
) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
    count = int(str(body["max_tokens"]))
    if behaviour.empty_first:
        writer.write(_event({"choices": [{"text": "", "finish_reason": None}]}))
        await writer.drain()
    for index in range(1 if cut else count):
        await asyncio.sleep(due + index * behaviour.token_interval_s - time.perf_counter())
        reason = "length" if index == count - 1 else None
        writer.write(_event({"choices": [{"text": "x", "finish_reason": reason}]}))
        await writer.drain()
    if not cut:
        writer.write(
            _event({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": count}})
        )
        writer.write(b"data: [DONE]\n\n")


def _event(value: object) -> bytes:
    return f"data: {json.dumps(value)}\n\n".encode()


@contextmanager
def _endpoint(**settings: object) -> Iterator[Running]:
    behaviour = Behaviour(**settings)  # type: ignore[arg-type]
    loop = asyncio.new_event_loop()
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await _answer(reader, writer, behaviour)

    server = loop.run_until_complete(asyncio.start_server(handle, "127.0.0.1", 0, backlog=512))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield Running(
            url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", behaviour=behaviour
        )
    finally:

        async def close() -> None:
            server.close()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(close(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="session")
def endpoint() -> Callable[..., AbstractContextManager[Running]]:
    """A function that starts a server whose `Behaviour` has the given settings, for a `with`
    block.
    """
    return _endpoint
