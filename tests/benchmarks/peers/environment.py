"""An environment of its own for the peers: their packages first, the main environment's after
them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import site
import subprocess
import venv
from functools import cache
from pathlib import Path
from typing import Any

from flab_deploy.home import flab_home

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
ROOT = Path(__file__).parents[3]


@cache
def peers_python() -> Path:
    """The interpreter of the peers' environment under `$FLAB_HOME`, made by the first benchmark
    that needs it.
    """
    key = hashlib.sha256(
        REQUIREMENTS.read_bytes() + site.getsitepackages()[0].encode()
    ).hexdigest()[:12]
    folder = flab_home() / "benchmarks" / f"peers-{key}"
    python = folder / "bin" / "python"
    if not (folder / ".ready").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True, symlinks=True)
        (own,) = (folder / "lib").glob("python3*/site-packages")
        (own / "_main_environment.pth").write_text(
            "\n".join(site.getsitepackages()) + "\n", encoding="utf-8"
        )
        options = ["--no-deps", "--quiet", "--no-input", "--disable-pip-version-check"]
        subprocess.run([python, "-m", "pip", "install", *options, "-r", REQUIREMENTS], check=True)
        (folder / ".ready").touch()
    return python


def measured(job: str, *arguments: str | Path) -> dict[str, Any]:
    """What job `job` of `jobs.py` returns, run alone in a process of the peers' environment, and
    its peak memory.

    `peak_bytes` is the process's greatest resident size, imports and mapped files included.
    """
    command = [
        peers_python(),
        "-W",
        "ignore",
        "-m",
        "tests.benchmarks.peers.jobs",
        job,
        *map(str, arguments),
    ]
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{job} failed: {done.stderr.strip().splitlines()[-1:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result
