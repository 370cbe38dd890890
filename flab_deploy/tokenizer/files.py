"""The tokenizer files of a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from tokenizers import Tokenizer

from flab_deploy.artifacts import read_json
from flab_deploy.errors import ArtifactError

TOKENIZER_FILE = "tokenizer.json"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
SPECIAL_TOKENS_FILE = "special_tokens_map.json"
# Files that say the same as tokenizer.json with the old ids; transformers does not need them.
SUPERSEDED = frozenset(
    {
        "vocab.json",
        "merges.txt",
        "added_tokens.json",
        "tokenizer.model",
        "vocab.txt",
        "vocab.bpe",
        "encoder.json",
        "tekken.json",
    }
)


def load_tokenizer(path: Path) -> Tokenizer:
    """The fast tokenizer of a checkpoint. Raises ArtifactError if there is none or it does not
    load.
    """
    file = path / TOKENIZER_FILE
    if not file.is_file():
        raise ArtifactError(
            f"{path} has no {TOKENIZER_FILE}; save the model with its fast tokenizer first"
        )
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # noqa: BLE001 - the bindings raise plain Exception for every fault of the file
        raise ArtifactError(f"{file} does not load: {error}; save the tokenizer again") from None


def settings_of(path: Path, name: str) -> dict[str, Any]:
    """The JSON object in file `name` of a checkpoint, empty if there is no such file."""
    return cast("dict[str, Any]", read_json(path / name)) if (path / name).is_file() else {}
