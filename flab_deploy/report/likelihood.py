"""What the readings of the same texts say: cells of the before/after table, details, a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from flab_deploy.records.evaluate import Interval
from flab_deploy.records.likelihood import (
    SET_LABELS,
    BitsFigures,
    LikelihoodRecord,
    SetName,
    TokenAgreement,
)
from flab_deploy.records.report import ReportCell, ReportTable
from flab_deploy.report.cells import cell, figure
from flab_deploy.report.run import RunContents
from flab_deploy.report.tables import Reading, readings, table
from flab_deploy.wording.claims import loss_sentence
from flab_deploy.wording.fields import DASH
from flab_deploy.wording.numbers import (
    FORMATS,
    count,
    percent,
    probability,
    signed_percent,
    significant,
    span,
)

_SOLUTIONS: SetName = "problems"


def _stage(run: RunContents) -> str:
    return f"likelihood-{run.final}"


def _solutions(run: RunContents) -> BitsFigures | None:
    """What was found on the reference solutions."""
    found = run.likelihoods.get(run.final)
    return found.sets.get(_SOLUTIONS) if found else None


def bits_cell(run: RunContents, side: str) -> ReportCell:
    """Bits per byte of the reference solutions under the original or the slimmed model."""
    found = _solutions(run)
    if found is None:
        return figure(run, _stage(run), None, "bits/byte", reason="no problems were read")
    own = found.original_bits_per_byte if side == "original" else found.candidate_bits_per_byte
    return figure(run, _stage(run), own, "bits/byte")


def bits_ratio(run: RunContents) -> ReportCell:
    """The slimmed model's bits over the original's, with their interval."""
    found = _solutions(run)
    if found is None:
        return bits_cell(run, "slimmed")
    said, bounds = f"{significant(found.ratio, 5)}×", found.ratio_interval
    low_high = "–".join(significant(bound, 5) for bound in bounds) + "×" if bounds else ""
    return cell(found.ratio, said, "computed", bounds, low_high)


def bits_verdict(run: RunContents) -> str | None:
    """Whether it is shown that the slimmed model needs little more; None if that was not tested."""
    found = _solutions(run)
    return found.verdict if found else None


def bits_method(run: RunContents) -> str:
    """What was read, and the claim that the verdict is about."""
    found, whole = _solutions(run), run.likelihoods.get(run.final)
    if found is None or whole is None:
        return ""
    size = f"{count(found.num_texts)} solutions, {count(found.num_bytes)} bytes"
    return f"{size}; the claim: at most {100 * whole.max_loss:g} % more"


@dataclass(frozen=True, kw_only=True)
class Closeness:
    """How close the slimmed model's predictions are to the original's, in one figure."""

    unit: str
    of_itself: float
    """What the original would have against itself."""
    read: Callable[[TokenAgreement], tuple[float, Interval | None]]

    def cell(self, run: RunContents, side: str) -> ReportCell:
        """The figure of the original against itself, or of the slimmed model."""
        found = _solutions(run)
        close = found.agreement if found else None
        if found is None or close is None:
            reason = found.agreement_reason if found else "no problems were read"
            return figure(run, _stage(run), None, self.unit, reason=reason)
        if side == "original":
            said = FORMATS[self.unit](self.of_itself)
            return cell(self.of_itself, said, "computed", reason="by definition")
        value, interval = self.read(close)
        tokens = f"{count(close.num_tokens)} tokens"
        shared = f"{tokens}, the {percent(close.token_share)} that begin where both do"
        return cell(
            value,
            FORMATS[self.unit](value),
            "measured",
            interval,
            span(interval, self.unit) if interval else "",
            tokens if close.token_share == 1 else shared,
        )


TOP_1 = Closeness(unit="share", of_itself=1.0, read=lambda a: (a.top_1, a.top_1_interval))
DIVERGENCE = Closeness(
    unit="nats/token", of_itself=0.0, read=lambda a: (a.kl_nats, a.kl_nats_interval)
)


def divergence_ratio(run: RunContents) -> ReportCell:
    """No ratio: the original does not diverge from itself."""
    found = DIVERGENCE.cell(run, "slimmed")
    return found if found.value is None else cell(None, DASH)


def likelihood_table(run: RunContents) -> ReportTable:
    """Every figure of every set of texts, a column for each model and set."""
    found = {
        f"{model}, {SET_LABELS[name]}": (whole, figures)
        for model, whole in run.likelihoods.items()
        for name, figures in whole.sets.items()
    }
    return table("likelihood", readings(_FACTS, found), list(found))


def likelihood_sentences(run: RunContents) -> Iterator[str]:
    """What the slimmed model needs in addition for every set of texts, and how sure that is."""
    whole = run.likelihoods.get(run.final)
    for name, figures in (whole.sets if whole else {}).items():
        assert whole is not None
        yield (
            f"To predict {count(figures.num_texts)} {SET_LABELS[name]} the slimmed model needs "
            f"{significant(figures.candidate_bits_per_byte, 4)} bits per byte, the original "
            f"{significant(figures.original_bits_per_byte, 4)} ({_change(figures)})."
        )
        yield _claim(whole, figures)


def _claim(whole: LikelihoodRecord, figures: BitsFigures) -> str:
    return loss_sentence(
        whole.max_loss,
        figures.verdict,
        figures.non_inferiority_p,
        figures.ratio_interval,
        figures.detectable_loss,
        figures.num_texts_needed,
    )


def _change(figures: BitsFigures) -> str:
    said, bounds = signed_percent(figures.ratio - 1, 2), figures.ratio_interval
    if bounds is None:
        return said
    low, high = (signed_percent(bound - 1, 2) for bound in bounds)
    return f"{said}, interval {low} to {high}"


def _of_tokens(read: Callable[[TokenAgreement], str]) -> Callable[[_Found], str]:
    return lambda found: read(found[1].agreement) if found[1].agreement else DASH


_Found = tuple[LikelihoodRecord, BitsFigures]
_FACTS: list[Reading[_Found]] = [
    ("texts", lambda f: count(f[1].num_texts)),
    ("clusters that they fall into", lambda f: count(f[1].num_clusters)),
    ("bytes predicted", lambda f: count(f[1].num_bytes)),
    ("texts cut at the longest that is read", lambda f: count(f[1].num_cut)),
    ("bits per byte, original", lambda f: significant(f[1].original_bits_per_byte, 4)),
    ("bits per byte, this model", lambda f: significant(f[1].candidate_bits_per_byte, 4)),
    ("change", lambda f: _change(f[1])),
    ("the claim", lambda f: f"at most {100 * f[0].max_loss:g} % more"),
    ("its verdict", lambda f: f"{f[1].verdict}, {probability(f[1].non_inferiority_p)}"),
    ("what such texts would likely show if nothing were lost", lambda f: _detectable(f[1])),
    ("tokens compared, those that begin where both do", _of_tokens(lambda a: count(a.num_tokens))),
    ("their share in all", _of_tokens(lambda a: percent(a.token_share))),
    ("the same token is the likeliest", _of_tokens(lambda a: percent(a.top_1))),
    ("KL(original || model), nats per token", _of_tokens(lambda a: significant(a.kl_nats))),
    (
        "what the original gives to tokens that are gone",
        _of_tokens(lambda a: percent(a.dropped_probability)),
    ),
]


def _detectable(figures: BitsFigures) -> str:
    found = figures.detectable_loss
    return DASH if found is None else f"at most {100 * found:.2g} % more"
