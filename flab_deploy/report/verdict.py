"""The verdict in plain words, made from the figures alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

from flab_deploy.records.bench import BenchRecord
from flab_deploy.records.compare import ClaimFigures
from flab_deploy.records.plan import PlanRecord, ShapeRecord
from flab_deploy.records.report import BeforeAfterRow, QualityRow, ReportCell
from flab_deploy.report.cells import UNAVAILABLE
from flab_deploy.report.judged import health_sentence
from flab_deploy.report.likelihood import likelihood_sentences
from flab_deploy.report.losses import loss_sentences
from flab_deploy.report.quality import confidence, final_share, margin, quality_rows
from flab_deploy.report.rows import SIDES, rows_of, served
from flab_deploy.report.run import STAGES, RunContents
from flab_deploy.wording.claims import claim_sentence, untested_sentence
from flab_deploy.wording.numbers import (
    between,
    count,
    listed,
    millions,
    percent,
    signed_percent,
    significant,
)


def verdict_sentences(run: RunContents) -> list[str]:
    """Sentences that tell a stranger what was cut, what was kept and how sure that is."""
    rows = {row.key: row for row in rows_of(run)}
    quality = {row.key: row for row in quality_rows(run)}
    parts = [_cut(run), *_kept(run, quality["overall"]), _robust(run, quality["robustness"])]
    parts += [*likelihood_sentences(run), health_sentence(run), *_speed(run, rows)]
    parts += [_energy(rows), _missing(run)]
    return [sentence for sentence in parts if sentence]


def _cut(run: RunContents) -> str:
    if run.plan is None:
        if run.comparisons.get(run.final):
            return _compared(run)
        return "Nothing has been cut yet: the plan was not run."
    before, after = run.plan.before.num_parameters, run.plan.after.num_parameters
    verb = "Pruning took" if run.pruned else "The plan, not yet carried out, takes"
    change = signed_percent(after / before - 1)
    whole = f"{verb} the model from {millions(before)} to {millions(after)} parameters ({change})"
    sources = list(_sources(run.plan))
    return f"{whole}; of the cut, {listed(sources)}." if sources else f"{whole}."


def _compared(run: RunContents) -> str:
    """Which models an evaluation without a cut is about."""
    said, models = "Two models were judged on the same problems", run.evaluations
    if not {"original", run.final} <= models.keys():
        return f"{said}."
    original, slimmed = (models[name].model.name for name in ("original", run.final))
    return f"{said}: {original} (the original) and {slimmed} (the slimmed one)."


_HEADS = " key-value heads per layer"
_Part = Literal["vocabulary", "layers", "ffn", "heads", "experts"]
_Size = Callable[[ShapeRecord], int]
_PARTS: dict[_Part, tuple[str, _Size, str]] = {
    "vocabulary": ("rarely used vocabulary", lambda shape: shape.vocab_size, " tokens"),
    "layers": ("whole layers", lambda shape: shape.num_hidden_layers, ""),
    "ffn": ("feed-forward channels", lambda shape: shape.intermediate_size, " per layer"),
    "heads": ("attention heads", lambda shape: shape.num_key_value_heads, _HEADS),
    "experts": ("experts", lambda shape: shape.num_experts, " per layer"),
}
"""What a cut takes away, the size that it changes, and the unit of that."""


def _sources(plan: PlanRecord) -> Iterator[str]:
    removed = {part: plan.contribution.get(part, 0) for part in _PARTS}
    total = sum(removed.values())
    for part, (what, size, unit) in _PARTS.items():
        if removed[part] > 0:
            change = f"{count(size(plan.before))} to {count(size(plan.after))}{unit}"
            yield f"{100 * removed[part] / total:.0f} % is {what} ({change})"


def _kept(run: RunContents, row: QualityRow) -> Iterator[str]:
    number, then = count(row.num_problems or 0), row.pruned.kept
    if row.original.value is not None:
        if said := _solved(run, row):
            yield f"Of {number} held-out problems the slimmed model solves {said}"
            yield from loss_sentences(run)
        else:
            yield f"The original solves {row.original.text} of {number} held-out problems."
    if then.value is not None and run.final == "recovered":
        yield f"Right after the cut, before any recovery, it kept {then.text}{_bounds(run, then)}."


def _solved(run: RunContents, row: QualityRow) -> str:
    """What both solve, what is kept of that and how sure it is; empty without one of the two."""
    now = final_share(run.final, row)
    if row.original.value is None or now.solved.value is None:
        return ""
    share = f"{now.solved.text}, the original {row.original.text}: it keeps {now.kept.text}"
    return f"{share}{_bounds(run, now.kept)}. {_claim(run, now.claim)}"


def _bounds(run: RunContents, kept: ReportCell) -> str:
    level = f"{100 * confidence(run):.0f} %"
    return f" ({level} interval {between(kept.interval)})" if kept.interval else ""


def _claim(run: RunContents, claim: ClaimFigures | None) -> str:
    if claim is None:
        return untested_sentence(margin(run))
    needed, interval = claim.num_problems_needed, claim.retention_interval
    return claim_sentence(margin(run), claim.verdict, claim.non_inferiority_p, interval, needed)


def _robust(run: RunContents, row: QualityRow) -> str:
    how = "When the tasks are put differently, without a change of meaning, it solves"
    return f"{how} {said}" if (said := _solved(run, row)) else ""


def _speed(run: RunContents, rows: dict[str, BeforeAfterRow]) -> Iterator[str]:
    rate, first = rows["burst_output_throughput"].ratio, rows["p50_ttft_ms"].ratio
    facts = [
        _changed("its median time to the first token was {} {}", "longer", "shorter", first),
        _changed("at most it put out {} {} tokens per second", "more", "fewer", rate),
    ]
    known = listed([fact for fact in facts if fact])
    if run.bench and known:
        yield f"Served by {engine(run.bench)} under the same load as the original, {known}."
        yield invalid_sentence(run)


def _changed(sentence: str, more: str, less: str, ratio: ReportCell) -> str:
    """The sentence filled in, with a warning where rounds disagree about the direction."""
    if ratio.value is None:
        return ""
    said = sentence.format(percent(abs(ratio.value - 1)), more if ratio.value >= 1 else less)
    unsure = ratio.interval is not None and ratio.interval[0] < 1 < ratio.interval[1]
    return f"{said} ({ratio.interval_text}, so no claim)" if unsure else said


def engine(found: BenchRecord) -> str:
    """The engine of a load test with its version, device and mode, in words."""
    name = "vLLM" if found.engine.name == "vllm" else found.engine.name
    device = found.engine.device
    where = device.upper() if device in ("cpu", "gpu", "cuda") else device
    return f"{name} {found.engine.version} on {where} ({found.engine.mode})"


def invalid_sentence(run: RunContents) -> str:
    """What is wrong with the load test, or nothing if it is valid or was not run."""
    checks = {side: served(run.bench, side).validity for side in SIDES} if run.bench else {}
    bad = [(side, check) for side, check in checks.items() if check.verdict != "valid"]
    said = [f"{side} model: {'; '.join(check.reasons) or check.verdict}" for side, check in bad]
    why = f"The load test did not pass its own checks ({'; '.join(said)})"
    return f"{why}, so its times prove nothing." if said else ""


def _energy(rows: dict[str, BeforeAfterRow]) -> str:
    row = rows["energy_per_output_token_joules"]
    if row.ratio.value is not None:
        how = "measured" if row.ratio.status == "computed" else "estimated, not measured"
        return (
            f"{_changed('An output token cost {} {} energy', 'more', 'less', row.ratio)} ({how})."
        )
    why = (row.slimmed.reason or "no reason was recorded").rstrip(".")
    return f"Energy is unavailable: {why}." if row.slimmed.text == UNAVAILABLE else ""


def _missing(run: RunContents) -> str:
    names = [name for name in STAGES if name not in run.manifests]
    return f"Not run: {listed(names)}." if names else ""


def headline(run: RunContents) -> str:
    """One line for the title of the page."""
    overall = next(row for row in quality_rows(run) if row.key == "overall")
    kept, said = final_share(run.final, overall).kept, []
    if run.plan:
        cut = 1 - run.plan.after.num_parameters / run.plan.before.num_parameters
        planned = "" if run.pruned else " planned"
        said.append(f"{significant(100 * cut)} % fewer parameters{planned}")
    if kept.value is not None:
        said.append(f"{kept.text} of pass@1 kept")
    return ", ".join(said) or "A model before slimming"
