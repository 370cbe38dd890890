"""Command-line verbs of serving."""

from __future__ import annotations

import json
import sys
from typing import Annotated

from cyclopts import Parameter

from flab_deploy.cli.options import Flat, Force, Json, Out
from flab_deploy.cli.output import show, show_text
from flab_deploy.settings.bench import BenchConfig, ServeConfig
from serving.bench import bench as bench_stage
from serving.vllm_server import RunningServer
from serving.vllm_server import serve as serve_until_stopped


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
    show_text(f"serving {endpoint.model} with vLLM {endpoint.version} at {endpoint.url}/v1")
    show_text(f"api key: {endpoint.api_key}")
    sys.stdout.flush()


def bench(
    original: str,
    slimmed: str,
    /,
    *,
    out: Out,
    config: Annotated[BenchConfig, Flat] = BenchConfig(),
    pruned: Annotated[
        str | None, Parameter(help="The model before recovery: its greedy tokens are checked.")
    ] = None,
    force: Force = False,
    as_json: Json = False,
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
