"""Cutting weight files as a stream: read, checked, selected, hashed and written a few megabytes at
a time.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from flab_deploy.artifacts import write_json
from flab_deploy.checkpoint import INDEX, WEIGHTS
from flab_deploy.errors import ArtifactError
from flab_deploy.pruning.cutting.tensors import ITEM_BYTES, FileCut, TensorCut

_CHUNK_BYTES = 16 << 20
# Chunks that are read ahead of the writer.
_NUM_BUFFERS = 3
# Rows shorter than this are gathered before they are written, longer ones are written from where
# they lie.
_SHORT_ROW_BYTES = 1024
_MOST_PIECES = 512
_FORMATS = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}
_UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}

Bytes = NDArray[np.uint8]


def write_weights(cuts: Sequence[FileCut], out: Path) -> dict[Path, str]:
    """Write the weight files, and their index if there are several, into `out`; the SHA-256 of each
    weight file.

    Raises ArtifactError, naming the tensor, for weights that are NaN or infinite.
    """
    names = [WEIGHTS]
    if len(cuts) > 1:
        names = [
            f"model-{number:05d}-of-{len(cuts):05d}.safetensors"
            for number in range(1, len(cuts) + 1)
        ]
    digests = {
        out / name: _write_file(cut, out / name) for cut, name in zip(cuts, names, strict=True)
    }
    if len(cuts) > 1:
        places = {
            tensor.name: name
            for cut, name in zip(cuts, names, strict=True)
            for tensor in cut.tensors
        }
        total = sum(tensor.num_bytes for cut in cuts for tensor in cut.tensors)
        write_json(
            out / INDEX,
            {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))},
        )
    return digests


def _header(tensors: Sequence[TensorCut]) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in tensors:
        start, end = end, end + tensor.num_bytes
        entries[tensor.name] = {
            "dtype": tensor.source.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


class _Sink:
    """Writes and hashes, each in order on a thread of its own, while the next chunk is read."""

    def __init__(
        self, descriptor: int, writer: ThreadPoolExecutor, hasher: ThreadPoolExecutor
    ) -> None:
        self._descriptor, self._writer, self._hasher = descriptor, writer, hasher
        self.digest = hashlib.sha256()
        self._pending: list[tuple[Future[None], Future[None]]] = []

    def put(self, pieces: Sequence[Bytes]) -> None:
        """Queue `pieces`; returns once at most all buffers but one are in use."""
        self._pending.append(
            (self._hasher.submit(self._hash, pieces), self._writer.submit(self._write, pieces))
        )
        while len(self._pending) >= _NUM_BUFFERS:
            self._wait()

    def finish(self) -> None:
        """Wait for everything queued."""
        while self._pending:
            self._wait()

    def _wait(self) -> None:
        for future in self._pending.pop(0):
            future.result()

    def _hash(self, pieces: Sequence[Bytes]) -> None:
        for piece in pieces:
            self.digest.update(piece.data)

    def _write(self, pieces: Sequence[Bytes]) -> None:
        for at in range(0, len(pieces), _MOST_PIECES):
            _write_all(self._descriptor, [piece.data for piece in pieces[at : at + _MOST_PIECES]])


def _write_all(descriptor: int, pieces: list[memoryview]) -> None:
    written = os.writev(descriptor, pieces)
    for piece in pieces:
        rest = piece[min(written, piece.nbytes) :]
        written -= piece.nbytes - rest.nbytes
        while rest:
            rest = rest[os.write(descriptor, rest) :]


def _write_file(cut: FileCut, target: Path) -> str:
    longest = max(_row_bytes(tensor) for tensor in cut.tensors)
    buffers = [np.empty(max(_CHUNK_BYTES, longest), dtype=np.uint8) for _ in range(_NUM_BUFFERS)]
    turn = 0
    with (
        ThreadPoolExecutor(1) as writer,
        ThreadPoolExecutor(1) as hasher,
        cut.source.open("rb", buffering=0) as source,
        target.open("wb", buffering=0) as stream,
    ):
        sink = _Sink(stream.fileno(), writer, hasher)
        sink.put([np.frombuffer(_header(cut.tensors), dtype=np.uint8)])
        for tensor in cut.tensors:
            for first, last in _row_ranges(tensor):
                row_bytes = _row_bytes(tensor)
                chunk = buffers[turn][: (last - first) * row_bytes]
                _read(source.fileno(), chunk, tensor.source.offset + first * row_bytes, cut.source)
                _check_finite(tensor, chunk, cut.source)
                pieces = _select(tensor, chunk, first, last)
                sink.put(
                    pieces if tensor.factor == 1 else [_scaled(tensor, piece) for piece in pieces]
                )
                turn = (turn + 1) % _NUM_BUFFERS
        sink.finish()
    return sink.digest.hexdigest()


def _rows(tensor: TensorCut) -> int:
    return tensor.source.shape[0] if tensor.source.shape else 1


def _row_bytes(tensor: TensorCut) -> int:
    return tensor.source.num_bytes // max(_rows(tensor), 1)


def _row_ranges(tensor: TensorCut) -> Iterator[tuple[int, int]]:
    step = max(_CHUNK_BYTES // max(_row_bytes(tensor), 1), 1)
    for first in range(0, _rows(tensor), step):
        yield first, min(first + step, _rows(tensor))


def _read(descriptor: int, chunk: Bytes, offset: int, file: Path) -> None:
    view = chunk.data
    while view:
        count = os.preadv(descriptor, [view], offset)
        if count == 0:
            raise ArtifactError(
                f"{file} became shorter while it was read; apply the plan to a file at rest"
            )
        view, offset = view[count:], offset + count


def _check_finite(tensor: TensorCut, chunk: Bytes, file: Path) -> None:
    if tensor.is_buffer or not chunk.size:
        return
    weights = torch.from_numpy(chunk).view(_FORMATS[tensor.source.dtype])
    if weights.element_size() == 1:
        weights = weights.float()
    # One sum reads faster than a test of every weight; it can overflow by itself, so only its
    # failure is looked into.
    if not torch.isfinite(weights.sum()) and not torch.isfinite(weights).all():
        raise ArtifactError(
            f"{file}: {tensor.source.name} holds NaN or infinite weights; give an intact checkpoint"
        )


def _scaled(tensor: TensorCut, piece: Bytes) -> Bytes:
    stored = torch.from_numpy(piece).view(_FORMATS[tensor.source.dtype])
    exact = stored if stored.dtype == torch.float64 else stored.float()
    scaled: Bytes = (exact * tensor.factor).to(stored.dtype).view(torch.uint8).numpy()
    return scaled


def _select(tensor: TensorCut, chunk: Bytes, first: int, last: int) -> list[Bytes]:
    """What stays of the rows `first` to `last` that `chunk` holds, in order."""
    if tensor.keep is None:
        return [chunk]
    if tensor.axis == 1:
        item = _UNSIGNED[ITEM_BYTES[tensor.source.dtype]]
        columns = chunk.view(item).reshape(last - first, -1, tensor.span)
        taken = np.take(columns, tensor.keep, axis=1, mode="clip")
        return [taken.reshape(-1).view(np.uint8)]
    rows = (tensor.keep[:, None] * tensor.span + np.arange(tensor.span)).ravel()
    rows = rows[np.searchsorted(rows, first) : np.searchsorted(rows, last)] - first
    row_bytes = _row_bytes(tensor)
    if row_bytes < _SHORT_ROW_BYTES:
        return [np.take(chunk.reshape(-1, row_bytes), rows, axis=0, mode="clip").reshape(-1)]
    ends = np.flatnonzero(np.diff(rows) != 1) + 1
    runs = zip([0, *ends.tolist()], [*ends.tolist(), len(rows)], strict=True)
    return [chunk[rows[a] * row_bytes : (rows[b - 1] + 1) * row_bytes] for a, b in runs if b > a]
