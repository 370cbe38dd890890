"""The `flab` program: its verbs, its one error boundary and its exit codes.

0 ok, 1 a stage or gate failed, 2 usage or bad input, 3 inconclusive or invalid measurement, 130
interrupted. Verbs live in modules that are imported only when they run, so that `flab --help` needs
no torch.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from cyclopts import App
from cyclopts.config import Toml

from flab_deploy import __version__
from flab_deploy.errors import FlabError

if TYPE_CHECKING:
    from flab_deploy.artifacts import Artifact

_SCORED = "flab score --out work/scores --num-calibration 16"
_PLANNED = f"{_SCORED} && flab plan --scores work/scores --out work/plan"
_FEW = (
    "--num-function-synthesis 40 --num-output-prediction 20 --num-chain-of-thought 20 "
    "--num-robustness 10"
)
_ROW = r"""{"task_id": "t", "prompt": "def f(n):\n", "completion": "    return n", """
_ROW += r""""entry_point": "f", """
_ROW += r""""test": "def check(candidate):\n    assert candidate(1) == 1"}"""
_EVALUATED = f"flab evaluate reference --out work/evaluation {_FEW}"


class Verb(NamedTuple):
    """One verb: where it lives, what it does, and a command that works when pasted."""

    target: str
    summary: str
    example: str


VERBS = {
    "run": Verb(
        "flows.verbs:run",
        "Slim, prove, ship and measure a model; finished stages are skipped.",
        "flab run reference --out work/run --size small --no-with-export --no-with-bench",
    ),
    "score": Verb(
        "flab_deploy.verbs:score",
        "Measure the importance of every token, layer and FFN channel.",
        _SCORED,
    ),
    "plan": Verb(
        "flab_deploy.verbs:plan",
        "Decide what to cut for a budget, in one reviewable file.",
        _PLANNED,
    ),
    "prune": Verb(
        "flab_deploy.verbs:prune",
        "Cut a checkpoint along a plan; the same plan gives the same bytes.",
        f"{_PLANNED} && flab prune --plan work/plan --out work/pruned",
    ),
    "recover": Verb(
        "flab_deploy.verbs:recover",
        "Post-train a pruned checkpoint, with the original as teacher.",
        "flab recover reference --original reference --out work/trained --num-examples 64",
    ),
    "evaluate": Verb(
        "flab_deploy.verbs:evaluate",
        "Solve programming tasks; answers run in a sandbox.",
        _EVALUATED,
    ),
    "judge": Verb(
        "flab_deploy.judging:judge",
        "Judge programs in HumanEval's format, apart from their tests.",
        f"printf '%s' '{_ROW}' > rows.jsonl && flab judge rows.jsonl --json",
    ),
    "compare": Verb(
        "flab_deploy.comparing:compare",
        "Test what a candidate kept of the original, problem by problem.",
        f"{_EVALUATED} && flab compare work/evaluation work/evaluation --out work/comparison",
    ),
    "power": Verb(
        "flab_deploy.comparing:power",
        "Say how many problems a claim needs, before a model is run.",
        "flab power --margin 0.97 --pass-rate 0.8 --discordance 0.05",
    ),
    "audit": Verb(
        "flab_deploy.verbs:audit",
        "Find what is broken or unchanged in a perturbed data set.",
        "flab audit --reference --perturbations format --num-tasks 5 --num-seeds 1",
    ),
    "footprint": Verb(
        "flab_deploy.verbs:footprint",
        "Measure size, peak memory and operations of two checkpoints.",
        "flab footprint reference reference --out work/footprint --repeats 1",
    ),
    "export": Verb(
        "flab_deploy.verbs:export",
        "Write a vLLM directory and an ONNX model, with parity shown.",
        "flab export reference --out work/export",
    ),
    "serve": Verb(
        "serving.verbs:serve",
        "Serve a model with vLLM over the OpenAI API on loopback until stopped.",
        "timeout --preserve-status 300 flab serve reference --no-compiled",
    ),
    "bench": Verb(
        "serving.verbs:bench",
        "Send two models the same load on vLLM: latency, throughput, energy.",
        "flab bench reference reference --out work/bench --num-requests 40",
    ),
    "report": Verb(
        "flab_deploy.verbs:report",
        "Write the HTML report and the figures of a run directory.",
        f"{_SCORED} && flab report work",
    ),
    "deploy": Verb(
        "flows.verbs:deploy",
        "Register the scheduled pipeline with a running Prefect server.",
        'flab deploy --cron "0 3 * * *" --timezone Europe/Berlin',
    ),
    "engines": Verb(
        "flab_deploy.verbs:engines",
        "List or install the isolated toolchains (vLLM, ONNX export).",
        "flab engines list",
    ),
}

app = App(
    name="flab",
    help="Make a code language model smaller, prove what was kept, and put it into production.\n\n"
    "MODEL is a directory, a hub id such as org/name@revision, or `reference`. "
    "Options can also stand in flab.toml under the verb's name.",
    help_format="plaintext",
    version=__version__,
    config=Toml("flab.toml", must_exist=False, search_parents=False),
    suppress_keyboard_interrupt=False,
)
for _name, _verb in VERBS.items():
    app.command(_verb.target, name=_name, help=f"{_verb.summary}\n\nExample: {_verb.example}")


def show(artifact: Artifact, *, as_json: bool) -> None:
    """Print a finished artifact on stdout: one JSON document, or a few readable lines."""
    document = {
        "kind": artifact.kind,
        "path": str(artifact.path),
        "digest": artifact.digest,
        "figures": artifact.figures,
    }
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
    text = (
        f"{value:,}"
        if isinstance(value, int) and not isinstance(value, bool)
        else f"{value:.6g}"
        if isinstance(value, float)
        else str(value)
    )
    return text if len(text) <= 100 else text[:97] + "..."


def _start_logging() -> None:
    level = os.environ.get("FLAB_LOG", "INFO").upper()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    handler.setLevel(level if level in logging.getLevelNamesMapping() else "INFO")
    for name in ("flab_deploy", "serving", "flows"):
        logger = logging.getLogger(name)
        logger.setLevel("INFO")
        logger.handlers = [handler]
        logger.propagate = False
    # One line per request would slow a load test down.
    logging.getLogger("httpx").setLevel(logging.WARNING)


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
        _stop("interrupted; what is finished is kept, the same command goes on from there", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
