"""A judge for code nobody has read: isolated, and blind to what the code would like it to believe.

Program and test run in separate processes, and only plain data crosses between them. `judge` is
the way in; `worker` runs inside and `kernel` builds the walls.
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
