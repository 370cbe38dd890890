"""Ordinary text that the reference model reads beside its tasks: code and prose of other kinds.

It comes from what every installation has: the interpreter's own library and documentation
topics, the interpreter's C headers and the C++ headers of PyTorch.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from random import Random

_SKIPPED = {"__pycache__", "site-packages", "idle_test", "turtledemo"}
_LARGEST_FILE_BYTES = 400_000


def _files(root: Path, *suffixes: str) -> list[Path]:
    return sorted(
        path
        for path in root.rglob("*")
        if path.suffix in suffixes
        and path.is_file()
        and not _SKIPPED & set(path.relative_to(root).parts)
        and path.stat().st_size <= _LARGEST_FILE_BYTES
    )


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="ignore")


def _limited(texts: Iterator[str], limit_bytes: int) -> list[str]:
    taken: list[str] = []
    total = 0
    for text in texts:
        if total >= limit_bytes:
            break
        taken.append(text)
        total += len(text)
    return taken


def prose() -> list[str]:
    """English prose about Python: the interpreter's documentation topics, paragraph by paragraph
    joined in pages.
    """
    from pydoc_data.topics import topics  # type: ignore[import-untyped, unused-ignore]

    return [str(text) for _, text in sorted(topics.items())]


def python_code(limit_bytes: int = 12_000_000) -> list[str]:
    """Modules of the interpreter's own library, without its tests, in a fixed shuffled order."""
    root = Path(sysconfig.get_paths()["stdlib"])
    files = [
        path
        for path in _files(root, ".py")
        if not {"test", "tests"} & set(path.relative_to(root).parts)
    ]
    Random(0).shuffle(files)
    return _limited((_read(path) for path in files), limit_bytes)


def other_languages(limit_bytes: int = 12_000_000) -> list[str]:
    """C and C++ headers, and texts in east Asian languages where the interpreter ships them."""
    files = _files(Path(sysconfig.get_paths()["include"]), ".h")
    torch = find_spec("torch")
    if torch and torch.origin:
        files += _files(Path(torch.origin).parent / "include", ".h", ".hpp", ".cuh")
    files += _files(Path(sysconfig.get_paths()["stdlib"]) / "test" / "cjkencodings", ".txt")
    Random(0).shuffle(files)
    return _limited((_read(path) for path in files), limit_bytes)
