"""The verb `flab judge`: rows of programs in, one verdict for each out. Needs no model and no
torch.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Annotated

from cyclopts import Parameter

from flab_deploy.cli.options import Flat, Json
from flab_deploy.cli.output import show_record, show_text
from flab_deploy.progress import progress
from flab_deploy.records.printed.outputs import (
    FailedSolution,
    JudgeCalibration,
    JudgedProgram,
    JudgeLimits,
    JudgeOutput,
    JudgeSandbox,
    JudgeSummary,
)
from flab_deploy.sandbox import (
    Calibration,
    Limits,
    Program,
    ProgramRow,
    Verdict,
    calibrate,
    describe_sandbox,
    load_rows,
)
from flab_deploy.sandbox import judge as judge_programs
from flab_deploy.sandbox.worker.examiner import printable

logger = logging.getLogger(__name__)
_INVALID = 3


def judge(
    file: Path,
    /,
    *,
    limits: Annotated[Limits, Flat] = Limits(),
    workers: int = 0,
    allow_weak_sandbox: Annotated[bool, Parameter(negative="")] = False,
    as_json: Json = False,
) -> None:
    """Judge programs that nobody has read, each in a sandbox of its own and apart from its test.

    Ends with 3 if some program could not be judged, for then there is no score.

    Parameters
    ----------
    file
        JSON lines with task_id, prompt, completion, test and entry_point, as in HumanEval; gzipped
        or not. The time limit follows `canonical_solution` where a row has one.
    workers
        Programs to run at a time; one per processor if 0.
    allow_weak_sandbox
        Go on where the kernel lacks Landlock or seccomp. Only for programs you trust.
    """
    rows = load_rows(file)
    calibration = _calibration(rows, limits, workers, allow_weak_sandbox)
    programs = [
        _program(row, row.completion, calibration.cpu_s.get(row.task_id, 0.0)) for row in rows
    ]
    with progress("judged", len(programs), "programs") as advance:
        verdicts = judge_programs(programs, limits, workers, advance, allow_weak=allow_weak_sandbox)
    found = _output(verdicts, calibration, limits)
    if as_json:
        show_record(found)
    else:
        show_text(_as_text(found))
    unjudged = found.summary.verdicts.get("infra_error", 0)
    if unjudged:
        logger.error(
            "%d of %d programs could not be judged, so there is no score", unjudged, len(rows)
        )
        raise SystemExit(_INVALID)


def _program(row: ProgramRow, completion: str, cpu_s: float) -> Program:
    return Program(
        program_id=row.task_id,
        source=row.prompt + completion,
        test=row.test,
        entry_point=row.entry_point,
        prelude=row.prompt,
        cpu_s=cpu_s,
    )


def _calibration(
    rows: Sequence[ProgramRow], limits: Limits, workers: int, allow_weak: bool
) -> Calibration:
    solved = {row.task_id: row for row in reversed(rows) if row.canonical_solution}
    solutions = [_program(row, row.canonical_solution, 0.0) for row in solved.values()]
    if not solutions:
        return Calibration(cpu_s={}, verdicts=())
    with progress("canonical solutions", len(solutions), "programs") as advance:
        calibration = calibrate(solutions, limits, workers, advance, allow_weak=allow_weak)
    for verdict in calibration.failed:
        logger.warning(
            "the canonical solution of %s is judged %s", verdict.program_id, verdict.verdict
        )
    return calibration


def _output(verdicts: Sequence[Verdict], calibration: Calibration, limits: Limits) -> JudgeOutput:
    passes: dict[str, list[bool]] = defaultdict(list)
    undefined: dict[str, bool] = {}
    for verdict in verdicts:
        passes[verdict.program_id].append(verdict.passed)
        missing = verdict.verdict == "fail_load" and verdict.detail.startswith(
            "it defines no function "
        )
        undefined[verdict.program_id] = undefined.get(verdict.program_id, True) and missing
    sandbox = describe_sandbox()
    unjudged = any(v.verdict == "infra_error" for v in verdicts)
    return JudgeOutput(
        results=tuple(
            JudgedProgram(
                task_id=v.program_id,
                verdict=v.verdict,
                detail=v.detail,
                cpu_s=v.cpu_s,
                max_rss_bytes=v.max_rss_bytes,
            )
            for v in verdicts
        ),
        summary=JudgeSummary(
            num_programs=len(verdicts),
            num_tasks=len(passes),
            num_passed=sum(v.passed for v in verdicts),
            pass_at_1=None if unjudged else fmean(map(fmean, passes.values())),
            verdicts=dict(Counter(str(v.verdict) for v in verdicts).most_common()),
        ),
        undefined_entry_points=tuple(name for name, missing in undefined.items() if missing),
        calibration=JudgeCalibration(
            num_tasks=len(calibration.cpu_s),
            failed=tuple(
                FailedSolution(task_id=v.program_id, verdict=v.verdict, detail=v.detail)
                for v in calibration.failed
            ),
        ),
        limits=JudgeLimits(**asdict(limits)),
        sandbox=JudgeSandbox(tier=str(sandbox["tier"]), layers=tuple(sandbox["layers"])),
    )


def _as_text(found: JudgeOutput) -> str:
    summary = found.summary
    lines = [
        f"{printable(result.task_id)}: {result.verdict} {result.detail}"
        for result in found.results
        if result.verdict != "pass"
    ]
    rate = (
        "none, for some could not be judged"
        if summary.pass_at_1 is None
        else f"{summary.pass_at_1:.4f}"
    )
    lines += [
        f"passed {summary.num_passed} of {summary.num_programs} programs of "
        f"{summary.num_tasks} tasks; pass@1 {rate}",
        "verdicts " + ", ".join(f"{name} {count}" for name, count in summary.verdicts.items()),
        f"sandbox tier {found.sandbox.tier}: {', '.join(found.sandbox.layers)}",
    ]
    for label, names in (
        ("no program defines the entry point of", found.undefined_entry_points),
        ("canonical solution fails for", [f.task_id for f in found.calibration.failed]),
    ):
        lines += [f"{label} {printable(', '.join(names))}"] if names else []
    return "\n".join(lines)
