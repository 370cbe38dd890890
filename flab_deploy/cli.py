"""The `flab` program: its verbs, its one error boundary and its exit codes.

0 ok, 1 a stage or gate failed, 2 usage or bad input, 3 inconclusive or invalid measurement, 130 interrupted.
Verbs live in modules that are imported only when they run, so that `flab --help` needs no torch.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from cyclopts import App
from cyclopts.config import Toml

from flab_deploy import __version__
from flab_deploy.artifacts import Artifact
from flab_deploy.errors import FlabError

_VERBS = {
    "run": ("flows.verbs:run", "Slim, prove, ship and measure a model: all stages, resumable."),
    "score": ("flab_deploy.verbs:score", "Measure the importance of every token, layer and FFN channel."),
    "plan": ("flab_deploy.verbs:plan", "Decide what to cut for a budget."),
    "prune": ("flab_deploy.verbs:prune", "Cut a checkpoint along a plan."),
    "recover": ("flab_deploy.verbs:recover", "Post-train a pruned checkpoint with the original as teacher."),
    "evaluate": ("flab_deploy.verbs:evaluate", "Solve programming tasks and judge the answers in a sandbox."),
    "compare": ("flab_deploy.verbs:compare", "Test what a candidate kept of the original, problem by problem."),
    "footprint": ("flab_deploy.verbs:footprint", "Measure size, memory and operations of two checkpoints."),
    "export": ("flab_deploy.verbs:export", "Write a vLLM directory and an ONNX model, with parity shown."),
    "serve": ("serving.verbs:serve", "Serve a model with vLLM over the OpenAI API on loopback."),
    "bench": ("serving.verbs:bench", "Load two models with the same requests and compare latency, throughput, energy."),
    "report": ("flab_deploy.verbs:report", "Write the HTML report and the figures of a run directory."),
    "deploy": ("flows.verbs:deploy", "Register the scheduled pipeline with a Prefect server."),
    "engines": ("flab_deploy.verbs:engines", "List or install the isolated toolchains (vLLM, ONNX export)."),
}

app = App(
    name="flab",
    help="Make a code language model smaller, prove what was kept, and put it into production.\n\n"
    "MODEL is a directory, a hub id such as org/name@revision, or `reference`. "
    "Options can also stand in flab.toml under the verb's name.",
    version=__version__,
    config=Toml("flab.toml", must_exist=False, search_parents=False),
)
for _name, (_target, _help) in _VERBS.items():
    app.command(_target, name=_name, help=_help)


def show(artifact: Artifact, *, as_json: bool) -> None:
    """Print a finished artifact on stdout: one JSON document, or a few readable lines."""
    document = {"kind": artifact.kind, "path": str(artifact.path), "digest": artifact.digest, "figures": artifact.figures}
    if as_json:
        show_json(document)
        return
    lines = [f"{artifact.kind}: {artifact.path}", f"  digest {artifact.digest[:16]}"]
    lines += [f"  {name} {_short(value)}" for name, value in artifact.figures.items()]
    sys.stdout.write("\n".join(lines) + "\n")


def show_json(document: object) -> None:
    """Print one JSON document on stdout."""
    sys.stdout.write(json.dumps(document, indent=2, default=str) + "\n")


def _short(value: object) -> str:
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 100 else text[:97] + "..."


def _start_logging() -> None:
    level = os.environ.get("FLAB_LOG", "INFO").upper()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    for name in ("flab_deploy", "serving", "flows"):
        logger = logging.getLogger(name)
        logger.setLevel(level if level in logging.getLevelNamesMapping() else "INFO")
        logger.handlers = [handler]
        logger.propagate = False


def _stop(message: str, code: int) -> NoReturn:
    sys.stderr.write(f"error: {message}\n")
    raise SystemExit(code)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one verb; expected failures end as one line on stderr and an exit code."""
    _start_logging()
    if not Path.cwd().exists():
        _stop("the current directory no longer exists; change to one that does", 2)
    try:
        app(list(sys.argv[1:] if arguments is None else arguments))
    except FlabError as error:
        _stop(str(error), error.exit_code)
    except KeyboardInterrupt:
        _stop("interrupted", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
