"""The verdict in plain words, made from the figures alone."""

from __future__ import annotations

from collections.abc import Iterator

from flab_deploy.artifacts import Json
from flab_deploy.report.health import health_sentence
from flab_deploy.report.losses import loss_sentences
from flab_deploy.report.quality import KeptShare, QualityRow, confidence, margin, quality_rows
from flab_deploy.report.rows import BeforeAfterRow, Cell, rows_of
from flab_deploy.report.run import DOCUMENTS, Run, pick
from flab_deploy.wording.numbers import (
    between,
    count,
    listed,
    millions,
    percent,
    probability,
    signed_percent,
    significant,
)


def verdict_sentences(run: Run) -> list[str]:
    """Sentences that tell a stranger what was cut, what was kept and how sure that is."""
    rows = {row.key: row for row in rows_of(run)}
    quality = {row.key: row for row in quality_rows(run)}
    parts = [_cut(run), *_kept(run, quality["overall"]), *_robust(run, quality["robustness"])]
    parts += [health_sentence(run)]
    return [
        sentence
        for sentence in [*parts, *_speed(run, rows), *_energy(rows), *_missing(run)]
        if sentence
    ]


def _cut(run: Run) -> str:
    before, after = (run.number("plan", when, "num_parameters") for when in ("before", "after"))
    if before is None or after is None or before == 0:
        if run.has(f"compare-{run.final}"):
            return _compared(run)
        return "Nothing has been cut yet: the plan was not run."
    verb = "Pruning took" if run.has("pruned") else "The plan, not yet carried out, takes"
    change = signed_percent(after / before - 1)
    whole = f"{verb} the model from {millions(before)} to {millions(after)} parameters ({change})"
    sources = _sources(run)
    return f"{whole}; of the cut, {listed(sources)}." if sources else f"{whole}."


def _compared(run: Run) -> str:
    """Which models an evaluation without a cut is about."""
    names = [run.get(f"evaluate-{model}", "model", "name") for model in ("original", run.final)]
    if not all(names):
        return "Two models were judged on the same problems."
    return (
        f"Two models were judged on the same problems: {names[0]} (the original) and "
        f"{names[1]} (the slimmed one)."
    )


def _sources(run: Run) -> list[str]:
    words = {
        "vocabulary": ("rarely used vocabulary", "vocab_size", " tokens"),
        "layers": ("whole layers", "num_hidden_layers", ""),
        "ffn": ("feed-forward channels", "intermediate_size", " per layer"),
        "heads": ("attention heads", "num_key_value_heads", " key-value heads per layer"),
        "experts": ("experts", "num_experts", " per layer"),
    }
    shares = {name: run.number("plan", "contribution", name) or 0.0 for name in words}
    total = sum(shares.values())
    if total <= 0:
        return []
    return [
        f"{100 * shares[name] / total:.0f} % is {what} ({_change(run, field, unit)})"
        for name, (what, field, unit) in words.items()
        if shares[name] > 0
    ]


def _change(run: Run, field: str, unit: str) -> str:
    before, after = (run.number("plan", when, field) for when in ("before", "after"))
    return f"{count(before or 0)} to {count(after or 0)}{unit}"


def _kept(run: Run, row: QualityRow) -> Iterator[str]:
    now: KeptShare = getattr(row, run.final)
    then = row.pruned
    if row.original.value is not None and now.solved.value is None:
        yield (
            f"The original solves {row.original.text} of {count(row.num_problems or 0)} "
            "held-out problems."
        )
    if row.original.value is not None and now.solved.value is not None:
        yield (
            f"Of {count(row.num_problems or 0)} held-out problems the slimmed model solves "
            f"{now.solved.text}, the original {row.original.text}: it keeps "
            f"{now.kept.text}{_bounds(run, now)}. {_claim(now, margin(run))}"
        )
        yield from loss_sentences(run)
    if then.kept.value is not None and run.final == "recovered":
        yield (
            "Right after the cut, before any recovery, it kept "
            f"{then.kept.text}{_bounds(run, then)}."
        )


def _bounds(run: Run, found: KeptShare) -> str:
    level = f"{100 * confidence(run):.0f} %"
    return f" ({level} interval {between(found.kept.interval)})" if found.kept.interval else ""


def _claim(found: KeptShare, bound: float) -> str:
    claim = f"That it keeps at least {100 * bound:.0f} %"
    sure = (
        f" ({probability(found.non_inferiority_p)})" if found.non_inferiority_p is not None else ""
    )
    if found.verdict == "shown":
        return f"{claim} is shown{sure}."
    if found.verdict == "underpowered":
        needed = found.num_problems_needed
        more = f"; about {count(needed)} would be needed" if needed else ""
        return (
            f"{claim} can be neither shown nor refuted with so few problems (underpowered){more}."
        )
    if found.verdict == "not shown":
        return f"{claim} is not shown{sure}."
    return f"Whether it keeps at least {100 * bound:.0f} % was not tested."


def _robust(run: Run, row: QualityRow) -> Iterator[str]:
    now: KeptShare = getattr(row, run.final)
    if row.original.value is None or now.solved.value is None:
        return
    yield (
        "When the tasks are put differently, without a change of meaning, it solves "
        f"{now.solved.text}, the original {row.original.text}: it keeps "
        f"{now.kept.text}{_bounds(run, now)}. {_claim(now, margin(run))}"
    )


def _speed(run: Run, rows: dict[str, BeforeAfterRow]) -> Iterator[str]:
    rate, first = rows["burst_output_throughput"].ratio, rows["p50_ttft_ms"].ratio
    facts = [
        _changed("its median time to the first token was {} {}", "longer", "shorter", first),
        _changed("at most it put out {} {} tokens per second", "more", "fewer", rate),
    ]
    if not any(facts):
        return
    yield (
        f"Served by {engine(run)} under the same load as the original, "
        f"{listed([fact for fact in facts if fact])}."
    )
    yield invalid_sentence(run)


def _changed(sentence: str, more: str, less: str, ratio: Cell) -> str:
    """The sentence with the change filled in, and with a warning where rounds disagree about its
    direction.
    """
    if ratio.value is None:
        return ""
    told = sentence.format(percent(abs(ratio.value - 1)), more if ratio.value >= 1 else less)
    unsure = ratio.interval is not None and ratio.interval[0] < 1 < ratio.interval[1]
    return f"{told} ({ratio.interval_text}, so no claim)" if unsure else told


def engine(run: Run) -> str:
    """The engine of the load test with its version and device, in words."""
    name, version, device = (
        run.get("bench", "engine", key) for key in ("name", "version", "device")
    )
    words = " ".join(str(part) for part in (_engine_name(name), version) if part)
    where = str(device).upper() if device in ("cpu", "gpu", "cuda") else device
    mode = run.get("bench", "engine", "mode")
    place = f"{words} on {where}" if where else words
    return f"{place} ({mode})" if mode else place


def _engine_name(name: Json) -> str:
    return "vLLM" if name in ("vllm", None) else str(name)


def invalid_sentence(run: Run) -> str:
    """What is wrong with the load test, or nothing if it is valid or was not run."""
    reasons: list[str] = []
    for model in ("original", "slimmed"):
        block = run.get("bench", "models", model, "validity")
        verdict, why = pick(block, "verdict"), pick(block, "reasons")
        if verdict not in ("valid", None):
            told = (
                "; ".join(str(item) for item in why)
                if isinstance(why, list) and why
                else str(verdict)
            )
            reasons.append(f"{model} model: {told}")
    told = "; ".join(reasons)
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


def _missing(run: Run) -> Iterator[str]:
    names = [name for name in DOCUMENTS if not run.has(name)]
    if names:
        yield f"Not run: {listed(names)}."


def headline(run: Run) -> str:
    """One line for the title of the page."""
    overall = next(row for row in quality_rows(run) if row.key == "overall")
    kept = getattr(overall, run.final).kept
    told = [f"{kept.text} of pass@1 kept"] if kept.value is not None else []
    before, after = (run.number("plan", when, "num_parameters") for when in ("before", "after"))
    if before and after is not None:
        planned = "" if run.has("pruned") else " planned"
        told.insert(0, f"{significant(100 * (1 - after / before))} % fewer parameters{planned}")
    return ", ".join(told) or "A model before slimming"
