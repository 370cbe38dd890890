"""The `import` stage: a GGUF file becomes a checkpoint directory."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flab_deploy.artifacts import Artifact, Draft, file_digest, run_stage
from flab_deploy.checkpoint import read_config, stored_tensors, weight_files
from flab_deploy.decoder import check_supported, load_model
from flab_deploy.errors import ArtifactError, UnsupportedModel, first_line
from flab_deploy.gguf_import.contents import GgufContents, read_gguf
from flab_deploy.gguf_import.mend import mend
from flab_deploy.records.document import as_json
from flab_deploy.records.printed.imported import ImportRecord

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_PROBE = 64
"""Tokens that converted and reopened model are compared on."""


def import_gguf(file: Path, out: Path, *, force: bool = False) -> Artifact:
    """The GGUF file as a checkpoint with bfloat16 weights; quantized ones are unpacked.

    What the file says of its tokenizer is compared with what came out, and mended; the reopened
    checkpoint's logits have to be those of the converted model, bit for bit.
    Raises ArtifactError for a file that is missing, cut short or loses a tensor, UnsupportedModel
    for an architecture outside SUPPORTED, ConfigError if the package `gguf` is not installed.
    """
    said = read_gguf(file)
    return run_stage(
        out,
        kind="checkpoint",
        module=__name__,
        parents={"gguf": file_digest(file)},
        config={},
        force=force,
        work=lambda draft: _convert(file, said, draft),
    )


def _convert(file: Path, said: GgufContents, draft: Draft) -> None:
    with _quiet():
        model, tokenizer, missing = _read(file, said)
        if missing:
            raise ArtifactError(f"{file} lacks {missing[0]}; get a whole file")
        model.save_pretrained(draft.path)
        tokenizer.save_pretrained(draft.path)
    check_supported(read_config(draft.path), file)
    _check_tensors(file, said, draft.path)
    found = mend(said, draft.path)
    _check_logits(model, draft.path)
    draft.figures |= as_json(
        ImportRecord(
            schema_version=1,
            architecture=said.architecture,
            licence=said.licence,
            num_tensors=said.num_tensors,
            num_parameters=said.num_elements,
            number_formats=said.number_formats,
            begins_with_bos=said.adds_bos,
            has_chat_template=bool(said.chat_template),
            mended=tuple(found.mended),
            warnings=tuple(found.warnings),
        )
    )


def _read(file: Path, said: GgufContents) -> tuple[PreTrainedModel, Any, list[str]]:
    """Model and tokenizer as transformers converts them, and the parameters that the file lacks."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    load: Any = AutoModelForCausalLM.from_pretrained
    try:
        model, report = load(
            file.parent,
            gguf_file=file.name,
            dtype=torch.bfloat16,
            quantization_config=GgufConfig(dequantize=True),
            output_loading_info=True,
        )
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    except (ValueError, KeyError, NotImplementedError, OSError) as error:
        raise UnsupportedModel(
            f"{file} holds a {said.architecture} model that transformers cannot convert: "
            f"{first_line(error)}"
        ) from None
    return model, tokenizer, sorted(report["missing_keys"])


def _check_tensors(file: Path, said: GgufContents, folder: Path) -> None:
    """Raise ArtifactError unless as many tensors and numbers came out as the file has."""
    stored = [tensor for weights in weight_files(folder) for tensor in stored_tensors(weights)]
    elements = sum(math.prod(tensor.shape) for tensor in stored)
    if (len(stored), elements) != (said.num_tensors, said.num_elements):
        raise ArtifactError(
            f"{file} has {said.num_tensors} tensors of {said.num_elements:,} numbers, but "
            f"{len(stored)} of {elements:,} came out; transformers does not convert this file whole"
        )


def _check_logits(model: PreTrainedModel, folder: Path) -> None:
    """Raise ArtifactError unless the checkpoint computes what the converted model does."""
    import torch

    ids = torch.arange(_PROBE).remainder(int(model.config.vocab_size))[None]
    reopened = load_model(folder, "auto")
    with torch.inference_mode():
        same = torch.equal(model.eval()(ids).logits, reopened(ids).logits)
    if not same:
        raise ArtifactError(
            f"the checkpoint of {folder.name} does not compute what was converted; this is a fault "
            "of the conversion, so it is not kept"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' progress bars, which go to a file as a line for each step, to
    terminals.
    """
    with nullcontext() if sys.stderr.isatty() else redirect_stderr(StringIO()):
        yield
