"""The formats that a checkpoint is exported to.

To add one: a module beside this one that ends in its `ExportFormat`, a line in `FORMATS`, and its
parity as a field of `ExportRecord`. Its name is one of `settings.export.Format`, which is written
out there because the command line, settings files and Prefect offer the choices without loading
this package.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from flab_deploy.export.job import ExportFormat
from flab_deploy.export.onnx import ONNX
from flab_deploy.export.vllm import VLLM
from flab_deploy.settings.export import Format

FORMATS: Mapping[Format, ExportFormat] = {form.name: form for form in (VLLM, ONNX)}
"""By name, in the order in which they are written."""


def engines_needed(formats: Collection[Format]) -> tuple[str, ...]:
    """Names of the engines that exporting to `formats` takes."""
    engines = (FORMATS[name].engine for name in FORMATS if name in formats)
    return tuple(dict.fromkeys(engine for engine in engines if engine is not None))
