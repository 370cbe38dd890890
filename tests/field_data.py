"""Files of the field's data sets. They are not in the repository: `FLAB_DATA` names a folder that
has them.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

HUMANEVAL_FILES = ("HumanEval.jsonl", "HumanEval.jsonl.gz")


def field_file(*names: str) -> Path:
    """The first of these files that the folder has; skips the test if there is none."""
    folder, wanted = os.environ.get("FLAB_DATA"), " or ".join(names)
    if not folder:
        pytest.skip(f"FLAB_DATA is not set: it names a folder with {wanted}")
    found = next((Path(folder) / name for name in names if (Path(folder) / name).is_file()), None)
    if found is None:
        pytest.skip(f"the folder that FLAB_DATA names has no {wanted}: {folder}")
    return found
