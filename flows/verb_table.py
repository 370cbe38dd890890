"""The verbs of the flows, as the program lists them."""

from __future__ import annotations

from flab_deploy.cli.verb import Verb

VERBS = (
    Verb(
        name="run",
        group="All in one",
        position=0,
        summary="Slim, prove, ship and measure a model; finished stages are skipped.",
        example="flab run reference --out work/run --size small --no-with-export --no-with-bench",
        target="flows.verbs:run",
        usage="run [OPTIONS] [MODEL]",
        schemas=("run",),
        sections=(
            "score",
            "plan",
            "recover",
            "evaluate",
            "compare",
            "likelihood",
            "footprint",
            "export",
            "bench",
        ),
    ),
    Verb(
        name="deploy",
        group="Operate",
        position=130,
        summary="Register the scheduled pipeline with a running Prefect server.",
        example='flab deploy --cron "0 3 * * *" --timezone Europe/Berlin',
        target="flows.verbs:deploy",
        schemas=("deploy",),
    ),
)
