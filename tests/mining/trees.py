"""Source trees and what is mined from them."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from flab_deploy.mining.mine import MinedCorpus, mine
from flab_deploy.mining.trees import read_tree
from flab_deploy.settings.corpus import CorpusConfig

LONG = '''
def {name}(values):
    """Add up the squares of {values}."""
    total = 0
    for value in values:
        total += value * value
    return total
'''


def squares(name: str = "squares", values: str = "values") -> str:
    """A function that is mined by all default settings."""
    return LONG.format(name=name, values=values)


def tree(folder: Path, files: dict[str, str | bytes]) -> Path:
    """A folder with these files."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else dedent(content).encode())
    return folder


def mined(folder: Path, files: dict[str, str | bytes], **settings: object) -> MinedCorpus:
    """What is mined from a folder with these files."""
    config = CorpusConfig(**settings)  # type: ignore[arg-type]
    return mine([read_tree(tree(folder, files), config.languages)], config)


def parts(found: MinedCorpus) -> list[tuple[str, str]]:
    """Prompts and completions, in the order of their sources."""
    return [
        (record.prompt, record.completion)
        for record in sorted(found.records, key=lambda record: place(record.source))
    ]


def place(source: str) -> tuple[str, int]:
    """File and line of a source."""
    file, _, line = source.rpartition(":")
    return file, int(line)
