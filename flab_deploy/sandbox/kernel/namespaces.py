"""A worker's own network and files, where the kernel lets it have them: as root, or in a user
namespace.

Entered once per worker, since a namespace per program would cost more than all the rest. Nothing
depends on it: it stands behind Landlock and the system call filter, and bounds what a program can
leave on a disk by a file system of its own.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from flab_deploy.sandbox.kernel.policy import in_child

_libc = ctypes.CDLL(None, use_errno=True)
_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER, _NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x40000000
_NOSUID, _NODEV, _NOEXEC, _REC, _PRIVATE = 2, 4, 8, 16384, 1 << 18
_MAX_FILES = 2000
_SLACK_BYTES = 1 << 20  # size 0 would mean no limit


def _checked(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), what)


def _mount(kind: bytes | None, target: str, flags: int, options: str | None) -> None:
    text = None if options is None else options.encode()
    _checked(
        _libc.mount(kind, os.fsencode(target), kind, ctypes.c_ulong(flags), text), f"mount {target}"
    )


def _enter(workdir: str, size_bytes: int) -> None:
    uid, gid = os.geteuid(), os.getegid()
    spaces = _NEWNS | _NEWUTS | _NEWIPC | _NEWNET | (_NEWUSER if uid else 0)
    _checked(_libc.unshare(ctypes.c_int(spaces)), "unshare")
    if uid:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    _mount(None, "/", _REC | _PRIVATE, None)
    options = f"size={size_bytes},nr_inodes={_MAX_FILES},mode=700"
    _mount(b"tmpfs", workdir, _NOSUID | _NODEV | _NOEXEC, options)
    os.chown(workdir, uid, gid)


def enter_namespaces(workdir: str, file_bytes: int) -> list[str]:
    """Give this process its own network and, in `workdir`, a small file system in memory, if that
    is possible.

    Tried in a child first, so that a refusal half-way leaves nothing behind. Returns the names of
    the layers that are then in force, as seen from inside.
    """
    size_bytes = 2 * file_bytes + _SLACK_BYTES
    if not in_child(lambda: _enter(workdir, size_bytes)):
        return []
    before = os.readlink("/proc/self/ns/net")
    _enter(workdir, size_bytes)
    room = os.statvfs(workdir)
    layers = ["private_network"] if os.readlink("/proc/self/ns/net") != before else []
    return layers + (
        ["limited_disk"] if room.f_blocks * room.f_frsize <= size_bytes + _SLACK_BYTES else []
    )
