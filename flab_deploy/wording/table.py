"""Tables of texts: with aligned columns for a terminal, and in Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(lines: Sequence[Sequence[str]], sides: str) -> list[str]:
    """The lines with columns of equal width, two spaces apart.

    `sides` says for each column whether its texts stand at the left (`<`) or the right (`>`); the
    last of them holds for all further columns. The last column is as long as its texts are.
    """
    columns = len(lines[0])
    sides += sides[-1] * (columns - len(sides))
    widths = [max(len(line[column]) for line in lines) for column in range(columns)]
    return [
        "  ".join(
            f"{text:{side}{width}}" for text, side, width in zip(line, sides, widths, strict=True)
        ).rstrip()
        for line in lines
    ]


def markdown(lines: Sequence[Sequence[str]], sides: str) -> str:
    """The lines as a table in GitHub's Markdown, the first of them its head, ending in a newline.

    `sides` is as for `aligned`; pipes in texts are escaped.
    """
    sides += sides[-1] * (len(lines[0]) - len(sides))
    rules = ["---:" if side == ">" else "---" for side in sides]
    escaped = [[text.replace("|", "\\|").replace("\n", " ") for text in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in [escaped[0], rules, *escaped[1:]])
