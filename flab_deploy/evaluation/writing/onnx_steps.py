"""An ONNX decoder that continues many rows at once.

Shapes: B rows, T tokens, V vocabulary.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from flab_deploy.artifacts import read_json
from flab_deploy.decoder.onnx_graph import OnnxGraph
from flab_deploy.errors import ConfigError
from flab_deploy.evaluation.writing.completion import NO_LIMIT


class OnnxSteps:
    """The decoder's state between the steps of one batch: ids, mask, positions and cache."""

    def __init__(self, folder: Path) -> None:
        path = folder / "model.onnx"
        if not path.is_file():
            raise ConfigError(f"no model.onnx in {folder}; give the onnx directory of an export")
        self._graph = OnnxGraph(path, len(os.sched_getaffinity(0)))
        config = read_json(folder / "config.json")
        assert isinstance(config, dict)
        self.device = torch.device("cpu")
        self.vocab_size = int(str(config["vocab_size"]))
        self.context = int(str(config.get("max_position_embeddings") or NO_LIMIT))
        end = config.get("eos_token_id")
        self.end_ids = [i for i in (end if isinstance(end, list) else [end]) if isinstance(i, int)]
        self.bytes_per_token = self._graph.bytes_per_token

    def start(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Begin a batch; logits (B, V) after each prompt."""
        longest = max(len(ids) for ids in prompts)
        ids = np.array([[0] * (longest - len(row)) + list(row) for row in prompts], dtype=np.int64)
        self.mask = np.array(
            [[0] * (longest - len(row)) + [1] * len(row) for row in prompts], dtype=np.int64
        )
        self._cache = self._graph.empty_cache(len(prompts))
        positions = np.maximum(self.mask.cumsum(axis=1) - 1, 0)
        self.positions = positions[:, -1:]
        return self._step(ids, positions)

    def next(self, tokens: Tensor) -> Tensor:
        """Logits (B, V) after one more token (B,) per row."""
        self.positions = self.positions + 1
        self.mask = np.concatenate([self.mask, np.ones((len(tokens), 1), dtype=np.int64)], axis=1)
        return self._step(tokens.numpy()[:, None].astype(np.int64), self.positions)

    def _step(self, ids: np.ndarray, positions: np.ndarray) -> Tensor:
        logits, self._cache = self._graph.step(ids, self.mask, positions, self._cache)
        return torch.from_numpy(np.ascontiguousarray(logits[:, -1]))

    def keep(self, rows: Tensor) -> None:
        """Drop all other rows, and padding that none of the remaining ones needs."""
        index = rows.numpy()
        mask = self.mask[index]
        first = int(mask.argmax(axis=1).min())
        self.mask, self.positions = mask[:, first:], self.positions[index]
        self._cache = {
            name: np.ascontiguousarray(v[index, :, first:]) for name, v in self._cache.items()
        }
