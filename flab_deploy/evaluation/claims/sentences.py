"""An evaluation and a comparison in words and as small tables, made from their records alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from flab_deploy.corpus import TASK_LABELS
from flab_deploy.records.compare import (
    BothHealth,
    ChangedProblem,
    ClaimFigures,
    ComparisonRecord,
    NoiseRecord,
    OutsideSource,
    OutsideSources,
    ProblemIdentity,
    RobustnessClaim,
    WorstCaseClaim,
)
from flab_deploy.records.evaluate import EvaluationRecord, Interval
from flab_deploy.wording.claims import claim_sentence
from flab_deploy.wording.numbers import percent, probability
from flab_deploy.wording.table import aligned

_HEAD = ("", "problems", "original", "candidate", "kept", "interval", "lost/won", "p", "")
_SIDES = "<" + ">" * (len(_HEAD) - 2) + "<"


def answer_sentences(found: ComparisonRecord) -> Iterator[str]:
    """What was kept, what was lost, and how sure that is; from all of a comparison but its
    `answer`.
    """
    whole, level = found.overall, found.confidence
    yield (
        f"Of {whole.num_problems:,} problems the original solves "
        f"{percent(whole.original_pass_at_1)}, the candidate "
        f"{percent(whole.candidate_pass_at_1)}{_kept(whole, level)}."
    )
    yield _lost(found.lost, found.gained)
    yield _claim(whole, found.margin)
    if robust := found.robustness:
        yield (
            f"On {robust.num_problems:,} perturbed prompts the original solves "
            f"{percent(robust.original_pass_at_1)}, the candidate "
            f"{percent(robust.candidate_pass_at_1)}{_kept(robust, level)}. "
            f"{_claim(robust, found.margin)}"
        )
        if robust.worst_case:
            yield _worst_case(robust.worst_case, level, found.margin)
        yield _perturbations(robust, found.alpha)
    if found.noise:
        yield from _noise(found.noise, found.alpha)
    if found.health:
        yield _health(found.health)
    if found.sources:
        yield from _sources(found.sources)


def _claim(figures: ClaimFigures, margin: float) -> str:
    return claim_sentence(
        margin,
        figures.verdict,
        figures.non_inferiority_p,
        figures.retention_interval,
        figures.num_problems_needed,
    )


def _kept(figures: ClaimFigures, level: float) -> str:
    if figures.retention is None:
        return ""
    bounds = figures.retention_interval
    interval = f" ({_share(level)} interval {_range(bounds)})" if bounds else ""
    return f": it keeps {percent(figures.retention)}{interval}"


def _lost(lost: Sequence[ChangedProblem], gained: Sequence[ChangedProblem]) -> str:
    if not lost and not gained:
        return "Both solve the same problems."
    reasons = Counter(problem.verdict.replace("_", " ") for problem in lost)
    most = ", ".join(f"{number} {name}" for name, number in reasons.most_common(3))
    return (
        f"Lost: {len(lost):,} problems that only the original solves"
        f"{f' ({most})' if most else ''}; gained: {len(gained):,}."
    )


def _worst_case(worst: WorstCaseClaim, level: float, margin: float) -> str:
    return (
        "Under every one of its perturbed forms at once, the original solves "
        f"{percent(worst.original_pass_at_1)} of {worst.num_problems:,} problems, the "
        f"candidate {percent(worst.candidate_pass_at_1)}{_kept(worst, level)}. "
        f"{_claim(worst, margin)}"
    )


def _perturbations(robust: RobustnessClaim, alpha: float) -> str:
    worse = [
        f"{name} ({percent(pair.original_pass_at_1)} to {percent(pair.candidate_pass_at_1)})"
        for name, pair in robust.perturbations.items()
        if pair.benjamini_hochberg_p <= alpha and pair.difference < 0
    ]
    number = len(robust.perturbations)
    if worse:
        return f"Of {number} perturbations, the candidate is worse under {', '.join(worse)}."
    return f"Under none of the {number} perturbations is the candidate shown to be worse."


def _noise(noise: NoiseRecord, alpha: float) -> Iterator[str]:
    yield (
        f"Noise floor: two evaluations of one model differ on {noise.num_flips:,} of "
        f"{noise.num_problems:,} problems ({percent(noise.flip_rate)}, interval "
        f"{_range(noise.interval)})."
    )
    if (p := noise.more_disagreements_p) is not None:
        above = "more often than" if p <= alpha else "not shown to differ more often than"
        yield (
            f"The candidate differs from the original on {noise.num_disagreements:,}: "
            f"{above} that ({probability(p)})."
        )


def _health(health: BothHealth) -> str:
    """How sound the judging of both was."""
    both = (health.original, health.candidate)
    facts = {
        "known answers that pass": [percent(one.canonical_pass_rate) for one in both],
        "left out": [f"{one.num_excluded:,}" for one in both],
        "not judged": [f"{one.num_infrastructure_errors:,}" for one in both],
        "cut off": [f"{one.num_truncated:,}" for one in both],
        "not valid Python": [f"{one.num_unparsable:,}" for one in both],
    }
    listed = ", ".join(f"{words} {' / '.join(values)}" for words, values in facts.items())
    return f"Health of the judging (original / candidate): {listed}."


_IDENTITY: dict[ProblemIdentity, str] = {
    "texts": "the texts of all problems agree",
    "data set": "both name one data set by its digest",
    "ids": "only the problems' ids show that both are on the same problems",
}


def _sources(sources: OutsideSources) -> Iterator[str]:
    """Who judged the answers, and how far the two files are comparable."""
    first, second = sources.original, sources.candidate
    task = f" on {sources.task}" if sources.task else ""
    yield (
        f"Judged by {sources.harness}{task}, metric {sources.metric}: {_source(first)} against "
        f"{_source(second)}; {_IDENTITY[sources.same_problems]}."
    )
    if first.sha256 == second.sha256:
        yield "The two files are identical, byte for byte."
    if sources.num_other_prompts:
        yield (
            f"Warning: {sources.num_other_prompts:,} of {first.num_problems:,} problems were "
            "put to the models in different prompts, which may be what made the difference."
        )


def _source(source: OutsideSource) -> str:
    least, most = source.fewest_samples, source.most_samples
    samples = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    plural = "" if most == 1 else "s"
    return f"{source.file} ({source.sha256[:12]}, {samples} sample{plural} per problem)"


def evaluation_text(found: EvaluationRecord) -> str:
    """One evaluation for a terminal: the suite, a line for each kind of task, and the health of the
    judging.
    """
    suite, health = found.suite, found.health
    lines = [f"suite {suite.name} ({suite.digest[:12]}), {suite.num_problems:,} problems"]
    for kind, figures in found.tasks.items():
        rate = "-" if figures.pass_at_1 is None else percent(figures.pass_at_1)
        lines.append(
            f"{TASK_LABELS.get(kind, kind)}: pass@1 {rate} of {figures.num_problems:,} problems "
            f"(interval {_range(figures.interval)})"
        )
    lines.append(
        f"health: judged {health.num_judged:,} of {health.num_problems:,}, known answers "
        f"that pass {percent(health.canonical_pass_rate)}, left out "
        f"{health.num_excluded:,}, not judged {health.num_infrastructure_errors:,}, cut off "
        f"{health.num_truncated:,}, not valid Python {health.num_unparsable:,}"
    )
    return "".join(f"  {line}\n" for line in lines)


def comparison_text(found: ComparisonRecord) -> str:
    """A comparison for a terminal: its answer, then a line for each set of problems."""
    parts: dict[str, ClaimFigures] = {TASK_LABELS.get(k, k): v for k, v in found.tasks.items()}
    parts["all together"] = found.overall
    if robust := found.robustness:
        parts["perturbed prompts"] = robust
        if robust.worst_case:
            parts["all forms at once"] = robust.worst_case
    table = aligned([_HEAD, *(_line(name, figures) for name, figures in parts.items())], _SIDES)
    return "\n".join([*found.answer, "", *table]) + "\n"


def _line(name: str, figures: ClaimFigures) -> tuple[str, ...]:
    kept, bounds, p = figures.retention, figures.retention_interval, figures.non_inferiority_p
    return (
        name,
        f"{figures.num_problems:,}",
        percent(figures.original_pass_at_1),
        percent(figures.candidate_pass_at_1),
        percent(kept) if kept is not None else "-",
        _range(bounds) if bounds else "-",
        f"{figures.num_only_original}/{figures.num_only_candidate}",
        probability(p).removeprefix("p ").removeprefix("= ") if p is not None else "-",
        _verdict(figures),
    )


def _verdict(figures: ClaimFigures) -> str:
    needed = figures.num_problems_needed
    more = f": needs about {needed:,} problems" if figures.verdict == "underpowered" else ""
    return f"{figures.verdict}{more}"


def _share(value: float) -> str:
    return f"{100 * value:g} %"


def _range(bounds: Interval) -> str:
    return f"{100 * bounds[0]:.1f}-{100 * bounds[1]:.1f} %"
