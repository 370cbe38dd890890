"""The verdict in plain words, made from the figures alone."""

from __future__ import annotations

from collections.abc import Iterator

from flab_deploy.artifacts import Json
from flab_deploy.report.quality import QualityRow, Retention, confidence, margin, quality_rows
from flab_deploy.report.rows import Row, rows_of
from flab_deploy.report.run import DOCUMENTS, Run, pick
from flab_deploy.report.wording import (
    between,
    count,
    listed,
    millions,
    percent,
    probability,
    signed_percent,
    significant,
    times,
)


def verdict_sentences(run: Run) -> list[str]:
    """Sentences that tell a stranger what was cut, what was kept and how sure that is."""
    rows = {row.key: row for row in rows_of(run)}
    quality = {row.key: row for row in quality_rows(run)}
    parts = [_cut(run), *_kept(run, quality["overall"]), *_robust(run, quality["robustness"])]
    return [sentence for sentence in [*parts, *_speed(run, rows), *_energy(rows), *_missing(run)] if sentence]


def _cut(run: Run) -> str:
    before, after = (run.number("plan", when, "num_parameters") for when in ("before", "after"))
    if before is None or after is None or before == 0:
        return "Nothing has been cut yet: the plan was not run."
    whole = f"The model went from {millions(before)} to {millions(after)} parameters ({signed_percent(after / before - 1)})"
    sources = _sources(run)
    return f"{whole}: {listed(sources)}." if sources else f"{whole}."


def _sources(run: Run) -> list[str]:
    shares = {name: run.number("plan", "contribution", name) or 0.0 for name in ("vocabulary", "layers", "ffn")}
    total = sum(shares.values())
    if total <= 0:
        return []
    words = {
        "vocabulary": ("rarely used tokens", "vocab_size", "tokens"),
        "layers": ("whole layers", "num_hidden_layers", "layers"),
        "ffn": ("feed-forward channels", "intermediate_size", "per layer"),
    }
    return [
        f"{percent(shares[name] / total)} of the cut came from {what} ({_change(run, field, unit)})"
        for name, (what, field, unit) in words.items()
        if shares[name] > 0
    ]


def _change(run: Run, field: str, unit: str) -> str:
    before, after = (run.number("plan", when, field) for when in ("before", "after"))
    return f"{count(before or 0)} to {count(after or 0)} {unit}"


def _kept(run: Run, row: QualityRow) -> Iterator[str]:
    now, then = row.recovered, row.pruned
    if row.original.value is not None and now.solved.value is not None:
        yield (
            f"On {count(row.num_problems or 0)} held-out problems the slimmed model solves {now.solved.text}, "
            f"the original {row.original.text}: it keeps {now.kept.text}{_bounds(run, now)}. {_claim(now, margin(run))}"
        )
    if then.kept.value is not None:
        what = "Before recovery, right after the cut," if now.kept.value is not None else "Right after the cut"
        yield f"{what} the model kept {then.kept.text}{_bounds(run, then)}."


def _bounds(run: Run, found: Retention) -> str:
    level = f"{100 * confidence(run):.0f} %"
    return f" ({level} interval {between(found.kept.interval)})" if found.kept.interval else ""


def _claim(found: Retention, bound: float) -> str:
    claim = f"That it keeps at least {100 * bound:.0f} %"
    sure = f" ({probability(found.non_inferiority_p)})" if found.non_inferiority_p is not None else ""
    if found.verdict == "shown":
        return f"{claim} is shown{sure}."
    if found.verdict == "underpowered":
        needed = found.num_problems_needed
        more = f"; about {count(needed)} would be needed" if needed else ""
        return f"{claim} can be neither shown nor refuted with so few problems (underpowered){more}."
    if found.verdict == "not shown":
        return f"{claim} is not shown{sure}."
    return f"Whether it keeps at least {100 * bound:.0f} % was not tested."


def _robust(run: Run, row: QualityRow) -> Iterator[str]:
    now = row.recovered
    if row.original.value is None or now.solved.value is None:
        return
    verdict = f": {now.verdict}" if now.verdict != "not run" else ""
    yield (
        f"When the same task is put in other words, without a change of meaning, it solves {now.solved.text} in every "
        f"wording, the original {row.original.text} (kept {now.kept.text}{_bounds(run, now)}{verdict})."
    )


def _speed(run: Run, rows: dict[str, Row]) -> Iterator[str]:
    rate, first = rows["output_throughput"].ratio.value, rows["p50_ttft_ms"].ratio.value
    if rate is None and first is None:
        return
    facts = [
        f"the time to the first token was {times(first)} the original's at the median" if first is not None else "",
        f"it put out {times(rate)} as many tokens per second" if rate is not None else "",
    ]
    yield f"Served by {engine(run)} under the same load, {listed([fact for fact in facts if fact])}."
    yield invalid_sentence(run)


def engine(run: Run) -> str:
    """The engine of the load test with its version and device, in words."""
    name, version, device = (run.get("bench", "engine", key) for key in ("name", "version", "device"))
    words = " ".join(str(part) for part in (_engine_name(name), version) if part)
    return f"{words} on {device}" if device else words


def _engine_name(name: Json) -> str:
    return "vLLM" if name in ("vllm", None) else str(name)


def invalid_sentence(run: Run) -> str:
    """What is wrong with the load test, or nothing if it is valid or was not run."""
    reasons: list[str] = []
    for model in ("original", "slimmed"):
        block = run.get("bench", "models", model, "validity")
        verdict, why = pick(block, "verdict"), pick(block, "reasons")
        if verdict not in ("valid", None):
            told = "; ".join(str(item) for item in why) if isinstance(why, list) and why else str(verdict)
            reasons.append(f"{model} model: {told}")
    return f"The load test did not pass its own checks ({'; '.join(reasons)}), so its times prove nothing." if reasons else ""


def _energy(rows: dict[str, Row]) -> Iterator[str]:
    row = rows["energy_per_output_token_joules"]
    if row.ratio.value is not None:
        how = "measured" if row.ratio.status == "computed" else "estimated, not measured"
        yield f"An output token cost {times(row.ratio.value)} the original's energy ({how})."
    elif row.slimmed.text == "unavailable":
        yield f"Energy is unavailable: {(row.slimmed.reason or 'no reason was recorded').rstrip('.')}."


def _missing(run: Run) -> Iterator[str]:
    names = [name for name in DOCUMENTS if not run.has(name)]
    if names:
        yield f"Not run: {listed(names)}."


def headline(run: Run) -> str:
    """One line for the title of the page."""
    before, after = (run.number("plan", when, "num_parameters") for when in ("before", "after"))
    if not before or after is None:
        return "A model before slimming"
    smaller = f"{significant(100 * (1 - after / before))} % fewer parameters"
    found = next(row.recovered for row in quality_rows(run) if row.key == "overall")
    return f"{smaller}, {found.kept.text} of pass@1 kept" if found.kept.value is not None else smaller
