"""Command-line verbs of serving."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from flab_deploy.cli import show
from flab_deploy.settings.bench import BenchConfig
from serving.bench import bench as bench_stage
from serving.vllm_server import RunningServer, ServeConfig
from serving.vllm_server import serve as serve_until_stopped

Flat = Parameter(name="*")


def serve(
    model: str = "reference", /, *, config: Annotated[ServeConfig, Flat] = ServeConfig()
) -> None:
    """Serve a model with vLLM over the OpenAI API on loopback, with an API key, until SIGTERM or
    Ctrl-C.

    Parameters
    ----------
    model
        Directory, hub id or `reference`.
    """
    serve_until_stopped(model, config, ready=_announce)


def _announce(endpoint: RunningServer) -> None:
    sys.stdout.write(
        f"serving {endpoint.model} with vLLM {endpoint.version} at {endpoint.url}/v1\n"
    )
    sys.stdout.write(f"api key: {endpoint.api_key}\n")
    sys.stdout.flush()


def bench(
    original: str,
    slimmed: str,
    /,
    *,
    out: Annotated[Path, Parameter(help="Directory to write.")],
    config: Annotated[BenchConfig, Flat] = BenchConfig(),
    pruned: Annotated[
        str | None, Parameter(help="The model before recovery: its greedy tokens are checked.")
    ] = None,
    force: Annotated[bool, Parameter(negative="", help="Measure again.")] = False,
    as_json: Annotated[
        bool, Parameter(name="--json", negative="", help="Print one JSON document.")
    ] = False,
) -> None:
    """Load two models with the same requests on the real vLLM: latency, throughput, energy.

    Parameters
    ----------
    original
        Directory, hub id or `reference`.
    slimmed
        The model to compare with it.
    """
    artifact = bench_stage(original, slimmed, out, config, pruned=pruned, force=force)
    show(artifact, as_json=as_json)
    measured = json.loads((artifact.path / "bench.json").read_text(encoding="utf-8"))["models"]
    invalid = {
        name: model["validity"]
        for name, model in measured.items()
        if model["validity"]["verdict"] != "valid"
    }
    if invalid:
        sys.stderr.write(f"error: the load test is not valid: {json.dumps(invalid)}\n")
        raise SystemExit(3)
