"""A decoder in optimum's ONNX format, run by ONNX Runtime: ids, mask, positions and cache in;
logits and cache out.

Shapes: B rows, T tokens, P tokens in the cache, V vocabulary.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from flab_deploy.errors import UnsupportedModel, first_line

Cache: TypeAlias = dict[str, NDArray[Any]]
"""Keys and values (B, heads, P, size) by the name of the input that takes them."""

_PAST, _PRESENT = "past_key_values.", "present."
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class OnnxGraph:
    """An open graph; it keeps no state between steps."""

    def __init__(self, path: Path, num_threads: int) -> None:
        """Raises UnsupportedModel if ONNX Runtime cannot open the file or its graph takes no
        key-value cache.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the runtime raises types that it does not export
            raise UnsupportedModel(
                f"ONNX Runtime {onnxruntime.__version__} cannot open {path} ({first_line(error)})"
            ) from None
        given = self._session.get_inputs()
        self._inputs = {entry.name for entry in given}
        self._outputs = [entry.name for entry in self._session.get_outputs()]
        self._past = {
            entry.name: (entry.shape[1], entry.shape[3], np.dtype(_TYPES[entry.type]))
            for entry in given
            if entry.name.startswith(_PAST)
        }
        if not self._past or not {"input_ids", "attention_mask"} <= self._inputs:
            raise UnsupportedModel(
                f"{path} has inputs {sorted(self._inputs)[:4]}; export it with its key-value cache"
            )

    @property
    def bytes_per_token(self) -> int:
        """What one token of one row takes in the cache."""
        return sum(heads * size * dtype.itemsize for heads, size, dtype in self._past.values())

    def empty_cache(self, rows: int) -> Cache:
        """The cache of `rows` rows before their first token."""
        return {
            name: np.zeros((rows, heads, 0, size), dtype)
            for name, (heads, size, dtype) in self._past.items()
        }

    def step(
        self,
        ids: NDArray[np.int64],
        mask: NDArray[np.int64],
        positions: NDArray[np.int64],
        cache: Cache,
    ) -> tuple[NDArray[Any], Cache]:
        """Logits (B, T, V) after `ids` (B, T) at `positions` (B, T), `mask` (B, P + T), and the
        cache with them in.
        """
        feeds = {"input_ids": ids, "attention_mask": mask, "position_ids": positions}
        taken = {name: value for name, value in feeds.items() if name in self._inputs}
        values = dict(zip(self._outputs, self._session.run(None, {**taken, **cache}), strict=True))
        following = {
            _PAST + name.removeprefix(_PRESENT): v
            for name, v in values.items()
            if name.startswith(_PRESENT)
        }
        return values["logits"], following
