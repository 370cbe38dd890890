"""Reaching into a loaded model, and running it as a cut would leave it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from flab_deploy.checkpoint import read_config
from flab_deploy.decoder.architectures import ARCHITECTURES, Architecture, check_supported
from flab_deploy.decoder.device import weights_dtype
from flab_deploy.decoder.memory import memory_of_gpus, needs_several_gpus
from flab_deploy.decoder.shape import model_shape
from flab_deploy.errors import UnsupportedModel, first_line

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.utils.hooks import RemovableHandle
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load_model(
    path: Path, dtype: torch.dtype | Literal["auto"], device: torch.device | str = "cpu"
) -> PreTrainedModel:
    """The causal language model at `path` in evaluation mode on `device`; `auto` is the precision
    of its weights.

    A model that one GPU does not hold is spread over all of them where `device` is `cuda` without
    a number. Reads safetensors only, runs no code from the checkpoint and downloads nothing.
    Raises UnsupportedModel for an architecture outside SUPPORTED, or settings that transformers
    cannot read, ConfigError for a model that the GPUs do not hold.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    check_supported(read_config(path), path)
    where = torch.device(device)
    spread = where.type == "cuda" and needs_several_gpus(path, _weight_bytes(path, dtype), where)
    options = {"device_map": "auto", "max_memory": memory_of_gpus()} if spread else {}
    try:
        model = AutoModelForCausalLM.from_pretrained(
            path,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            **options,
        )
    except (ValueError, KeyError) as error:
        raise UnsupportedModel(
            f"{path} is not a model that transformers can load: {error}"
        ) from error
    return cast("PreTrainedModel", model.eval() if spread else model.eval().to(where))


def _weight_bytes(path: Path, dtype: torch.dtype | Literal["auto"]) -> int:
    """Bytes of the weights at `path` in that precision."""
    stored = weights_dtype(path) if dtype == "auto" else dtype
    return model_shape(path).num_parameters * stored.itemsize


def load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """The tokenizer at `path`; runs no code from it and downloads nothing. Raises UnsupportedModel
    if there is none.
    """
    from transformers import AutoTokenizer

    try:
        found = AutoTokenizer.from_pretrained(path, trust_remote_code=False, local_files_only=True)
    except (ValueError, KeyError, OSError) as error:
        raise UnsupportedModel(
            f"{path} has no tokenizer that transformers can load: {first_line(error)}"
        ) from error
    return cast("PreTrainedTokenizerBase", found)


def _architecture(model: PreTrainedModel) -> Architecture:
    return ARCHITECTURES[model.config.model_type]


def backbone(model: PreTrainedModel) -> nn.Module:
    """The decoder without its output head; called with `input_ids` it gives hidden states after the
    last norm.
    """
    return model.get_submodule(_architecture(model).backbone)


def output_weight(model: PreTrainedModel) -> Tensor:
    """Weight (V, D) of the output head."""
    return cast("Tensor", model.get_output_embeddings().weight)


def output_logits(model: PreTrainedModel, states: Tensor) -> Tensor:
    """Logits (..., V) that the model gives for final hidden states (..., D), scaled and capped as
    it does.
    """
    return finish_logits(model, model.get_output_embeddings()(states))


def finish_logits(model: PreTrainedModel, logits: Tensor) -> Tensor:
    """What the model makes of the products of states and output weight: Granite scales them, Gemma
    caps them.
    """
    import torch

    scale = getattr(model.config, "logits_scaling", None)
    cap = getattr(model.config, "final_logit_softcapping", None)
    if scale is not None:
        logits = logits / scale
    return logits if cap is None else torch.tanh(logits / cap) * cap


def layers(model: PreTrainedModel) -> nn.ModuleList:
    """The decoder's layers in order."""
    return cast("nn.ModuleList", getattr(backbone(model), _architecture(model).layer_list))


def _linear(layer: nn.Module, names: set[str]) -> nn.Linear:
    for name in sorted(names):
        try:
            return cast("nn.Linear", layer.get_submodule(name))
        except AttributeError:
            continue
    raise AttributeError(f"{type(layer).__name__} has none of {', '.join(sorted(names))}")


def down_projection(layer: nn.Module) -> nn.Linear:
    """The linear map (I -> D) that reads a layer's FFN channels; AttributeError for a layer of
    experts.
    """
    return _linear(layer, {architecture.ffn_output for architecture in ARCHITECTURES.values()})


def attention_output(layer: nn.Module) -> nn.Linear:
    """The linear map (H x head_dim -> D) that reads a layer's attention heads, those of a key-value
    group together.
    """
    return _linear(
        layer, {architecture.attention_output for architecture in ARCHITECTURES.values()}
    )


def has_experts(layer: nn.Module) -> bool:
    """Whether the layer's FFN is a set of experts."""
    return hasattr(getattr(layer, "mlp", None), "experts")


def router(layer: nn.Module) -> nn.Module:
    """The module whose outputs are the logits (N, E), the weights and the numbers of each token's
    experts.
    """
    return layer.get_submodule("mlp.gate")


def num_key_value_heads(model: PreTrainedModel) -> int:
    """Key-value heads of every layer."""
    return int(
        getattr(model.config, "num_key_value_heads", None) or model.config.num_attention_heads
    )


@contextmanager
def only_layers(model: PreTrainedModel, keep: Sequence[int]) -> Iterator[None]:
    """Within the block the model runs only the layers `keep`, with a KV cache of their number."""
    from torch import nn

    architecture, stack, everything = _architecture(model), backbone(model), layers(model)
    attentions: list[Any] = [layer.get_submodule(architecture.attention) for layer in everything]
    config = model.config
    settings = {
        "num_hidden_layers": config.num_hidden_layers,
        "layer_types": getattr(config, "layer_types", None),
    }
    setattr(stack, architecture.layer_list, nn.ModuleList([everything[index] for index in keep]))
    config.num_hidden_layers = len(keep)
    if settings["layer_types"] is not None:
        config.layer_types = [settings["layer_types"][index] for index in keep]
    for position, index in enumerate(keep):
        attentions[index].layer_idx = position
    try:
        yield
    finally:
        setattr(stack, architecture.layer_list, everything)
        for index, attention in enumerate(attentions):
            attention.layer_idx = index
        config.num_hidden_layers = settings["num_hidden_layers"]
        if settings["layer_types"] is not None:
            config.layer_types = settings["layer_types"]


@contextmanager
def only_channels(model: PreTrainedModel, keep: Sequence[Tensor]) -> Iterator[None]:
    """Within the block every layer sees only its FFN channels `keep[layer]` (K,), the others read
    as zero; entries of layers of experts are ignored.
    """
    with ExitStack() as hooks:
        for layer, kept in zip(layers(model), keep, strict=True):
            if not has_experts(layer):
                hooks.enter_context(_masked(down_projection(layer), kept, 1))
        yield


@contextmanager
def only_heads(model: PreTrainedModel, keep: Sequence[Tensor]) -> Iterator[None]:
    """Within the block every layer sees only its key-value groups `keep[layer]` (K,); other heads
    read as zero.
    """
    with ExitStack() as hooks:
        for layer, kept in zip(layers(model), keep, strict=True):
            projection = attention_output(layer)
            hooks.enter_context(
                _masked(projection, kept, projection.in_features // num_key_value_heads(model))
            )
        yield


@contextmanager
def hooked(handles: Iterable[RemovableHandle]) -> Iterator[None]:
    """Within the block the hooks of `handles` are in place; after it they are gone."""
    with ExitStack() as hooks:
        for handle in handles:
            hooks.enter_context(handle)
        yield


@contextmanager
def _masked(projection: nn.Linear, kept: Tensor, width: int) -> Iterator[None]:
    import torch

    mask = torch.zeros(
        projection.in_features // width,
        dtype=projection.weight.dtype,
        device=projection.weight.device,
    )
    mask[kept.to(mask.device)] = 1.0
    wide = mask.repeat_interleave(width)
    with projection.register_forward_pre_hook(lambda _module, args: (args[0] * wide, *args[1:])):
        yield


@contextmanager
def scaled_writes(model: PreTrainedModel, factors: Sequence[float]) -> Iterator[None]:
    """Within the block what each layer writes into the residual stream is multiplied by its
    factor.
    """
    handles = []
    for layer, factor in zip(layers(model), factors, strict=True):
        writers: list[nn.Module] = [attention_output(layer)]
        writers.append(layer.get_submodule("mlp") if has_experts(layer) else down_projection(layer))
        handles += [writer.register_forward_hook(_times(factor)) for writer in writers]
    with hooked(handles):
        yield


def _times(factor: float) -> Callable[[Any, Any, Any], Any]:
    """A hook that multiplies what a module returns; of a tuple, the first entry."""
    return lambda _module, _args, out: (
        (out[0] * factor, *out[1:]) if isinstance(out, tuple) else out * factor
    )


@contextmanager
def only_experts(model: PreTrainedModel, keep: Sequence[Tensor]) -> Iterator[None]:
    """Within the block tokens go only to the experts `keep[layer]` (K,); entries of layers without
    are ignored.
    """
    handles = [
        router(layer).register_forward_hook(_chooser(kept))
        for layer, kept in zip(layers(model), keep, strict=True)
        if has_experts(layer)
    ]
    with hooked(handles):
        yield


def _chooser(kept: Tensor) -> Callable[[Any, Any, tuple[Tensor, ...]], tuple[Tensor, ...]]:
    """A hook that routes again with the logits of all experts but `kept` at minus infinity."""
    import torch

    def choose(gate: Any, _args: Any, output: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        logits = torch.full_like(output[0], -torch.inf)  # (N, E)
        logits[:, kept] = output[0][:, kept]
        weights, experts = torch.softmax(logits, dim=-1, dtype=torch.float).topk(
            gate.top_k, dim=-1
        )  # (N, K)
        if gate.norm_topk_prob:
            weights = weights / weights.sum(dim=-1, keepdim=True)
        return logits, weights.to(logits.dtype), experts

    return choose
