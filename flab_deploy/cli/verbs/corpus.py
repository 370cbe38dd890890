"""The verb `flab corpus`: source trees in, instructions out. Needs no model and no torch."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from cyclopts import Parameter

from flab_deploy.cli.options import Flat, Json
from flab_deploy.cli.output import show_record, show_text
from flab_deploy.errors import ConfigError
from flab_deploy.mining.corpus_file import check_free, write_corpus
from flab_deploy.mining.installed import package_tree
from flab_deploy.mining.mine import MinedCorpus, mine
from flab_deploy.mining.trees import SourceTree, read_tree
from flab_deploy.records.printed.corpus import CorpusFigures, MinedTree
from flab_deploy.settings.corpus import CorpusConfig
from flab_deploy.wording.numbers import count

T = TypeVar("T")
_SHOWN = 5


def corpus(
    *directories: Path,
    out: Path,
    installed: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    config: Annotated[CorpusConfig, Flat] = CorpusConfig(),
    force: Annotated[bool, Parameter(negative="")] = False,
    as_json: Json = False,
) -> None:
    """Mine instructions from source trees: signature and docstring are the prompt, the body is the
    completion.

    What looks generated, vendored or secret is left out, and so are copies.

    Parameters
    ----------
    directories
        Source trees, or single files.
    out
        JSON-lines file to write; it appears whole or not at all.
    installed
        Installed packages by the names that they are imported by; may be given several times.
    force
        Write the file in place of one that is no mined corpus.
    """
    if not directories and not installed:
        raise ConfigError("no sources; give directories, or --installed with a package's name")
    check_free(out, force=force)
    started = time.monotonic()
    trees = [read_tree(folder, config.languages) for folder in directories]
    trees += [package_tree(name) for name in installed]
    mined = mine(trees, config)
    if not mined.records:
        raise ConfigError(f"no function to learn from in these sources{_why_none(mined)}")
    digest = write_corpus(out, mined.records)
    figures = _figures(mined, trees, out, digest, time.monotonic() - started)
    if as_json:
        show_record(figures)
    else:
        show_text(_as_text(figures))


def _figures(
    mined: MinedCorpus, trees: list[SourceTree], out: Path, digest: str, seconds: float
) -> CorpusFigures:
    return CorpusFigures(
        schema_version=1,
        path=str(out),
        digest=digest,
        num_records=len(mined.records),
        kinds=_ordered(mined.kinds),
        num_characters=sum(len(one.prompt) + len(one.completion) for one in mined.records),
        languages=_ordered(mined.languages),
        files_read=mined.languages.total(),
        files_left_out=_ordered(mined.files_left_out),
        functions_left_out=_ordered(mined.functions_left_out),
        seconds=round(seconds, 3),
        trees=tuple(
            MinedTree(
                path=str(tree.path),
                num_files=len(tree.files) + tree.num_vendored,
                licence_files=tree.licence_files,
                package_licences=tree.package_licences,
            )
            for tree in trees
        ),
    )


def _why_none(mined: MinedCorpus) -> str:
    if missing := mined.files_left_out["no_grammar"]:
        return (
            f": {_many(missing, 'file')} cannot be read without a grammar; install "
            "flab-deploy[languages]"
        )
    lost = _ordered(mined.functions_left_out)
    return f": {_left_out('function', lost)} left out" if lost else "; give others"


def _ordered(counts: Counter[T]) -> dict[T, int]:
    """The counts above 0, largest first."""
    return {name: number for name, number in counts.most_common() if number}


def _as_text(figures: CorpusFigures) -> str:
    kept = ", ".join(_many(number, kind) for kind, number in figures.kinds.items())
    lines = [
        f"corpus: {figures.path}",
        f"  digest {figures.digest[:16]}",
        f"  {_many(figures.num_records, 'record')}: {kept}",
        f"  {_many(figures.files_read, 'file')} read in {figures.seconds:.1f} s",
    ]
    for what, reasons in (
        ("file", figures.files_left_out),
        ("function", figures.functions_left_out),
    ):
        if reasons:
            lines.append(f"  left out: {_left_out(what, reasons)}")
    lines += [f"  licences in {tree.path}: {_licences(tree)}" for tree in figures.trees]
    return "\n".join(lines)


def _left_out(what: str, reasons: Mapping[Any, int]) -> str:
    total = _many(sum(reasons.values()), what)
    each = (f"{count(number)} {reason.replace('_', ' ')}" for reason, number in reasons.items())
    return f"{total} ({', '.join(each)})"


def _many(number: int, what: str) -> str:
    return f"{count(number)} {what}{'' if number == 1 else 's'}"


def _licences(tree: MinedTree) -> str:
    """The first files that state one, and the most frequent licences of packages."""
    declared = Counter(tree.package_licences.values()).most_common(_SHOWN)
    said = [f"{licence} ({number})" for licence, number in declared]
    shown = [*tree.licence_files[: _SHOWN if not said else 0], *said]
    more = max(0, len(tree.licence_files) - _SHOWN) if not said else 0
    rest = f" and {_many(more, 'more file')}" if more else ""
    return ", ".join(shown) + rest if shown else "no file states one"
