"""The library's verbs, in the order of the pipeline; a module per group of them.

Each module is imported only when one of its verbs runs, so that help needs no torch.
"""

from __future__ import annotations

from flab_deploy.cli.verb import Verb

_SCORED = "flab score --out work/scores --num-calibration 16"
_PLANNED = f"{_SCORED} && flab plan --scores work/scores --out work/plan"
_FEW = (
    "--num-function-synthesis 40 --num-output-prediction 20 --num-chain-of-thought 20 "
    "--num-robustness 10"
)
_EVALUATED = f"flab evaluate reference --out work/evaluation {_FEW}"
_PROGRAM = (
    r"""{"task_id": "t", "prompt": "def f(n):\n", "completion": "    return n", """
    r""""entry_point": "f", "test": "def check(candidate):\n    assert candidate(1) == 1"}"""
)
_THEIRS = '{"eval": {"Sum/0": [{"base_status": "pass"}], "Sum/1": [{"base_status": "fail"}]}}'

VERBS = (
    Verb(
        name="import",
        group="Slim",
        position=5,
        summary="Turn a GGUF file into a checkpoint, and say what its conversion had left out.",
        example="flab import model.gguf --out work/model",
        target="flab_deploy.cli.verbs.importing:import_model",
        schemas=("import",),
    ),
    Verb(
        name="corpus",
        group="Slim",
        position=7,
        summary="Mine instructions from source trees, to score and recover a model on.",
        example="flab corpus --installed json --installed email --out corpus.jsonl",
        target="flab_deploy.cli.verbs.corpus:corpus",
        schemas=("corpus",),
    ),
    Verb(
        name="score",
        group="Slim",
        position=10,
        summary="Measure the importance of every token, layer and FFN channel.",
        example=_SCORED,
        target="flab_deploy.cli.verbs.prune:score",
        schemas=("score",),
    ),
    Verb(
        name="plan",
        group="Slim",
        position=20,
        summary="Decide what to cut for a budget, in one reviewable file.",
        example=_PLANNED,
        target="flab_deploy.cli.verbs.prune:plan",
        schemas=("plan", "plan-preview", "plan-sweep"),
    ),
    Verb(
        name="prune",
        group="Slim",
        position=30,
        summary="Cut a checkpoint along a plan; the same plan gives the same bytes.",
        example=f"{_PLANNED} && flab prune --plan work/plan --out work/pruned",
        target="flab_deploy.cli.verbs.prune:prune",
        schemas=("prune",),
    ),
    Verb(
        name="recover",
        group="Slim",
        position=40,
        summary="Post-train a pruned checkpoint, with the original as teacher.",
        example="flab recover reference --original reference --out work/trained --num-examples 64",
        target="flab_deploy.cli.verbs.prune:recover",
        schemas=("recover",),
    ),
    Verb(
        name="evaluate",
        group="Prove",
        position=50,
        summary="Solve programming tasks; answers run in a sandbox.",
        example=_EVALUATED,
        target="flab_deploy.cli.verbs.evaluate:evaluate",
        schemas=("evaluate",),
    ),
    Verb(
        name="judge",
        group="Prove",
        position=55,
        summary="Judge programs in HumanEval's format, apart from their tests.",
        example=f"printf '%s' '{_PROGRAM}' > rows.jsonl && flab judge rows.jsonl --json",
        target="flab_deploy.cli.verbs.judge:judge",
        schemas=("judge",),
    ),
    Verb(
        name="compare",
        group="Prove",
        position=60,
        summary="Test what a candidate kept of the original, problem by problem.",
        example=f"{_EVALUATED} && flab compare work/evaluation work/evaluation "
        f"--out work/comparison && printf '%s' '{_THEIRS}' > eval_results.json && "
        "flab compare eval_results.json eval_results.json --out theirs",
        target="flab_deploy.cli.verbs.compare:compare",
        schemas=("compare",),
    ),
    Verb(
        name="likelihood",
        group="Prove",
        position=62,
        summary="Test how many more bits a candidate needs for the same code.",
        example="flab likelihood reference reference --out work/likelihood --num-problems 50",
        target="flab_deploy.cli.verbs.likelihood:likelihood",
        schemas=("likelihood",),
    ),
    Verb(
        name="power",
        group="Prove",
        position=65,
        summary="Say how many problems a claim needs, before a model is run.",
        example="flab power --margin 0.97 --pass-rate 0.8 --discordance 0.05",
        target="flab_deploy.cli.verbs.compare:power",
        schemas=("power",),
    ),
    Verb(
        name="audit",
        group="Prove",
        position=70,
        summary="Find what is broken or unchanged in a perturbed data set.",
        example="flab audit --reference --perturbations format --num-tasks 5 --num-seeds 1",
        target="flab_deploy.cli.verbs.audit:audit",
        schemas=("audit", "audit-methods"),
    ),
    Verb(
        name="footprint",
        group="Prove",
        position=80,
        summary="Measure size, peak memory and operations of two checkpoints.",
        example="flab footprint reference reference --out work/footprint --repeats 1",
        target="flab_deploy.cli.verbs.ship:footprint",
        schemas=("footprint",),
    ),
    Verb(
        name="export",
        group="Ship",
        position=90,
        summary="Write a vLLM directory and an ONNX model, with parity shown.",
        example="flab export reference --out work/export --num-prompts 10",
        target="flab_deploy.cli.verbs.ship:export",
        schemas=("export",),
    ),
    Verb(
        name="report",
        group="Ship",
        position=120,
        summary="Write the HTML report and the figures of a run directory.",
        example=f"{_SCORED} && flab report work",
        target="flab_deploy.cli.verbs.ship:report",
        schemas=("report",),
    ),
    Verb(
        name="engines",
        group="Operate",
        position=140,
        summary="List or install the isolated toolchains (vLLM, ONNX export).",
        example="flab engines list",
        target="flab_deploy.cli.verbs.engines:engines",
        schemas=("engines",),
    ),
    Verb(
        name="schema",
        group="Operate",
        position=150,
        summary="Print the JSON schema of what a verb prints or writes.",
        example="flab schema score",
        target="flab_deploy.cli.verbs.schema:schema",
    ),
)
