"""Greedy continuation of many prompts at once.

Prompts are encoded alone, sorted by length and continued in batches with left padding and a
key-value cache; rows that are finished leave the batch. The same prompts, settings and machine
give the same text. In float32 a completion does not depend on which prompts share its batch;
in bfloat16 near-ties may fall differently when the batch size changes.

Shapes: B rows, T tokens, H key-value heads, D head size, V vocabulary.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer
from transformers.utils import logging as transformers_logging

from flab_deploy.errors import ConfigError, UnsupportedModel

Dtype = Literal["auto", "float32", "bfloat16"]
_SPARE_TOKENS = 48
_COMPACT_BELOW = 0.8


@dataclass(frozen=True, kw_only=True)
class Completion:
    """What a model wrote after one prompt."""

    text: str
    """Decoded new tokens, without the end-of-text token."""
    ids: tuple[int, ...]
    """New token ids, without the end-of-text token."""
    truncated: bool
    """Whether the limit of new tokens, or the model's context, cut it off."""


@dataclass(frozen=True, kw_only=True)
class GenerateConfig:
    """How text is generated."""

    batch_size: int = 128
    """Prompts continued together."""
    max_new_tokens: int = 128
    """New tokens per prompt, at most."""
    stop_at_newline: bool = False
    """Whether a completion ends with its first line."""


class SpareLayer(DynamicLayer):
    """A cache layer that writes new positions into spare room instead of copying all of it at every step."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._keys: Tensor | None = None
        self._values: Tensor | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append (B, H, T, D) keys and values; returns views of all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        old_keys, old_values = cast("Tensor", self.keys), cast("Tensor", self.values)
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
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
        if start:
            room[:, :, :start] = old
        return room

    def keep_rows(self, rows: Tensor, first: int) -> None:
        """Keep the given batch rows, and drop the leading `first` positions, which were padding in all of them."""
        self.keys = cast("Tensor", self.keys)[rows, :, first:].contiguous()
        self.values = cast("Tensor", self.values)[rows, :, first:].contiguous()
        self._keys = self._values = None


def load_model(path: Path, dtype: Dtype = "auto") -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The causal language model and tokenizer of a checkpoint directory, ready for generation; nothing is downloaded.

    Raises UnsupportedModel if transformers does not know it as a causal language model.
    """
    transformers_logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(
            path, dtype=dtype, local_files_only=True, attn_implementation="sdpa"
        )
    except (ValueError, KeyError) as error:
        raise UnsupportedModel(f"{path} is not a causal language model that transformers can load: {error}") from error
    return model.eval(), tokenizer


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    config: GenerateConfig = GenerateConfig(),
    progress: Callable[[int], None] | None = None,
) -> list[Completion]:
    """Greedy completions in the order of `prompts`; `progress` is called with the number of prompts just finished.

    Raises ConfigError for a batch size or token limit below one, or an empty prompt.
    """
    if config.batch_size < 1 or config.max_new_tokens < 1:
        raise ConfigError(
            f"batch_size={config.batch_size} and max_new_tokens={config.max_new_tokens} must be at least 1"
        )
    encoded = _encode(tokenizer, prompts)
    ends, stops = _end_ids(model, tokenizer), _newline_ids(model, tokenizer) if config.stop_at_newline else None
    context = _context(model)
    found: dict[int, tuple[list[int], bool]] = {i: ([], True) for i, ids in enumerate(encoded) if len(ids) >= context}
    order = sorted((i for i in range(len(prompts)) if i not in found), key=lambda i: (len(encoded[i]), i))
    if progress and found:
        progress(len(found))
    with torch.inference_mode():
        for start in range(0, len(order), config.batch_size):
            rows = order[start : start + config.batch_size]
            batch = _Batch(model, [encoded[i] for i in rows], ends, stops)
            found.update(zip(rows, batch.run(config.max_new_tokens), strict=True))
            if progress:
                progress(len(rows))
    if not prompts:
        return []
    texts = tokenizer.batch_decode(
        [found[i][0] for i in range(len(prompts))], skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    return [Completion(text=text, ids=tuple(found[i][0]), truncated=found[i][1]) for i, text in enumerate(texts)]


def _encode(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str]) -> list[list[int]]:
    encoded: list[list[int]] = tokenizer(list(prompts), add_special_tokens=False)["input_ids"] if prompts else []
    for i, ids in enumerate(encoded):
        if not ids:
            raise ConfigError(f"prompt {i} is empty ({prompts[i]!r}); every prompt needs at least one token")
    return encoded


def _end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Tensor:
    """Mask (V,) of the tokens that end a text."""
    settings = getattr(model.generation_config, "eos_token_id", None)
    listed = settings if isinstance(settings, list) else [settings]
    return _mask(model, [i for i in (*listed, tokenizer.eos_token_id) if isinstance(i, int)])


def _newline_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Tensor:
    """Mask (V,) of the tokens whose text holds a newline."""
    texts = tokenizer.batch_decode([[i] for i in range(len(tokenizer))], clean_up_tokenization_spaces=False)
    return _mask(model, [i for i, text in enumerate(texts) if "\n" in text])


def _mask(model: PreTrainedModel, ids: Sequence[int]) -> Tensor:
    size = model.get_output_embeddings().weight.shape[0]
    mask = torch.zeros(size, dtype=torch.bool, device=model.device)
    mask[[i for i in ids if i < size]] = True
    return mask


def _context(model: PreTrainedModel) -> int:
    """Most tokens that prompt and completion may have together."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None) or sys.maxsize


def _new_cache(model: PreTrainedModel) -> Cache:
    text = model.config.get_text_config()
    layers = getattr(text, "layer_types", None) or []
    if getattr(text, "sliding_window", None) is None and all(kind == "full_attention" for kind in layers):
        return Cache(layer_class_to_replicate=SpareLayer)
    return DynamicCache(config=model.config)


class _Batch:
    """Prompts of similar length being continued together."""

    def __init__(
        self, model: PreTrainedModel, prompts: Sequence[list[int]], ends: Tensor, stops: Tensor | None
    ) -> None:
        self.model, self.ends, self.stops = model, ends, stops
        longest = max(len(ids) for ids in prompts)
        padded = [[0] * (longest - len(ids)) + ids for ids in prompts]
        known = [[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts]
        self.ids = torch.tensor(padded, device=model.device)  # (B, T)
        self.mask = torch.tensor(known, device=model.device)  # (B, T), 0 where padded
        self.positions = (self.mask.cumsum(1) - 1).clamp(min=0)  # (B, T)
        self.rows = torch.arange(len(prompts), device=model.device)
        self.cache = _new_cache(model)
        self.room = _context(model) - longest
        self.results: list[list[int]] = [[] for _ in prompts]
        self.truncated = [True] * len(prompts)

    def run(self, max_new_tokens: int) -> list[tuple[list[int], bool]]:
        """New ids and whether they were cut off, row by row."""
        chosen: list[Tensor] = []
        live = torch.ones(len(self.rows), dtype=torch.bool, device=self.rows.device)
        for _ in range(min(max_new_tokens, self.room)):
            token = self._next()  # (B,)
            chosen.append(token)
            done = self.ends[token] if self.stops is None else self.ends[token] | self.stops[token]
            live &= ~done
            alive = int(live.sum())
            if alive < _COMPACT_BELOW * len(live) or alive == 0:
                self._collect(chosen, live)
                chosen = []
                if alive == 0:
                    break
                token, live = self._compact(token, live), live[live]
            self._advance(token)
        if chosen:
            self._collect(chosen, torch.zeros_like(live))
        return list(zip(self.results, self.truncated, strict=True))

    def _next(self) -> Tensor:
        """Most likely next token of each row, (B,); of equal ones the first."""
        output = self.model(
            input_ids=self.ids, attention_mask=self.mask, position_ids=self.positions,
            past_key_values=self.cache, use_cache=True, logits_to_keep=1,
        )  # fmt: skip
        logits: Tensor = output.logits[:, -1]  # (B, V)
        return logits.max(dim=-1).indices

    def _advance(self, token: Tensor) -> None:
        self.ids = token[:, None]
        self.positions = self.positions[:, -1:] + 1
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(token), 1)], dim=1)

    def _collect(self, chosen: list[Tensor], live: Tensor) -> None:
        """Write what was chosen since the last time into the results, each row up to its end."""
        for row, ids in zip(self.rows.tolist(), torch.stack(chosen, dim=1).tolist(), strict=True):
            for token in ids:
                if not self.truncated[row]:
                    break
                if self.ends[token]:
                    self.truncated[row] = False
                else:
                    self.results[row].append(token)
                    if self.stops is not None and self.stops[token]:
                        self.truncated[row] = False

    def _compact(self, token: Tensor, live: Tensor) -> Tensor:
        """Drop finished rows, and padding that no remaining row needs; the remaining rows' tokens."""
        keep = live.nonzero().squeeze(1)
        self.rows, self.positions = self.rows[keep], self.positions[keep]
        mask = self.mask[keep]
        first = int(mask.argmax(dim=1).min())
        same = all(isinstance(layer, SpareLayer) for layer in self.cache.layers)
        first = first if same else 0
        self.mask = mask[:, first:]
        for layer in self.cache.layers:
            if isinstance(layer, SpareLayer):
                layer.keep_rows(keep, first)
            else:
                layer.batch_select_indices(keep)  # type: ignore[union-attr]
        return token[keep]
