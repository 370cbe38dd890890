"""Bounds of settings: declared beside each field, checked here.

A setting is declared once, as a field `name: Annotated[type, Ge(1)] = default` with a docstring
below it that says what it means and its unit. From there it reaches the command line, `flab.toml`,
the form in Prefect's UI, the stored record and the report; nothing else has to be edited.
"""

from __future__ import annotations

import math
import operator
import re
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

from annotated_types import Ge, Le

from flab_deploy.errors import ConfigError

_HOLDS = {"ge": operator.ge, "gt": operator.gt, "le": operator.le, "lt": operator.lt}
_WORDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
_LARGEST_SHARE = 2  # a pass rate may also grow, so a share of one may exceed 1
Seed: TypeAlias = Annotated[int, Ge(0), Le(2**31 - 1)]
"""Start of random choices, as every random generator in use takes it."""


class Title(NamedTuple):
    """Beside a setting's type: its name in a form, where the field's own name says too little."""

    text: str


class TextForm(NamedTuple):
    """Beside the type of a text: what it has to look like."""

    pattern: str
    """Regular expression of the whole text."""
    words: str
    """What to give, as an error says it."""


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
    elif bare is str:
        for form in (extra for extra in get_args(hint)[1:] if isinstance(extra, TextForm)):
            if not re.fullmatch(form.pattern, str(value)):
                raise ConfigError(f"{name} {verb} {value!r}; give {form.words}")
    elif bare in (int, float) and not _within(value, bounds := bounds_of(hint)):
        text = _allowed(bare, bounds) + _such_as(default)
        raise ConfigError(f"{name} {verb} {value}; give {text}")


@cache
def hints_of(settings: type) -> Mapping[str, Any]:
    """The declared type of every field of a settings dataclass, bounds included."""
    hints = get_type_hints(settings, include_extras=True)
    return {field.name: hints[field.name] for field in fields(settings)}


def bounds_of(hint: Any) -> dict[str, float]:
    """Bounds of a declared type, under the names `ge`, `gt`, `le` and `lt`."""
    extras = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return {
        name: getattr(extra, name) for extra in extras for name in _HOLDS if hasattr(extra, name)
    }


def _within(value: Any, bounds: Mapping[str, float]) -> bool:
    return (
        isinstance(value, int | float)
        and math.isfinite(value)
        and all(_HOLDS[name](value, bounds[name]) for name in bounds)
    )


def _allowed(kind: type, bounds: Mapping[str, float]) -> str:
    noun = "" if kind is int else "a share " if _is_share(bounds) else "a number "
    match sorted(bounds):
        case ["ge", "le"]:
            both = "from {ge} to {le}" if noun else "{ge} to {le}"
            return noun + both.format(**bounds)
        case ["gt", "lt"]:
            return noun + "between {gt} and {lt}".format(**bounds)
        case ["gt", "le"]:
            return noun + "above {gt} and up to {le}".format(**bounds)
        case ["ge"]:
            return "{ge} or more".format(**bounds)
        case ["gt"]:
            return "a number above {gt}".format(**bounds)
        case []:
            return "a finite number"
    return noun + " and ".join(f"{_WORDS[name]} {bound}" for name, bound in bounds.items())


def _is_share(bounds: Mapping[str, float]) -> bool:
    low = bounds.get("ge", bounds.get("gt", -math.inf))
    return low >= 0 and bounds.get("le", bounds.get("lt", math.inf)) <= _LARGEST_SHARE


def _such_as(default: Any) -> str:
    return f", such as {default}" if isinstance(default, int | float) else ""
