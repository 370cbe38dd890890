"""Versions with which Prefect 3.8 is broken although it installs and starts without a word."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from packaging.version import Version

_BROKEN_FROM = {
    "fastapi": (
        "0.151",
        "Prefect's server refuses what its own client sends, so deploying and listing fail",
    ),
    "sqlalchemy": ("2.1", "schedules never fire"),
}


def prefect_problems() -> list[str]:
    """One line for each installed package that breaks Prefect: which version, what breaks, what to
    install.
    """
    found = []
    for name, (limit, effect) in _BROKEN_FROM.items():
        try:
            installed = version(name)
        except PackageNotFoundError:
            found.append(f"{name} is not installed; install flab-deploy again")
            continue
        if Version(installed) >= Version(limit):
            found.append(f'{name} {installed}: {effect}; install "{name}<{limit}"')
    return found
