"""Running a decoder's layers one by one, whatever its architecture.

What a layer is called with (mask, rotary tables, positions) is recorded from the model's own
forward pass, layer by layer, because architectures give different layers different masks and
tables.
Shapes: B examples, T tokens, D hidden size, P completion positions, L layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from flab_deploy.batches import Batch
from flab_deploy.decoder import backbone, hooked, layers
from flab_deploy.errors import ArtifactError, UnsupportedModel

Arguments = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Trace:
    """One clean forward pass of a batch."""

    inputs: list[Tensor]
    """L + 1 tensors (B, T, D): what each layer reads, then what the last one writes."""
    arguments: list[Arguments]
    """Keyword arguments of each layer."""


class LayerStack:
    """The layers of a model as functions. Batches are padded on the right, so causal layers need no
    padding mask.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.layers: list[nn.Module] = list(layers(model))
        self._norm: nn.Module | None = None

    def trace(self, batch: Batch) -> Trace:
        """Run the whole model, keeping every layer's input and arguments.

        Raises ArtifactError naming the first layer that writes a value which is not finite,
        UnsupportedModel if the decoder does not end in one normalisation module.
        """
        inputs: list[Tensor] = []
        arguments: list[Arguments] = []
        written: dict[nn.Module, Tensor] = {}

        def entering(
            _module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, object]
        ) -> None:
            rest = dict(kwargs)
            inputs.append(args[0] if args else _tensor(rest.pop("hidden_states")))
            arguments.append(rest)

        def leaving(module: nn.Module, _args: object, result: object) -> None:
            if isinstance(result, Tensor | tuple):
                written[module] = _tensor(result)

        stack = backbone(self.model)
        handles = [
            layer.register_forward_pre_hook(entering, with_kwargs=True) for layer in self.layers
        ]
        handles += [
            module.register_forward_hook(leaving) for module in [*stack.children(), self.layers[-1]]
        ]
        with hooked(handles):
            states: Tensor = stack(input_ids=batch.input_ids, use_cache=False).last_hidden_state
        inputs.append(written[self.layers[-1]])
        self._norm = self._norm or _writer_of(states, stack, written)
        _check_finite(inputs)
        return Trace(inputs=inputs, arguments=arguments)

    def run(self, index: int, states: Tensor, arguments: Arguments, copies: int = 1) -> Tensor:
        """What layer `index` makes of `states` (copies * B, T, D), where `arguments` were recorded
        for B examples.
        """
        per_copy = states.shape[0] // copies
        repeated = (
            arguments
            if copies == 1
            else {k: _repeat(v, per_copy, copies) for k, v in arguments.items()}
        )
        return _tensor(self.layers[index](states, **repeated))

    def finish(self, states: Tensor, positions: Tensor, copies: int = 1) -> Tensor:
        """Normalised states (copies, P, D) at the flat `positions` of each copy of a batch."""
        if self._norm is None:
            raise UnsupportedModel(
                "the final normalisation is found by a trace; trace a batch first"
            )
        flat = states.reshape(copies, -1, states.shape[-1])
        normalised: Tensor = self._norm(flat[:, positions])
        return normalised


def _tensor(value: object) -> Tensor:
    found = value[0] if isinstance(value, tuple) else value
    if not isinstance(found, Tensor):
        raise UnsupportedModel(
            f"a decoder layer returned {type(found).__name__}, expected hidden states"
        )
    return found


def _repeat(value: object, size: int, copies: int) -> object:
    """Whatever has one row per example, `copies` times over."""
    if isinstance(value, Tensor) and value.dim() > 1 and value.shape[0] == size and size > 1:
        return value.repeat(copies, *[1] * (value.dim() - 1))
    if isinstance(value, tuple):
        return tuple(_repeat(item, size, copies) for item in value)
    return value


def _writer_of(states: Tensor, stack: nn.Module, written: Mapping[nn.Module, Tensor]) -> nn.Module:
    for module in stack.children():
        if module in written and written[module].data_ptr() == states.data_ptr():
            return module
    raise UnsupportedModel(
        f"{type(stack).__name__} does not end in a normalisation module; layers cannot be searched"
    )


def _check_finite(inputs: Sequence[Tensor]) -> None:
    for index, states in enumerate(inputs):
        if not bool(torch.isfinite(states.sum())):
            where = f"layer {index - 1}" if index else "the embedding"
            raise ArtifactError(
                f"{where} writes values that are not finite; the checkpoint is damaged, make "
                "it again"
            )
