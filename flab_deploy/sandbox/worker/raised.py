"""An error across the border between test and program: described as plain data, rebuilt as a
builtin class.
"""

from __future__ import annotations

import builtins
from typing import Any

_MAX_TEXT, _MAX_NAME, _MAX_CLASSES = 1000, 80, 12
_MARK = "_flab_of_program"


def text_of(error: BaseException) -> str:
    """The error's text, empty if it has none that can be made."""
    try:
        return str(error)[:_MAX_TEXT]
    except BaseException:
        return ""


def describe(error: BaseException) -> dict[str, object]:
    """Names of the error's classes from its own outwards, its text, its number if it is the
    system's.
    """
    names = [str(kind.__name__)[:_MAX_NAME] for kind in type(error).__mro__[:_MAX_CLASSES]]
    code = error.errno if isinstance(error, OSError) and type(error.errno) is int else 0
    return {"error": names, "text": text_of(error), "errno": code}


def rebuild(message: dict[str, Any]) -> BaseException | None:
    """A new error of the nearest builtin class, marked as the program's; None if the message
    describes no error.
    """
    names, text, code = message.get("error"), message.get("text"), message.get("errno", 0)
    if not isinstance(names, list) or not isinstance(text, str) or not isinstance(code, int):
        return None
    error = _first_that_can_be_made(names, text)
    if isinstance(error, OSError):
        error.errno = code
    setattr(error, _MARK, True)
    return error


def _first_that_can_be_made(names: list[Any], text: str) -> BaseException:
    for name in names:
        kind = getattr(builtins, name, None) if isinstance(name, str) else None
        if (
            isinstance(kind, type)
            and issubclass(kind, BaseException)
            and name != "BaseExceptionGroup"
        ):
            try:
                return kind(text)
            except Exception:
                continue
    return Exception(text)


def is_of_program(error: BaseException) -> bool:
    """Whether it came over the border, rather than out of the test."""
    return getattr(error, _MARK, False) is True
