"""The one place that decides where a model runs and in which precision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flab_deploy.checkpoint import read_config
from flab_deploy.errors import ConfigError
from flab_deploy.settings.shared.device import Device, Dtype

if TYPE_CHECKING:
    import torch


def choose_device(asked: Device) -> torch.device:
    """The device that is asked for; `auto` takes a GPU, then Apple's, then the processor.

    `cuda` without a number stands for the process's current GPU, and for all of them where a model
    needs more than one. Raises ConfigError if this machine has no such device.
    """
    import torch

    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    has_mps = torch.backends.mps.is_available()
    if asked == "auto":
        return torch.device("cuda" if num_gpus else "mps" if has_mps else "cpu")
    device = torch.device(asked)
    if device.type == "cuda" and not num_gpus:
        raise ConfigError(f"device is {asked}, but PyTorch finds no GPU here; take cpu or auto")
    if device.type == "cuda" and (device.index or 0) >= num_gpus:
        raise ConfigError(
            f"device is {asked}, but the last GPU here is cuda:{num_gpus - 1}; take one that is "
            "there, or auto"
        )
    if device.type == "mps" and not has_mps:
        raise ConfigError("device is mps, but PyTorch finds none here; take cpu or auto")
    return device


def choose_dtype(path: Path, device: torch.device, asked: Dtype) -> torch.dtype:
    """The precision that is asked for; `auto` is that of the weights at `path`, or float32 where
    the device has no arithmetic for it.

    Raises ConfigError as `weights_dtype`.
    """
    import torch

    own = weights_dtype(path)
    return asked_dtype(asked, own if calculates_in(own, device) else torch.float32)


def asked_dtype(asked: Dtype, auto: torch.dtype) -> torch.dtype:
    """The precision that is asked for, which is `auto` where none is."""
    import torch

    found: torch.dtype = auto if asked == "auto" else getattr(torch, asked)
    return found


def calculates_in(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether the device calculates in that precision at a useful speed.

    Where a processor does not, PyTorch falls back on a plain loop that is some ten times slower
    than float32.
    """
    import torch

    if device.type == "mps":
        return dtype != torch.float64
    if dtype not in (torch.bfloat16, torch.float16):
        return True
    if device.type == "cuda":
        return dtype == torch.float16 or torch.cuda.is_bf16_supported(including_emulation=False)
    # Builds without oneDNN, which calculates in these, do not have the question either.
    name = "bf16" if dtype == torch.bfloat16 else "fp16"
    onednn = torch.backends.mkldnn.is_available()
    return onednn and bool(getattr(torch.ops.mkldnn, f"_is_mkldnn_{name}_supported")())


def weights_dtype(path: Path) -> torch.dtype:
    """The number format of a checkpoint's weights, from `config.json`. Raises ConfigError if it
    names none that exists.
    """
    import torch

    config = read_config(path)
    name = config.get("dtype") or config.get("torch_dtype") or "float32"
    found = getattr(torch, str(name), None)
    if not isinstance(found, torch.dtype):
        raise ConfigError(
            f"{path / 'config.json'} names dtype {name!r}; expected one such as bfloat16"
        )
    return found
