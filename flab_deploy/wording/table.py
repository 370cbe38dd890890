"""A table of texts as the page shows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Table:
    """A titled table of texts."""

    key: str
    """Stable name."""
    title: str
    """What it lists."""
    head: tuple[str, ...]
    """Column headings; the first column holds labels."""
    lines: tuple[tuple[str, ...], ...]
    """Cells as shown."""
    note: str = ""
    """One sentence of explanation, or `not run`."""
