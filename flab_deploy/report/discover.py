"""Finding the stages of a run directory: by the names that `flab run` gives, or else by what they
hold.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from flab_deploy.artifacts import MANIFEST, Artifact, open_artifact
from flab_deploy.errors import ArtifactError


def find_stages(path: Path, names: Collection[str]) -> dict[str, Artifact]:
    """Finished stages by name, in the order of `names`.

    A comparison with its two evaluations is also found under names of the user's own, as
    `flab evaluate` and `flab compare` leave them. Raises ArtifactError if there are several such
    comparisons.
    """
    found = {
        name: open_artifact(path / name) for name in names if (path / name / MANIFEST).is_file()
    }
    if not any(name.startswith("compare-") for name in found):
        found |= _by_kind(path, found.get("evaluate-recovered"))
    return {name: found[name] for name in names if name in found}


def _by_kind(path: Path, recovered: Artifact | None) -> dict[str, Artifact]:
    folders = sorted(folder for folder in path.iterdir() if (folder / MANIFEST).is_file())
    artifacts = [open_artifact(folder) for folder in folders]
    comparisons = [artifact for artifact in artifacts if artifact.kind == "comparison"]
    if not comparisons:
        return {}
    if len(comparisons) > 1:
        listed = ", ".join(artifact.path.name for artifact in comparisons)
        raise ArtifactError(
            f"{path} holds several comparisons ({listed}); name them compare-pruned and "
            "compare-recovered, or keep one in the directory"
        )
    parents = comparisons[0].manifest["parents"]
    digests = parents if isinstance(parents, dict) else {}
    evaluations = {
        artifact.digest: artifact for artifact in artifacts if artifact.kind == "evaluation"
    }
    slot = (
        "recovered"
        if recovered is not None and recovered.digest == digests.get("candidate")
        else "pruned"
    )
    roles = {"evaluate-original": "original", f"evaluate-{slot}": "candidate"}
    judged = {
        name: evaluations[str(digests.get(role))]
        for name, role in roles.items()
        if digests.get(role) in evaluations
    }
    return {f"compare-{slot}": comparisons[0], **judged}
