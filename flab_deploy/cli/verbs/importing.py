"""The verb for models that come in another form: import."""

from __future__ import annotations

from pathlib import Path

from flab_deploy.cli.options import Force, Json, Out
from flab_deploy.cli.output import show
from flab_deploy.gguf_import import import_gguf


def import_model(file: Path, /, *, out: Out, force: Force = False, as_json: Json = False) -> None:
    """Turn a GGUF file into a checkpoint directory, and say what its conversion had left out.

    Parameters
    ----------
    file
        The GGUF file; quantized weights are unpacked to bfloat16.
    """
    show(import_gguf(file, out, force=force), as_json=as_json)
