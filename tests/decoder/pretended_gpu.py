"""A GPU that is only pretended: tensors say that they are on it, and mixing them with others fails
as it does on a real one.

All arithmetic is done on the CPU with real numbers, so that code whose way depends on values
(`tolist`, `nonzero`, `int`) runs whole, which it does not on PyTorch's fake tensors. Every storage
carries the device that it pretends to be on: `.to`, `.cpu()` and factories with `device=` set it,
results have that of their inputs, and tensors made without a device are on the CPU. An operation on
two devices raises, with the exceptions that PyTorch makes: numbers in tensors without dimensions,
copies, and indexing by CPU indices. `.numpy()` of a GPU tensor raises, too, and so does float64 on
`mps`.

What this cannot show: kernels that a GPU lacks or computes otherwise, memory, streams, events and
several processes; code that decides by what the GPU is (its name, its compute capability); and
Python functions of PyTorch itself that ask a tensor for its device on the inside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

CPU = torch.device("cpu")
_NAMES = ("cpu", "cuda", "cuda:0", "mps", "mps:0")
_ATEN = torch.ops.aten
# Their first argument decides; the others may be on the CPU.
_INDEXED = {
    _ATEN.index.Tensor,
    _ATEN.index_put.default,
    _ATEN.index_put_.default,
    _ATEN._index_put_impl_.default,
    _ATEN._unsafe_index.Tensor,
}
_COPIES = {
    _ATEN.copy_.default,
    _ATEN._to_copy.default,
    _ATEN._has_compatible_shallow_copy_type.default,
}


def device_of(tensor: Tensor) -> torch.device:
    """The device that a tensor pretends to be on."""
    with torch._C.DisableTorchFunction():
        found: torch.device = getattr(tensor.untyped_storage(), "pretended", tensor.device)
    return found


def _put(value: object, device: torch.device) -> None:
    for tensor in tree_leaves(value):
        if isinstance(tensor, Tensor):
            with torch._C.DisableTorchFunction():
                tensor.untyped_storage().pretended = device  # type: ignore[attr-defined]


class _NoMixing(TorchDispatchMode):
    """Every operation, those of the backward pass too: its inputs are on one device, and so is
    what comes out.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        kwargs = kwargs or {}
        device = self._device(func, args, kwargs)
        if func is _ATEN.histc.default:  # of integers, which only GPUs have
            out = func(args[0].float(), *args[1:], **kwargs).to(args[0].dtype)
        else:
            out = func(*args, **kwargs)
        if device is None:
            return out
        _put(out, device)
        dtypes = {x.dtype for x in tree_leaves(out) if isinstance(x, Tensor)}
        if device.type == "mps" and torch.float64 in dtypes:
            raise TypeError("the MPS framework doesn't support float64")
        return out

    @staticmethod
    def _device(func: Any, args: Any, kwargs: Any) -> torch.device | None:
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        if not given:
            return None
        if func in _COPIES:
            return device_of(given[0])
        if func in _INDEXED:
            given = [given[0], *(x for x in given[1:] if device_of(x) != CPU)]
        sized = [x for x in given if x.dim() or device_of(x) != CPU] or given
        devices = {device_of(x) for x in sized}
        if len(devices) > 1:
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found "
                f"{', '.join(sorted(map(str, devices)))} in {func}"
            )
        return devices.pop()


class _Pretending(TorchFunctionMode):
    """What names a device or asks for one."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        kwargs = dict(kwargs or {})
        if func == Tensor.device.__get__:
            return device_of(args[0])
        if func == Tensor.is_cuda.__get__:
            return device_of(args[0]).type == "cuda"
        if func in (Tensor.cpu, Tensor.to):
            return self._moved(func, args, kwargs)
        if func is Tensor.register_hook:  # the backward pass leaves this mode
            return func(args[0], lambda gradient: self._within(args[1], gradient))
        if func is Tensor.numpy and device_of(args[0]) != CPU:
            raise TypeError(f"can't convert {device_of(args[0])} tensor to numpy; use .cpu() first")
        device = kwargs.get("device")
        if not _names_device(device):
            return func(*args, **kwargs)
        out = func(*args, **{**kwargs, "device": CPU})
        _put(out, _named(device))
        return out

    def _within(self, hook: Callable[[Tensor], object], gradient: Tensor) -> object:
        with self:
            return hook(gradient)

    @staticmethod
    def _moved(func: Any, args: Any, kwargs: Any) -> Tensor:
        tensor, *rest = args
        device = CPU if func is Tensor.cpu else device_of(tensor)
        for value in [*rest, *kwargs.values()]:
            if isinstance(value, Tensor):
                device = device_of(value)
            elif _names_device(value):
                device = _named(value)
        others = tree_map(lambda x: CPU if _names_device(x) else x, (rest, kwargs))
        moved: Tensor = tensor.to(*others[0], **others[1]) if func is Tensor.to else tensor
        if device != device_of(tensor):
            moved = moved.clone() if moved is tensor else moved
            _put(moved, device)
        return moved


def _names_device(value: object) -> bool:
    return isinstance(value, str | torch.device) and str(value) in _NAMES


def _named(device: object) -> torch.device:
    kind = str(device).partition(":")[0]
    return CPU if kind == "cpu" else torch.device(kind, 0)


@contextmanager
def pretended_gpu(kind: str = "cuda", free_bytes: int = 64 << 30) -> Iterator[None]:
    """Within the block the machine has one GPU, `cuda` or `mps`, with that much free memory."""
    answers = {
        "is_available": lambda: kind == "cuda",
        "device_count": lambda: 1,
        "get_device_capability": lambda *_: (9, 0),
        "mem_get_info": lambda *_: (free_bytes, free_bytes),
        "memory_reserved": lambda *_: 0,
        "memory_allocated": lambda *_: 0,
        "is_bf16_supported": lambda *_, **__: True,
        "empty_cache": lambda: None,
        "synchronize": lambda *_: None,
    }
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, answer in answers.items():
            patch.setattr(torch.cuda, name, answer)
        patch.setattr(torch.backends.mps, "is_available", lambda: kind == "mps")
        patch.setattr(torch.mps, "synchronize", lambda: None)
        stack.enter_context(_NoMixing())
        stack.enter_context(_Pretending())
        yield
