"""The system calls a judged program may make, as a filter for the kernel.

Three classes: allowed (some only with certain arguments), hostile (the process is killed at
once, so the attempt cannot be hidden), and everything else (answered with EPERM, as if the
program lacked the right). A call of another architecture's table kills too.

The filter is classic BPF: instructions of 8 bytes (`code`, jump if true, jump if false, `k`)
that load a word of `struct seccomp_data {int nr; u32 arch; u64 ip; u64 args[6];}` into one
register and compare it. Written here because the bindings on the package index are not kept up:
`pyseccomp` 0.1.2 (2021) needs libseccomp on every machine, `landlock` 1.0.0.dev5 is a pre-release.
"""

from __future__ import annotations

import platform
import struct
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TypeAlias

_Table: TypeAlias = "dict[str, tuple[int | None, int | None]]"
_MACHINES = {
    "x86_64": (0, 0xC000003E),
    "aarch64": (1, 0xC00000B7),
}  # column of the tables, AUDIT_ARCH_*

_LOAD, _AND, _JUMP, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x05, 0x15, 0x35, 0x06
_KILL, _ALLOW, _ERRNO = 0x80000000, 0x7FFF0000, 0x00050000
_EPERM, _ENOSYS = _ERRNO | 1, _ERRNO | 38
_X32_BIT = 0x40000000
_PID = 0x7F1AB0D5  # stands for the process's own id until `for_process` fills it in
_FARTHEST = 255  # instructions that a comparison can jump over
_SIGKILL = 9  # a program may signal itself, but SIGKILL would look like the kernel's doing

# name: (number on x86-64, number on aarch64), None where the architecture lacks the call
_ALLOWED: _Table = {
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67),
    "pwrite64": (18, 68), "preadv": (295, 69), "pwritev": (296, 70), "lseek": (8, 62), "close": (3, 57),
    "close_range": (436, 436), "fstat": (5, 80), "stat": (4, None), "lstat": (6, None), "newfstatat": (262, 79),
    "statx": (332, 291), "statfs": (137, 43), "fstatfs": (138, 44), "access": (21, None), "faccessat": (269, 48),
    "faccessat2": (439, 439), "getcwd": (79, 17), "chdir": (80, 49), "fchdir": (81, 50), "getdents": (78, None),
    "getdents64": (217, 61), "readlink": (89, None), "readlinkat": (267, 78), "unlink": (87, None),
    "unlinkat": (263, 35), "rename": (82, None), "renameat": (264, 38), "renameat2": (316, 276),
    "ftruncate": (77, 46), "fsync": (74, 82), "fdatasync": (75, 83), "flock": (73, 32), "fadvise64": (221, 223),
    "dup": (32, 23), "dup2": (33, None), "dup3": (292, 24), "pipe": (22, None), "pipe2": (293, 59), "poll": (7, None),
    "ppoll": (271, 73), "select": (23, None), "pselect6": (270, 72), "epoll_create": (213, None),
    "epoll_create1": (291, 20), "epoll_ctl": (233, 21), "epoll_wait": (232, None), "epoll_pwait": (281, 22),
    "epoll_pwait2": (441, 441), "eventfd2": (290, 19), "mprotect": (10, 226), "munmap": (11, 215),
    "mremap": (25, 216), "brk": (12, 214), "madvise": (28, 233), "msync": (26, 227), "membarrier": (324, 283),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "rt_sigpending": (127, 136),
    "rt_sigtimedwait": (128, 137), "rt_sigsuspend": (130, 133), "sigaltstack": (131, 132), "pause": (34, None),
    "nanosleep": (35, 101), "clock_nanosleep": (230, 115), "clock_gettime": (228, 113), "clock_getres": (229, 114),
    "gettimeofday": (96, 169), "time": (201, None), "times": (100, 153), "getitimer": (36, 102),
    "setitimer": (38, 103), "alarm": (37, None), "getpid": (39, 172), "gettid": (186, 178), "getppid": (110, 173),
    "getpgid": (121, 155), "getpgrp": (111, None), "getsid": (124, 156), "getuid": (102, 174), "geteuid": (107, 175),
    "getgid": (104, 176), "getegid": (108, 177), "getgroups": (115, 158), "getresuid": (118, 148),
    "getresgid": (120, 150), "getrlimit": (97, 163), "getrusage": (98, 165), "sysinfo": (99, 179), "uname": (63, 160),
    "umask": (95, 166), "getrandom": (318, 278), "getcpu": (309, 168), "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123), "sched_getparam": (143, 121), "sched_getscheduler": (145, 120),
    "sched_get_priority_max": (146, 125), "sched_get_priority_min": (147, 126), "getpriority": (140, 141),
    "set_robust_list": (273, 99), "set_tid_address": (218, 96), "rseq": (334, 293), "futex": (202, 98),
    "futex_waitv": (449, 449), "restart_syscall": (219, 128), "exit": (60, 93), "exit_group": (231, 94),
    "wait4": (61, 260), "waitid": (247, 95), "arch_prctl": (158, None), "capget": (125, 90), "shutdown": (48, 210),
    "recvfrom": (45, 207), "getsockopt": (55, 209), "getsockname": (51, 204), "getpeername": (52, 205),
}  # fmt: skip
_CHECKED_NUMBERS: _Table = {
    "open": (2, None), "openat": (257, 56), "ioctl": (16, 29), "fcntl": (72, 25), "socketpair": (53, 199),
    "sendto": (44, 206), "prlimit64": (302, 261), "clone": (56, 220), "kill": (62, 129), "tkill": (200, 130),
    "tgkill": (234, 131), "clone3": (435, 435), "openat2": (437, 437), "mmap": (9, 222),
}  # fmt: skip
_HOSTILE: _Table = {
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281), "socket": (41, 198),
    "connect": (42, 203), "bind": (49, 200), "listen": (50, 201), "accept": (43, 202), "accept4": (288, 242),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424),
    "pidfd_getfd": (438, 438), "kcmp": (312, 272), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "unshare": (272, 97), "setns": (308, 268), "bpf": (321, 280), "userfaultfd": (323, 282),
    "perf_event_open": (298, 241), "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171), "clock_adjtime": (305, 266),
    "sethostname": (170, 161), "setdomainname": (171, 162), "open_by_handle_at": (304, 265),
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "iopl": (172, None), "ioperm": (173, None),
    "mknod": (133, None), "mknodat": (259, 33), "shmget": (29, 194), "shmat": (30, 196), "msgget": (68, 186),
    "semget": (64, 190), "mq_open": (240, 180), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "acct": (163, 89), "quotactl": (179, 60), "syslog": (103, 116), "fanotify_init": (300, 262),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Check:
    """A condition on an argument: its bits under `mask` are, or are not, among `values`."""

    argument: int
    values: tuple[int, ...]
    mask: int = 0xFFFFFFFF
    expected: bool = True
    high_word: bool = False


@dataclass(frozen=True, kw_only=True)
class _Rule:
    """A call that is allowed if every check holds, and otherwise answered with `otherwise`."""

    checks: tuple[_Check, ...]
    otherwise: int


def _pointer_is_null(argument: int) -> tuple[_Check, _Check]:
    return _Check(argument=argument, values=(0,)), _Check(
        argument=argument, values=(0,), high_word=True
    )


def _not_read_only_truncate(argument: int) -> _Check:
    # Landlock before ABI 3 does not see that opening with O_RDONLY | O_TRUNC empties a file.
    return _Check(argument=argument, mask=0x203, values=(0x200,), expected=False)


_NEVER = (_Check(argument=0, mask=0, values=(1,)),)
_OWN_SIGNAL = _Check(argument=0, values=(_PID,))
_RULES: dict[str, _Rule] = {
    "open": _Rule(checks=(_not_read_only_truncate(1),), otherwise=_EPERM),
    "openat": _Rule(checks=(_not_read_only_truncate(2),), otherwise=_EPERM),
    # TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX: no owner for signals, no terminal
    # input
    "ioctl": _Rule(
        checks=(_Check(argument=1, values=(0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)),),
        otherwise=_EPERM,
    ),
    # F_DUPFD to F_SETLKW and F_DUPFD_CLOEXEC: no F_SETOWN, which would signal other processes
    "fcntl": _Rule(checks=(_Check(argument=1, values=(*range(8), 1030)),), otherwise=_EPERM),
    # MAP_SHARED without MAP_ANONYMOUS: pages of a file could be filled without a `write` that is
    # counted
    "mmap": _Rule(
        checks=(_Check(argument=3, mask=0x21, values=(0x01,), expected=False),), otherwise=_EPERM
    ),
    # AF_UNIX and SOCK_STREAM: asyncio needs a pair; a datagram pair could send to other sockets
    "socketpair": _Rule(
        checks=(_Check(argument=0, values=(1,)), _Check(argument=1, mask=0xF, values=(1,))),
        otherwise=_KILL,
    ),
    "sendto": _Rule(checks=_pointer_is_null(4), otherwise=_KILL),
    "prlimit64": _Rule(checks=_pointer_is_null(2), otherwise=_EPERM),
    "clone": _Rule(
        checks=(_Check(argument=0, mask=0x10000, values=(0x10000,)),), otherwise=_KILL
    ),  # CLONE_THREAD
    "kill": _Rule(
        checks=(_OWN_SIGNAL, _Check(argument=1, values=(_SIGKILL,), expected=False)),
        otherwise=_KILL,
    ),
    "tkill": _Rule(
        checks=(_OWN_SIGNAL, _Check(argument=1, values=(_SIGKILL,), expected=False)),
        otherwise=_KILL,
    ),
    "tgkill": _Rule(
        checks=(_OWN_SIGNAL, _Check(argument=2, values=(_SIGKILL,), expected=False)),
        otherwise=_KILL,
    ),
    # The C library falls back to `clone` and `openat`, whose arguments can be looked at.
    "clone3": _Rule(checks=_NEVER, otherwise=_ENOSYS),
    "openat2": _Rule(checks=_NEVER, otherwise=_ENOSYS),
}


def _instruction(code: int, k: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, k)


def _check(check: _Check, otherwise: int) -> list[bytes]:
    # seccomp_data is little-endian on both machines: the low word of an argument comes first
    lines = [_instruction(_LOAD, 16 + 8 * check.argument + (4 if check.high_word else 0))]
    if check.mask != 0xFFFFFFFF:
        lines.append(_instruction(_AND, check.mask))
    refuse = _instruction(_RETURN, otherwise)
    if not check.expected:
        return lines + [
            part for v in check.values for part in (_instruction(_EQUAL, v, 0, 1), refuse)
        ]
    last = len(check.values)
    return [
        *lines,
        *(_instruction(_EQUAL, v, last - i) for i, v in enumerate(check.values)),
        refuse,
    ]


def _blocks(column: int) -> list[tuple[int, list[bytes]]]:
    """Ranges of call numbers in ascending order: where each starts, and the instructions that
    decide about it.
    """
    kill, allow, refuse = ([_instruction(_RETURN, answer)] for answer in (_KILL, _ALLOW, _EPERM))
    bodies = dict.fromkeys(_ALLOWED, allow) | dict.fromkeys(_HOSTILE, kill)
    for name, rule in _RULES.items():
        bodies[name] = [
            part for check in rule.checks for part in _check(check, rule.otherwise)
        ] + allow
    numbers = {
        row[column]: bodies[name] for name, row in (_ALLOWED | _CHECKED_NUMBERS | _HOSTILE).items()
    }
    known = {number: body for number, body in numbers.items() if number is not None}
    starts = sorted({0, *known, *(number + 1 for number in known)})
    every = [(start, known.get(start, refuse)) for start in starts]
    return [every[0], *(later for before, later in pairwise(every) if later[1] != before[1])]


def _search(blocks: list[tuple[int, list[bytes]]]) -> list[bytes]:
    """A binary search for the call's number: the kernel runs the filter once per call number to set
    it up.
    """
    if len(blocks) == 1:
        return blocks[0][1]
    middle = len(blocks) // 2
    low, high = _search(blocks[:middle]), _search(blocks[middle:])
    if len(low) <= _FARTHEST:
        return [_instruction(_AT_LEAST, blocks[middle][0], len(low)), *low, *high]
    return [
        _instruction(_AT_LEAST, blocks[middle][0], 0, 1),
        _instruction(_JUMP, len(low)),
        *low,
        *high,
    ]


def _build(column: int, audit_arch: int) -> bytes:
    kill = _instruction(_RETURN, _KILL)
    lines = [
        _instruction(_LOAD, 4),
        _instruction(_EQUAL, audit_arch, 1, 0),
        kill,
        _instruction(_LOAD, 0),
    ]
    if column == 0:
        lines += [_instruction(_AT_LEAST, _X32_BIT, 0, 1), kill]
    return b"".join([*lines, *_search(_blocks(column))])


@dataclass(frozen=True, kw_only=True)
class SyscallFilter:
    """A filter that lacks only the id of the process it is for."""

    code: bytes
    """Instructions of 8 bytes."""

    def for_process(self, pid: int) -> bytes:
        """The instructions for one process, which may send signals to itself alone."""
        return self.code.replace(struct.pack("=I", _PID), struct.pack("=I", pid))


@lru_cache(maxsize=2)
def build_filter(machine: str | None = None) -> SyscallFilter | None:
    """The filter for a machine as `platform.machine()` names it (this one by default), None if
    there is no table.
    """
    known = _MACHINES.get(machine or platform.machine())
    return SyscallFilter(code=_build(*known)) if known else None
