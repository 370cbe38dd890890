"""Programs that try to pass without being right, or to do harm; and correct ones that only look
odd.

Each attack names the verdicts it may end with. `{canary}`, `{folder}`, `{port}`, `{judge}` and the
like are filled in with a file and a folder that anybody may write, a listening port, the judge's
process. Programs end in a wrong answer where the attack is on the machine, so that only a verdict
that was forged could be a pass.
"""

from __future__ import annotations

from tests.sandbox.hostile_more import (
    HONEST,
    MORE_BOMBS,
    MORE_CHEATS,
    MORE_HARM,
    SYSCALL,
    VIOLATION,
    attack,
)

TEST = """
def check(candidate):
    assert candidate(3) == [1, 2, 3]
    assert candidate(5) == [1, 2, 3, 4, 5]
"""
TIMEOUT = ("timeout_cpu",)


CHEATS = [
    attack(
        "an object that equals everything",
        "class Yes:\n    def __eq__(self, other): return True\nreturn Yes()",
        "unsupported_value",
    ),
    attack(
        "a list that equals everything",
        "class Yes(list):\n    def __eq__(self, other): return True\nreturn Yes()",
        "unsupported_value",
    ),
    attack(
        "integers that equal everything, in a plain list",
        "class Yes(int):\n    def __eq__(self, other): return True\n    __hash__ = "
        "int.__hash__\nreturn [Yes(7)] * n",
        "unsupported_value",
    ),
    attack(
        "a class whose metaclass lies about its type",
        "class Meta(type):\n    def __eq__(self, other): return True\n    __hash__ = "
        "type.__hash__\n"
        "class Yes(metaclass=Meta):\n    __class__ = list\nreturn Yes()",
        "unsupported_value",
    ),
    attack(
        "frames searched for the test",
        "import sys\nneedle = ''.join(reversed('kcehc fed'))\nframe = sys._getframe()\nwhile "
        "frame:\n"
        "    for value in list(frame.f_locals.values()) + list(frame.f_globals.values()):\n"
        "        if value is not needle and needle in str(value): return list(range(1, n + 1))\n"
        "    frame = frame.f_back",
        "fail_assert",
    ),
    attack(
        "the collector searched for expected values",
        "import gc\nfor value in gc.get_objects():\n"
        "    if type(value) is list and len(value) == 5 and value == list(range(1, 6)): "
        "return list(range(1, n + 1))\n"
        "    if type(value) is tuple and ''.join(reversed('etadidnac')) in value: return "
        "list(range(1, n + 1))",
        "fail_assert",
    ),
    attack(
        "memory searched for the test",
        "import gc, ctypes, re\npages = set()\nneedle = re.compile(b'asser[t] candidat[e].5')\n"
        "for value in gc.get_objects():\n"
        "    pages.add(id(value) >> 12)\n"
        "    pages.update(id(part) >> 12 for part in gc.get_referents(value))\n"
        "for page in pages:\n"
        "    if needle.search(ctypes.string_at(page << 12, 4096)): return list(range(1, n + 1))",
        "fail_assert",
    ),
    attack("memory mapped", "return open('/proc/self/maps').read()", *VIOLATION),
    attack(
        "frames are made to return",
        "import sys\nframe = sys._getframe().f_back\nwhile frame:\n"
        "    for key in list(frame.f_locals):\n        frame.f_locals[key] = 'pass'\n    "
        "frame = frame.f_back",
        "fail_assert",
    ),
    attack(
        "comparison patched in builtins",
        "import builtins, operator\nbuiltins.AssertionError = ValueError\noperator.eq = "
        "lambda a, b: True\n"
        "builtins.all = lambda x: True",
        "fail_assert",
    ),
    attack(
        "trace functions patch the check",
        "import sys\ndef tracer(frame, event, arg):\n    frame.f_trace_lines = True\n    "
        "return tracer\n"
        "sys.settrace(tracer)\nsys.setprofile(tracer)",
        "fail_assert",
    ),
    attack(
        "the interpreter's modules poisoned",
        "pass",
        "fail_assert",
        head="import sys\nsys.modules.clear()",
    ),
    attack(
        "check and candidate redefined",
        "pass",
        "fail_assert",
        head="def check(candidate): return True\ncandidate = lambda n: list(range(1, n + 1))",
    ),
    attack("exit at import", "pass", "fail_load", head="import os; os._exit(0)"),
    attack("sys.exit at import", "pass", "fail_load", head="import sys; sys.exit(0)"),
    attack("exit in the function", "import os; os._exit(0)", "fail_exception"),
    attack("sys.exit in the function", "import sys; sys.exit(0)", "fail_exception"),
    attack("KeyboardInterrupt", "raise KeyboardInterrupt", "fail_exception"),
    attack("GeneratorExit", "raise GeneratorExit", "fail_exception"),
    attack("StopIteration", "raise StopIteration", "fail_exception"),
    attack(
        "an exception that does not print",
        "class Odd(Exception):\n    def __str__(self): raise Odd\nraise Odd",
        "fail_exception",
    ),
    attack(
        "an AssertionError whose class lies",
        "class SystemExit(BaseException):\n    pass\nraise SystemExit(0)",
        "fail_exception",
    ),
    attack(
        "verdicts written to every descriptor",
        "import os\nfor fd in range(64):\n    for text in (b'r[\"pass\", \"\"]\\n', b'pass\\n'):\n"
        "        try: os.write(fd, text)\n        except OSError: pass",
        "protocol_violation",
    ),
    attack(
        "answers before the call",
        "pass",
        "protocol_violation",
        head="import os, json, struct\n"
        "for message in [dict(ready=True)] + [dict(nonce='0', value=['l', 1, 2, 3])] * 4:\n"
        "    reply = json.dumps(message).encode()\n"
        "    os.write(3, struct.pack('>I', len(reply)) + reply)",
    ),
    attack(
        "a forged answer to its own call, then more",
        "import os, json, struct\nreply = json.dumps({'nonce': '1' * 16, 'value': ['l', 1, 2, "
        "3]}).encode()\n"
        "os.write(3, struct.pack('>I', len(reply)) + reply)",
        "protocol_violation",
    ),
    attack(
        "an answer of no known form",
        "import os, json, struct\nos.write(3, struct.pack('>I', 5) + b'[[[[[')",
        "protocol_violation",
    ),
    attack(
        "a message of four gigabytes announced",
        "import os; os.write(3, b'\\xff' * 64)",
        "protocol_violation",
    ),
    attack(
        "its channel closed",
        "import os; os.closerange(3, 64)",
        "fail_exception",
        "protocol_violation",
    ),
    attack(
        "its channel closed, alive",
        "import os, time\nos.closerange(3, 64)\nwhile True: time.sleep(1)",
        "protocol_violation",
    ),
]

HARM = [
    attack("a file written outside", "open({folder!r} + '/new', 'w').write('x')", *VIOLATION),
    attack("a file changed", "open({canary!r}, 'a').write('x')", *VIOLATION),
    attack("a file emptied", "import os; os.truncate({canary!r}, 0)", *VIOLATION),
    attack(
        "a file emptied while opened to read",
        "import os; os.open({canary!r}, os.O_TRUNC)",
        *VIOLATION,
    ),
    attack("a file deleted", "import posix; posix.unlink({canary!r})", *VIOLATION),
    attack("a file renamed", "import os; os.rename({canary!r}, {folder!r} + '/moved')", *VIOLATION),
    attack("a mode changed", "import os; os.chmod({canary!r}, 0o777)", *VIOLATION),
    attack("times changed", "import os; os.utime({canary!r}, (0, 0))", *VIOLATION),
    attack("a folder made outside", "import os; os.mkdir({folder!r} + '/new')", *VIOLATION),
    attack(
        "written through a link",
        "import os; os.symlink({canary!r}, 'l'); open('l', 'w').write('x')",
        *VIOLATION,
    ),
    attack(
        "written through a hard link",
        "import os; os.link({canary!r}, 'l'); open('l', 'w').write('x')",
        *VIOLATION,
    ),
    attack("a secret read from a file", "return open({canary!r}).read()", *VIOLATION),
    attack("accounts read", "return open('/etc/passwd').read()", *VIOLATION),
    attack(
        "the environment read",
        "import os, ctypes\nlibc = ctypes.CDLL(None)\nlibc.getenv.restype = ctypes.c_char_p\n"
        "assert libc.getenv(b'FLAB_SECRET') is None and not os.environ\n"
        "assert not any('SECRET' in str(v) for v in __import__('sys').__dict__.values())",
        "fail_assert",
    ),
    attack(
        "the judge's environment read", "return open('/proc/{judge}/environ').read()", *VIOLATION
    ),
    attack(
        "the judge's memory opened",
        "import os; os.open('/proc/%d/mem' % os.getppid(), os.O_RDWR)",
        *VIOLATION,
    ),
    attack("processes listed", "import os; return os.listdir('/proc')", *VIOLATION),
    attack(
        "a connection", "import socket; socket.create_connection(('127.0.0.1', {port}))", *VIOLATION
    ),
    attack(
        "a datagram", "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)", *VIOLATION
    ),
    attack(
        "a datagram pair",
        "import socket; socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)",
        *VIOLATION,
    ),
    attack(
        "an attempt that is hushed up",
        "try:\n    __import__('socket').socket()\nexcept: pass",
        *VIOLATION,
    ),
    attack("a fork", "import os; os.fork()", *VIOLATION),
    attack("a fork bomb", "import os\nwhile True: os.fork()", *VIOLATION),
    attack(
        "a daemon",
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: "
        "time.sleep(600)",
        *VIOLATION,
    ),
    attack(
        "a process spawned",
        "import os; os.posix_spawn('/bin/sh', ['sh', '-c', 'true'], dict())",
        *VIOLATION,
    ),
    attack(
        "a program executed", "import os; os.execv('/bin/sh', ['sh', '-c', 'exit 0'])", *VIOLATION
    ),
    attack("a command", "import subprocess; subprocess.run(['true'])", *VIOLATION),
    attack(
        "5000 threads",
        "import threading, time\nthreading.stack_size(1 << 16)\n"
        "for _ in range(5000): threading.Thread(target=time.sleep, args=(60,), "
        "daemon=True).start()",
        "fail_exception",
        "memory_limit",
        "timeout_cpu",
        "timeout_wall",
    ),
    attack("the parent probed", "import os; os.kill(os.getppid(), 0)", *VIOLATION),
    attack("the parent killed", "import os; os.kill(os.getppid(), 9)", *VIOLATION),
    attack("the judge killed", "import os; os.kill({judge}, 9)", *VIOLATION),
    attack("everything killed", "import os; os.kill(-1, 9)", *VIOLATION),
    attack("its group killed", "import os; os.killpg(0, 15)", *VIOLATION),
    attack(
        "itself killed, to look like the kernel", "import os; os.kill(os.getpid(), 9)", *VIOLATION
    ),
    attack(
        "the parent traced",
        "libc.ptrace(0x4206, __import__('os').getppid(), 0, 0)",
        *VIOLATION,
        head=SYSCALL,
    ),
    attack(
        "the parent's memory read",
        "libc.process_vm_readv(1, 0, 0, 0, 0, 0)",
        *VIOLATION,
        head=SYSCALL,
    ),
    attack("namespaces", "libc.unshare(0x10000000)", *VIOLATION, head=SYSCALL),
    attack("io_uring", "libc.syscall(425, 8, 0)", *VIOLATION, head=SYSCALL),
    attack("bpf", "libc.syscall({bpf}, 0, 0, 0)", *VIOLATION, head=SYSCALL),
    attack("a file in memory, to execute", "import os; os.memfd_create('x')", *VIOLATION),
    attack("a mount", "libc.mount(b'none', b'/tmp', b'tmpfs', 0, 0)", *VIOLATION, head=SYSCALL),
    attack(
        "limits raised",
        "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (600, 600))",
        "fail_exception",
        *VIOLATION,
    ),
    attack(
        "a privilege regained",
        "import os\nassert libc.prctl(38, 0, 0, 0, 0) < 0\nos.setuid(0)\nos.chroot('/')",
        "fail_exception",
        *VIOLATION,
        head=SYSCALL,
    ),
    attack("its group left", "import os; os.setpgid(0, os.getppid())", *VIOLATION),
    attack("shared memory", "open('/dev/shm/flab-hostile', 'w').write('x')", *VIOLATION),
    attack("a device opened", "open('/dev/mem', 'rb').read(1)", *VIOLATION, "fail_exception"),
    attack(
        "a disk filled with one file",
        "with open('big', 'wb') as out:\n    while True: out.write(bytes(1 << 20))",
        "output_limit",
    ),
    attack(
        "a disk filled with many files",
        "i = 0\nwhile True:\n    i += 1\n    open(str(i), 'w').close()",
        "output_limit",
        "timeout_cpu",
    ),
    attack(
        "a file left for the next program",
        "import os\nif os.listdir('.'): return list(range(1, n + 1))\nopen('left', "
        "'w').write('x')\nos.chdir('/')",
        "fail_assert",
    ),
    attack(
        "folders too deep to clean",
        "import os\nfor _ in range(3000):\n    os.mkdir('d'); os.chdir('d')",
        *VIOLATION,
    ),
]

BOMBS = [
    attack("memory", "bytearray(3 << 30)", "memory_limit"),
    attack(
        "memory, bit by bit",
        "held = []\nwhile True: held.append(bytearray(1 << 20))",
        "memory_limit",
        *TIMEOUT,
    ),
    attack(
        "memory, with the error swallowed",
        "held = []\ntry:\n    while True: held.append(bytearray(1 << 20))\nexcept "
        "MemoryError: return held",
        "memory_limit",
        "unsupported_value",
        "output_limit",
        *TIMEOUT,
    ),
    attack("a huge text", "return 'x' * (200 << 20)", "output_limit", "memory_limit", *TIMEOUT),
    attack("a list too long", "return list(range(3_000_000))", "output_limit", "timeout_cpu"),
    attack(
        "nested deeply", "v = []\nfor _ in range(100_000): v = [v]\nreturn v", "unsupported_value"
    ),
    attack("a list in itself", "v = []\nv.append(v)\nreturn v", "unsupported_value"),
    attack(
        "an endless generator",
        "import itertools\nreturn (i for i in itertools.count())",
        "fail_assert",
    ),
    attack(
        "a generator that is slow to end",
        "def g():\n    while True: pass\n    yield\nreturn g()",
        *TIMEOUT,
    ),
    attack("an endless loop", "while True: pass", *TIMEOUT),
    attack(
        "an endless loop that swallows everything",
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        *TIMEOUT,
    ),
    attack(
        "an endless loop that ignores signals",
        "import signal\nfor s in (signal.SIGALRM, signal.SIGTERM, signal.SIGXCPU):\n"
        "    signal.signal(s, signal.SIG_IGN)\nwhile True: pass",
        *TIMEOUT,
    ),
    attack("a power too high", "return 7 ** (7 ** 12)", *TIMEOUT, "memory_limit"),
    attack("a regular expression", "import re; re.match('(a+)+$', 'a' * 40 + 'b')", *TIMEOUT),
    attack("sleep", "import time; time.sleep(600)", "timeout_wall"),
    attack(
        "stopped by itself",
        "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
        "timeout_wall",
    ),
    attack("recursion", "return f(n)", "fail_exception"),
    attack(
        "recursion without a limit",
        "import sys\nsys.setrecursionlimit(10 ** 9)\nreturn f(n)",
        "memory_limit",
        "killed_signal",
        "timeout_cpu",
    ),
    attack("a null pointer", "import ctypes; ctypes.string_at(0)", "killed_signal"),
    attack("an abort", "import os; os.abort()", "killed_signal"),
    attack("output without end", "while True: print('x' * 10_000)", *TIMEOUT, "output_limit"),
    attack(
        "every descriptor flooded",
        "import os\nwhile True:\n    for fd in (1, 2): os.write(fd, bytes(1 << 16))",
        *TIMEOUT,
        "output_limit",
    ),
    attack(
        "descriptors used up",
        "held = []\nwhile True: held.append(open('/dev/null'))",
        "fail_exception",
    ),
    attack("a surrogate", "return '\\ud800'", "fail_assert"),
    attack("a surrogate raised", "raise ValueError('\\ud800\\x00\\n\\u2028')", "fail_exception"),
    attack("a number of a million digits", "return 10 ** 1_000_000", "fail_assert", "timeout_cpu"),
    attack("a source with a null byte", "pass", "fail_load", head="\x00"),
    attack(
        "a source that is deep", "pass", "fail_load", "memory_limit", head="x = " + "(" * 100_000
    ),
    attack("a source that is long", "pass", "fail_load", head="#" * (11 << 20)),
    attack("a source with surrogates", "pass", "fail_load", head="x = '\ud800'"),
    attack("a coding line", "pass", "fail_assert", head="# coding: rot13"),
]

ATTACKS = [*CHEATS, *MORE_CHEATS, *HARM, *MORE_HARM, *BOMBS, *MORE_BOMBS]

ODD_BUT_RIGHT = {
    "prints": "def f(n):\n    print('assert False' * 1000)\n    return list(range(1, n + 1))\n",
    "hangs at exit": "import atexit, time\natexit.register(time.sleep, 600)\n" + HONEST,
    "hangs when collected": (
        "import time\nclass Odd:\n    def __del__(self): time.sleep(600)\nodd = Odd()\n" + HONEST
    ),
    "leaves a thread": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()\n"
        + HONEST
    ),
    "loads slowly": "import time\ntime.sleep(0.3)\n" + HONEST,
    "has a main block": HONEST + "if __name__ == '__main__':\n    input()\n",
    "defines a dataclass": (
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    n: int\n"
        "def f(n):\n    return [P(i).n for i in range(1, n + 1)]\n"
    ),
    "uses a temporary file": (
        "import tempfile\ndef f(n):\n    with tempfile.TemporaryFile('w+') as t:\n"
        "        t.write(' '.join(map(str, range(1, n + 1))))\n        t.seek(0)\n"
        "        return [int(w) for w in t.read().split()]\n"
    ),
    "uses coroutines": (
        "import asyncio\nasync def g(n):\n    await asyncio.sleep(0)\n    return "
        "list(range(1, n + 1))\n"
        "def f(n):\n    return asyncio.run(g(n))\n"
    ),
    "uses threads": (
        "from concurrent.futures import ThreadPoolExecutor\ndef f(n):\n"
        "    with ThreadPoolExecutor(4) as pool:\n        return list(pool.map(lambda i: i + "
        "1, range(n)))\n"
    ),
    "uses many threads at once": (
        "import threading\ndef f(n):\n    gate, got = threading.Barrier(16), []\n"
        "    def work():\n        gate.wait(); got.append(1)\n"
        "    threads = [threading.Thread(target=work) for _ in range(16)]\n    [t.start() for "
        "t in threads]\n"
        "    [t.join() for t in threads]\n    return list(range(1, n + len(got) - 15))\n"
    ),
    "has threads that never end": (
        "import threading\nevent = threading.Event()\n"
        "def f(n):\n    for _ in range(4): threading.Thread(target=event.wait).start()\n"
        "    return list(range(1, n + 1))\n"
    ),
    "prints much": "def f(n):\n    for _ in range(2000): print('x' * 1000)\n    return "
    "list(range(1, n + 1))\n",
    "calls exit in its main block": HONEST + "if __name__ == '__main__':\n    exit(0)\n",
    "catches the exit it calls": "try:\n    exit(0)\nexcept SystemExit:\n    pass\n" + HONEST,
    "writes and removes files": (
        "import os\ndef f(n):\n    for i in range(20):\n        with open(str(i), 'w') as "
        "out: out.write('x' * 1000)\n"
        "        os.rename(str(i), 'other'); os.remove('other')\n    return list(range(1, n + 1))\n"
    ),
    "returns a named tuple's list": (
        "from typing import NamedTuple\nclass P(NamedTuple):\n    a: list\n"
        "def f(n):\n    return P(list(range(1, n + 1))).a\n"
    ),
    "imports much": (
        "import statistics, decimal, fractions, hashlib, sqlite3, zoneinfo, ctypes, uuid, "
        "csv, logging, unittest\n" + HONEST
    ),
    "sets the recursion limit": (
        "import sys\nsys.setrecursionlimit(100_000)\ndef g(n):\n    return [] if n == 0 else "
        "g(n - 1) + [0]\n"
        "def f(n):\n    g(3000)\n    return list(range(1, n + 1))\n"
    ),
}
