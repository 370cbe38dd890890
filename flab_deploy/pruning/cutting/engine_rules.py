"""What stock engines ask of a decoder's sizes."""

from __future__ import annotations

from flab_deploy.decoder import ModelShape
from flab_deploy.errors import PlanError

# Sizes of a head that vLLM's attention kernels for CPU and NVIDIA GPUs have in common.
_HEAD_DIMS = frozenset({64, 80, 96, 112, 128, 160, 192, 224, 256})
# Matrix units of NVIDIA GPUs work on multiples of 64 elements at full speed, and tensor parallelism
# splits in 2, 4, 8.
_WIDTH_MULTIPLE = 64


def check_engine_rules(before: ModelShape, after: ModelShape) -> list[str]:
    """Sizes that engines will run slowly or not everywhere, as sentences; those the source has too
    are left out.

    Raises PlanError for sizes that no engine runs.
    """
    if after.num_attention_heads % after.num_key_value_heads:
        raise PlanError(
            f"{after.num_attention_heads} attention heads cannot share {after.num_key_value_heads} "
            "key-value heads"
        )
    if after.num_experts < after.num_experts_per_tok:
        raise PlanError(
            f"{after.num_experts} experts are fewer than the {after.num_experts_per_tok} that "
            "a token needs"
        )
    warnings = []
    if after.head_dim not in _HEAD_DIMS:
        warnings.append(f"vLLM has no kernel of its own for heads of {after.head_dim}")
    for name in ("intermediate_size", "vocab_size"):
        width, was = getattr(after, name), getattr(before, name)
        if width % _WIDTH_MULTIPLE and not was % _WIDTH_MULTIPLE:
            warnings.append(
                f"{name} {width} is no multiple of {_WIDTH_MULTIPLE} any more, which costs "
                "GPUs speed"
            )
    if after.num_key_value_heads < before.num_key_value_heads and after.num_key_value_heads % 2:
        warnings.append(
            f"{after.num_key_value_heads} key-value heads cannot be split over two devices"
        )
    return warnings
