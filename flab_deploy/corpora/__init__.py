"""Instructions by the name of their corpus.

`named` knows the names: generated tasks, installed code, files of one's own; `forms` reads the
forms that such files have.
"""

from flab_deploy.corpora.named import (
    AUTO,
    INSTALLED,
    REFERENCE,
    corpus_for,
    held_out_code,
    load_held_out,
    load_instructions,
)

__all__ = [
    "AUTO",
    "INSTALLED",
    "REFERENCE",
    "corpus_for",
    "held_out_code",
    "load_held_out",
    "load_instructions",
]
