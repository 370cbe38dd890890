"""The filter says what it should, on both architectures, by running it."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from flab_deploy.sandbox.kernel import seccomp
from flab_deploy.sandbox.kernel.seccomp import build_filter

PID, KILL, ALLOW, EPERM, ENOSYS = 4321, "kill", "allow", "EPERM", "ENOSYS"
ANSWERS = {0x80000000: KILL, 0x7FFF0000: ALLOW, 0x00050001: EPERM, 0x00050026: ENOSYS}
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
TABLES = {**seccomp._ALLOWED, **seccomp._CHECKED_NUMBERS, **seccomp._HOSTILE}


def answer(machine: str, number: int, *args: int, arch: int | None = None) -> str:
    """What the filter says to a call: an interpreter for the few BPF instructions it uses."""
    built = build_filter(machine)
    assert built is not None
    data = struct.pack(
        "<iIQ6Q", number, arch or ARCHITECTURES[machine], 0, *args, *[0] * (6 - len(args))
    )
    code = [
        struct.unpack("=HBBI", line) for line in re.findall(rb"(?s).{8}", built.for_process(PID))
    ]
    register, at = 0, 0
    while True:
        operation, if_true, if_false, k = code[at]
        at += 1
        if operation == 0x20:
            (register,) = struct.unpack_from("<I", data, k)
        elif operation == 0x54:
            register &= k
        elif operation == 0x05:
            at += k
        elif operation == 0x06:
            return ANSWERS[k]
        else:
            assert operation in (0x15, 0x35)
            at += if_true if (register == k if operation == 0x15 else register >= k) else if_false


def call(machine: str, name: str, *args: int) -> str:
    number = TABLES[name][list(ARCHITECTURES).index(machine)]
    assert number is not None
    return answer(machine, number, *args)


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_whole_tables(machine: str) -> None:
    column = list(ARCHITECTURES).index(machine)
    for table, expected in ((seccomp._ALLOWED, ALLOW), (seccomp._HOSTILE, KILL)):
        for row in table.values():
            number = row[column]
            assert number is None or answer(machine, number) == expected
    named = {row[column] for row in TABLES.values()}
    assert {answer(machine, number) for number in range(600) if number not in named} == {EPERM}


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_arguments(machine: str) -> None:
    other = 1
    assert call(machine, "kill", PID, 15) == ALLOW
    assert call(machine, "kill", PID, 9) == KILL
    assert (
        call(machine, "kill", other, 0)
        == call(machine, "kill", 0, 15)
        == call(machine, "kill", 2**32 - 1, 9)
        == KILL
    )
    assert call(machine, "tgkill", PID, PID + 1, 6) == ALLOW
    assert call(machine, "tgkill", PID, PID, 9) == call(machine, "tgkill", other, PID, 6) == KILL
    assert call(machine, "clone", 0x3D0F00) == ALLOW
    assert call(machine, "clone", 0x1200011) == KILL
    assert call(machine, "clone3", 1 << 40) == call(machine, "openat2", 0) == ENOSYS
    assert call(machine, "openat", 0, 1, 0o1101) == call(machine, "openat", 0, 1, 0) == ALLOW
    assert call(machine, "openat", 0, 1, 0o1000) == EPERM
    assert call(machine, "fcntl", 3, 1030) == call(machine, "fcntl", 3, 4) == ALLOW
    assert call(machine, "fcntl", 3, 8) == call(machine, "fcntl", 3, 15) == EPERM
    assert call(machine, "ioctl", 1, 0x5401) == ALLOW
    assert call(machine, "ioctl", 1, 0x5412) == EPERM
    assert call(machine, "socketpair", 1, 0x80801) == ALLOW
    assert call(machine, "socketpair", 1, 2) == call(machine, "socketpair", 2, 1) == KILL
    assert call(machine, "sendto", 5, 1, 1, 0, 0) == ALLOW
    assert (
        call(machine, "sendto", 5, 1, 1, 0, 1 << 32)
        == call(machine, "sendto", 5, 1, 1, 0, 1)
        == KILL
    )
    assert call(machine, "prlimit64", 0, 7, 0) == ALLOW
    assert call(machine, "mmap", 0, 9, 3, 0x22) == call(machine, "mmap", 0, 9, 3, 0x21) == ALLOW
    assert call(machine, "mmap", 0, 9, 5, 0x802) == ALLOW
    assert call(machine, "mmap", 0, 9, 1, 0x1) == call(machine, "mmap", 0, 9, 3, 0x8003) == EPERM
    assert call(machine, "prlimit64", 0, 7, 1 << 36) == EPERM


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_other_architectures_kill(machine: str) -> None:
    assert answer(machine, 0, arch=0x40000003) == KILL
    if machine == "x86_64":
        assert answer(machine, 0x40000000 + 1) == KILL


def test_unknown_machines_have_no_filter() -> None:
    assert build_filter("riscv64") is None


@pytest.mark.parametrize(
    ("header", "column"),
    [
        ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", 0),
        ("/usr/include/asm-generic/unistd.h", 1),
    ],
)
def test_numbers_are_those_of_the_kernel_headers(header: str, column: int) -> None:
    if not Path(header).is_file():
        pytest.skip(f"no kernel header {header}")
    numbers = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)\s", Path(header).read_text()))
    numbers.setdefault("newfstatat", numbers.get("fstatat", ""))
    for name, row in TABLES.items():
        if name in numbers:
            assert row[column] == int(numbers[name]), name
