"""What a model of given sizes takes: weights, KV cache, operations, memory to serve."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from flab_deploy.checkpoint import stored_tensors, weight_files
from flab_deploy.decoder import ModelShape, forward_flops_per_token
from flab_deploy.pruning.planning.budget import Cost
from flab_deploy.records.plan import CostRecord
from flab_deploy.settings.plan import PlanConfig

_LOGIT_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class Precision:
    """How many bytes the parameters of a checkpoint take."""

    weight_bytes: int
    num_parameters: int

    @property
    def bytes_per_value(self) -> int:
        """Bytes of one key or value in the cache, which has the precision of the weights."""
        return max(1, round(self.weight_bytes / self.num_parameters))

    def bytes_of(self, num_parameters: int) -> int:
        """Bytes of that many parameters; exact if all tensors have one data type."""
        return self.weight_bytes * num_parameters // self.num_parameters


def precision_of(path: Path, shape: ModelShape) -> Precision:
    """The precision of the weights at `path`, from the safetensors headers."""
    total = sum(tensor.num_bytes for file in weight_files(path) for tensor in stored_tensors(file))
    return Precision(weight_bytes=total, num_parameters=shape.num_parameters)


def kv_bytes_per_token(shape: ModelShape, precision: Precision) -> int:
    """Bytes that one token adds to the KV cache."""
    return (
        2
        * shape.num_hidden_layers
        * shape.num_key_value_heads
        * shape.head_dim
        * precision.bytes_per_value
    )


def figures_of(shape: ModelShape, precision: Precision, config: PlanConfig) -> CostRecord:
    """What a model of that shape takes."""
    weights, cache = precision.bytes_of(shape.num_parameters), kv_bytes_per_token(shape, precision)
    logits = config.batch_size * shape.vocab_size * _LOGIT_BYTES
    return CostRecord(
        num_parameters=shape.num_parameters,
        weight_bytes=weights,
        kv_bytes_per_token=cache,
        forward_flops_per_token=forward_flops_per_token(shape, config.context_tokens),
        serving_memory_bytes=weights + cache * config.context_tokens * config.batch_size + logits,
    )


def computed_cost(config: PlanConfig, precision: Precision) -> Cost:
    """The cost of a shape in the unit of the metric, for every metric but `latency`."""
    if config.metric == "bytes":
        return lambda shape: precision.bytes_of(shape.num_parameters)
    if config.metric == "flops":
        return partial(forward_flops_per_token, context_tokens=config.context_tokens)
    if config.metric == "kv_bytes":
        return lambda shape: kv_bytes_per_token(shape, precision)
    return lambda shape: shape.num_parameters
