"""What was lost: the problems that only the original solves, how they fail now, and under which
rewordings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from flab_deploy.artifacts import Json
from flab_deploy.corpus import TASK_LABELS
from flab_deploy.report.run import Run, as_number, interval, mapping, objects, pick
from flab_deploy.wording.numbers import between, count, listed, percent, points, probability
from flab_deploy.wording.table import Table

_DASH = "–"
_EXAMPLES = 3
_FAILURES = {
    "fail_assert": "wrong value",
    "fail_exception": "an exception",
    "fail_load": "not runnable",
    "timeout_cpu": "too slow",
    "timeout_wall": "too slow",
    "memory_limit": "too much memory",
}


def loss_tables(run: Run) -> list[Table]:
    """Losses by kind of task, by perturbation and against the noise floor, of the slimmed model."""
    found = mapping(run.documents.get(f"compare-{run.final}"))
    return [_by_kind(found), _by_perturbation(run, found), _noise(found)]


def _by_kind(found: dict[str, Json]) -> Table:
    lost, gained = objects(found.get("lost")), objects(found.get("gained"))
    kinds = [*mapping(found.get("tasks"))] if "lost" in found else []
    lines = [
        _kind_line(
            kind, *([e for e in entries if e.get("kind") == kind] for entries in (lost, gained))
        )
        for kind in kinds
    ]
    return Table(
        key="lost",
        title="Problems lost and gained",
        head=("", "lost", "gained", "the lost ones now end in", "for example"),
        lines=tuple(lines),
        note="Lost: only the original solves it. Gained: only the slimmed model does."
        if lines
        else "not run",
    )


def _kind_line(
    kind: str, lost: Sequence[dict[str, Json]], gained: Sequence[dict[str, Json]]
) -> tuple[str, ...]:
    ends = Counter(
        _FAILURES.get(str(e.get("verdict")), str(e.get("verdict")).replace("_", " ")) for e in lost
    )
    told = listed([f"{how} ({number})" for how, number in ends.most_common()])
    examples = ", ".join(str(entry.get("task_id")) for entry in lost[:_EXAMPLES])
    label = TASK_LABELS.get(kind, kind.replace("_", " "))
    return label, count(len(lost)), count(len(gained)), told or _DASH, examples or _DASH


def _by_perturbation(run: Run, found: dict[str, Json]) -> Table:
    methods = mapping(pick(found, "robustness", "perturbations"))
    families = mapping(pick(found, "robustness", "families"))
    held = mapping(run.get("evaluate-original", "robustness", "perturbations"))
    lines = [
        _perturbed_line(f"{name} (family)", entry, "holm_p", None)
        for name, entry in families.items()
    ]
    lines += [
        _perturbed_line(name.replace("_", " "), entry, "benjamini_hochberg_p", held.get(name))
        for name, entry in methods.items()
    ]
    note = (
        "The same perturbed prompts for both models. p is McNemar's, adjusted for the number of "
        "families (Holm) or of methods (Benjamini and Hochberg): below 0.05 the models are shown "
        "to differ."
    )
    head = (
        "",
        "prompts",
        "original solves",
        "slimmed solves",
        "difference",
        "lost / won",
        "adjusted p",
        "changed nothing / rejected",
    )
    return Table(
        key="perturbations",
        title="Each perturbation by itself",
        head=head,
        lines=tuple(lines),
        note=note if lines else "not run",
    )


def _perturbed_line(label: str, entry: Json, adjusted: str, held: Json) -> tuple[str, ...]:
    rates = [as_number(pick(entry, f"{model}_pass_at_1")) for model in ("original", "candidate")]
    gap, bounds = as_number(pick(entry, "difference")), interval(pick(entry, "difference_interval"))
    p = as_number(pick(entry, adjusted))
    return (
        label,
        _count(pick(entry, "num_items")),
        *(percent(rate) if rate is not None else _DASH for rate in rates),
        f"{points(gap)} [{points(bounds[0])} to {points(bounds[1])}]"
        if gap is not None and bounds
        else _DASH,
        f"{_count(pick(entry, 'num_only_original'))} / {_count(pick(entry, 'num_only_candidate'))}",
        probability(p) if p is not None else _DASH,
        f"{_count(pick(held, 'num_unchanged'))} / {_count(pick(held, 'num_rejected'))}"
        if held
        else "",
    )


def _count(value: Json) -> str:
    number = as_number(value)
    return _DASH if number is None else count(number)


def _noise(found: dict[str, Json]) -> Table:
    noise = mapping(found.get("noise"))
    flips, rate, bounds = (
        as_number(noise.get("num_flips")),
        as_number(noise.get("flip_rate")),
        noise.get("interval"),
    )
    pair = interval(bounds)
    lines = []
    if flips is not None and rate is not None and pair is not None:
        lines.append(
            (
                "one model judged twice",
                _count(noise.get("num_problems")),
                count(flips),
                percent(rate),
                between(pair),
            )
        )
    return Table(
        key="noise",
        title="Noise floor",
        head=("", "problems", "verdicts that flip", "share", "interval"),
        lines=tuple(lines),
        note="How often one model disagrees with itself; a difference no larger than that is "
        "not a finding."
        if lines
        else "not run: give `flab compare` a second evaluation of the original with --repeat",
    )


def loss_sentences(run: Run) -> Iterator[str]:
    """What was lost in words, where the comparison says so."""
    found = mapping(run.documents.get(f"compare-{run.final}"))
    whole = mapping(found.get("overall"))
    lost, gained = (
        as_number(whole.get(f"num_only_{model}")) for model in ("original", "candidate")
    )
    if lost is None or gained is None:
        return
    yield (
        f"It lost {count(lost)} problems that the original solves{_where(found, lost)} and "
        f"gained {count(gained)}."
    )
    failing = [
        TASK_LABELS.get(kind, kind)
        for kind, part in mapping(found.get("tasks")).items()
        if pick(part, "verdict") != "shown"
    ]
    if failing and pick(whole, "verdict") == "shown":
        yield f"By itself that is not shown for {listed(failing)}."


def _where(found: dict[str, Json], lost: float) -> str:
    counts = {
        kind: as_number(pick(part, "num_only_original")) or 0
        for kind, part in mapping(found.get("tasks")).items()
    }
    kind = max(counts, key=lambda name: counts[name], default="")
    if len(counts) < 2 or not kind or counts[kind] <= lost / 2:
        return ""
    return f" ({count(counts[kind])} of them in {TASK_LABELS.get(kind, kind)})"
