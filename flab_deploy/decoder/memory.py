"""Memory of the device that a model runs on: how much is free, and what to do when it was too
little.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from flab_deploy.errors import ConfigError, OutOfMemory, first_line

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
# Share of a GPU's free memory that weights may take.
_WEIGHTS = 0.9
logger = logging.getLogger(__name__)


def free_bytes(device: torch.device) -> int:
    """Memory that is free now: of a GPU what its driver and PyTorch's own reserve have, else what
    the system can still give.
    """
    import psutil
    import torch

    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + kept
    return int(psutil.virtual_memory().available)


def needs_several_gpus(path: Path, num_bytes: int, device: torch.device) -> bool:
    """Whether one GPU has no room for weights of `num_bytes`, but all of them together have.

    Raises ConfigError if there is no room, or only on other GPUs than the one that was asked for.
    """
    if num_bytes <= _WEIGHTS * free_bytes(device):
        return False
    room = sum(memory_of_gpus().values()) if device.index is None else 0
    if num_bytes > room:
        raise ConfigError(
            f"{path} takes {num_bytes / 1e9:.1f} GB, more than is free on {device} "
            f"({free_bytes(device) / 1e9:.1f} GB); take --dtype bfloat16 or --device cpu"
        )
    return True


def memory_of_gpus() -> dict[int, int]:
    """Bytes that weights may take on every GPU; the rest is for what is computed."""
    import torch

    gpus = range(torch.cuda.device_count())
    return {gpu: int(_WEIGHTS * free_bytes(torch.device("cuda", gpu))) for gpu in gpus}


def cache_room(device: torch.device, on_cpu: int) -> int:
    """Bytes that a cache may take: `on_cpu`, or on a GPU up to half of what is free there.

    A power of two, so that a run that goes on after a kill makes the same batches again.
    """
    if device.type != "cuda":
        return on_cpu
    return 1 << max(0, (free_bytes(device) // 2).bit_length() - 1)


class BatchLimit:
    """How much is done at once: half as much after every time that memory did not suffice for
    it.
    """

    def __init__(self, stage: str, most: int) -> None:
        """`stage` is named in the log and in errors."""
        self._stage, self.most = stage, most

    def run(self, work: Callable[[int], T], wanted: int) -> T:
        """`work(size)` for the largest size that fits, at most `wanted`; smaller ones do it all
        from the start.

        Raises OutOfMemory if not even 1 fits.
        """
        size = min(self.most, wanted)
        while True:
            try:
                return work(size)
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
                if size <= 1:
                    raise OutOfMemory(
                        f"{self._stage}: memory does not suffice for one example "
                        f"({first_line(error)}); take --dtype bfloat16, fewer tokens or another "
                        "--device"
                    ) from None
            # Outside of the handler, whose traceback keeps the tensors of the failed try alive.
            size = self.most = size // 2
            logger.warning("%s: out of memory, going on with %d at a time", self._stage, size)
            _release()


def _is_out_of_memory(error: BaseException) -> bool:
    import torch

    on_cpu = "not enough memory" in str(error) or "can't allocate memory" in str(error)
    return on_cpu or isinstance(error, MemoryError | torch.OutOfMemoryError)


def _release() -> None:
    """Give what the failed try held back to the device."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
