"""A judge for code nobody has read: isolated, and blind to what the code would like it to
believe.

What happens to a program, in this order:

1. `judge` keeps a pool of workers and hands the program to one; `rows` and `calibration` make
   programs of a file, and their time limits of solutions that are known to be right.
2. The worker (`worker`) forks two processes: one runs the program and knows no test, one runs the
   test and never loads the program. `kernel` confines both.
3. All three report facts. `decide` says which of them counts, and which verdict follows from it.
4. `judge` puts the verdicts in the order of the programs, and repeats, alone, what may have been
   the machine's doing.

To add a verdict: its name and meaning in `verdicts`, the facts that lead to it in `decide`, a row
in `tests/sandbox/test_decide.py`, and an attack that ends with it in
`tests/sandbox/hostile_more.py`.
Where the fact is new, the process that can see it reports it: `worker/examiner` (an answer or an
error), `worker/zygote` (time, files, how a process ended) or `judge` (before and after that).
"""

from flab_deploy.sandbox.calibration import Calibration, calibrate
from flab_deploy.sandbox.judge import describe_sandbox, judge, tier_of
from flab_deploy.sandbox.rows import ProgramRow, load_rows
from flab_deploy.sandbox.verdicts import VERDICT_NAMES, Limits, Program, Verdict, VerdictName

__all__ = [
    "VERDICT_NAMES",
    "Calibration",
    "Limits",
    "Program",
    "ProgramRow",
    "Verdict",
    "VerdictName",
    "calibrate",
    "describe_sandbox",
    "judge",
    "load_rows",
    "tier_of",
]
