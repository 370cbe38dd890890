"""What was lost: the problems that only the original solves, and under which rewordings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from flab_deploy.records.compare import ComparisonRecord, PairFigures
from flab_deploy.records.evaluate import PerturbationFigures
from flab_deploy.records.report import ReportTable
from flab_deploy.report.quality import task_label
from flab_deploy.report.run import RunContents
from flab_deploy.report.tables import Line, table
from flab_deploy.wording.fields import DASH
from flab_deploy.wording.numbers import between, count, gain, listed, percent, probability

_EXAMPLES = 3
_FAILURES = {
    "fail_assert": "wrong value",
    "fail_exception": "an exception",
    "fail_load": "not runnable",
    "timeout_cpu": "too slow",
    "timeout_wall": "too slow",
    "memory_limit": "too much memory",
}


def loss_tables(run: RunContents) -> list[ReportTable]:
    """Losses by kind of task, by perturbation and against the noise floor, of the slimmed model."""
    found = run.comparisons.get(run.final)
    return [_by_kind(found), _by_perturbation(run, found), _noise(found)]


def _by_kind(found: ComparisonRecord | None) -> ReportTable:
    lines: list[Line] = []
    changed = (found.lost, found.gained) if found else ()
    for kind in found.tasks if found else ():
        lost, gained = ([one for one in part if one.kind == kind] for part in changed)
        ends = Counter(_FAILURES.get(one.verdict, one.verdict.replace("_", " ")) for one in lost)
        said = listed([f"{how} ({number})" for how, number in ends.most_common()])
        examples = ", ".join(one.task_id for one in lost[:_EXAMPLES])
        facts = (count(len(lost)), count(len(gained)), said or DASH, examples or DASH)
        lines.append((task_label(kind), *facts))
    return table("lost", lines)


def _by_perturbation(run: RunContents, found: ComparisonRecord | None) -> ReportTable:
    lines: list[Line] = []
    if found and (robust := found.robustness):
        held = run.evaluate_original.robustness.perturbations if run.evaluate_original else {}
        for name, family in robust.families.items():
            lines.append(_pair_line(f"{name} (family)", family, family.holm_p, None))
        for name, one in robust.perturbations.items():
            words, p = name.replace("_", " "), one.benjamini_hochberg_p
            lines.append(_pair_line(words, one, p, held.get(name)))
    return table("perturbations", lines)


def _pair_line(label: str, one: PairFigures, p: float, held: PerturbationFigures | None) -> Line:
    return (
        label,
        count(one.num_items),
        percent(one.original_pass_at_1),
        percent(one.candidate_pass_at_1),
        gain(one.difference, one.difference_interval),
        f"{count(one.num_only_original)} / {count(one.num_only_candidate)}",
        probability(p),
        f"{count(held.num_unchanged)} / {count(held.num_rejected)}" if held else "",
    )


def _noise(found: ComparisonRecord | None) -> ReportTable:
    lines: list[Line] = []
    if found and (noise := found.noise):
        flips = (count(noise.num_problems), count(noise.num_flips), percent(noise.flip_rate))
        lines = [("one model judged twice", *flips, between(noise.interval))]
    return table("noise", lines)


def loss_sentences(run: RunContents) -> Iterator[str]:
    """What was lost in words, where the comparison says so."""
    found = run.comparisons.get(run.final)
    if found is None:
        return
    whole = found.overall
    yield (
        f"It lost {count(whole.num_only_original)} problems that the original solves"
        f"{_where(found)} and gained {count(whole.num_only_candidate)}."
    )
    failing = [task_label(kind) for kind, part in found.tasks.items() if part.verdict != "shown"]
    if failing and whole.verdict == "shown":
        yield f"By itself that is not shown for {listed(failing)}."


def _where(found: ComparisonRecord) -> str:
    counts = {kind: part.num_only_original for kind, part in found.tasks.items()}
    kind = max(counts, key=lambda name: counts[name], default="")
    if len(counts) < 2 or counts[kind] <= found.overall.num_only_original / 2:
        return ""
    return f" ({count(counts[kind])} of them in {task_label(kind)})"
