"""What the program knows of a verb before it imports it.

A package adds verbs by a tuple of these under the entry-point group `flab_deploy.verbs`. Only the
module of the verb that runs is imported, so that `flab --help` needs no torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Literal, TypeAlias, get_args

ENTRY_POINTS = "flab_deploy.verbs"
GroupName: TypeAlias = Literal["All in one", "Slim", "Prove", "Ship", "Operate"]
GROUPS: tuple[GroupName, ...] = get_args(GroupName)
"""Headings of the help, in its order."""


@dataclass(frozen=True, kw_only=True)
class Verb:
    """One verb of the program."""

    name: str
    """As it is typed."""
    group: GroupName
    """Heading that the help lists it under."""
    position: int
    """Place in the pipeline; the help lists verbs in this order."""
    summary: str
    """One line that says what it does."""
    example: str
    """A command that works when pasted into a shell."""
    target: str
    """`module:function`; the module is imported when the verb runs."""
    usage: str | None = None
    """How it is called; None to read that off its function, which takes a tenth of a second where
    there are hundreds of options.
    """
    schemas: tuple[str, ...] = ()
    """Names of the JSON schemas of what `--json` prints."""
    sections: tuple[str, ...] = ()
    """Other verbs whose sections of `flab.toml` hold settings for this one, too."""


def all_verbs() -> list[Verb]:
    """The verbs of every installed package, in the order of the pipeline."""
    return sorted(_registered(), key=lambda verb: verb.position)


def _registered() -> Iterator[Verb]:
    for entry in entry_points(group=ENTRY_POINTS):
        yield from entry.load()
