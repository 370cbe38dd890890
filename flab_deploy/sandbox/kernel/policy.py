"""The layers around a process that runs code nobody has read, and how to enter them.

Everything is prepared once per worker (`prepare`) and entered in each forked child (`enter`):
limits, a private user where the worker is root, Landlock for files, a system call filter last.
Nothing here needs a privilege; being root only adds the private user.
"""

from __future__ import annotations

import ctypes
import math
import os
import re
import resource
import signal
import sys
import sysconfig
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from flab_deploy.sandbox.kernel.seccomp import SyscallFilter, build_filter
from flab_deploy.sandbox.verdicts import Limits

_libc = ctypes.CDLL(None, use_errno=True)
# Looked up here, once: in every child the first look would take longer than the call.
_libc_prctl, _libc_capset, _libc_syscall = _libc.prctl, _libc.capset, _libc.syscall
_libc_prctl.argtypes = (
    ctypes.c_int,
    ctypes.c_ulong,
    ctypes.c_void_p,
    ctypes.c_ulong,
    ctypes.c_ulong,
)

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_KEEPCAPS, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = (
    1,
    4,
    8,
    38,
    22,
)
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION, _CAP_DAC_READ_SEARCH = 0x20080522, 2
# The same numbers on every architecture.
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446

_READ_FILE, _READ_DIR, _WRITE_FILE, _REMOVE_FILE, _MAKE_REG, _TRUNCATE = (
    1 << 2,
    1 << 3,
    1 << 1,
    1 << 5,
    1 << 8,
    1 << 14,
)
_RIGHTS_BY_ABI = {
    1: (1 << 13) - 1,
    2: (1 << 14) - 1,
    3: (1 << 15) - 1,
    4: (1 << 15) - 1,
}  # from 5 on: 16 rights
_SYSTEM_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
_SYSTEM_FILES = ("/etc/ld.so.cache", "/usr/share/zoneinfo")
# Installed packages may hold the very tests a program is judged by.
_PACKAGES = re.compile(r"site-packages|dist-packages|python[0-9.]*|node_modules")
_DEVICES = ("/dev/zero", "/dev/urandom", "/dev/random")

CHANNEL_FD, REPORT_FD = 3, 4
"""Where a child finds its channel to its sibling, and the test process its way to report."""
_FIRST_PRIVATE_UID, _NUM_PRIVATE_UIDS = 60_000, 5_400
NUM_THREADS = 64
"""How many threads a child with a private user may have."""
_MAX_FD = 256  # a worker has about a dozen


def _prctl(option: int, value: int) -> None:
    if _libc_prctl(option, value, None, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value})")


def landlock_abi() -> int:
    """Version of the kernel's Landlock interface; 0 if there is none."""
    return max(
        0, int(_libc_syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1)))
    )


# Types are made here, once: making one in every child takes longer than using it.
_TwoWords, _SixWords = ctypes.c_uint32 * 2, ctypes.c_uint32 * 6


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


class _Rule(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("rights", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def _allow_beneath(ruleset: int, path: str, rights: int) -> None:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # not on this machine, so there is nothing to allow
    try:
        if not os.path.isdir(path):
            rights &= _READ_FILE | _WRITE_FILE | _TRUNCATE
        rule = _Rule(rights=rights, parent_fd=parent)
        if _libc_syscall(_LANDLOCK_ADD, ruleset, 1, ctypes.byref(rule), ctypes.c_uint32(0)) != 0:
            raise OSError(ctypes.get_errno(), f"Landlock rule for {path}")
    finally:
        os.close(parent)


def landlock_ruleset(library: Library, writable: str | None) -> int | None:
    """A descriptor of rules: read the library, flat files in `writable`, no network; None without
    Landlock.

    The only files a program can make are regular ones in its directory: no folder, link, socket or
    pipe, so that cleaning up is one listing. Signals and abstract sockets stay inside from ABI 6
    on.
    """
    abi = landlock_abi()
    if abi == 0:
        return None
    files = _RIGHTS_BY_ABI.get(abi, (1 << 16) - 1)
    attributes = (ctypes.c_uint64 * 3)(files, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    ruleset = int(
        _libc_syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(size), ctypes.c_uint32(0))
    )
    if ruleset < 0:
        return None
    for path in library.readable:
        _allow_beneath(ruleset, path, _READ_FILE | _READ_DIR)
    for path in library.listable:
        _allow_beneath(ruleset, path, _READ_DIR)
    for path in _DEVICES:
        _allow_beneath(ruleset, path, _READ_FILE)
    _allow_beneath(ruleset, os.devnull, (_READ_FILE | _WRITE_FILE | _TRUNCATE) & files)
    if writable is not None:
        rights = _READ_FILE | _READ_DIR | _WRITE_FILE | _REMOVE_FILE | _MAKE_REG | _TRUNCATE
        _allow_beneath(ruleset, writable, rights & files)
    return ruleset


@dataclass(frozen=True, kw_only=True)
class Library:
    """Where the interpreter's own library and the system's shared libraries lie: all a program may
    read.
    """

    readable: tuple[str, ...]
    """Files, and folders with all that is beneath them."""
    listable: tuple[str, ...]
    """Folders whose files' names may be read: the interpreter looks for modules there."""


@dataclass(frozen=True, kw_only=True)
class Confinement:
    """What a child enters; prepared once, valid for every child of one worker and one role."""

    uid: int | None
    """Private user to become; None to stay who the worker is."""
    search: bool
    """Whether that user needs the right to pass through folders closed to it, to reach the
    interpreter's library.
    """
    ruleset_fd: int | None
    """Landlock rules, or None without Landlock."""
    watched: bool
    """Whether the child stays open to its user, since else a worker without privilege cannot see
    what it writes.
    """
    syscalls: SyscallFilter | None
    """System call filter, or None where no filter can be had."""
    rlimits: tuple[tuple[int, tuple[int, int]], ...]
    """The kernel's limits of the process, soft and hard, but for that of the processor time."""
    workdir: str
    """Directory to be in."""
    parent: int
    """Process id of the worker; the child dies with it."""


def _baseline_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (OSError, ValueError):
        return 256 << 20


def _threads_of_user() -> int:
    """Threads of this user now; the kernel counts them all, so an ordinary user's limit is relative
    to them.
    """
    count = 0
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if entry.stat().st_uid == os.getuid():
                count += len(os.listdir(entry / "task"))
        except OSError:
            continue
    return count


def _entries(folder: str) -> list[str]:
    """What lies in a folder, but for installed packages."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [os.path.join(folder, name) for name in names if not _PACKAGES.fullmatch(name)]


def find_library() -> Library:
    """The library of this interpreter and system, without the packages that are installed beside
    it.
    """
    paths = sysconfig.get_paths()
    own = {os.path.realpath(paths[name]) for name in ("stdlib", "platstdlib")}
    own |= {
        os.path.realpath(entry) for entry in sys.path if os.path.basename(entry) == "lib-dynload"
    }
    system = {os.path.realpath(path) for path in _SYSTEM_LIBRARIES}
    shared = [
        path
        for path in _entries(os.path.join(sys.base_prefix, "lib"))
        if ".so" in os.path.basename(path)
    ]
    readable = [path for folder in sorted(own | system) for path in _entries(folder)]
    return Library(
        readable=(*readable, *shared, *_SYSTEM_FILES), listable=tuple(sorted(own | system))
    )


def private_uid() -> int | None:
    """A user id for this worker's children and no one else, if this process may give one; it and
    the next are free.
    """
    if os.geteuid() != 0:
        return None
    uid = _FIRST_PRIVATE_UID + 2 * (os.getpid() % (_NUM_PRIVATE_UIDS // 2))
    return uid if in_child(lambda: _become(uid, search=False)) else None


def needs_search(uid: int | None, path: str) -> bool:
    """Whether `uid` cannot list `path` by itself."""

    def attempt() -> None:
        if uid is not None:
            _become(uid, search=False)
        os.listdir(path)

    return uid is not None and not in_child(attempt)


class ForkFirstToGo:
    """Forks children that the kernel ends before all others when memory runs out.

    They get that from their parent, which has it for the moment of the fork: for a child to set it
    itself takes twenty times as long. Where the kernel does not let it be set, size alone decides.
    """

    def __init__(self) -> None:
        """Keeps open the file by which this process's turn is set."""
        self._fd, self._own = -1, b"0"
        with suppress(OSError):
            self._fd = os.open("/proc/self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
            self._own = os.read(self._fd, 16)

    def _set(self, turn: bytes) -> None:
        if self._fd >= 0:
            with suppress(OSError):
                os.write(self._fd, turn)

    def __call__(self) -> int:
        """As `os.fork`."""
        self._set(b"1000")
        pid = -1
        try:
            pid = os.fork()
            return pid
        finally:
            if pid != 0:
                self._set(self._own)


def in_child(attempt: Callable[[], object]) -> bool:
    """Whether a callable ends without an exception, tried in a forked child."""
    child = os.fork()
    if child == 0:
        try:
            attempt()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def prepare(
    limits: Limits, uid: int | None, search: bool, library: Library, workdir: str, *, write: bool
) -> Confinement:
    """Everything a child of this process needs to confine itself; with `write` it may leave files
    in `workdir`.
    """
    return Confinement(
        uid=uid,
        search=search,
        ruleset_fd=landlock_ruleset(library, workdir if write else None),
        watched=write and uid is None,
        syscalls=build_filter() if ctypes.sizeof(ctypes.c_void_p) == 8 else None,
        rlimits=_rlimits(
            limits, NUM_THREADS if uid is not None else _threads_of_user() + 8 * NUM_THREADS
        ),
        workdir=workdir,
        parent=os.getpid(),
    )


def _become(uid: int, *, search: bool) -> None:
    """Become a user for good, keeping no capability but (with `search`) that to pass through closed
    folders.

    That one opens nothing by itself: what can be read is Landlock's to say.
    """
    if search:
        _prctl(_PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    _keep_capabilities(1 << _CAP_DAC_READ_SEARCH if search else 0)


def _keep_capabilities(mask: int) -> None:
    header = _TwoWords(_CAPABILITY_VERSION, 0)
    data = _SixWords(mask, mask, 0, 0, 0, 0)  # effective, permitted, inheritable; low and high word
    if _libc_capset(header, data) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def _not_raised(which: int, soft: int, hard: int) -> tuple[int, int]:
    """The limits, or those in force where they are lower."""
    _, ceiling = resource.getrlimit(which)
    return (
        (soft, hard)
        if ceiling == resource.RLIM_INFINITY
        else (min(soft, ceiling), min(hard, ceiling))
    )


def _rlimits(limits: Limits, num_threads: int) -> tuple[tuple[int, tuple[int, int]], ...]:
    values = {
        resource.RLIMIT_AS: _baseline_bytes() + limits.memory_bytes,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_NOFILE: 32,
        resource.RLIMIT_NPROC: num_threads,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_STACK: 8 << 20,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    return tuple((which, _not_raised(which, value, value)) for which, value in values.items())


def _set_limits(confinement: Confinement, cpu_s: float) -> None:
    for which, value in confinement.rlimits:
        resource.setrlimit(which, value)
    seconds = math.ceil(cpu_s) + 1  # the worker measures finer; this is for when it cannot
    resource.setrlimit(resource.RLIMIT_CPU, _not_raised(resource.RLIMIT_CPU, seconds, seconds + 1))


def _keep_descriptors(keep: Sequence[int]) -> None:
    """Close all descriptors but the standard ones, which lead nowhere, and `keep`, which become 3,
    4, ...
    """
    high = [_above(os.dup(fd), CHANNEL_FD + len(keep)) for fd in keep]
    for place, fd in enumerate(high, start=CHANNEL_FD):
        os.dup2(fd, place, inheritable=False)
    os.closerange(CHANNEL_FD + len(keep), _MAX_FD)


def _above(fd: int, least: int) -> int:
    while fd < least:
        fd = os.dup(fd)
    return fd


def _filter_syscalls(code: bytes) -> None:
    program = _FilterProgram(len(code) // 8, code)
    if _libc_prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp filter")


def enter(confinement: Confinement, keep: Sequence[int], cpu_s: float) -> None:
    """Confine this process, a fresh child of the worker, for good; descriptors `keep` become 3, 4,
    ...

    The kernel ends it soon after `cpu_s` seconds of processor time, if the worker has not done so.
    Raises OSError if a layer that was prepared cannot be entered; the child must then end.
    """
    os.setsid()
    os.chdir(confinement.workdir)
    _set_limits(confinement, cpu_s)
    if confinement.uid is not None:
        _become(confinement.uid, search=confinement.search)
    else:
        _keep_capabilities(0)  # those of root, or of the worker's user namespace
    _prctl(_PR_SET_DUMPABLE, 1 if confinement.watched else 0)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # after the change of user, which clears it
    if os.getppid() != confinement.parent:
        os._exit(1)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    ruleset = confinement.ruleset_fd
    if ruleset is not None and _libc_syscall(_LANDLOCK_RESTRICT, ruleset, ctypes.c_uint32(0)) != 0:
        raise OSError(ctypes.get_errno(), "landlock_restrict_self")
    _keep_descriptors(keep)
    if confinement.syscalls is not None:
        _filter_syscalls(confinement.syscalls.for_process(os.getpid()))
