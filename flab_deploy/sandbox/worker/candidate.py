"""The process that runs the judged program: it loads the source and answers calls, and knows no
test.
"""

from __future__ import annotations

import builtins
import os
import sys
import types
from collections.abc import Callable
from typing import Any

from flab_deploy.sandbox.decide import OUT_OF_MEMORY_STATUS
from flab_deploy.sandbox.worker.channel import Closed, receive_frame, send_frame
from flab_deploy.sandbox.worker.raised import describe, rebuild
from flab_deploy.sandbox.worker.values import (
    Remote,
    TooLarge,
    UnsupportedValue,
    from_bytes,
    pack,
    to_bytes,
    unpack,
)

_MUTABLE = (list, dict, set, bytearray, tuple)


def run_candidate(fd: int, source: str, entry_point: str, max_bytes: int) -> None:
    """Load `source`, say how that went, then answer calls until the test process is gone. Never
    returns.
    """
    try:
        send_frame(fd, b"{}")  # confined, and nothing of the program has run
        namespace = _load(fd, source, entry_point, max_bytes)
        while namespace is not None:
            _answer(fd, namespace, max_bytes)
    except (Closed, OSError):
        pass
    except MemoryError:
        os._exit(OUT_OF_MEMORY_STATUS)
    finally:
        os._exit(0)  # no exit handlers: they belong to the program


def _load(fd: int, source: str, entry_point: str, max_bytes: int) -> dict[str, Any] | None:
    module = types.ModuleType("candidate")
    vars(builtins).update(exit=sys.exit, quit=sys.exit)  # as `site` would have it
    sys.modules["candidate"] = module
    try:
        exec(compile(source, "<candidate>", "exec", dont_inherit=True), module.__dict__)
        reply: dict[str, object] = {"ready": callable(module.__dict__.get(entry_point))}
    except BaseException as error:
        reply = describe(error)
    send_frame(fd, to_bytes(reply, max_bytes))
    return module.__dict__ if reply.get("ready") else None


def _answer(fd: int, namespace: dict[str, Any], max_bytes: int) -> None:
    request = from_bytes(receive_frame(fd, max_bytes + 4096))
    nonce = request["nonce"]

    def call_back(index: int, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        message = {"nonce": nonce, "call": index, "args": pack(list(args)), "kwargs": pack(kwargs)}
        send_frame(fd, to_bytes(message, max_bytes))
        return _value_of(from_bytes(receive_frame(fd, max_bytes + 4096)))

    function = namespace.get(request["function"])
    try:
        reply = to_bytes(
            {"nonce": nonce, **_call(function, request, lambda i: Remote(i, call_back))}, max_bytes
        )
    except UnsupportedValue as error:
        reply = to_bytes({"nonce": nonce, "unsupported": str(error)}, max_bytes)
    except TooLarge as error:
        reply = to_bytes({"nonce": nonce, "too_large": str(error)}, max_bytes)
    except BaseException as error:
        reply = to_bytes({"nonce": nonce, **describe(error)}, max_bytes)
    send_frame(fd, reply)


def _value_of(answer: dict[str, Any]) -> object:
    error = rebuild(answer)
    if error is not None:
        raise error
    return unpack(answer["value"])


def _call(
    function: Callable[..., object] | None,
    request: dict[str, Any],
    resolve: Callable[[int], object],
) -> dict[str, object]:
    if not callable(function):
        raise NameError(f"name {request['function']!r} is not a function of the program")
    args, kwargs = unpack(request["args"], resolve), unpack(request["kwargs"], resolve)
    reply: dict[str, object] = {}
    try:
        reply["value"] = pack(function(*args, **kwargs))
    except (UnsupportedValue, TooLarge):
        raise
    except BaseException as error:
        reply = describe(error)
    if any(isinstance(value, _MUTABLE) for value in (*args, *kwargs.values())):
        for key, value in (("args", args), ("kwargs", kwargs)):
            packed = pack(value)
            if packed != request[key]:
                reply[key] = packed
    return reply
