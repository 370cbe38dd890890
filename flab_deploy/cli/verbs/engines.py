"""The verb `flab engines`: toolchains that cannot share the main environment."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal

from flab_deploy import engines as toolchains
from flab_deploy.cli.options import Json
from flab_deploy.cli.output import show_json, show_text
from flab_deploy.records.printed.outputs import EngineOutput


def engines(
    action: Literal["list", "install"] = "list",
    name: str | None = None,
    /,
    *,
    as_json: Json = False,
) -> None:
    """List the isolated toolchains, or install one (`vllm`, `optimum`) before a run needs it.

    Parameters
    ----------
    action
        `list` or `install`.
    name
        Engine to install; all of them if left out.
    """
    if action == "install":
        for wanted in [name] if name else sorted(toolchains.ENGINES):
            toolchains.install(wanted)
    found = [
        EngineOutput(
            name=engine.name,
            purpose=engine.purpose,
            state=engine.state,
            path=str(engine.path),
            bytes_on_disk=engine.bytes_on_disk,
        )
        for engine in toolchains.status()
    ]
    if as_json:
        show_json([asdict(engine) for engine in found])
        return
    for engine in found:
        show_text(f"{engine.name:<8} {engine.state:<10} {engine.purpose} ({engine.path})")
