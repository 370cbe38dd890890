"""Options that many verbs have, each described once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

Out = Annotated[Path, Parameter(help="Directory to write; it appears whole or not at all.")]
Json = Annotated[
    bool,
    Parameter(
        name="--json", negative="", help="Print one JSON document instead of readable lines."
    ),
]
Force = Annotated[
    bool, Parameter(negative="", help="Make the output again, or in place of something else.")
]
DryRun = Annotated[
    bool,
    Parameter(negative="", help="Show what would be decided and what it takes; write nothing."),
]
Flat = Parameter(name="*")
"""Settings of a dataclass as options of their own."""
RequireShown = Annotated[
    bool,
    Parameter(
        negative="",
        help="End with code 1 if the claim is not shown, with 3 if that is underpowered.",
    ),
]


def end_unless_shown(verdict: str, required: RequireShown) -> None:
    """End the program as `RequireShown` says, if that is required."""
    if required and verdict != "shown":
        raise SystemExit(3 if verdict == "underpowered" else 1)
