"""The claims "keeps at least the margin" and "needs at most so much more", in a sentence each."""

from __future__ import annotations

from flab_deploy.wording.numbers import count, probability


def claim_sentence(
    margin: float,
    verdict: str,
    non_inferiority_p: float | None,
    retention_interval: tuple[float, float] | None,
    num_problems_needed: int | None,
) -> str:
    """Whether keeping `margin`, a share, is shown, not shown or underpowered, with the reason.

    Without a p-value the original solves nothing.
    """
    claim = f"That it keeps at least {100 * margin:g} %"
    if non_inferiority_p is None:
        return f"{claim} is not shown: the original solves nothing."
    sure = probability(non_inferiority_p)
    if verdict == "shown":
        return f"{claim} is shown ({sure})."
    if verdict == "underpowered":
        needed = num_problems_needed
        more = f"; about {count(needed)} would be needed" if needed else ""
        return (
            f"{claim} can be neither shown nor refuted with so few problems "
            f"(underpowered){more} ({sure})."
        )
    below = retention_interval is not None and retention_interval[1] < margin
    why = ": even the upper end of the interval lies below" if below else ""
    return f"{claim} is not shown ({sure}){why}."


def untested_sentence(margin: float) -> str:
    """What is said of the claim where nothing was compared."""
    return f"Whether it keeps at least {100 * margin:g} % was not tested."


def loss_sentence(
    max_loss: float,
    verdict: str,
    non_inferiority_p: float,
    ratio_interval: tuple[float, float] | None,
    detectable_loss: float | None,
    num_texts_needed: int | None,
) -> str:
    """Whether needing at most `max_loss`, a share, more bits per byte is shown, not shown or
    underpowered, with the reason, and what such texts could show.
    """
    claim = f"That it needs at most {100 * max_loss:g} % more"
    sure = probability(non_inferiority_p)
    power = (
        ""
        if not detectable_loss
        else f" Were nothing lost, texts like these would likely show at most "
        f"{100 * detectable_loss:.2g} % more."
    )
    if verdict == "shown":
        return f"{claim} is shown ({sure}).{power}"
    if verdict == "underpowered":
        more = f"; about {count(num_texts_needed)} would be needed" if num_texts_needed else ""
        return (
            f"{claim} can be neither shown nor refuted with so few texts (underpowered){more} "
            f"({sure}).{power}"
        )
    above = ratio_interval is not None and ratio_interval[0] > 1 + max_loss
    why = ": even the lower end of the interval lies above" if above else ""
    return f"{claim} is not shown ({sure}){why}.{power}"
