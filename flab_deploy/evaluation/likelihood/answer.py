"""Two models on the same texts in words and as a small table, made from the record alone."""

from __future__ import annotations

from collections.abc import Iterator

from flab_deploy.records.likelihood import SET_LABELS, BitsFigures, LikelihoodRecord
from flab_deploy.wording.claims import loss_sentence
from flab_deploy.wording.numbers import count, percent, probability, signed_percent, significant
from flab_deploy.wording.table import aligned

_HEAD = ("", "texts", "bytes", "original", "candidate", "change", "top-1", "KL", "p", "")
_SIDES = "<" + ">" * (len(_HEAD) - 2) + "<"


def answer_sentences(found: LikelihoodRecord) -> Iterator[str]:
    """What the candidate needs in addition, and how sure that is; from all of a record but its
    `answer`.
    """
    for name, figures in found.sets.items():
        yield (
            f"For {count(figures.num_texts)} {SET_LABELS[name]} ({count(figures.num_bytes)} bytes) "
            f"the original needs {significant(figures.original_bits_per_byte, 4)} bits per byte, "
            f"the candidate {significant(figures.candidate_bits_per_byte, 4)}: "
            f"{_change(figures)}{_interval(figures, found.confidence)}."
        )
        yield loss_sentence(
            found.max_loss,
            figures.verdict,
            figures.non_inferiority_p,
            figures.ratio_interval,
            figures.detectable_loss,
            figures.num_texts_needed,
        )
        yield _agreement(figures)
    if found.num_left_out:
        yield (
            f"Left out: {count(found.num_left_out)} texts with nothing to predict, or with a "
            f"prompt of {count(found.max_tokens)} tokens or more."
        )
    if cut := sum(figures.num_cut for figures in found.sets.values()):
        yield f"Cut: {count(cut)} texts of more than {count(found.max_tokens)} tokens."


def likelihood_text(found: LikelihoodRecord) -> str:
    """A record for a terminal: its answer, then a line for each set of texts."""
    lines = [_line(SET_LABELS[name], figures) for name, figures in found.sets.items()]
    return "\n".join([*found.answer, "", *aligned([_HEAD, *lines], _SIDES)]) + "\n"


def _change(figures: BitsFigures) -> str:
    return signed_percent(figures.ratio - 1, 2)


def _interval(figures: BitsFigures, confidence: float) -> str:
    if figures.ratio_interval is None:
        return ""
    low, high = (signed_percent(bound - 1, 2) for bound in figures.ratio_interval)
    return f" ({100 * confidence:g} % interval {low} to {high})"


def _agreement(figures: BitsFigures) -> str:
    if (found := figures.agreement) is None:
        reason = figures.agreement_reason
        return f"Top-1 agreement and KL divergence were not measured: {reason}."
    return (
        f"Both find the same token the likeliest at {percent(found.top_1)} of "
        f"{count(found.num_tokens)} tokens ({percent(found.token_share)} of all, those that begin "
        f"at the same character for both); KL(original || candidate) is "
        f"{significant(found.kl_nats)} nats per token."
    )


def _line(name: str, figures: BitsFigures) -> tuple[str, ...]:
    close = figures.agreement
    return (
        name,
        count(figures.num_texts),
        count(figures.num_bytes),
        significant(figures.original_bits_per_byte, 4),
        significant(figures.candidate_bits_per_byte, 4),
        _change(figures),
        percent(close.top_1) if close else "-",
        significant(close.kl_nats) if close else "-",
        probability(figures.non_inferiority_p).removeprefix("p ").removeprefix("= "),
        figures.verdict,
    )
