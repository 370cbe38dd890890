"""`flab power`: how many problems a claim needs, and what a number of problems can show, before a
model is run.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from flab_deploy.artifacts import Json, check_digest, open_artifact, read_json
from flab_deploy.errors import ConfigError
from flab_deploy.evaluation.statistics import power, problems_needed, strictest_margin
from flab_deploy.settings.power import PowerConfig

_USUAL_NUMBERS = (164, 500, 1000, 2000, 3000)


def plan_claim(config: PowerConfig) -> dict[str, Json]:
    """Problems needed for the claim, and for some numbers of problems the chance and the strictest
    margin to show.
    """
    numbers = (config.num_problems,) if config.num_problems else _USUAL_NUMBERS
    needed = problems_needed(config, config.power)
    return {
        "margin": config.margin,
        "pass_rate": config.pass_rate,
        "discordance": config.discordance,
        "true_retention": config.true_retention,
        "alpha": config.alpha,
        "design_effect": config.design_effect,
        "power": config.power,
        "num_problems_needed": needed,
        "with": [
            {
                "num_problems": number,
                "power": power(number, config),
                "strictest_margin": strictest_margin(number, config, config.power),
            }
            for number in numbers
        ],
    }


def expected_from(comparison: Path, config: PowerConfig) -> PowerConfig:
    """`config` with pass rate, discordance and design effect as an earlier comparison found them.

    Raises ArtifactError if there is no comparison, ConfigError if its original solves nothing.
    """
    artifact = open_artifact(comparison, "comparison")
    check_digest(artifact)
    found = cast("dict[str, Any]", read_json(comparison / "comparison.json"))["overall"]
    disagreements = max(0.5, found["num_only_original"] + found["num_only_candidate"])
    if not found["original_pass_at_1"]:
        raise ConfigError(
            f"the original of {comparison} solves nothing, so there is nothing to keep"
        )
    return replace(
        config,
        pass_rate=found["original_pass_at_1"],
        discordance=disagreements / found["num_problems"],
        design_effect=found["design_effect"],
    )


def plan_text(found: dict[str, Json]) -> str:
    """The plan for a terminal."""
    margin, chance = cast("float", found["margin"]), cast("float", found["power"])
    needed = found["num_problems_needed"]
    claim = f'"keeps at least {100 * margin:g} %"'
    first = (
        f"Showing {claim} with a chance of {100 * chance:g} % needs about {needed:,} problems."
        if needed
        else f"No number of problems shows {claim}: the candidate is not expected to keep "
        "more than that."
    )
    pass_rate, discordance, true_retention, effect = (
        cast("float", found[name])
        for name in ("pass_rate", "discordance", "true_retention", "design_effect")
    )
    assumed = (
        f"Assumed: the original solves {100 * pass_rate:.1f} %, the models disagree on "
        f"{100 * discordance:.2g} %, the candidate truly keeps {100 * true_retention:g} %, design "
        f"effect {effect:.2f}."
    )
    lines = [
        first,
        assumed,
        "",
        "problems  chance to show it  strictest margin that is likely shown",
    ]
    for entry in cast("list[dict[str, Any]]", found["with"]):
        strictest = entry["strictest_margin"]
        told = f"{100 * strictest:.1f} %" if strictest is not None else "below 50 %"
        lines.append(f"{entry['num_problems']:>8,}  {100 * entry['power']:>14.0f} %  {told}")
    return "\n".join(lines) + "\n"
