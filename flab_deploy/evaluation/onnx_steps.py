"""An ONNX decoder that continues many rows at once: optimum's format, run by ONNX Runtime.

Shapes: B rows, T tokens, V vocabulary.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from flab_deploy.artifacts import read_json
from flab_deploy.errors import ConfigError, UnsupportedModel, first_line
from flab_deploy.evaluation.completion import NO_LIMIT

_PAST, _PRESENT = "past_key_values.", "present."
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class OnnxSteps:
    """The decoder's state between the steps of one batch: ids, mask, positions and cache in; logits and cache out."""

    def __init__(self, folder: Path) -> None:
        path = folder / "model.onnx"
        if not path.is_file():
            raise ConfigError(f"no model.onnx in {folder}; give the onnx directory of an export")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = len(os.sched_getaffinity(0))
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime raises types that it does not export
            raise UnsupportedModel(
                f"ONNX Runtime {onnxruntime.__version__} cannot open {path} ({first_line(error)})"
            ) from None
        given = self._session.get_inputs()
        self._inputs = {entry.name for entry in given}
        self._past = {entry.name: entry for entry in given if entry.name.startswith(_PAST)}
        if not self._past or not {"input_ids", "attention_mask"} <= self._inputs:
            raise UnsupportedModel(f"{path} has inputs {sorted(self._inputs)[:4]}; export it with its key-value cache")
        self._outputs = [entry.name for entry in self._session.get_outputs()]
        config = read_json(folder / "config.json")
        assert isinstance(config, dict)
        self.device = torch.device("cpu")
        self.vocab_size = int(str(config["vocab_size"]))
        self.context = int(str(config.get("max_position_embeddings") or NO_LIMIT))
        end = config.get("eos_token_id")
        self.end_ids = [i for i in (end if isinstance(end, list) else [end]) if isinstance(i, int)]
        sizes = [
            entry.shape[1] * entry.shape[3] * np.dtype(_TYPES[entry.type]).itemsize for entry in self._past.values()
        ]
        self.bytes_per_token = sum(sizes)

    def start(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Begin a batch; logits (B, V) after each prompt."""
        longest = max(len(ids) for ids in prompts)
        ids = np.array([[0] * (longest - len(row)) + list(row) for row in prompts], dtype=np.int64)
        self.mask = np.array([[0] * (longest - len(row)) + [1] * len(row) for row in prompts], dtype=np.int64)
        self._cache = {
            name: np.zeros((len(prompts), entry.shape[1], 0, entry.shape[3]), dtype=_TYPES[entry.type])
            for name, entry in self._past.items()
        }
        positions = np.maximum(self.mask.cumsum(axis=1) - 1, 0)
        self.positions = positions[:, -1:]
        return self._step(ids, positions)

    def next(self, tokens: Tensor) -> Tensor:
        """Logits (B, V) after one more token (B,) per row."""
        self.positions = self.positions + 1
        self.mask = np.concatenate([self.mask, np.ones((len(tokens), 1), dtype=np.int64)], axis=1)
        return self._step(tokens.numpy()[:, None].astype(np.int64), self.positions)

    def _step(self, ids: np.ndarray, positions: np.ndarray) -> Tensor:
        feeds = {"input_ids": ids, "attention_mask": self.mask, "position_ids": positions}
        present = {name: value for name, value in feeds.items() if name in self._inputs}
        values = dict(zip(self._outputs, self._session.run(None, {**present, **self._cache}), strict=True))
        self._cache = {_PAST + k.removeprefix(_PRESENT): v for k, v in values.items() if k.startswith(_PRESENT)}
        return torch.from_numpy(np.ascontiguousarray(values["logits"][:, -1]))

    def keep(self, rows: Tensor) -> None:
        """Drop all other rows, and padding that none of the remaining ones needs."""
        index = rows.numpy()
        mask = self.mask[index]
        first = int(mask.argmax(axis=1).min())
        self.mask, self.positions = mask[:, first:], self.positions[index]
        self._cache = {name: np.ascontiguousarray(v[index, :, first:]) for name, v in self._cache.items()}
