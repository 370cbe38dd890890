"""Changing some settings of a stage: what may be changed, and the stage's settings with it changed.

Where several stages are set up at once, their settings start from values that suit the size of the
run, and the user names only those to change. Which ones there are, what they mean and what they may
be is read from the stage's dataclass, so that a new setting needs no second declaration.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from functools import cache
from textwrap import dedent
from typing import Annotated, Any, TypeAlias, TypeVar

from typing_extensions import TypedDict

from flab_deploy.errors import ConfigError
from flab_deploy.settings.shared.bounds import hints_of

T = TypeVar("T")
Changes: TypeAlias = dict[str, Any]
"""Settings of one stage to change, by name."""


@cache
def docs_of(settings: type) -> Mapping[str, str]:
    """The docstring below every field of a settings dataclass, on one line."""
    found: dict[str, str] = {}
    for base in reversed(settings.__mro__[:-1]):
        tree = ast.parse(dedent(inspect.getsource(base))).body[0]
        assert isinstance(tree, ast.ClassDef)
        for field, text in zip(tree.body, tree.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
            ):
                found[field.target.id] = " ".join(str(text.value.value).split())
    return {field.name: found[field.name] for field in fields(settings)}


def changes_type(settings: type, about: Callable[[str], object]) -> Any:
    """A dictionary type with every setting of a stage, none of them required.

    `about` makes of a setting's docstring what the reader of the type takes as its description.
    """
    docs = docs_of(settings)
    keys = {name: Annotated[hint, about(docs[name])] for name, hint in hints_of(settings).items()}
    # The functional form is for names that are known only when the program runs.
    return TypedDict(settings.__name__, keys, total=False)  # type: ignore[operator]


def changed(settings: T, changes: Mapping[str, Any]) -> T:
    """The settings of a stage with some of them changed.

    Raises ConfigError for a setting that the stage does not have or a value that it refuses.
    """
    declared: Any = type(settings)
    known = hints_of(declared)
    for name in changes:
        if name not in known:
            raise ConfigError(f"no setting is called {name!r}; there are {', '.join(known)}")
    lists = {name: tuple(v) if isinstance(v, list) else v for name, v in changes.items()}
    return replace(settings, **lists)  # type: ignore[type-var]


def differences(settings: object, default: object) -> dict[str, Any]:
    """The settings that differ from those of `default`, another object of the same dataclass."""
    return {
        field.name: value
        for field in fields(settings)  # type: ignore[arg-type]
        if (value := getattr(settings, field.name)) != getattr(default, field.name)
    }


def plain(settings: object) -> dict[str, Any]:
    """Settings by name, as JSON has them: lists for tuples."""
    values = {field.name: getattr(settings, field.name) for field in fields(settings)}  # type: ignore[arg-type]
    return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}
