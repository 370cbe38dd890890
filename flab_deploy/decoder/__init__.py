"""The one place that knows attribute and tensor names of decoder architectures.

`architectures` is a table: what every supported architecture calls its tensors, and how a cut
follows them. `shape` reads sizes from a checkpoint's headers by it, `live` reaches into a loaded
model and runs it as a cut would leave it, `onnx_graph` runs an exported one. `device` decides where
a model runs and in which precision, `memory` what fits there.

To add an architecture: an entry of `architectures.ARCHITECTURES`, and its settings in
`tests/architectures.py`, where every property of a cut is then tested on it.
"""

from flab_deploy.decoder.architectures import (
    ARCHITECTURES,
    SUPPORTED,
    Architecture,
    Cut,
    Place,
    check_supported,
    place_of,
)
from flab_deploy.decoder.device import (
    asked_dtype,
    calculates_in,
    choose_device,
    choose_dtype,
    weights_dtype,
)
from flab_deploy.decoder.live import (
    attention_output,
    backbone,
    down_projection,
    finish_logits,
    has_experts,
    hooked,
    layers,
    load_model,
    load_tokenizer,
    num_key_value_heads,
    only_channels,
    only_experts,
    only_heads,
    only_layers,
    output_logits,
    output_weight,
    router,
    scaled_writes,
)
from flab_deploy.decoder.memory import BatchLimit, cache_room, free_bytes
from flab_deploy.decoder.shape import (
    ModelShape,
    forward_flops_per_token,
    layer_parameters,
    model_shape,
    places,
    tensor_shapes,
)

__all__ = [
    "ARCHITECTURES",
    "SUPPORTED",
    "Architecture",
    "BatchLimit",
    "Cut",
    "ModelShape",
    "Place",
    "asked_dtype",
    "attention_output",
    "backbone",
    "cache_room",
    "calculates_in",
    "check_supported",
    "choose_device",
    "choose_dtype",
    "down_projection",
    "finish_logits",
    "forward_flops_per_token",
    "free_bytes",
    "has_experts",
    "hooked",
    "layer_parameters",
    "layers",
    "load_model",
    "load_tokenizer",
    "model_shape",
    "num_key_value_heads",
    "only_channels",
    "only_experts",
    "only_heads",
    "only_layers",
    "output_logits",
    "output_weight",
    "place_of",
    "places",
    "router",
    "scaled_writes",
    "tensor_shapes",
    "weights_dtype",
]
