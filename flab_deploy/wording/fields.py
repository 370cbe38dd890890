"""Fields of records as a reader sees them: their names in words, and what they hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flab_deploy.wording.numbers import bytes_, count

DASH = "–"
"""In place of what is not there."""
_UNITS = {"s": "(s)", "ms": "(ms)", "bytes": "", "joules": "(J)"}


def field_lines(prefix: str, values: Sequence[object]) -> list[tuple[str, ...]]:
    """A line for every leaf below JSON values that stand side by side, named after its fields."""
    found = [dict(_leaves(value, "")) for value in values]
    names = dict.fromkeys(name for block in found for name in block)
    return [(prefix + words(name), *(block.get(name, DASH) for block in found)) for name in names]


def _leaves(value: object, name: str) -> Iterator[tuple[str, str]]:
    """(name, text) of every leaf below a value; nested names are joined by a dot."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{name}.{key}" if name else key)
    elif name:
        yield name, text(value, name)


def words(name: str) -> str:
    """A field's name in words: `num_greedy_equal` is `greedy equal (count)`."""
    parts = name.replace(".", ": ").split("_")
    if parts[0].startswith("num") and len(parts) > 1:
        parts = [*parts[1:], "(count)"]
    last = [_UNITS.get(parts[-1], parts[-1])] if len(parts) > 1 else parts[-1:]
    return " ".join([*parts[:-1], *last]).strip()


def text(value: object, name: str = "") -> str:
    """A JSON value as a reader sees it, in the form that its field's name asks for; a dash for
    nothing.
    """
    if value is None or value == [] or value == "":
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return "; ".join(text(item) for item in value)
    if isinstance(value, dict):
        return "; ".join(f"{words(key)} {text(item)}" for key, item in value.items())
    if isinstance(value, int | float):
        return _number(value, name)
    return str(value)[:12] if name.endswith("digest") else str(value)


def _number(value: float, name: str) -> str:
    if name.endswith("_bytes"):
        return bytes_(value)
    if "seed" in name or "rank" in name:
        return f"{value:g}"
    if float(value).is_integer() and abs(value) < 1e15:
        return count(value)
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"
