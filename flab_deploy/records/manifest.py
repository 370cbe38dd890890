"""What every finished artifact says of itself: `manifest.json`."""

from __future__ import annotations

from pydantic import JsonValue

from flab_deploy.records.document import record


@record
class ManifestRecord:
    """Where an artifact came from, and what was found while it was made."""

    kind: str
    digest: str
    """SHA-256 over its files, this one and the measurements aside."""
    key: str
    """SHA-256 over all that the result depends on; an artifact with the same key is kept."""
    parents: dict[str, str]
    """Digest of what it was made from, by role."""
    config: dict[str, JsonValue]
    """Settings of the stage."""
    versions: dict[str, str]
    """By package."""
    figures: dict[str, JsonValue]
    """What the stage shows when it ends."""
    measurements: tuple[str, ...]
    """Files that differ between two runs and so stay outside the digest."""
    seconds: float
