"""What a plan does to each tensor, worked out from the headers before any weight is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from flab_deploy.checkpoint import StoredTensor, read_config, stored_tensors, weight_files
from flab_deploy.decoder import (
    Architecture,
    ModelShape,
    Place,
    check_supported,
    model_shape,
    places,
)
from flab_deploy.errors import ArtifactError, PlanError, UnsupportedModel
from flab_deploy.pruning.plan_document import Kept, PrunePlan, check_fits

# Bytes of one element of the number formats that weights may have.
ITEM_BYTES: Mapping[str, int] = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
}


@dataclass(frozen=True, kw_only=True)
class TensorCut:
    """One tensor of the result and where it comes from."""

    source: StoredTensor
    name: str
    """Its name in the result."""
    shape: tuple[int, ...]
    """Its shape in the result."""
    axis: Literal[0, 1] = 0
    span: int = 1
    """Consecutive elements of the axis that go together, such as the rows of one head."""
    keep: NDArray[np.int64] | None = None
    """Increasing indices of the spans that stay, or None for all of the tensor."""
    is_buffer: bool = False
    factor: float = 1.0
    """What every weight is multiplied by; at 1 its bits stay as they are."""

    @property
    def num_bytes(self) -> int:
        """Size in the result."""
        return self.source.num_bytes // max(prod(self.source.shape), 1) * prod(self.shape)


@dataclass(frozen=True, kw_only=True)
class FileCut:
    """One weight file of the source and the tensors that stay of it, in the order of their
    bytes.
    """

    source: Path
    tensors: tuple[TensorCut, ...]


class _Keeper:
    """Looks up what a plan keeps along each kind of axis."""

    def __init__(self, plan: PrunePlan, shape: ModelShape) -> None:
        self._plan = plan
        self.position = {layer: position for position, layer in enumerate(plan.keep_layers)}
        group = shape.num_attention_heads // shape.num_key_value_heads * shape.head_dim
        self._spans = {
            "token": 1,
            "channel": 1,
            "expert": 1,
            "query": group,
            "key_value": shape.head_dim,
        }
        self._counts = {
            "token": shape.vocab_size,
            "channel": shape.intermediate_size,
            "expert": shape.num_experts,
            "query": shape.num_key_value_heads,
            "key_value": shape.num_key_value_heads,
        }
        self._tokens = kept_rows(plan, shape)

    def kept(self, unit: str, position: int) -> Kept | None:
        """What stays along an axis of `unit` in the kept layer at `position`; None for all."""
        if unit == "token":
            return self._tokens
        rows = {
            "channel": self._plan.keep_channels,
            "expert": self._plan.keep_experts,
            "query": self._plan.keep_key_value_heads,
            "key_value": self._plan.keep_key_value_heads,
        }[unit]
        return rows[position] if any(rows) else None

    def factor(self, position: int) -> float:
        """The factor on what the kept layer at `position` writes."""
        return self._plan.write_factors[position] if self._plan.write_factors else 1.0

    def along(
        self, blocks: Sequence[str], position: int, size: int
    ) -> tuple[int, NDArray[np.int64] | None] | None:
        """Span and kept span indices along an axis of `size` elements, or None if the blocks do not
        add up to it.
        """
        if size != sum(self._counts[block] * self._spans[block] for block in blocks):
            return None
        span = int(np.gcd.reduce([self._spans[block] for block in blocks]))
        pieces, start = [], 0
        for block in blocks:
            count, width = self._counts[block], self._spans[block] // span
            kept = self.kept(block, position)
            chosen = np.arange(count) if kept is None else np.asarray(kept, dtype=np.int64)
            pieces.append(start + (chosen[:, None] * width + np.arange(width)).ravel())
            start += count * width
        keep = np.concatenate(pieces)
        return span, None if len(keep) == start else keep


def kept_rows(plan: PrunePlan, shape: ModelShape) -> Kept:
    """Source rows of the vocabulary matrices that stay: the kept tokens', then dropped tokens' up
    to the multiple.

    The surplus rows belong to no token of the new tokenizer. They are rows of dropped tokens, the
    last ids first, because those have the probability that the source gives them; a row of zeros
    could outweigh real tokens. Raises PlanError if the source has too few rows for that.
    """
    surplus = -len(plan.keep_token_ids) % plan.vocab_multiple
    if surplus == 0:
        return plan.keep_token_ids
    wanted = len(plan.keep_token_ids) + surplus
    if wanted > shape.vocab_size:
        raise PlanError(
            f"vocab_multiple {plan.vocab_multiple} needs {wanted} vocabulary rows, the source has "
            f"{shape.vocab_size}; rounding must not make a model larger, give a smaller multiple"
        )
    dropped = sorted(set(range(shape.vocab_size)) - set(plan.keep_token_ids))
    return (*plan.keep_token_ids, *dropped[-surplus:])


def file_cuts(source: Path, plan: PrunePlan) -> list[FileCut]:
    """The cut of every weight file of `source`; files of which nothing stays are left out.

    Raises PlanError if the plan does not fit, UnsupportedModel or ArtifactError, with the tensor's
    name, for tensors that are unknown, quantised or of another size than the configuration says.
    """
    architecture = check_supported(read_config(source), source)
    shape = model_shape(source)
    check_fits(plan, shape)
    keeper = _Keeper(plan, shape)
    files = {file: stored_tensors(file) for file in weight_files(source)}
    placed = places(
        architecture, [tensor.name for tensors in files.values() for tensor in tensors], source
    )
    cuts = []
    for file, tensors in files.items():
        found = [
            _cut(architecture, tensor, placed[tensor.name], keeper, file) for tensor in tensors
        ]
        kept = [cut for cut in found if cut is not None]
        # Wide formats first, so that every tensor stays aligned to its elements.
        kept.sort(key=lambda cut: -ITEM_BYTES.get(cut.source.dtype, 0))
        if kept:
            cuts.append(FileCut(source=file, tensors=tuple(kept)))
    return cuts


def _cut(
    architecture: Architecture, tensor: StoredTensor, place: Place, keeper: _Keeper, file: Path
) -> TensorCut | None:
    if not place.is_buffer:
        _check_stored(tensor, file)
    name, position = tensor.name, 0
    if place.layer is not None:
        if place.layer not in keeper.position:
            return None
        position = keeper.position[place.layer]
        prefix = f"{architecture.backbone}.{architecture.layer_list}."
        name = f"{prefix}{position}.{name.removeprefix(f'{prefix}{place.layer}.')}"
    if place.expert is not None:
        kept = keeper.kept("expert", position)
        if kept == ():
            raise PlanError(
                f"keep_experts[{position}] is empty, but layer {place.layer} has experts; "
                "keep some of them"
            )
        if kept is not None and place.expert not in kept:
            return None
        number = place.expert if kept is None else kept.index(place.expert)
        name = name.replace(f".experts.{place.expert}.", f".experts.{number}.")
    factor = (
        keeper.factor(position)
        if place.layer is not None and place.module in architecture.writers
        else 1.0
    )
    whole = TensorCut(
        source=tensor, name=name, shape=tensor.shape, is_buffer=place.is_buffer, factor=factor
    )
    if not place.cut.blocks:
        return whole
    axis = place.cut.axis
    found = keeper.along(place.cut.blocks, position, tensor.shape[axis])
    if found is None:
        raise ArtifactError(
            f"{file}: {tensor.name} has shape {list(tensor.shape)}, which contradicts config.json"
        )
    span, keep = found
    if keep is None:
        return whole
    sizes = list(tensor.shape)
    sizes[axis] = len(keep) * span
    return replace(whole, shape=tuple(sizes), axis=axis, span=span, keep=keep)


def _check_stored(tensor: StoredTensor, file: Path) -> None:
    item_bytes = ITEM_BYTES.get(tensor.dtype)
    if item_bytes is None:
        raise UnsupportedModel(
            f"{file}: {tensor.name} is {tensor.dtype}, not a floating-point format; give the "
            "unquantised checkpoint"
        )
    if prod(tensor.shape) * item_bytes != tensor.num_bytes:
        raise ArtifactError(
            f"{file}: {tensor.name} has {tensor.num_bytes} bytes, its shape {list(tensor.shape)} "
            "needs others"
        )
