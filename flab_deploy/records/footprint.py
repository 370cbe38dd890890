"""What two checkpoints take: `footprint.json`."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Literal

from pydantic import BeforeValidator

from flab_deploy.records.document import record
from flab_deploy.settings.footprint import FootprintConfig

FOOTPRINT_FILE = "footprint.json"


@record
class ModelFootprint:
    """One checkpoint."""

    num_parameters: int
    """Computed: counted from the tensors' shapes."""
    bytes_on_disk: int
    """Measured: size of the weight files."""
    peak_memory_bytes: int
    """Measured: of a fresh process beyond its libraries; on a GPU, of what it takes there."""
    forward_flops_per_token: int
    """Computed from the shapes, at a context of `context_tokens`."""


@record
class BothFootprints:
    """The model as it came, and the smaller one."""

    original: ModelFootprint
    slimmed: ModelFootprint


def _all_settings(value: object) -> object:
    """Refuse settings that lack one, which has a default but was not measured with it."""
    names = {field.name for field in fields(FootprintConfig)}
    given = set(value) if isinstance(value, dict) else names
    if given != names:
        raise ValueError(f"has {sorted(given - names)} where {sorted(names - given)} is expected")
    return value


@record
class FootprintRecord:
    """Both checkpoints, measured alike."""

    schema_version: Literal[2]
    models: BothFootprints
    config: Annotated[FootprintConfig, BeforeValidator(_all_settings)]
