"""The answer of a comparison in words and as a small table, made from its figures alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from flab_deploy.artifacts import Json
from flab_deploy.corpus import TASK_LABELS

_HEAD = ("", "problems", "original", "candidate", "kept", "interval", "lost/won", "p", "")


def answer_sentences(found: Mapping[str, Json]) -> Iterator[str]:
    """What was kept, what was lost, and how sure that is; `found` is the comparison without its
    answer.
    """
    whole, level = (
        cast("dict[str, Any]", found["overall"]),
        float(cast("float", found["confidence"])),
    )
    yield (
        f"Of {whole['num_problems']:,} problems the original solves "
        f"{_percent(whole['original_pass_at_1'])}, the candidate "
        f"{_percent(whole['candidate_pass_at_1'])}{_kept(whole, level)}."
    )
    yield _lost(
        cast("list[dict[str, str]]", found["lost"]), cast("list[dict[str, str]]", found["gained"])
    )
    yield claim_sentence(whole, float(cast("float", found["margin"])))
    if robust := cast("dict[str, Any] | None", found["robustness"]):
        yield (
            f"On {robust['num_problems']:,} perturbed prompts the original solves "
            f"{_percent(robust['original_pass_at_1'])}, the candidate "
            f"{_percent(robust['candidate_pass_at_1'])}{_kept(robust, level)}. "
            f"{claim_sentence(robust, float(cast('float', found['margin'])))}"
        )
        yield from _worst_case(robust["worst_case"], level, float(cast("float", found["margin"])))
        yield from _perturbations(robust, float(cast("float", found["alpha"])))
    yield from _noise(
        cast("dict[str, Any] | None", found["noise"]), float(cast("float", found["alpha"]))
    )
    yield _health(
        *(
            cast("dict[str, dict[str, Any]]", found["health"])[role]
            for role in ("original", "candidate")
        )
    )


def claim_sentence(figures: Mapping[str, Any], margin: float) -> str:
    """Whether keeping `margin` is shown, not shown or underpowered, with the reason."""
    claim, p = f"That it keeps at least {_share(margin)}", figures["non_inferiority_p"]
    interval = figures["retention_interval"]
    if p is None or interval is None:
        return f"{claim} is not shown: the original solves nothing."
    if figures["verdict"] == "shown":
        return f"{claim} is shown ({_p(p)})."
    if figures["verdict"] == "underpowered":
        needed = figures["num_problems_needed"]
        return (
            f"{claim} can be neither shown nor refuted: underpowered: needs about "
            f"{needed:,} problems ({_p(p)})."
        )
    if interval[1] < margin:
        return f"{claim} is not shown ({_p(p)}): even the upper end of the interval lies below."
    return f"{claim} is not shown ({_p(p)})."


def _kept(figures: Mapping[str, Any], level: float) -> str:
    if figures["retention"] is None:
        return ""
    bounds = figures["retention_interval"]
    told = f" ({_share(level)} interval {_range(bounds)})" if bounds else ""
    return f": it keeps {_percent(figures['retention'])}{told}"


def _lost(lost: Sequence[Mapping[str, str]], gained: Sequence[Mapping[str, str]]) -> str:
    if not lost and not gained:
        return "Both solve the same problems."
    reasons = Counter(entry["verdict"].replace("_", " ") for entry in lost)
    told = (
        f" ({', '.join(f'{number} {name}' for name, number in reasons.most_common(3))})"
        if reasons
        else ""
    )
    return (
        f"Lost: {len(lost):,} problems that only the original solves{told}; gained: "
        f"{len(gained):,}."
    )


def _worst_case(worst: Mapping[str, Any] | None, level: float, margin: float) -> Iterator[str]:
    if worst is not None:
        yield (
            "Under every one of its perturbed forms at once, the original solves "
            f"{_percent(worst['original_pass_at_1'])} of {worst['num_problems']:,} problems, the "
            f"candidate {_percent(worst['candidate_pass_at_1'])}{_kept(worst, level)}. "
            f"{claim_sentence(worst, margin)}"
        )


def _perturbations(robust: Mapping[str, Any], alpha: float) -> Iterator[str]:
    worse = [
        f"{name} ({_percent(entry['original_pass_at_1'])} to "
        f"{_percent(entry['candidate_pass_at_1'])})"
        for name, entry in robust["perturbations"].items()
        if entry["benjamini_hochberg_p"] <= alpha and entry["difference"] < 0
    ]
    number = len(robust["perturbations"])
    if worse:
        yield f"Of {number} perturbations, the candidate is worse under {', '.join(worse)}."
    else:
        yield f"Under none of the {number} perturbations is the candidate shown to be worse."


def _noise(noise: Mapping[str, Any] | None, alpha: float) -> Iterator[str]:
    if noise is None:
        return
    yield (
        f"Noise floor: two evaluations of one model differ on {noise['num_flips']:,} of "
        f"{noise['num_problems']:,} problems ({_percent(noise['flip_rate'])}, interval "
        f"{_range(noise['interval'])})."
    )
    if (p := noise.get("more_disagreements_p")) is not None:
        above = "more often than" if p <= alpha else "not shown to differ more often than"
        yield (
            f"The candidate differs from the original on {noise['num_disagreements']:,}: "
            f"{above} that ({_p(p)})."
        )


def _health(original: Mapping[str, Any], candidate: Mapping[str, Any]) -> str:
    """How sound the judging of both was."""
    facts = {
        "known answers that pass": "canonical_pass_rate",
        "left out": "num_excluded",
        "not judged": "num_infrastructure_errors",
        "cut off": "num_truncated",
        "not valid Python": "num_unparsable",
    }
    told = []
    for words, name in facts.items():
        values = [block.get(name) for block in (original, candidate)]
        shown = [
            _percent(v) if isinstance(v, float) else "-" if v is None else f"{v:,}" for v in values
        ]
        told.append(f"{words} {' / '.join(shown)}")
    return f"Health of the judging (original / candidate): {', '.join(told)}."


def evaluation_text(figures: Mapping[str, Json]) -> str:
    """One evaluation for a terminal: the suite, a line for each kind of task, and the health of the
    judging.
    """
    suite, health = (cast("dict[str, Any]", figures[name]) for name in ("suite", "health"))
    lines = [f"suite {suite['name']} ({suite['digest'][:12]}), {suite['num_problems']:,} problems"]
    for kind, found in cast("dict[str, dict[str, Any]]", figures["tasks"]).items():
        bounds = _range(found["interval"])
        solved = f"{_percent(found['pass_at_1'])} of {found['num_problems']:,} problems"
        lines.append(f"{TASK_LABELS.get(kind, kind)}: pass@1 {solved} (interval {bounds})")
    lines.append(
        f"health: judged {health['num_judged']:,} of {health['num_problems']:,}, known answers "
        f"that pass {_percent(health['canonical_pass_rate'])}, left out "
        f"{health['num_excluded']:,}, not judged {health['num_infrastructure_errors']:,}, cut off "
        f"{health['num_truncated']:,}, not valid Python {health['num_unparsable']:,}"
    )
    return "".join(f"  {line}\n" for line in lines)


def answer_text(found: Mapping[str, Json]) -> str:
    """The answer for a terminal: the sentences, then a line for each set of problems."""
    parts = {TASK_LABELS.get(k, k): v for k, v in cast("dict[str, Any]", found["tasks"]).items()}
    parts["all together"] = cast("dict[str, Any]", found["overall"])
    if found["robustness"]:
        robust = cast("dict[str, Any]", found["robustness"])
        parts["perturbed prompts"] = robust
        parts |= {"all forms at once": robust["worst_case"]} if robust["worst_case"] else {}
    lines = [_HEAD, *(_line(name, figures) for name, figures in parts.items())]
    widths = [max(len(line[i]) for line in lines) for i in range(len(_HEAD))]
    table = [
        "  ".join(
            [
                line[0].ljust(widths[0]),
                *(t.rjust(w) for t, w in zip(line[1:-1], widths[1:-1], strict=True)),
                line[-1],
            ]
        )
        for line in lines
    ]
    return (
        "\n".join([*cast("list[str]", found["answer"]), "", *(line.rstrip() for line in table)])
        + "\n"
    )


def _line(name: str, figures: Mapping[str, Any]) -> tuple[str, ...]:
    kept, bounds, p = (
        figures["retention"],
        figures["retention_interval"],
        figures["non_inferiority_p"],
    )
    return (
        name,
        f"{figures['num_problems']:,}",
        _percent(figures["original_pass_at_1"]),
        _percent(figures["candidate_pass_at_1"]),
        _percent(kept) if kept is not None else "-",
        _range(bounds) if bounds else "-",
        f"{figures['num_only_original']}/{figures['num_only_candidate']}",
        _p(p).removeprefix("p ").removeprefix("= ") if p is not None else "-",
        _verdict(figures),
    )


def _verdict(figures: Mapping[str, Any]) -> str:
    needed = figures["num_problems_needed"]
    more = f": needs about {needed:,} problems" if figures["verdict"] == "underpowered" else ""
    return f"{figures['verdict']}{more}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _share(value: float) -> str:
    return f"{100 * value:g} %"


def _range(bounds: Sequence[float]) -> str:
    return f"{100 * bounds[0]:.1f}-{100 * bounds[1]:.1f} %"


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
