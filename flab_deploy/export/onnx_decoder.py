"""A decoder run by ONNX Runtime, with its key-value cache. Shapes: T tokens, V vocabulary."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from flab_deploy.errors import ExportError, first_line

_PAST, _PRESENT = "past_key_values.", "present."
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class OnnxDecoder:
    """A causal model in optimum's format: ids, mask, positions and cache in; logits and cache out."""

    def __init__(self, path: Path, num_threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime raises types that it does not export
            raise ExportError(
                f"ONNX Runtime {onnxruntime.__version__} cannot open {path.name} ({first_line(error)})"
            ) from None
        self._inputs = {entry.name for entry in self._session.get_inputs()}
        self._outputs = [entry.name for entry in self._session.get_outputs()]
        self._empty = {
            entry.name: np.zeros(_empty_shape(entry.shape), dtype=_TYPES[entry.type])
            for entry in self._session.get_inputs()
            if entry.name.startswith(_PAST)
        }

    def logits(self, ids: list[int]) -> NDArray[np.float32]:
        """Logits (T, V) after each of the ids (T,)."""
        return self._step(ids, 0, self._empty)[0]

    def greedy(self, ids: list[int], num_new_tokens: int) -> list[int]:
        """The `num_new_tokens` most probable continuations one after the other, through the cache."""
        logits, cache = self._step(ids, 0, self._empty)
        generated = [int(logits[-1].argmax())]
        while len(generated) < num_new_tokens:
            logits, cache = self._step(generated[-1:], len(ids) + len(generated) - 1, cache)
            generated.append(int(logits[-1].argmax()))
        return generated

    def _step(
        self, ids: list[int], num_past: int, cache: dict[str, NDArray[np.float32]]
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        total = num_past + len(ids)
        feeds: dict[str, NDArray[np.int64] | NDArray[np.float32]] = {
            "input_ids": np.array([ids], dtype=np.int64),
            "attention_mask": np.ones((1, total), dtype=np.int64),
            "position_ids": np.arange(num_past, total, dtype=np.int64)[None],
        }
        present = {name: value for name, value in feeds.items() if name in self._inputs}
        values = dict(zip(self._outputs, self._session.run(None, {**present, **cache}), strict=True))
        following = {_PAST + name.removeprefix(_PRESENT): v for name, v in values.items() if name.startswith(_PRESENT)}
        return values["logits"][0].astype(np.float32, copy=False), following


def _empty_shape(shape: list[int | str]) -> list[int]:
    """Batch of one, no tokens, and the sizes that the graph fixes."""
    return [size if isinstance(size, int) else int(axis == 0) for axis, size in enumerate(shape)]
