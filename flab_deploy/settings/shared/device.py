"""Where a stage computes, and in which precision; the same two settings for every stage that runs a
model.
"""

# No `annotations` from `__future__`: stages inherit these fields, and who reads the signature of a
# stage's settings looks a name up where the stage is declared.
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from flab_deploy.settings.shared.bounds import TextForm, check_bounds

Device: TypeAlias = Annotated[
    str, TextForm(r"auto|cpu|mps|cuda(:\d+)?", "auto, cpu, cuda, mps, or one GPU as cuda:0")
]
"""What `decoder.device.choose_device` finds on this machine."""
Dtype: TypeAlias = Literal["auto", "float32", "bfloat16", "float16"]
"""What `decoder.device.choose_dtype` makes a PyTorch dtype of."""


@dataclass(frozen=True, kw_only=True)
class DeviceConfig:
    """Where a model runs."""

    device: Device = "auto"
    """Where the model runs: cpu, cuda, one GPU as cuda:0, or mps; `auto` takes a GPU if there is
    one.
    """
    dtype: Dtype = "auto"
    """Precision of the model. `auto` is float32 where divergences are measured (score, plan),
    that of the weights where memory is (footprint) or bits are compared (export), and elsewhere
    that of the weights if the device calculates in it at a useful speed, else float32.
    """

    def __post_init__(self) -> None:
        """Refuse what names no device."""
        check_bounds(self)
