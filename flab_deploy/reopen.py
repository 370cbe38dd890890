"""Opening a checkpoint in a fresh process, as any user of it will."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, cast

from flab_deploy import fresh_process
from flab_deploy.artifacts import Json, read_json
from flab_deploy.errors import ExportError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def reopen(
    python: Path, checkpoint: Path, scratch: Path, *options: str
) -> tuple[dict[str, Json], NDArray[np.float32]]:
    """Answers and last logits (N, V) of a checkpoint to `inputs.json` in `scratch`, from a process
    of `python`.

    `options` are those of `fresh_process`. Raises ExportError, with the process's last words, if it
    fails.
    """
    import numpy as np
    import torch

    script = str(Path(fresh_process.__file__).resolve())
    command = [
        str(python),
        "-P",
        script,
        str(checkpoint),
        str(scratch / "inputs.json"),
        str(scratch),
        "--threads",
        str(torch.get_num_threads()),
        *options,
    ]
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONPATH"
    } | _OFFLINE
    result = subprocess.run(
        command, env=environment, cwd=scratch, capture_output=True, text=True, check=False
    )
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or ["no output"])[-1]
        raise ExportError(
            f"{checkpoint.name} cannot be opened in a fresh process of {python} ({reason[:200]})"
        )
    answers = cast("dict[str, Json]", read_json(scratch / "answers.json"))
    return answers, np.load(scratch / "last_logits.npy")
