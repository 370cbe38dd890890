"""Opening a checkpoint in a fresh process, as any user of it will.

`ReopenInputs` and `ReopenAnswers` are what `fresh_process` is given and what it says.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flab_deploy import fresh_process
from flab_deploy.errors import ExportError
from flab_deploy.records.document import read_record, record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


@dataclass(frozen=True, kw_only=True)
class ReopenInputs:
    """What the process runs the model on."""

    texts: list[str]
    """Texts that the checkpoint's tokenizer is to encode."""
    text_ids: list[list[int]]
    """Token ids to compute logits for, such as those of the texts."""
    long_ids: list[list[int]]
    """More of them, of long texts."""

    @property
    def all_ids(self) -> list[list[int]]:
        """Ids of every input, the long ones last."""
        return [*self.text_ids, *self.long_ids]


@record
class ReopenAnswers:
    """What the process found."""

    token_ids: tuple[tuple[int, ...], ...]
    """Of each text, as the checkpoint's tokenizer encodes it."""
    overridden: tuple[str, ...]
    """Settings of `tokenizer.json` that the tokenizer's class replaced by its own."""
    logit_digests: tuple[str, ...]
    """SHA-256 of the logits of each input."""
    generated: tuple[tuple[int, ...], ...]
    """Ids generated after each input; empty unless asked for."""
    versions: dict[str, str]
    """By package."""


def reopen(
    python: Path, checkpoint: Path, inputs: ReopenInputs, *options: str
) -> tuple[ReopenAnswers, NDArray[np.float32]]:
    """Answers and last logits (N, V) of a checkpoint to `inputs`, from a process of `python`.

    `options` are those of `fresh_process`. Raises ExportError, with the process's last words, if it
    fails.
    """
    import numpy as np
    import torch

    with tempfile.TemporaryDirectory(prefix="flab-reopen-") as folder:
        scratch = Path(folder)
        (scratch / "inputs.json").write_text(json.dumps(asdict(inputs)), encoding="utf-8")
        command = [
            str(python),
            "-P",
            str(Path(fresh_process.__file__).resolve()),
            str(checkpoint.resolve()),
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
                f"{checkpoint.name} cannot be opened in a fresh process of {python} "
                f"({reason[:200]})"
            )
        answers = read_record(ReopenAnswers, scratch / "answers.json")
        return answers, np.load(scratch / "last_logits.npy")
