"""The `config.json` of a cut checkpoint: sizes, and every list or rule that counts layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flab_deploy.checkpoint import read_config
from flab_deploy.decoder import ModelShape, check_supported
from flab_deploy.errors import PlanError, UnsupportedModel
from flab_deploy.pruning.cutting.tensors import kept_rows
from flab_deploy.pruning.plan_document import PrunePlan

# Settings with one entry for each layer.
_PER_LAYER = ("layer_types", "no_rope_layers", "mlp_layer_types")
# Rules that say the same as a list in the words of layer numbers, which a cut makes untrue.
_RULES_OF_LAYER_TYPES = ("sliding_window_pattern", "_sliding_window_pattern")
_TRACES = ("_name_or_path",)


def cut_settings(source: Path, plan: PrunePlan, shape: ModelShape) -> dict[str, Any]:
    """The settings of `source` after the cut, token ids as they were; `shape` is the source's.

    Raises UnsupportedModel for a list with one entry for each layer whose meaning is unknown.
    """
    config = {key: value for key, value in read_config(source).items() if key not in _TRACES}
    architecture = check_supported(config, source)
    sizes = {"vocab_size": len(kept_rows(plan, shape)), "num_hidden_layers": len(plan.keep_layers)}
    if plan.keep_channels:
        sizes["intermediate_size"] = len(plan.keep_channels[0])
    for name, value in sizes.items():
        config[architecture.name_of(name)] = value
    if plan.keep_key_value_heads and len(plan.keep_key_value_heads[0]) != shape.num_key_value_heads:
        heads = len(plan.keep_key_value_heads[0])
        config["num_key_value_heads"] = heads
        config["num_attention_heads"] = (
            shape.num_attention_heads // shape.num_key_value_heads * heads
        )
        config["head_dim"] = shape.head_dim
    if any(plan.keep_experts):
        for name in ("num_experts", "num_local_experts"):
            if name in config:
                config[name] = max(len(kept) for kept in plan.keep_experts)
    if len(plan.keep_layers) < shape.num_hidden_layers:
        config = _without_layers(source, config, plan.keep_layers, shape.num_hidden_layers)
    return config


def _without_layers(
    source: Path, config: Mapping[str, Any], keep: Sequence[int], num_layers: int
) -> dict[str, Any]:
    from transformers import AutoConfig

    resolved = AutoConfig.from_pretrained(source, trust_remote_code=False)
    result = dict(config)
    for name in _PER_LAYER:
        # A checkpoint may leave the list to a rule, which would give other types to the layers that
        # stay.
        values = getattr(resolved, name, None)
        if values is not None:
            if len(values) != num_layers:
                raise PlanError(
                    f"{source}/config.json lists {len(values)} {name} for {num_layers} "
                    "layers; correct it"
                )
            result[name] = [values[layer] for layer in keep]
    if "layer_types" in result:
        for name in _RULES_OF_LAYER_TYPES:
            result.pop(name, None)
    if result.get("max_window_layers") is not None:
        result["max_window_layers"] = sum(layer < result["max_window_layers"] for layer in keep)
    if result.get("decoder_sparse_step") is not None:
        step, dense = result["decoder_sparse_step"], set(result.get("mlp_only_layers") or ())
        result["mlp_only_layers"] = [
            at for at, layer in enumerate(keep) if layer in dense or (layer + 1) % step
        ]
        result["decoder_sparse_step"] = 1
    unknown = [name for name, value in result.items() if _counts_layers(name, value, num_layers)]
    if unknown:
        raise UnsupportedModel(
            f"{source}/config.json has {unknown[0]!r} with an entry for each layer, which no rule "
            "here can cut; keep all layers"
        )
    return result


def _counts_layers(name: str, value: object, num_layers: int) -> bool:
    known = (
        name in _PER_LAYER
        or name.endswith(("_token_id", "_token_ids"))
        or name in ("architectures", "mlp_only_layers")
    )
    return isinstance(value, list) and len(value) == num_layers > 1 and not known
