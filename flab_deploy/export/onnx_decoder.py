"""One row at a time through an exported ONNX decoder. Shapes: T tokens, V vocabulary."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flab_deploy.decoder.onnx_graph import Cache, OnnxGraph
from flab_deploy.errors import ExportError, UnsupportedModel


class OnnxDecoder:
    """A causal model in optimum's format."""

    def __init__(self, path: Path, num_threads: int) -> None:
        """Raises ExportError if what the exporter wrote does not open."""
        try:
            self._graph = OnnxGraph(path, num_threads)
        except UnsupportedModel as error:
            raise ExportError(str(error)) from None

    def logits(self, ids: list[int]) -> NDArray[np.float32]:
        """Logits (T, V) after each of the ids (T,)."""
        return self._step(ids, 0, self._graph.empty_cache(1))[0]

    def greedy(self, ids: list[int], num_new_tokens: int) -> list[int]:
        """The `num_new_tokens` most probable continuations one after the other, through the
        cache.
        """
        logits, cache = self._step(ids, 0, self._graph.empty_cache(1))
        generated = [int(logits[-1].argmax())]
        while len(generated) < num_new_tokens:
            logits, cache = self._step(generated[-1:], len(ids) + len(generated) - 1, cache)
            generated.append(int(logits[-1].argmax()))
        return generated

    def _step(
        self, ids: list[int], num_past: int, cache: Cache
    ) -> tuple[NDArray[np.float32], Cache]:
        total = num_past + len(ids)
        mask, positions = (
            np.ones((1, total), dtype=np.int64),
            np.arange(num_past, total, dtype=np.int64)[None],
        )
        logits, following = self._graph.step(
            np.array([ids], dtype=np.int64), mask, positions, cache
        )
        return logits[0].astype(np.float32, copy=False), following
