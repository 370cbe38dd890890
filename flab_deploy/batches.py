"""Examples as a model reads them: token ids with an end token, in padded batches, and the states
that stand before their completions.

Shapes: B examples, T tokens, P completion positions, D hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from flab_deploy.checkpoint import read_config
from flab_deploy.corpus import Instruction
from flab_deploy.decoder import backbone
from flab_deploy.errors import ConfigError, PlanError
from flab_deploy.prompting import encode_completions, encode_prompts, tokenizer_of
from flab_deploy.tokenizer import load_tokenizer


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Examples of similar length, padded on the right."""

    input_ids: Tensor
    """(B, T) int64."""
    attention_mask: Tensor
    """(B, T) int64, 1 on real tokens."""
    positions: Tensor
    """(P,) flat positions whose next token belongs to a completion."""
    targets: Tensor
    """(P,) the tokens that follow those positions."""

    def to(self, device: torch.device) -> Batch:
        """The batch on another device."""
        return Batch(
            input_ids=self.input_ids.to(device),
            attention_mask=self.attention_mask.to(device),
            positions=self.positions.to(device),
            targets=self.targets.to(device),
        )

    def split(self, size: int) -> list[Batch]:
        """The same examples in batches of at most `size`, padded as before."""
        rows, longest = self.input_ids.shape
        parts = []
        for start in range(0, rows, size):
            end = min(start + size, rows)
            here = (self.positions >= start * longest) & (self.positions < end * longest)
            parts.append(
                Batch(
                    input_ids=self.input_ids[start:end],
                    attention_mask=self.attention_mask[start:end],
                    positions=self.positions[here] - start * longest,
                    targets=self.targets[here],
                )
            )
        return parts


def encode(
    path: Path, examples: Sequence[Instruction], end_of_text: int, longest: int
) -> list[tuple[list[int], int]]:
    """Token ids of each example with its end token, and where its completion starts; longer ones
    are left out.

    Prompt and completion are encoded on their own and joined as ids, as in generation.
    """
    tokenizer = tokenizer_of(path)
    prompts = encode_prompts(tokenizer, [example.prompt for example in examples])
    completions = encode_completions(tokenizer, [example.completion for example in examples])
    pairs = zip(prompts, completions, strict=True)
    encoded = [([*p, *c, end_of_text], len(p)) for p, c in pairs if p]
    kept = [pair for pair in encoded if len(pair[0]) <= longest]
    if not kept:
        raise ConfigError(
            f"none of the {len(examples)} examples fits in {longest} tokens; give shorter ones"
        )
    return kept


def make_batches(encoded: Sequence[tuple[list[int], int]], batch_size: int) -> list[Batch]:
    """Batches of similar length, shortest first."""
    ordered = sorted(encoded, key=lambda pair: len(pair[0]))
    return [pad(ordered[at : at + batch_size]) for at in range(0, len(ordered), batch_size)]


def pad(examples: Sequence[tuple[list[int], int]]) -> Batch:
    """One batch of the given examples."""
    longest = max(len(ids) for ids, _ in examples)
    input_ids = torch.zeros(len(examples), longest, dtype=torch.long)
    mask = torch.zeros_like(input_ids)
    positions: list[int] = []
    for row, (ids, start) in enumerate(examples):
        input_ids[row, : len(ids)] = torch.tensor(ids)
        mask[row, : len(ids)] = 1
        positions += range(row * longest + start - 1, row * longest + len(ids) - 1)
    flat = torch.tensor(positions)
    return Batch(
        input_ids=input_ids,
        attention_mask=mask,
        positions=flat,
        targets=input_ids.flatten()[flat + 1],
    )


def completion_states(model: PreTrainedModel, batch: Batch) -> Tensor:
    """Final hidden states (P, D) at the batch's positions."""
    out = backbone(model)(
        input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False
    )
    states: Tensor = out.last_hidden_state.flatten(0, 1)[batch.positions]
    return states


def end_of_text_id(path: Path) -> int:
    """The id that ends a completion, from `config.json`. Raises ConfigError if the model declares
    none.
    """
    end = read_config(path).get("eos_token_id")
    first = end[0] if isinstance(end, list) and end else end
    if not isinstance(first, int):
        raise ConfigError(
            f"{path / 'config.json'} declares no eos_token_id; set the token that ends a text"
        )
    return first


def original_ids(original: Path, pruned: Path) -> Tensor:
    """For each of the pruned tokenizer's ids the original's id of the same token, (N,) int64.

    Rows that only pad the pruned model's matrix come after those and have no token.
    Raises PlanError if the pruned tokenizer has a token that the original lacks.
    """
    known = load_tokenizer(original).get_vocab(with_added_tokens=True)
    kept = load_tokenizer(pruned).get_vocab(with_added_tokens=True)
    ids = torch.zeros(max(kept.values()) + 1, dtype=torch.long)
    for token, index in kept.items():
        if token not in known:
            raise PlanError(
                f"token {token!r} of {pruned} is not in {original}; these two models do not "
                "belong together"
            )
        ids[index] = known[token]
    return ids
