"""The formats that a checkpoint is exported to: each module here is one, its `FORMAT` says how.

To add one: its name to `settings.export.Format`, its parity as a field of that name to
`ExportRecord`, and a module of that name beside this text. The names are written out in the
settings because the command line, settings files and Prefect offer them without loading this
package.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib import import_module
from typing import get_args

from flab_deploy.export.job import ExportFormat
from flab_deploy.settings.export import Format


def _load(name: Format) -> ExportFormat:
    form: ExportFormat = import_module(f"{__name__}.{name}").FORMAT
    return form


FORMATS: Mapping[Format, ExportFormat] = {name: _load(name) for name in get_args(Format)}
"""By name, in the order in which they are written."""


def engines_needed(formats: Collection[Format]) -> tuple[str, ...]:
    """Names of the engines that exporting to `formats` takes."""
    engines = (FORMATS[name].engine for name in FORMATS if name in formats)
    return tuple(dict.fromkeys(engine for engine in engines if engine is not None))
