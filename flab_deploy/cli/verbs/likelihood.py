"""The verb `flab likelihood`: what a candidate lost in predicting code, without writing any."""

from __future__ import annotations

from typing import Annotated

from flab_deploy.cli.options import Flat, Force, Json, Out, RequireShown, end_unless_shown
from flab_deploy.cli.output import show, show_text
from flab_deploy.evaluation.likelihood.answer import likelihood_text
from flab_deploy.evaluation.likelihood.stage import likelihood as likelihood_stage
from flab_deploy.records.document import read_record
from flab_deploy.records.likelihood import LIKELIHOOD_FILE, LikelihoodRecord
from flab_deploy.settings.likelihood import LikelihoodConfig


def likelihood(
    original: str,
    candidate: str,
    /,
    *,
    out: Out,
    require_shown: RequireShown = False,
    config: Annotated[LikelihoodConfig, Flat] = LikelihoodConfig(),
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Read the same code with two models: bits per byte, top-1 agreement and KL divergence.

    Parameters
    ----------
    original
        Directory, hub id or `reference`.
    candidate
        The other model.
    """
    artifact = likelihood_stage(original, candidate, out, config, force=force)
    found = read_record(LikelihoodRecord, artifact.path / LIKELIHOOD_FILE)
    if as_json:
        show(artifact, as_json=True)
    else:
        show_text(f"likelihood: {artifact.path}\n\n{likelihood_text(found)}")
    end_unless_shown(found.verdict, require_shown)
