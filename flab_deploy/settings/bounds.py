"""Bounds of settings: declared beside each field, checked here.

A setting is declared once, as a field `name: Annotated[type, Ge(1)] = default` with a docstring
below it that says what it means and its unit. From there it reaches the command line, `flab.toml`,
the form in Prefect's UI, the stored record and the report; nothing else has to be edited.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from types import UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    TypeAlias,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from annotated_types import Ge, Gt, Le, Lt

from flab_deploy.errors import ConfigError

_LARGEST_SHARE = 2  # a pass rate may also grow, so a share of one may exceed 1
Seed: TypeAlias = Annotated[int, Ge(0), Le(2**31 - 1)]
"""Start of random choices, as every random generator in use takes it."""


class Title(NamedTuple):
    """Beside a setting's type: its name in a form, where the field's own name says too little."""

    text: str


def check_bounds(settings: object) -> None:
    """Raise ConfigError unless every field of a settings dataclass is what its type allows.

    The message names the option, the value seen and what to give.
    """
    declared: Any = type(settings)
    for name, hint in hints_of(declared).items():
        check_value(name, getattr(settings, name), hint, getattr(declared, name, None))


def check_value(name: str, value: Any, hint: Any, default: Any = None, verb: str = "is") -> None:
    """Raise ConfigError unless the value of the setting `name` is what its declared type allows."""
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    kind = get_origin(bare)
    if kind in (Union, UnionType):
        if value is not None:
            (inner,) = (arm for arm in get_args(bare) if arm is not type(None))
            check_value(name, value, inner, default, verb)
    elif kind is tuple:
        for item in value:
            check_value(name, item, get_args(bare)[0], None, "has")
    elif kind is Literal:
        if value not in get_args(bare):
            allowed = ", ".join(map(str, get_args(bare)))
            raise ConfigError(f"{name} {verb} {value!r}; give one of {allowed}")
    elif bare in (int, float) and not _within(value, hint):
        raise ConfigError(f"{name} {verb} {value}; give {_allowed(bare, hint)}{_such_as(default)}")


@cache
def hints_of(settings: type) -> Mapping[str, Any]:
    """The declared type of every field of a settings dataclass, bounds included."""
    hints = get_type_hints(settings, include_extras=True)
    return {field.name: hints[field.name] for field in fields(settings)}


def bounds_of(hint: Any) -> tuple[float | None, float | None, bool, bool]:
    """Lower and upper bound of a declared type, and whether each belongs to the range."""
    extras = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    low = next((e for e in extras if isinstance(e, Ge | Gt)), None)
    high = next((e for e in extras if isinstance(e, Le | Lt)), None)
    least = low.ge if isinstance(low, Ge) else low.gt if isinstance(low, Gt) else None
    most = high.le if isinstance(high, Le) else high.lt if isinstance(high, Lt) else None
    return _number(least), _number(most), isinstance(low, Ge), isinstance(high, Le)


def _number(bound: Any) -> float | None:
    return bound if isinstance(bound, int | float) else None


def _within(value: float, hint: Any) -> bool:
    low, high, with_low, with_high = bounds_of(hint)
    return (
        math.isfinite(value)
        and (low is None or (value >= low if with_low else value > low))
        and (high is None or (value <= high if with_high else value < high))
    )


def _allowed(kind: type, hint: Any) -> str:
    low, high, with_low, with_high = bounds_of(hint)
    noun = "" if kind is int else "a number "
    if kind is float and low is not None and low >= 0 and high is not None:
        noun = "a share " if high <= _LARGEST_SHARE else noun
    if low is None and high is None:
        return "a finite number"
    if high is None:
        return f"{low} or more" if with_low else f"a number above {low}"
    if low is None:
        return f"{high} or less" if with_high else f"a number below {high}"
    if with_low and with_high:
        return f"{noun}from {low} to {high}" if noun else f"{low} to {high}"
    if not with_low and not with_high:
        return f"{noun}between {low} and {high}"
    return (
        f"{noun}from {low} to below {high}" if with_low else f"{noun}above {low} and up to {high}"
    )


def _such_as(default: Any) -> str:
    return f", such as {default}" if isinstance(default, int | float) else ""
