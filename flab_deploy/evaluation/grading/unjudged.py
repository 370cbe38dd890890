"""What could not be judged says nothing, so where it is more than a few there is no score."""

from __future__ import annotations

from collections.abc import Sequence

from flab_deploy.errors import SandboxError

MOST_INFRA_ERRORS = 0.001
"""Share of programs that may be left without a verdict."""


def check_judged(verdicts: Sequence[str], what: str, detail: str = "") -> None:
    """Raise SandboxError if more than MOST_INFRA_ERRORS of the verdicts are `infra_error`.

    `what` names the programs, `detail` says what became of one of them.
    """
    unjudged = sum(verdict == "infra_error" for verdict in verdicts)
    if unjudged > MOST_INFRA_ERRORS * len(verdicts):
        example = f" ({detail})" if detail else ""
        raise SandboxError(
            f"{unjudged} of {len(verdicts)} {what} could not be judged{example}, so there is no "
            "score; check the tests, and memory and load of this machine, and run again"
        )
