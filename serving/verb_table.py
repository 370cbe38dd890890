"""The verbs of serving, as the program lists them."""

from __future__ import annotations

from flab_deploy.cli.verb import Verb

VERBS = (
    Verb(
        name="serve",
        group="Ship",
        position=100,
        summary="Serve a model with vLLM over the OpenAI API on loopback until stopped.",
        example="timeout --preserve-status 300 flab serve reference --no-compiled",
        target="serving.verbs:serve",
    ),
    Verb(
        name="bench",
        group="Ship",
        position=110,
        summary="Send two models the same load on vLLM: latency, throughput, energy.",
        example="flab bench reference reference --out work/bench --num-requests 10 --rounds 1 "
        "--agreement-prompts 2",
        target="serving.verbs:bench",
        schemas=("bench",),
    ),
)
