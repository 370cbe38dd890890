"""Which files of a source tree are read, in an order that does not depend on the file system."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from itertools import chain, zip_longest
from pathlib import Path
from random import Random

from flab_deploy.errors import ConfigError
from flab_deploy.mining.languages import BY_SUFFIX, LANGUAGES
from flab_deploy.settings.corpus import LANGUAGE_NAMES, LanguageName

_VENDORED = frozenset(
    {"_vendor", "_vendored", "vendor", "vendored", "extern", "externals"}
    | {"third_party", "third-party", "thirdparty", "node_modules", "bower_components"}
    | {"site-packages", "dist-packages"}
)
_LICENCE_FILE = re.compile(r"(LICEN[CS]E|COPYING)", re.IGNORECASE)
_CACHES = frozenset({"__pycache__"})
_LICENCE_CLASSIFIER = "License :: "
_LONGEST_LICENCE = 80


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """A file that functions may be mined from."""

    path: Path
    name: str
    """Relative to its tree, with `/` between folders."""
    language: LanguageName

    @property
    def package(self) -> str:
        """The first folder of its name, or the file itself."""
        return self.name.partition("/")[0]


@dataclass(frozen=True, kw_only=True)
class SourceTree:
    """A folder of sources, or a single file."""

    path: Path
    files: tuple[SourceFile, ...]
    """In the order of their names."""
    num_vendored: int
    """Source files passed over as copies of somebody else's code."""
    licence_files: tuple[str, ...]
    package_licences: dict[str, str]
    """Licences that distributions installed in the tree declare, by the distribution's name."""


def read_tree(
    path: Path, languages: Sequence[LanguageName] = LANGUAGE_NAMES, base: Path | None = None
) -> SourceTree:
    """The sources below `path` in these languages, named relative to `base`, which is `path` itself
    unless given.

    Links and hidden folders are not followed. Raises ConfigError if there is nothing at `path`, or
    no source in any of the languages.
    """
    base = base or (path if path.is_dir() else path.parent)
    if not path.exists():
        raise ConfigError(f"no directory at {path}; give a source tree")
    files: list[SourceFile] = []
    licences: list[str] = []
    num_vendored = 0
    for file, vendored in _walk(path):
        language = BY_SUFFIX.get(file.suffix)
        wanted = language in languages
        if wanted and vendored:
            num_vendored += 1
        elif language is not None and wanted:
            files.append(SourceFile(path=file, name=_name(file, base), language=language))
        elif language is None and not vendored:
            licences.append(_name(file, base))
    if not files:
        known = " or ".join(LANGUAGES[name].title for name in languages)
        seen = f", {num_vendored} vendored ones aside" if num_vendored else ""
        raise ConfigError(f"{path} holds no {known} file{seen}; give a tree of such sources")
    return SourceTree(
        path=path,
        files=tuple(sorted(files, key=lambda file: file.name)),
        num_vendored=num_vendored,
        licence_files=tuple(sorted(licences)),
        package_licences=licences_of(distributions(path=[str(path)])) if path.is_dir() else {},
    )


def in_turns(files: Sequence[SourceFile], seed: int) -> list[SourceFile]:
    """The files in seeded order, one of every package in turn, so that a large package does not
    crowd out small ones.
    """
    packages: dict[str, list[SourceFile]] = defaultdict(list)
    for file in files:
        packages[file.package].append(file)
    rng = Random(seed)
    queues = list(packages.values())
    rng.shuffle(queues)
    for queue in queues:
        rng.shuffle(queue)
    turns = chain.from_iterable(zip_longest(*queues))
    return [file for file in turns if file is not None]


def _walk(path: Path) -> Iterator[tuple[Path, bool]]:
    """Sources and licences, each with whether it lies in a vendored part."""
    if path.is_file():
        yield path, False
        return
    inside: dict[str, bool] = {str(path): False}
    for folder, folders, names in os.walk(path):
        vendored = inside.pop(folder)
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _CACHES]
        for name in folders:
            below = os.path.join(folder, name)
            environment = os.path.exists(os.path.join(below, "pyvenv.cfg"))
            inside[below] = vendored or name.lower() in _VENDORED or environment
        for name in names:
            wanted = os.path.splitext(name)[1] in BY_SUFFIX or _LICENCE_FILE.match(name)
            file = Path(folder, name)
            if wanted and file.is_file() and not file.is_symlink():
                yield file, vendored


def _name(file: Path, base: Path) -> str:
    # A name that is not UTF-8 must still fit into a UTF-8 file.
    return os.fsencode(file.relative_to(base).as_posix()).decode("utf-8", "replace")


def licences_of(found: Iterable[Distribution]) -> dict[str, str]:
    """What installed distributions declare as their licence, by the distribution's name."""
    licences = {one.metadata["Name"]: _licence(one) for one in found if one.metadata["Name"]}
    return {name: licences[name] for name in sorted(licences)}


def _licence(distribution: Distribution) -> str:
    """What a distribution declares, on one short line; `not declared` if nothing."""
    about = distribution.metadata.json
    declared = str(about.get("license_expression") or about.get("license") or "")
    lines = declared.strip().splitlines()
    if lines and lines[0] != "UNKNOWN" and len(lines[0]) <= _LONGEST_LICENCE:
        return lines[0].strip()
    classifiers = [
        text.rpartition(" :: ")[2]
        for text in about.get("classifier", [])
        if text.startswith(_LICENCE_CLASSIFIER)
    ]
    return " and ".join(classifiers) or (lines[0][:_LONGEST_LICENCE] if lines else "not declared")
