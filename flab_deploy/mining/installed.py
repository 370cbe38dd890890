"""Code that every machine has: the interpreter's own library and the installed packages."""

from __future__ import annotations

import hashlib
import logging
import platform
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import asdict, replace
from importlib.metadata import distribution, distributions, packages_distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from flab_deploy.artifacts import code_digest, json_digest
from flab_deploy.corpus import load_records
from flab_deploy.errors import ConfigError
from flab_deploy.home import flab_home
from flab_deploy.mining.corpus_file import write_corpus
from flab_deploy.mining.found import Mined
from flab_deploy.mining.mine import mine
from flab_deploy.mining.trees import SourceTree, licences_of, read_tree
from flab_deploy.settings.corpus import CorpusConfig, LanguageName

logger = logging.getLogger(__name__)
Split = Literal["train", "held_out"]
_PYTHON: tuple[LanguageName, ...] = ("python",)
INSTALLED = CorpusConfig(languages=_PYTHON, max_records=24_000)
"""How installed code is mined unless it is said otherwise: as much as `score` counts, and what is
held out.
"""
_HELD_OUT_OF_TEN = 1
_FOLDER = "corpora"
_PYTHON_LICENCE = "PSF-2.0"


def mine_installed(config: CorpusConfig = INSTALLED) -> list[Mined]:
    """Instructions from the standard library and the installed packages, in seeded order.

    They are mined once and kept under the program's home until another version of Python or of a
    package is installed.
    """
    kept = flab_home() / _FOLDER / f"{_key(config)}.jsonl"
    if not kept.is_file():
        logger.info("mining the standard library and the installed packages, once")
        write_corpus(kept, mine(installed_trees(), config).records)
    return load_records(kept, Mined)


def split_of(source: str) -> Split:
    """Which part a `file:line` belongs to; all of a file belongs to one, on every machine.

    A tenth of the files is held out.
    """
    file = source.rpartition(":")[0] or source
    drawn = hashlib.sha256(file.encode()).digest()
    return "held_out" if int.from_bytes(drawn[:8], "big") % 10 < _HELD_OUT_OF_TEN else "train"


def installed_trees() -> list[SourceTree]:
    """The standard library and the folders of installed packages, as far as they hold sources.

    Raises ConfigError if none does.
    """
    paths = sysconfig.get_paths()
    folders = dict.fromkeys(
        Path(paths[name]).resolve() for name in ("stdlib", "purelib", "platlib")
    )
    trees = list(_readable(folders))
    if not trees:
        raise ConfigError(
            f"Python {platform.python_version()} comes without sources here; give a corpus file"
        )
    return trees


def package_tree(name: str) -> SourceTree:
    """The sources of an importable package or module, named from the package on.

    Raises ConfigError if there is none or its sources are not here.
    """
    try:
        spec = find_spec(name) if name.isidentifier() else None
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise ConfigError(
            f"no installed package is called {name!r}; give the name that is imported, such as json"
        )
    places = (*(spec.submodule_search_locations or ()), spec.origin, _library_file(name))
    for path in map(Path, filter(None, places)):
        if path.is_dir() or path.suffix == ".py":
            return replace(read_tree(path, _PYTHON, path.parent), package_licences=_licences(name))
    raise ConfigError(f"package {name!r} comes without Python sources; give another one")


def _licences(name: str) -> dict[str, str]:
    if name in sys.stdlib_module_names:
        return {"Python": _PYTHON_LICENCE}
    return licences_of(map(distribution, packages_distributions().get(name, [])))


def _library_file(name: str) -> str | None:
    """Where a module lies that the interpreter has built in, if its source is here, too."""
    path = Path(sysconfig.get_paths()["stdlib"], f"{name}.py")
    return str(path) if path.is_file() else None


def _readable(folders: dict[Path, None]) -> Iterator[SourceTree]:
    for folder in folders:
        try:
            yield read_tree(folder, _PYTHON)
        except ConfigError as error:
            logger.info("left out: %s", error)


def _key(config: CorpusConfig) -> str:
    installed = sorted({(str(d.metadata["Name"]), d.version) for d in distributions()})
    return json_digest(
        {
            "python": sys.version,
            "installed": installed,
            "config": asdict(config),
            "code": code_digest("flab_deploy.mining.mine"),
        }
    )[:32]
