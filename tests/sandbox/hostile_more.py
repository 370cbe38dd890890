"""A second round of attacks: on the border between the processes, on the kernel's bookkeeping, on
the next program.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

HONEST = "def f(n):\n    return list(range(1, n + 1))\n"
VIOLATION = ("policy_violation",)
SYSCALL = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"


@dataclass(frozen=True, kw_only=True)
class Attack:
    """A program and the verdicts it may end with."""

    name: str
    source: str
    verdicts: tuple[str, ...]


def attack(name: str, body: str, *verdicts: str, head: str = "") -> Attack:
    """An attack of which `head` happens at import and `body` in the function, which then answers
    wrongly.
    """
    lines = textwrap.indent(body.strip("\n"), "    ")
    return Attack(
        name=name, source=f"{head}\ndef f(n):\n{lines}\n    return [n]\n", verdicts=verdicts
    )


MORE_CHEATS = [
    attack("StopIteration at import", "pass", "fail_load", head="raise StopIteration"),
    attack(
        "the encoder replaced, to answer in its own words",
        "pass",
        "protocol_violation",
        head=(
            "from flab_deploy.sandbox.worker import candidate\ncandidate.pack = lambda *a: ['?', 1]"
        ),
    ),
    attack(
        "an encoded object of a class by name",
        "pass",
        "protocol_violation",
        head=(
            "from flab_deploy.sandbox.worker import candidate\ncandidate.pack = lambda *a: "
            "['T', 'super']"
        ),
    ),
    attack(
        "a call back without a function",
        "import sys, os, json, struct\n"
        "frame = sys._getframe()\n"
        "while 'nonce' not in frame.f_locals: frame = frame.f_back\n"
        "reply = json.dumps(dict(nonce=frame.f_locals['nonce'], call=-1, args=['l'], "
        "kwargs=['d'])).encode()\n"
        "os.write(3, struct.pack('>I', len(reply)) + reply)",
        "protocol_violation",
    ),
    attack(
        "a call back by a name",
        "import sys, os, json, struct\n"
        "frame = sys._getframe()\n"
        "while 'nonce' not in frame.f_locals: frame = frame.f_back\n"
        "reply = json.dumps(dict(nonce=frame.f_locals['nonce'], call='check', args=['l'], "
        "kwargs=['d'])).encode()\n"
        "os.write(3, struct.pack('>I', len(reply)) + reply)",
        "protocol_violation",
    ),
    attack(
        "an error that names what is no error",
        "import sys, os, json, struct\n"
        "frame = sys._getframe()\n"
        "while 'nonce' not in frame.f_locals: frame = frame.f_back\n"
        "reply = json.dumps(dict(nonce=frame.f_locals['nonce'], error=['exec', 'SystemExit'], "
        "text='0')).encode()\n"
        "os.write(3, struct.pack('>I', len(reply)) + reply)",
        "fail_exception",
    ),
    attack(
        "the right nonce, and changed arguments of another shape",
        "import sys, os, json, struct\n"
        "frame = sys._getframe()\n"
        "while 'nonce' not in frame.f_locals: frame = frame.f_back\n"
        "reply = json.dumps(dict(nonce=frame.f_locals['nonce'], value=[], args=7, "
        "kwargs='x')).encode()\n"
        "os.write(3, struct.pack('>I', len(reply)) + reply)",
        "protocol_violation",
    ),
    attack(
        "answers flooded by a thread",
        "import threading, os, json, struct\n"
        "reply = json.dumps(dict(nonce='0' * 16, value=['l', 1, 2, 3])).encode()\n"
        "def flood():\n"
        "    while True: os.write(3, struct.pack('>I', len(reply)) + reply)\n"
        "threading.Thread(target=flood, daemon=True).start()\n"
        "import time; time.sleep(0.05)",
        "protocol_violation",
    ),
    attack(
        "a wrong answer mended when it is collected",
        "class Late:\n    def __del__(self):\n        import os\n        os.write(3, "
        "b'\\0\\0\\0\\2{}')\nlate = Late()",
        "protocol_violation",
    ),
    attack(
        "a lying class on an object",
        "class Yes:\n"
        "    __class__ = property(lambda self: list)\n"
        "    def __eq__(self, other): return True\n"
        "    def __iter__(self): return iter(range(1, n + 1))\n"
        "return Yes()",
        "unsupported_value",
    ),
    attack("not a number", "return float('nan')", "fail_assert"),
    attack(
        "a signalling not-a-number",
        "import decimal; return decimal.Decimal('sNaN')",
        "fail_assert",
        "fail_exception",
    ),
    attack("the type itself", "return list", "fail_assert"),
    attack("NotImplemented", "return NotImplemented", "unsupported_value"),
    attack(
        "a tuple with names that equals everything",
        "import collections\n"
        "class Yes(collections.namedtuple('Y', 'a b')):\n"
        "    def __eq__(self, other): return True\n"
        "return Yes(1, 2)",
        "unsupported_value",
        "fail_assert",
    ),
    attack(
        "SystemExit in a thread",
        "import threading, sys\nt = threading.Thread(target=sys.exit)\nt.start(); t.join()",
        "fail_assert",
    ),
    attack(
        "exit by a thread",
        "import threading, os\nt = threading.Thread(target=os._exit, args=(0,))\nt.start(); "
        "t.join()",
        "fail_exception",
    ),
    attack(
        "a cancelled future",
        "import concurrent.futures as c\nraise c.CancelledError('skip')",
        "fail_exception",
    ),
    attack("a skipped test", "import unittest\nraise unittest.SkipTest('skip')", "fail_exception"),
    attack(
        "a group of errors",
        "raise BaseExceptionGroup('g', [KeyboardInterrupt(), SystemExit(0)])",
        "fail_exception",
    ),
    attack(
        "an error whose class has a lying name",
        "Odd = type('AssertionError' * 1000, (Exception,), "
        "dict(__module__='builtins'))\nraise Odd(object())",
        "fail_exception",
    ),
    attack(
        "hooks of the interpreter",
        "pass",
        "fail_assert",
        head=("import sys\nsys.excepthook = sys.unraisablehook = print\nsys.displayhook = exit"),
    ),
    attack(
        "modules made to lie in both processes",
        "pass",
        "fail_load",
        head=(
            "import json, struct, os, builtins\n"
            "json.loads = lambda *a: dict(ready=True)\n"
            "builtins.isinstance = lambda *a: True"
        ),
    ),
    attack(
        "an import hook",
        "pass",
        "fail_assert",
        head=(
            "import sys\nclass Hook:\n    def find_spec(self, *a): raise "
            "SystemExit(0)\nsys.meta_path.insert(0, Hook())"
        ),
    ),
    attack(
        "installed packages read, which may hold the tests",
        "\n"
        "import os\n"
        "places = [os.path.dirname(os.__file__) + '/site-packages', os.path.dirname(os.__file__) + "
        "'/dist-packages']\n"
        "places += ['/usr/lib/python3/dist-packages', {package!r}]\n"
        "for place in places:\n"
        "    names = ['README.txt', '__init__.py', 'six.py', 'pip/__init__.py']\n"
        "    try: names += os.listdir(place)\n"
        "    except OSError: pass\n"
        "    for name in names:\n"
        "        try:\n"
        "            with open(place + '/' + name) as text: text.read(1)\n"
        "        except OSError: continue\n"
        "        return list(range(1, n + 1))\n",
        "fail_assert",
    ),
    attack(
        "exception text of terabytes",
        "class Odd(Exception):\n    def __str__(self): return 'x' * (1 << 40)\nraise Odd",
        "fail_exception",
    ),
    attack(
        "an exception that loops when printed",
        "class Odd(Exception):\n    def __str__(self):\n        while True: pass\nraise Odd",
        "timeout_cpu",
    ),
]

MORE_HARM = [
    attack(
        "a disk filled with files that have no name",
        "pass",
        "output_limit",
        "timeout_cpu",
        "timeout_wall",
        head=(
            SYSCALL
            + (
                "import os\n"
                "libc.mmap.restype = ctypes.c_void_p\n"
                "while True:\n"
                "    with open('big', 'w+b') as out:\n"
                "        for _ in range(15): out.write(bytes(1 << 20))\n"
                "        out.flush()\n"
                "        held = libc.mmap(None, 4096, 1, 2, out.fileno(), 0)\n"
                "        assert held not in (None, (1 << 64) - 1)\n"
                "    os.unlink('big')"
            )
        ),
    ),
    attack(
        "a file filled through a shared mapping",
        "import mmap\nwith open('big', 'w+b') as out:\n    out.truncate(1 << 20)\n    "
        "mmap.mmap(out.fileno(), 1 << 20)",
        *VIOLATION,
    ),
    attack("its own memory as a file", "open('/proc/self/mem', 'r+b')", *VIOLATION),
    attack(
        "its own descriptors as files", "import os; return os.listdir('/proc/self/fd')", *VIOLATION
    ),
    attack(
        "its sibling traced",
        "libc.ptrace(16, __import__('os').getpid() + 1, 0, 0)",
        *VIOLATION,
        head=SYSCALL,
    ),
    attack("its sibling killed", "import os; os.kill(os.getpid() + 1, 9)", *VIOLATION),
    attack(
        "its sibling's limits set",
        "import resource, os\nresource.prlimit(os.getpid() + 1, resource.RLIMIT_CPU, (0, 0))",
        *VIOLATION,
    ),
    attack(
        "its sibling's priority lowered",
        "import os; os.setpriority(os.PRIO_PROCESS, os.getpid() + 1, 19)",
        *VIOLATION,
    ),
    attack(
        "everyone's priority lowered", "import os; os.setpriority(os.PRIO_USER, 0, 19)", *VIOLATION
    ),
    attack(
        "its sibling moved to another processor",
        "import os; os.sched_setaffinity(os.getpid() + 1, [0])",
        *VIOLATION,
    ),
    attack(
        "real-time priority",
        "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))",
        *VIOLATION,
        "fail_exception",
    ),
    attack(
        "signals by way of a descriptor",
        "import fcntl\nfcntl.fcntl(3, fcntl.F_SETOWN, {judge})",
        *VIOLATION,
    ),
    attack(
        "signals by way of a terminal",
        "import fcntl, struct\nfcntl.ioctl(0, 0x5410, struct.pack('i', {judge}))",
        *VIOLATION,
        "fail_exception",
    ),
    attack("input pushed to a terminal", "import fcntl\nfcntl.ioctl(0, 0x5412, b'x')", *VIOLATION),
    attack(
        "its parent's death signal dropped",
        "assert libc.prctl(1, 0, 0, 0, 0) == 0",
        "fail_exception",
        head=SYSCALL,
    ),
    attack(
        "its memory opened to others",
        "assert libc.prctl(4, 1, 0, 0, 0) == 0",
        "fail_exception",
        head=SYSCALL,
    ),
    attack(
        "a filter of its own",
        "assert libc.syscall(317, 1, 0, 0) == 0",
        "fail_exception",
        *VIOLATION,
        head=SYSCALL,
    ),
    attack(
        "another personality",
        "assert libc.personality(0x0040000) >= 0",
        "fail_exception",
        head=SYSCALL,
    ),
    attack(
        "a timer on the judge",
        "libc.pidfd_open({judge}, 0); libc.syscall(434, {judge}, 0)",
        *VIOLATION,
        head=SYSCALL,
    ),
    attack(
        "old system calls",
        "libc.syscall(0x40000000 + 57)",
        *VIOLATION,
        "killed_signal",
        "fail_assert",
        head=SYSCALL,
    ),
    attack("kernel keys", "libc.syscall({keyctl}, 0, 0)", *VIOLATION, head=SYSCALL),
    attack("userfaultfd", "libc.syscall({userfaultfd}, 0)", *VIOLATION, head=SYSCALL),
    attack(
        "a spawned interpreter",
        "import multiprocessing as m\nm.get_context('spawn').Process(target=print).start()",
        *VIOLATION,
    ),
    attack("a named pipe for the cleaner to hang on", "import os; os.mkfifo('pipe')", *VIOLATION),
    attack(
        "a socket file", "import socket\nsocket.socket(socket.AF_UNIX).bind('here')", *VIOLATION
    ),
    attack(
        "its own folder renamed away",
        "import os; os.rename(os.getcwd(), os.getcwd() + '-moved')",
        *VIOLATION,
    ),
    attack("its own folder removed", "import os; os.rmdir(os.getcwd())", *VIOLATION),
    attack(
        "its own folder closed to the cleaner", "import os; os.chmod(os.getcwd(), 0)", *VIOLATION
    ),
    attack(
        "file attributes",
        "import os; os.setxattr('.', 'user.x', b'1')",
        *VIOLATION,
        "fail_exception",
    ),
    attack(
        "a core dump",
        "import resource, os\nresource.setrlimit(resource.RLIMIT_CORE, (-1, -1))\nos.abort()",
        "fail_exception",
        *VIOLATION,
        "killed_signal",
    ),
    attack("a file name of strange bytes", "open(b'\\xff\\n\\x1b[2J', 'w').close()", "fail_assert"),
    attack(
        "pipes filled",
        "import os, fcntl\nwhile True:\n    r, w = os.pipe()\n    fcntl.fcntl(w, 1031, 1 << 20)",
        *VIOLATION,
        "fail_exception",
    ),
    attack(
        "a lock on a file of the system",
        "import fcntl, os\nfcntl.flock(os.open(os.__file__, os.O_RDONLY), fcntl.LOCK_EX)",
        "fail_assert",
        *VIOLATION,
    ),
]

MORE_BOMBS = [
    attack(
        "address space mapped to its end",
        "import mmap\nheld = []\nwhile True: held.append(mmap.mmap(-1, 1 << 24))",
        "memory_limit",
        *VIOLATION,
        "output_limit",
        "fail_exception",
    ),
    attack(
        "mappings without number",
        "import mmap\nheld = []\nwhile True: held.append(mmap.mmap(-1, 4096))",
        "memory_limit",
        "timeout_cpu",
        "fail_exception",
        "output_limit",
    ),
    attack(
        "colliding keys",
        "return [(1 << 61) - 1] * 0 + list({i * ((1 << 61) - 1): 0 for i in range(20_000)})",
        "timeout_cpu",
        "fail_assert",
    ),
    attack(
        "colliding keys, sent to the test",
        "return {i * ((1 << 61) - 1) for i in range(1, 9_000)}",
        "timeout_cpu",
        "fail_assert",
    ),
    attack(
        "a power inside a fraction",
        "import fractions\nreturn fractions.Fraction(1, 3) ** 100_000",
        "fail_assert",
        "timeout_cpu",
    ),
    attack(
        "a decimal too large to compare",
        "import decimal\nreturn decimal.Decimal('1E+999999999')",
        "fail_assert",
        "timeout_cpu",
        "memory_limit",
    ),
    attack("a range of everything", "return range(10 ** 30)", "fail_assert"),
    attack(
        "a crash handler that loops",
        "import faulthandler\nfaulthandler.dump_traceback_later(0.01, repeat=True)\nimport "
        "time; time.sleep(0.1)",
        "fail_assert",
        "fail_exception",
    ),
    attack(
        "a crash with the handler on",
        "import faulthandler, ctypes\nfaulthandler.enable(); ctypes.string_at(0)",
        "killed_signal",
        "fail_exception",
        *VIOLATION,
    ),
    attack(
        "a crash at the stack's end",
        "import ctypes\nproto = ctypes.CFUNCTYPE(None)\ndef g(): proto(g)()\ng()",
        "fail_assert",
        "killed_signal",
        "fail_exception",
        "memory_limit",
        "timeout_cpu",
    ),
    attack(
        "signals without end",
        "import signal, os\n"
        "signal.setitimer(signal.ITIMER_REAL, 1e-6, 1e-6)\n"
        "signal.signal(signal.SIGALRM, lambda *a: None)\n"
        "while True: pass",
        "timeout_cpu",
        "killed_signal",
    ),
    attack(
        "an alarm that nobody handles",
        "import signal\nsignal.alarm(1)\nwhile True: signal.pause()",
        "killed_signal",
        "timeout_wall",
    ),
    attack(
        "its own time limit sent as a signal",
        "import os, signal; os.kill(os.getpid(), signal.SIGXCPU)",
        "timeout_cpu",
    ),
    attack(
        "a parser driven deep",
        "pass",
        "fail_load",
        "memory_limit",
        "killed_signal",
        head="x = " + "-" * 90_000 + "1",
    ),
    attack(
        "a parser driven wide",
        "pass",
        "fail_assert",
        "fail_load",
        "timeout_cpu",
        "memory_limit",
        head="x = [" + "1," * 300_000 + "]",
    ),
    attack(
        "a decompression bomb",
        "import zlib\nd = zlib.compress(bytes(1 << 24))\nreturn [zlib.decompress(d) for _ in "
        "range(200)]",
        "memory_limit",
        "timeout_cpu",
        "output_limit",
    ),
    attack(
        "a sleep in many threads",
        "import threading, time\n"
        "for _ in range(20): threading.Thread(target=time.sleep, args=(99,)).start()\n"
        "time.sleep(99)",
        "timeout_wall",
        "fail_exception",
    ),
    attack(
        "busy threads that wait for each other",
        "import threading\n"
        "def spin():\n"
        "    while True: pass\n"
        "for _ in range(20): threading.Thread(target=spin).start()\n"
        "spin()",
        "timeout_cpu",
        "timeout_wall",
        "fail_exception",
    ),
    attack(
        "garbage in a circle",
        "class C:\n    def __del__(self): C().me = C()\nwhile True:\n    c = C(); c.me = c",
        "timeout_cpu",
        "memory_limit",
        "fail_exception",
    ),
    attack(
        "a lock held forever",
        "import threading\nl = threading.Lock(); l.acquire(); l.acquire()",
        "timeout_wall",
    ),
]
