"""A PyTorch decoder that continues many rows at once, left-padded, with a key-value cache.

Shapes: B rows, T tokens, H key-value heads, D head size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from flab_deploy.evaluation.writing.completion import NO_LIMIT

_SPARE_TOKENS = 48
# A prompt pass over more rows at a time makes larger temporaries than caches hold, and is slower
# for it.
_ROWS_AT_ONCE, _TOKENS_AT_ONCE = 32, 4096


class SpareLayer(DynamicLayer):
    """A cache layer that writes new positions into spare room instead of copying all of it at every
    step.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._keys: Tensor | None = None
        self._values: Tensor | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Append (B, H, T, D) keys and values; returns views of all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        old_keys, old_values = cast("Tensor", self.keys), cast("Tensor", self.values)
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        if start == 0:  # the prompt: whoever joins these rows with others makes the room
            self.keys, self.values = key_states, value_states
            return key_states, value_states
        if self._keys is None or self._values is None or end > self._keys.shape[-2]:
            self._keys = self._roomier(old_keys, key_states, start, end)
            self._values = self._roomier(old_values, value_states, start, end)
        self._keys[:, :, start:end] = key_states
        self._values[:, :, start:end] = value_states
        self.keys, self.values = self._keys[:, :, :end], self._values[:, :, :end]
        return self.keys, self.values

    @staticmethod
    def _roomier(old: Tensor, new: Tensor, start: int, end: int) -> Tensor:
        rows, heads, _, size = new.shape
        room = new.new_empty(rows, heads, end + _SPARE_TOKENS, size)
        room[:, :, :start] = old
        return room

    @classmethod
    def joined(cls, parts: Sequence[SpareLayer], longest: int) -> SpareLayer:
        """One layer of all rows of the parts, padded on the left to `longest` positions."""
        layer = cls()
        first = cast("Tensor", parts[0].keys)
        layer.lazy_initialization(first, first)
        layer._keys = cls._padded([cast("Tensor", part.keys) for part in parts], longest)
        layer._values = cls._padded([cast("Tensor", part.values) for part in parts], longest)
        layer.keys, layer.values = layer._keys[:, :, :longest], layer._values[:, :, :longest]
        return layer

    @staticmethod
    def _padded(parts: Sequence[Tensor], longest: int) -> Tensor:
        rows = sum(part.shape[0] for part in parts)
        _, heads, _, size = parts[0].shape
        room = parts[0].new_zeros(rows, heads, longest + _SPARE_TOKENS, size)
        start = 0
        for part in parts:
            room[start : start + part.shape[0], :, longest - part.shape[2] : longest] = part
            start += part.shape[0]
        return room

    def keep_rows(self, rows: Tensor, first: int) -> None:
        """Keep the given batch rows, and drop the leading `first` positions, which were padding in
        all of them.
        """
        self.keys = cast("Tensor", self.keys)[rows, :, first:].contiguous()
        self.values = cast("Tensor", self.values)[rows, :, first:].contiguous()
        self._keys = self._values = None


class TorchSteps:
    """The decoder's state between the steps of one batch."""

    def __init__(self, model: PreTrainedModel) -> None:
        text = model.config.get_text_config()
        self.model = model
        self.device = model.device
        self.vocab_size = int(model.get_output_embeddings().weight.shape[0])
        self.context = int(getattr(text, "max_position_embeddings", None) or NO_LIMIT)
        heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
        size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        self.bytes_per_token = 2 * text.num_hidden_layers * heads * size * model.dtype.itemsize
        kinds = getattr(text, "layer_types", None) or []
        self._joins = getattr(text, "sliding_window", None) is None and all(
            k == "full_attention" for k in kinds
        )

    @property
    def end_ids(self) -> list[int]:
        """Tokens that the model's settings say end a text."""
        listed = getattr(self.model.generation_config, "eos_token_id", None)
        return [i for i in (listed if isinstance(listed, list) else [listed]) if isinstance(i, int)]

    def start(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Begin a batch with prompts in order of length; logits (B, V) after each."""
        self.cache = Cache(layers=[])  # what the batch before held is free again
        longest = max(len(ids) for ids in prompts)
        found, caches, masks = [], [], []
        for part in self._parts(prompts):
            logits, mask, cache = self._prompt_pass(part)
            found.append(logits)
            caches.append(cache)
            masks.append(torch.nn.functional.pad(mask, (longest - mask.shape[1], 0)))
        self.mask = torch.cat(masks)  # (B, T), 0 where padded
        self.positions = self.mask.sum(dim=1, keepdim=True) - 1  # (B, 1), of the last token
        self.cache = caches[0] if not self._joins else _join(caches, longest)
        return torch.cat(found)

    def _parts(self, prompts: Sequence[Sequence[int]]) -> list[Sequence[Sequence[int]]]:
        if not self._joins:
            return [prompts]
        rows = max(1, min(_ROWS_AT_ONCE, _TOKENS_AT_ONCE // max(len(ids) for ids in prompts)))
        return [prompts[i : i + rows] for i in range(0, len(prompts), rows)]

    def _prompt_pass(self, prompts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor, Cache]:
        longest = max(len(ids) for ids in prompts)
        ids = torch.tensor(
            [[0] * (longest - len(row)) + list(row) for row in prompts], device=self.device
        )
        mask = torch.tensor(
            [[0] * (longest - len(row)) + [1] * len(row) for row in prompts], device=self.device
        )
        cache = (
            Cache(layer_class_to_replicate=SpareLayer)
            if self._joins
            else DynamicCache(config=self.model.config)
        )
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        return self._forward(ids, mask, positions, cache), mask, cache

    def _forward(self, ids: Tensor, mask: Tensor, positions: Tensor, cache: Cache) -> Tensor:
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: Tensor = output.logits[:, -1]
        return logits

    def next(self, tokens: Tensor) -> Tensor:
        """Logits (B, V) after one more token (B,) per row."""
        self.positions = self.positions + 1
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(tokens), 1)], dim=1)
        return self._forward(tokens[:, None], self.mask, self.positions, self.cache)

    def keep(self, rows: Tensor) -> None:
        """Drop all other rows, and padding that none of the remaining ones needs."""
        self.positions = self.positions[rows]
        mask = self.mask[rows]
        first = int(mask.argmax(dim=1).min()) if self._joins else 0
        self.mask = mask[:, first:]
        for layer in self.cache.layers:
            if isinstance(layer, SpareLayer):
                layer.keep_rows(rows, first)
            else:
                layer.batch_select_indices(rows)  # type: ignore[union-attr]


def _join(caches: Sequence[Cache], longest: int) -> Cache:
    """The caches of several prompt passes as one, their layers freed on the way."""
    whole = Cache(layer_class_to_replicate=SpareLayer)
    for index in range(len(caches[0].layers)):
        parts = [cast("SpareLayer", cache.layers[index]) for cache in caches]
        whole.layers.append(SpareLayer.joined(parts, longest))
        for part in parts:
            part.keys = part.values = None
    return whole
