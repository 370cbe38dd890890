"""Corpora by name: generated training tasks, code that is installed here, or files of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import chain, islice, zip_longest
from pathlib import Path

from flab_deploy.checkpoint import reference_path
from flab_deploy.corpora.forms import load_instruction_file
from flab_deploy.corpus import Instruction
from flab_deploy.mining import Mined, mine_installed, split_of
from flab_deploy.mining.installed import Split
from flab_deploy.reference.tasks import stream_instructions

AUTO, REFERENCE, INSTALLED = "auto", "reference", "installed"
# Of function synthesis, output prediction and chain of thought: what the reference model last
# learnt from.
_SHARES = (45, 35, 20)


def corpus_for(asked: str, original: Path) -> str:
    """The corpus that `auto` stands for: the generated tasks for the reference model, which was
    trained on such, and code that is installed here for every other; any other name as it is.
    """
    if asked != AUTO:
        return asked
    return REFERENCE if original == reference_path() else INSTALLED


def load_instructions(corpus: str, count: int, seed: str) -> list[Instruction]:
    """`count` instructions: of the generated training split for `reference`, of nine tenths of the
    files of the standard library and the installed packages for `installed`, else the first of a
    file.

    Several names with commas between them are mixed: one example of each in turn, until `count` or
    all run out. Raises ArtifactError or ConfigError, naming file and line, if the file is missing
    or broken.
    """
    return _mixed([list(islice(_training(name, seed), count)) for name in _names(corpus)])[:count]


def load_held_out(corpus: str, num_counted: int, count: int) -> list[Instruction]:
    """Up to `count` instructions that `load_instructions(corpus, num_counted, ...)` does not
    return.

    For `reference` other training tasks, for `installed` those of the remaining tenth of the files,
    else the next rows of the file: none if the count took all of them.
    """
    return _mixed([list(islice(_held_out(name, num_counted), count)) for name in _names(corpus)])[
        :count
    ]


def _names(corpus: str) -> list[str]:
    if "," not in corpus:
        return [corpus]
    return [name.strip() for name in corpus.split(",") if name.strip()] or [corpus]


def _mixed(sources: list[list[Instruction]]) -> list[Instruction]:
    turns = chain.from_iterable(zip_longest(*sources))
    return [example for example in turns if example is not None]


def _training(name: str, seed: str) -> Iterator[Instruction]:
    if name == REFERENCE:
        return stream_instructions(seed, shares=_SHARES)
    if name == INSTALLED:
        return _installed("train")
    return iter(load_instruction_file(Path(name)))


def _held_out(name: str, num_counted: int) -> Iterator[Instruction]:
    if name == REFERENCE:
        return stream_instructions("held-out tokens", shares=_SHARES)
    if name == INSTALLED:
        return _installed("held_out")
    return iter(load_instruction_file(Path(name))[num_counted:])


def _installed(split: Split) -> Iterator[Instruction]:
    for mined in _mined(split):
        yield Instruction(prompt=mined.prompt, completion=mined.completion)


@cache
def held_out_code() -> tuple[Mined, ...]:
    """The installed functions that `installed` keeps from training, with their files."""
    return tuple(_mined("held_out"))


def _mined(split: Split) -> Iterator[Mined]:
    return (mined for mined in mine_installed() if split_of(mined.source) == split)
