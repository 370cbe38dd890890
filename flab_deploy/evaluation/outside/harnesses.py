"""The harnesses whose result files can be compared, and which of them a file is of."""

from __future__ import annotations

from pathlib import Path

from flab_deploy.errors import ConfigError
from flab_deploy.evaluation.outside.bigcode import BIGCODE
from flab_deploy.evaluation.outside.evalplus import EVALPLUS
from flab_deploy.evaluation.outside.lm_eval import LM_EVAL
from flab_deploy.evaluation.outside.outcomes import OutsideResults
from flab_deploy.evaluation.outside.result_document import read_document

HARNESSES = (LM_EVAL, EVALPLUS, BIGCODE)


def read_results(path: Path) -> OutsideResults:
    """What a result file says, in whichever known form it is.

    Raises ArtifactError if it cannot be read, ConfigError that names file and place if it is of no
    known form or does not hold a verdict on every problem.
    """
    document = read_document(path)
    for harness in HARNESSES:
        if harness.recognises(document):
            return harness.read(document)
    known = "; ".join(f"{harness.name} ({harness.files})" for harness in HARNESSES)
    raise ConfigError(f"{path} is no result file that is known; these are: {known}")
