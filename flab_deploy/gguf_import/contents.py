"""What a GGUF file says of its model, apart from the weights' values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flab_deploy.errors import ArtifactError, ConfigError, first_line

if TYPE_CHECKING:
    from gguf import GGUFReader

_MAGIC = b"GGUF"
_ROLES = {"bos": "bos_token", "eos": "eos_token", "padding": "pad_token", "unknown": "unk_token"}
CONTROL, USER_DEFINED = 3, 4
"""Types of tokens: those that steer the model, and whole words that go before any merging."""
_DERIVED = ("rope_freqs.weight",)
"""Tensors that checkpoints compute instead of storing."""


@dataclass(frozen=True, kw_only=True)
class GgufContents:
    """A GGUF file's description of its model."""

    architecture: str
    num_tensors: int
    """Without those that a checkpoint computes itself."""
    num_elements: int
    """Of these tensors."""
    number_formats: tuple[str, ...]
    """GGML's names of how weights are stored, such as Q4_K."""
    licence: str
    """As the file names it; empty if it does not."""
    tokenizer_model: str
    """`gpt2` for byte-level BPE, `llama` for SentencePiece."""
    pre_tokenizer: str
    """llama.cpp's name of the rule that splits text before merging; empty if the file has none."""
    tokens: tuple[str, ...]
    """By id."""
    token_types: tuple[int, ...]
    """By id."""
    special_ids: dict[str, int]
    """By the role's name in Hugging Face's files."""
    adds_bos: bool
    """Whether a text is to begin with the BOS token."""
    adds_eos: bool
    """Whether a text is to end with the EOS token."""
    chat_template: str
    """Empty if the file has none."""


def read_gguf(file: Path) -> GgufContents:
    """What `file` says of itself.

    Raises ArtifactError for a file that is missing, no GGUF or cut short, ConfigError if the
    package `gguf` is not installed or the file lacks what a checkpoint needs.
    """
    reader = _open(file)
    tensors = [tensor for tensor in reader.tensors if tensor.name not in _DERIVED]
    end = max((int(tensor.data_offset + tensor.n_bytes) for tensor in tensors), default=0)
    if end > file.stat().st_size:
        raise _cut_short(file, f"{file.stat().st_size} bytes, its tensors end at {end}")
    said = _Fields(file, reader)
    model = said.text("tokenizer.ggml.model")
    return GgufContents(
        architecture=said.text("general.architecture"),
        num_tensors=len(tensors),
        num_elements=sum(int(tensor.n_elements) for tensor in tensors),
        number_formats=tuple(sorted({tensor.tensor_type.name for tensor in tensors})),
        licence=said.text("general.license", ""),
        tokenizer_model=model,
        pre_tokenizer=said.text("tokenizer.ggml.pre", ""),
        tokens=tuple(said.whole("tokenizer.ggml.tokens")),
        token_types=tuple(said.whole("tokenizer.ggml.token_type", [])),
        special_ids={
            role: int(found)
            for name, role in _ROLES.items()
            if (found := said.whole(f"tokenizer.ggml.{name}_token_id", None)) is not None
        },
        # llama.cpp's rule for files that do not say: SentencePiece begins with BOS, BPE does not.
        adds_bos=bool(said.whole("tokenizer.ggml.add_bos_token", model == "llama")),
        adds_eos=bool(said.whole("tokenizer.ggml.add_eos_token", False)),
        chat_template=said.text("tokenizer.chat_template", ""),
    )


def _open(file: Path) -> GGUFReader:
    try:
        from gguf import GGUFReader
    except ImportError:
        raise ConfigError(
            "reading GGUF files takes the package gguf; run pip install 'flab-deploy[gguf]'"
        ) from None
    try:
        with file.open("rb") as stream:
            magic = stream.read(4)
    except OSError as error:
        raise ArtifactError(f"cannot read {file}: {error.strerror}; name a GGUF file") from None
    if magic != _MAGIC:
        raise ArtifactError(f"{file} is no GGUF file (it begins with {magic!r}); name another")
    try:
        return GGUFReader(str(file))
    except Exception as error:  # the reader indexes past the end and raises whatever numpy does
        raise _cut_short(file, first_line(error)) from None


def _cut_short(file: Path, reason: str) -> ArtifactError:
    return ArtifactError(f"{file} is cut short or damaged ({reason}); get it again")


_MISSING = object()


@dataclass(frozen=True)
class _Fields:
    """The file's key-value pairs."""

    file: Path
    reader: GGUFReader

    def whole(self, key: str, default: Any = _MISSING) -> Any:
        found = self.reader.fields.get(key)
        if found is not None:
            return found.contents()
        if default is _MISSING:
            raise ConfigError(
                f"{self.file} has no {key}; give a GGUF file of a language model with its tokenizer"
            )
        return default

    def text(self, key: str, default: Any = _MISSING) -> str:
        return str(self.whole(key, default))
