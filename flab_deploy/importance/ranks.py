"""Work shared between the processes of one `torchrun`; a single process is a world of one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

Item = TypeVar("Item")


class Ranks:
    """This process among its peers."""

    def __init__(self) -> None:
        joined = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if joined else 0
        self.count = dist.get_world_size() if joined else 1

    def share(self, items: Sequence[Item]) -> list[Item]:
        """Every `count`-th item, so that each rank gets its part."""
        return list(items[self.rank :: self.count])

    def sum(self, values: Tensor) -> Tensor:
        """`values` added up over all ranks, on every rank."""
        if self.count == 1:
            return values
        total = values.to(_device())
        dist.all_reduce(total)
        return total.to(values.device)

    def largest(self, value: int) -> int:
        """The largest `value` of any rank."""
        if self.count == 1:
            return value
        found = torch.tensor(value, device=_device())
        dist.all_reduce(found, op=dist.ReduceOp.MAX)
        return int(found)

    @contextmanager
    def lead(self) -> Iterator[Callable[[], None]]:
        """On the first rank: call what this yields to have the others join the work; they are let
        go otherwise.
        """
        started = False

        def start() -> None:
            nonlocal started
            started = True
            self.largest(1)

        try:
            yield start
        finally:
            if not started:
                self.largest(0)

    def called(self) -> bool:
        """On the other ranks: wait, and say whether the first one has started the work."""
        return self.largest(0) == 1

    def wait(self) -> None:
        """Return when all ranks have come here."""
        if self.count > 1:
            dist.barrier()


def _device() -> str:
    return "cuda" if dist.get_backend() == "nccl" else "cpu"


@contextmanager
def joined_ranks() -> Iterator[Ranks]:
    """The ranks of the `torchrun` that started this process, joined for the block; alone, if none
    did.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield Ranks()
        return
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield Ranks()
    finally:
        dist.destroy_process_group()
