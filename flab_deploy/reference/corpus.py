"""The default corpus: instructions from training compositions, disjoint from validation and
test.
"""

from __future__ import annotations

from itertools import chain, islice, zip_longest
from pathlib import Path

from flab_deploy.corpus import Instruction, load_records
from flab_deploy.reference.tasks import stream_instructions

# Of function synthesis, output prediction and chain of thought: what the reference model last
# learnt from.
_SHARES = (45, 35, 20)


def load_instructions(corpus: str, count: int, seed: str) -> list[Instruction]:
    """`count` instructions: of the generated training split for `reference`, else the first of a
    JSON-lines file.

    Several names with commas between them are mixed: one example of each in turn, until `count` or
    all run out. Raises ArtifactError or ConfigError, naming file and line, if the file is missing
    or broken.
    """
    if "," in corpus:
        sources = [
            load_instructions(name.strip(), count, seed)
            for name in corpus.split(",")
            if name.strip()
        ]
        turns = chain.from_iterable(zip_longest(*sources))
        return [example for example in turns if example is not None][:count]
    if corpus == "reference":
        return list(islice(stream_instructions(seed, shares=_SHARES), count))
    return load_records(Path(corpus), Instruction)[:count]


def load_held_out(corpus: str, num_counted: int, count: int) -> list[Instruction]:
    """Up to `count` instructions that `load_instructions(corpus, num_counted, ...)` does not
    return.

    For `reference` other training tasks, else the next rows of the file: none if the count took all
    of them.
    """
    if corpus == "reference":
        return load_instructions(corpus, count, "held-out tokens")
    return load_records(Path(corpus), Instruction)[num_counted : num_counted + count]
