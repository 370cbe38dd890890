"""Shrinking a tokenizer, and proving that the result reads text as before.

`TokenSelection` decides which tokens stay, `shrink` writes the files, `prove` compares the two.
"""

from flab_deploy.tokenizer.files import SUPERSEDED, TOKENIZER_FILE, load_tokenizer
from flab_deploy.tokenizer.ids import remap_token_ids
from flab_deploy.tokenizer.proof import Proof, prove
from flab_deploy.tokenizer.required import required_ids, required_tokens
from flab_deploy.tokenizer.selection import (
    TokenSelection,
    choose_tokens,
    least_tokens,
    padded_rows,
    with_parts,
)
from flab_deploy.tokenizer.shrink import check_keep, shrink

__all__ = [
    "SUPERSEDED",
    "TOKENIZER_FILE",
    "Proof",
    "TokenSelection",
    "check_keep",
    "choose_tokens",
    "least_tokens",
    "load_tokenizer",
    "padded_rows",
    "prove",
    "remap_token_ids",
    "required_ids",
    "required_tokens",
    "shrink",
    "with_parts",
]
