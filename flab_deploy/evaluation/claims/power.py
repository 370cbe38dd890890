"""`flab power`: how many problems a claim needs, and what a number of problems can show, before a
model is run.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from flab_deploy.artifacts import check_digest, open_artifact
from flab_deploy.errors import ConfigError
from flab_deploy.evaluation.statistics import power, problems_needed, strictest_margin
from flab_deploy.records.compare import COMPARISON_FILE, ComparisonRecord
from flab_deploy.records.document import read_record
from flab_deploy.records.printed.power import PowerRecord, SuitePower
from flab_deploy.settings.compare import PowerConfig

_USUAL_NUMBERS = (164, 500, 1000, 2000, 3000)


def plan_claim(config: PowerConfig) -> PowerRecord:
    """Problems needed for the claim, and for some numbers of problems the chance and the strictest
    margin to show.
    """
    numbers = (config.num_problems,) if config.num_problems else _USUAL_NUMBERS
    return PowerRecord(
        schema_version=1,
        margin=config.margin,
        pass_rate=config.pass_rate,
        discordance=config.discordance,
        true_retention=config.true_retention,
        alpha=config.alpha,
        design_effect=config.design_effect,
        power=config.power,
        num_problems_needed=problems_needed(config, config.power),
        sizes=tuple(
            SuitePower(
                num_problems=number,
                power=power(number, config),
                strictest_margin=strictest_margin(number, config, config.power),
            )
            for number in numbers
        ),
    )


def expected_from(comparison: Path, config: PowerConfig) -> PowerConfig:
    """`config` with pass rate, discordance and design effect as an earlier comparison found them.

    Raises ArtifactError if there is no comparison that this version can read, ConfigError if its
    original solves nothing.
    """
    check_digest(open_artifact(comparison, "comparison"))
    found = read_record(ComparisonRecord, comparison / COMPARISON_FILE).overall
    disagreements = max(0.5, found.num_only_original + found.num_only_candidate)
    if not found.original_pass_at_1:
        raise ConfigError(
            f"the original of {comparison} solves nothing, so there is nothing to keep"
        )
    return replace(
        config,
        pass_rate=found.original_pass_at_1,
        discordance=disagreements / found.num_problems,
        design_effect=found.design_effect,
    )


def plan_text(found: PowerRecord) -> str:
    """The problems needed for a terminal, and what numbers of problems can show."""
    claim = f'"keeps at least {100 * found.margin:g} %"'
    needed = found.num_problems_needed
    first = (
        f"Showing {claim} with a chance of {100 * found.power:g} % needs about {needed:,} problems."
        if needed
        else f"No number of problems shows {claim}: the candidate is not expected to keep "
        "more than that."
    )
    assumed = (
        f"Assumed: the original solves {100 * found.pass_rate:.1f} %, the models disagree on "
        f"{100 * found.discordance:.2g} %, the candidate truly keeps "
        f"{100 * found.true_retention:g} %, design effect {found.design_effect:.2f}."
    )
    lines = [
        first,
        assumed,
        "",
        "problems  chance to show it  strictest margin that is likely shown",
    ]
    for size in found.sizes:
        margin = size.strictest_margin
        strictest = f"{100 * margin:.1f} %" if margin is not None else "below 50 %"
        lines.append(f"{size.num_problems:>8,}  {100 * size.power:>14.0f} %  {strictest}")
    return "\n".join(lines) + "\n"
