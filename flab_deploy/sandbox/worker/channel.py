"""Length-prefixed messages over a stream, exact and capped."""

from __future__ import annotations

import os
import struct

from flab_deploy.sandbox.worker.values import BadEncoding


class Closed(Exception):
    """The other side has closed the stream, or ended."""


def send_frame(fd: int, data: bytes) -> None:
    """Write one message. Raises Closed if nobody can read it any more."""
    view = memoryview(struct.pack(">I", len(data)) + data)
    try:
        while view:
            view = view[os.write(fd, view) :]
    except (BrokenPipeError, ConnectionResetError):
        raise Closed from None


def receive_frame(fd: int, max_bytes: int) -> bytes:
    """Read one message, waiting for it. Raises Closed at the end of the stream, BadEncoding above
    `max_bytes`.
    """
    (size,) = struct.unpack(">I", _read_exactly(fd, 4))
    if size > max_bytes:
        raise BadEncoding(f"a message of {size} bytes, and {max_bytes} are allowed")
    return _read_exactly(fd, size)


def _read_exactly(fd: int, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        try:
            part = os.read(fd, min(size - len(data), 1 << 20))
        except ConnectionResetError:
            raise Closed from None
        if not part:
            raise Closed
        data += part
    return bytes(data)
