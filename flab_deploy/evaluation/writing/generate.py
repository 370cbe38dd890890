"""Continuation of many prompts at once by a model in this process, greedy or sampled.

Prompts are encoded alone, sorted by length and continued in batches with left padding and a
key-value cache; rows that are finished leave the batch. The same requests, settings and machine
give the same text, also after an interruption, because the batches are the same. In float32 a
completion does not depend on which prompts share its batch; in bfloat16 near-ties may fall
differently when the batch size changes.

Shapes: B rows, T steps, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from flab_deploy.decoder import BatchLimit, cache_room
from flab_deploy.errors import ConfigError
from flab_deploy.evaluation.writing.completion import Completion, GenerateConfig, OnDone, Request
from flab_deploy.evaluation.writing.torch_steps import TorchSteps
from flab_deploy.prompting import encode_prompts

_COMPACT_BELOW = 0.8
_CACHE_BYTES_ON_CPU = 1 << 30
_LOOK_EVERY = 16
Stop = Callable[[int, str], bool]
"""Whether the completion of a request, given its position and text so far, needs no more."""


class Steps(Protocol):
    """A decoder that continues a batch token by token."""

    device: torch.device
    vocab_size: int
    context: int
    bytes_per_token: int

    @property
    def end_ids(self) -> list[int]:
        """Tokens that end a text."""

    def start(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Begin a batch; logits (B, V)."""

    def next(self, tokens: Tensor) -> Tensor:
        """Logits (B, V) after tokens (B,)."""

    def keep(self, rows: Tensor) -> None:
        """Drop all other rows."""


def encode(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str]) -> list[tuple[int, ...]]:
    """Token ids of each prompt, encoded alone. Raises ConfigError for an empty prompt."""
    encoded = encode_prompts(tokenizer, prompts)
    for i, ids in enumerate(encoded):
        if not ids:
            raise ConfigError(
                f"prompt {i} is empty ({prompts[i]!r}); every prompt needs at least one token"
            )
    return encoded


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    config: GenerateConfig = GenerateConfig(),
) -> list[Completion]:
    """Completions in the order of `prompts`. Raises ConfigError for an empty prompt."""
    requests = [Request(ids=ids) for ids in encode(tokenizer, prompts)]
    return write(TorchSteps(model), tokenizer, requests, config)


def write(
    steps: Steps,
    tokenizer: PreTrainedTokenizerBase,
    requests: Sequence[Request],
    config: GenerateConfig,
    known: Mapping[int, Completion] | None = None,
    on_done: OnDone | None = None,
    stop: Stop | None = None,
) -> list[Completion]:
    """Completions in the order of `requests`.

    `known` holds completions by position that need not be written again. `on_done` is called
    with each batch as it ends. A completion for which `stop` says so, asked now and then, is not
    continued.
    """
    found = dict(known or {})
    tables = _Tables(steps, tokenizer, config)
    limit = BatchLimit("evaluate", config.batch_size)
    for rows in batches(requests, steps, config):
        if all(i in found for i in rows):
            continue

        def continued(size: int, rows: Sequence[int] = rows) -> list[Completion]:
            parts = [rows[at : at + size] for at in range(0, len(rows), size)]
            return [
                one
                for part in parts
                for one in _write_batch(
                    steps, tokenizer, [requests[i] for i in part], config, tables, part, stop
                )
            ]

        written = limit.run(continued, len(rows))
        found.update(zip(rows, written, strict=True))
        if on_done:
            on_done(rows, written)
    return [found[i] for i in range(len(requests))]


def batches(requests: Sequence[Request], steps: Steps, config: GenerateConfig) -> list[list[int]]:
    """Positions of the requests that are continued together: by length, as many as the cache may
    hold.
    """
    room = cache_room(steps.device, _CACHE_BYTES_ON_CPU)
    order = sorted(range(len(requests)), key=lambda i: (len(requests[i].ids), i))
    groups: list[list[int]] = []
    for i in order:
        size = (
            (len(groups[-1]) + 1) * (len(requests[i].ids) + config.max_new_tokens) if groups else 0
        )
        if (
            not groups
            or len(groups[-1]) == config.batch_size
            or size * steps.bytes_per_token > room
        ):
            groups.append([])
        groups[-1].append(i)
    return groups


class _Tables:
    """Masks (V,) of the tokens that end a completion."""

    def __init__(
        self, steps: Steps, tokenizer: PreTrainedTokenizerBase, config: GenerateConfig
    ) -> None:
        end = tokenizer.eos_token_id
        self.ends = _mask(steps, [*steps.end_ids, *([end] if isinstance(end, int) else [])])
        self.stops: Tensor | None = None
        if config.stop_at_newline:
            texts = tokenizer.batch_decode(
                [[i] for i in range(len(tokenizer))], clean_up_tokenization_spaces=False
            )
            self.stops = _mask(steps, [i for i, text in enumerate(texts) if "\n" in text])


def _mask(steps: Steps, ids: Sequence[int]) -> Tensor:
    mask = torch.zeros(steps.vocab_size, dtype=torch.bool, device=steps.device)
    mask[[i for i in ids if i < steps.vocab_size]] = True
    return mask


def _write_batch(
    steps: Steps,
    tokenizer: PreTrainedTokenizerBase,
    requests: Sequence[Request],
    config: GenerateConfig,
    tables: _Tables,
    positions: Sequence[int],
    stop: Stop | None,
) -> list[Completion]:
    fits = [i for i, request in enumerate(requests) if len(request.ids) < steps.context]
    written: list[tuple[list[int], bool]] = [([], True) for _ in requests]
    if fits:

        def enough(row: int, ids: list[int]) -> bool:
            return stop is not None and stop(positions[fits[row]], _decode(tokenizer, ids))

        batch = _Batch(steps, [requests[i] for i in fits], config, tables, enough if stop else None)
        for i, result in zip(fits, batch.run(), strict=True):
            written[i] = result
    return [
        Completion(text=_decode(tokenizer, ids), ids=tuple(ids), truncated=cut, num_tokens=len(ids))
        for ids, cut in written
    ]


def _decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    return str(
        tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    )


class _Batch:
    """Prompts of similar length being continued together."""

    def __init__(
        self,
        steps: Steps,
        requests: Sequence[Request],
        config: GenerateConfig,
        tables: _Tables,
        enough: Callable[[int, list[int]], bool] | None,
    ) -> None:
        self.steps, self.requests, self.config, self.tables, self.enough = (
            steps,
            requests,
            config,
            tables,
            enough,
        )
        self.rows = torch.arange(len(requests), device=steps.device)
        self.limit = min(
            config.max_new_tokens, steps.context - max(len(request.ids) for request in requests)
        )
        self.results: list[list[int]] = [[] for _ in requests]
        self.truncated = [True] * len(requests)
        self.draws = self._draw() if config.temperature > 0 else None

    def _draw(self) -> Tensor:
        """A uniform number per row and step, (B, T), the same whichever rows are in the batch."""
        sources = [self.config.draws(request) for request in self.requests]
        numbers = [[source.random() for _ in range(self.limit)] for source in sources]
        return torch.tensor(numbers, device=self.steps.device)

    def run(self) -> list[tuple[list[int], bool]]:
        """New ids and whether they were cut off, row by row."""
        with torch.inference_mode():
            logits = self.steps.start([request.ids for request in self.requests])
            chosen: list[Tensor] = []
            live = torch.ones(len(self.rows), dtype=torch.bool, device=self.rows.device)
            for step in range(self.limit):
                token = self._pick(logits, step)  # (B,)
                chosen.append(token)
                live &= ~self._ends(token)
                if self.enough and step % _LOOK_EVERY == _LOOK_EVERY - 1:
                    self._collect(chosen)
                    chosen = []
                    live &= self._unfinished()
                alive = int(live.sum())
                if step == self.limit - 1 or alive == 0:
                    break
                if alive < _COMPACT_BELOW * len(live):
                    self._collect(chosen)
                    chosen, keep = [], live.nonzero().squeeze(1)
                    token, live, self.rows = token[keep], live[keep], self.rows[keep]
                    self.steps.keep(keep)
                logits = self.steps.next(token)
            self._collect(chosen)
        return list(zip(self.results, self.truncated, strict=True))

    def _ends(self, token: Tensor) -> Tensor:
        stops = self.tables.stops
        return self.tables.ends[token] if stops is None else self.tables.ends[token] | stops[token]

    def _pick(self, logits: Tensor, step: int) -> Tensor:
        """The next token of each row, (B,): the most likely, of equal ones the first, or a drawn
        one.
        """
        if self.draws is None:
            return logits.max(dim=-1).indices
        ordered, ids = (
            (logits.float() / self.config.temperature)
            .softmax(dim=-1)
            .sort(dim=-1, descending=True, stable=True)
        )
        reached = ordered.cumsum(dim=-1)  # (B, V)
        kept = (reached - ordered < self.config.top_p).sum(dim=-1, keepdim=True)  # (B, 1)
        whole = reached.gather(1, kept - 1)
        at = torch.searchsorted(reached, self.draws[self.rows, step][:, None] * whole, right=True)
        return ids.gather(1, torch.minimum(at, kept - 1)).squeeze(1)

    def _unfinished(self) -> Tensor:
        """Which rows of the batch still have to go on, (B,)."""
        going = []
        for row in self.rows.tolist():
            if self.truncated[row] and self.enough and self.enough(row, self.results[row]):
                self.truncated[row] = False
            going.append(self.truncated[row])
        return torch.tensor(going, device=self.rows.device)

    def _collect(self, chosen: Sequence[Tensor]) -> None:
        """Write what was chosen since the last time into the results, each row up to its end."""
        if not chosen:
            return
        for row, ids in zip(
            self.rows.tolist(), torch.stack(list(chosen), dim=1).tolist(), strict=True
        ):
            for token in ids:
                if not self.truncated[row]:
                    break
                if self.tables.ends[token]:
                    self.truncated[row] = False
                else:
                    self.results[row].append(token)
                    if self.tables.stops is not None and self.tables.stops[token]:
                        self.truncated[row] = False
