"""The verdict in plain words, made from the figures alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flab_deploy.records.bench import BenchRecord
from flab_deploy.records.plan import PlanRecord, ShapeRecord
from flab_deploy.records.report import BeforeAfterRow, KeptShare, QualityRow, ReportCell
from flab_deploy.report.health import health_sentence
from flab_deploy.report.losses import loss_sentences
from flab_deploy.report.quality import confidence, margin, quality_rows
from flab_deploy.report.rows import SIDES, rows_of, served
from flab_deploy.report.run import STAGES, RunContents
from flab_deploy.wording.claims import claim_sentence
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
    parts = [_cut(run), *_kept(run, quality["overall"]), *_robust(run, quality["robustness"])]
    parts += [health_sentence(run), *_speed(run, rows), *_energy(rows), *_missing(run)]
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
    sources = _sources(run.plan)
    return f"{whole}; of the cut, {listed(sources)}." if sources else f"{whole}."


def _compared(run: RunContents) -> str:
    """Which models an evaluation without a cut is about."""
    original, slimmed = run.evaluate_original, run.evaluations.get(run.final)
    if original is None or slimmed is None:
        return "Two models were judged on the same problems."
    return (
        f"Two models were judged on the same problems: {original.model.name} (the original) and "
        f"{slimmed.model.name} (the slimmed one)."
    )


_SOURCES: dict[str, tuple[str, Callable[[ShapeRecord], int], str]] = {
    "vocabulary": ("rarely used vocabulary", lambda shape: shape.vocab_size, " tokens"),
    "layers": ("whole layers", lambda shape: shape.num_hidden_layers, ""),
    "ffn": ("feed-forward channels", lambda shape: shape.intermediate_size, " per layer"),
    "heads": (
        "attention heads",
        lambda shape: shape.num_key_value_heads,
        " key-value heads per layer",
    ),
    "experts": ("experts", lambda shape: shape.num_experts, " per layer"),
}
"""What a cut takes away, the size that it changes, and the unit of that."""


def _sources(plan: PlanRecord) -> list[str]:
    shares = removed_by(plan)
    total = sum(shares.values())
    return [
        f"{100 * shares[name] / total:.0f} % is {what} "
        f"({count(size(plan.before))} to {count(size(plan.after))}{unit})"
        for name, (what, size, unit) in _SOURCES.items()
        if shares[name] > 0
    ]


def removed_by(plan: PlanRecord) -> dict[str, int]:
    """Parameters that each kind of cut takes away."""
    found = plan.contribution
    return {
        "vocabulary": found["vocabulary"],
        "layers": found["layers"],
        "ffn": found["ffn"],
        "heads": found.get("heads", 0),
        "experts": found.get("experts", 0),
    }


def final_share(run: RunContents, row: QualityRow) -> KeptShare:
    """What a set of problems says of the slimmed model."""
    return row.pruned if run.final == "pruned" else row.recovered


def _kept(run: RunContents, row: QualityRow) -> Iterator[str]:
    now, then = final_share(run, row), row.pruned
    if row.original.value is not None and now.solved.value is None:
        yield (
            f"The original solves {row.original.text} of {count(row.num_problems or 0)} "
            "held-out problems."
        )
    if row.original.value is not None and now.solved.value is not None:
        yield (
            f"Of {count(row.num_problems or 0)} held-out problems the slimmed model solves "
            f"{now.solved.text}, the original {row.original.text}: it keeps "
            f"{now.kept.text}{_bounds(run, now)}. {_claim(run, now)}"
        )
        yield from loss_sentences(run)
    if then.kept.value is not None and run.final == "recovered":
        yield (
            "Right after the cut, before any recovery, it kept "
            f"{then.kept.text}{_bounds(run, then)}."
        )


def _bounds(run: RunContents, found: KeptShare) -> str:
    level = f"{100 * confidence(run):.0f} %"
    return f" ({level} interval {between(found.kept.interval)})" if found.kept.interval else ""


def _claim(run: RunContents, found: KeptShare) -> str:
    return claim_sentence(
        margin(run),
        None if found.verdict == "not run" else found.verdict,
        non_inferiority_p=found.non_inferiority_p,
        retention_interval=found.kept.interval,
        num_problems_needed=found.num_problems_needed,
    )


def _robust(run: RunContents, row: QualityRow) -> Iterator[str]:
    now = final_share(run, row)
    if row.original.value is not None and now.solved.value is not None:
        yield (
            "When the tasks are put differently, without a change of meaning, it solves "
            f"{now.solved.text}, the original {row.original.text}: it keeps "
            f"{now.kept.text}{_bounds(run, now)}. {_claim(run, now)}"
        )


def _speed(run: RunContents, rows: dict[str, BeforeAfterRow]) -> Iterator[str]:
    rate, first = rows["burst_output_throughput"].ratio, rows["p50_ttft_ms"].ratio
    facts = [
        _changed("its median time to the first token was {} {}", "longer", "shorter", first),
        _changed("at most it put out {} {} tokens per second", "more", "fewer", rate),
    ]
    known = [fact for fact in facts if fact]
    if run.bench and known:
        yield (
            f"Served by {engine(run.bench)} under the same load as the original, {listed(known)}."
        )
        yield invalid_sentence(run)


def _changed(sentence: str, more: str, less: str, ratio: ReportCell) -> str:
    """The sentence with the change filled in, and with a warning where rounds disagree about its
    direction.
    """
    if ratio.value is None:
        return ""
    told = sentence.format(percent(abs(ratio.value - 1)), more if ratio.value >= 1 else less)
    unsure = ratio.interval is not None and ratio.interval[0] < 1 < ratio.interval[1]
    return f"{told} ({ratio.interval_text}, so no claim)" if unsure else told


def engine(found: BenchRecord) -> str:
    """The engine of a load test with its version, device and mode, in words."""
    name = "vLLM" if found.engine.name == "vllm" else found.engine.name
    device = found.engine.device
    where = device.upper() if device in ("cpu", "gpu", "cuda") else device
    return f"{name} {found.engine.version} on {where} ({found.engine.mode})"


def invalid_sentence(run: RunContents) -> str:
    """What is wrong with the load test, or nothing if it is valid or was not run."""
    checks = {side: served(run.bench, side).validity for side in SIDES} if run.bench else {}
    told = "; ".join(
        f"{side} model: {'; '.join(check.reasons) or check.verdict}"
        for side, check in checks.items()
        if check.verdict != "valid"
    )
    return (
        f"The load test did not pass its own checks ({told}), so its times prove nothing."
        if told
        else ""
    )


def _energy(rows: dict[str, BeforeAfterRow]) -> Iterator[str]:
    row = rows["energy_per_output_token_joules"]
    if row.ratio.value is not None:
        how = "measured" if row.ratio.status == "computed" else "estimated, not measured"
        yield f"{_changed('An output token cost {} {} energy', 'more', 'less', row.ratio)} ({how})."
    elif row.slimmed.text == "unavailable":
        yield (
            "Energy is unavailable: "
            f"{(row.slimmed.reason or 'no reason was recorded').rstrip('.')}."
        )


def _missing(run: RunContents) -> Iterator[str]:
    names = [name for name in STAGES if not run.has(name)]
    if names:
        yield f"Not run: {listed(names)}."


def headline(run: RunContents) -> str:
    """One line for the title of the page."""
    overall = next(row for row in quality_rows(run) if row.key == "overall")
    kept, told = final_share(run, overall).kept, []
    if run.plan:
        cut = 1 - run.plan.after.num_parameters / run.plan.before.num_parameters
        planned = "" if run.pruned else " planned"
        told.append(f"{significant(100 * cut)} % fewer parameters{planned}")
    if kept.value is not None:
        told.append(f"{kept.text} of pass@1 kept")
    return ", ".join(told) or "A model before slimming"
