"""The stage as a whole on a small engine, and the records that it leaves; single figures of it."""

import json
import shutil
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from flab_deploy.artifacts import Artifact, json_digest
from flab_deploy.decoder import load_model, load_tokenizer
from flab_deploy.errors import ArtifactError, ConfigError
from flab_deploy.records.bench import (
    BENCH_FILE,
    LOAD_FILE,
    REQUESTS_FILE,
    BenchFigures,
    BenchRecord,
    LoadPlanRecord,
    Outcome,
    RequestLine,
)
from flab_deploy.records.document import parse_record, read_record, record_of
from flab_deploy.settings.bench import BenchConfig
from serving.agreement import agreement
from serving.bench import bench
from serving.measure import RoundOutcomes, round_figures
from serving.rounds import draw_rounds

CONFIG = BenchConfig(
    request_rate=100.0,
    num_requests=9,
    rounds=2,
    warmup_requests=2,
    burst_requests=3,
    min_output_tokens=2,
    max_output_tokens=4,
    agreement_prompts=2,
)
SENT = 9 + 2 * (2 + 3)


@pytest.fixture(scope="module")
def artifact(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A model measured against a copy of itself on the small engine."""
    folder = tmp_path_factory.mktemp("bench")
    other = shutil.copytree(tiny_checkpoint, folder / "other")
    script = folder / "engine"
    server = Path(__file__).with_name("engine.py")
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {server} "$@"\n')
    script.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLAB_ENGINE_VLLM", str(script))
        patch.setenv("FLAB_HOME", str(folder / "home"))
        return bench(tiny_checkpoint, other, folder / "out", CONFIG, pruned=other)


def test_the_stage_leaves_records_that_can_be_read(artifact):
    found = read_record(BenchRecord, artifact.path / BENCH_FILE)
    lines = [
        parse_record(RequestLine, line, REQUESTS_FILE)
        for line in (artifact.path / REQUESTS_FILE).read_text().splitlines()
    ]
    planned = read_record(LoadPlanRecord, artifact.path / LOAD_FILE).rounds

    assert [len(requests) for requests in planned] == [2 + 5 + 3, 2 + 4 + 3]
    assert found.plan.digest == json_digest([asdict(one) for part in planned for one in part])
    assert record_of(BenchFigures, artifact.manifest["figures"], "manifest.json") == BenchFigures(
        engine="vllm", plan=found.plan
    )
    assert artifact.manifest["measurements"] == [BENCH_FILE, REQUESTS_FILE]

    phases = ["warmup"] * 2 + ["counted"] * 5 + ["burst"] * 3
    phases += ["warmup"] * 2 + ["counted"] * 4 + ["burst"] * 3
    for role, model in (("original", found.models.original), ("slimmed", found.models.slimmed)):
        own = [line for line in lines if line.model == role]
        assert [line.phase for line in own] == phases and all(line.ok for line in own)
        assert [line.round for line in own] == [0] * 10 + [1] * 9
        counted = [line for line in own if line.phase == "counted"]
        assert (model.completed, model.failed) == (9, 0)
        assert model.total_output_tokens == sum(line.output_tokens for line in counted)
        assert (model.ttft.num_samples, model.tpot.num_samples) == (9, 9)
        assert model.ttft.p50.ms is None and "insufficient samples" in str(model.ttft.p50.reason)
        assert model.server_metrics.requests_sent == SENT
        assert model.server_metrics.request_success_total == SENT
        tokens = sum(line.output_tokens for line in own)
        assert model.server_metrics.generation_tokens_total == tokens
        assert len(model.rounds) == 2 and model.burst_output_throughput is not None
        assert (model.energy.status == "measured") == (model.energy.joules is not None)
    assert len(found.ratios.p50_ttft_ms) == 2
    assert set(found.agreement) == {"original", "slimmed", "pruned"}
    for agreed in found.agreement.values():
        assert (agreed.num_prompts, agreed.num_tokens, agreed.max_new_tokens) == (2, 96, 48)


def test_a_figure_that_is_renamed_is_refused_by_name(artifact):
    document = json.loads((artifact.path / BENCH_FILE).read_text())
    model = document["models"]["original"]
    model["burst_throughput"] = model.pop("burst_output_throughput")
    with pytest.raises(ArtifactError, match="burst_output_throughput"):
        record_of(BenchRecord, document, BENCH_FILE)


@pytest.mark.parametrize("rounds", [0, 10])
def test_rounds_that_the_requests_cannot_fill_are_refused(rounds):
    with pytest.raises(ConfigError, match=f"rounds is {rounds}; "):
        draw_rounds(["x"], replace(CONFIG, rounds=rounds))


def test_rounds_are_the_plan_cut_in_pieces():
    prompts = ["def f(", "def g("]
    whole = draw_rounds(prompts, replace(CONFIG, rounds=1, warmup_requests=4, burst_requests=0))
    parts = draw_rounds(prompts, replace(CONFIG, burst_requests=0))
    cut = [request for one in parts for request in one.all]
    assert [one.prompt for one in cut] == [one.prompt for one in whole[0].all]
    first_s = parts[0].all[-1].at_s
    again = [one.at_s for one in parts[0].all] + [one.at_s + first_s for one in parts[1].all]
    assert again == pytest.approx([one.at_s for one in whole[0].all], abs=2e-6)


def outcome(last_s: float, tokens: int = 3, error: str = "") -> Outcome:
    return Outcome(
        index=0,
        scheduled_s=0.0,
        sent_s=0.0,
        first_s=last_s / 2,
        last_s=last_s,
        prompt_tokens=1,
        output_tokens=tokens,
        error=error,
    )


def test_a_burst_with_a_failure_has_no_capacity():
    counted = (outcome(0.2),)
    whole = RoundOutcomes(warmup=(), counted=counted, burst=(outcome(0.5), outcome(1.5)))
    assert round_figures(whole).burst_output_throughput == pytest.approx(4.0)
    assert round_figures(whole).p50_e2el_ms == pytest.approx(200.0)
    failed = replace(whole, burst=(outcome(0.5), outcome(1.5, error="cut off")))
    assert round_figures(failed).burst_output_throughput is None
    assert round_figures(replace(whole, burst=())).burst_output_throughput is None


def test_agreement_counts_tokens_that_transformers_would_not_choose(tiny_checkpoint, endpoint):
    prompts = ["def f(", "import os"]
    tokenizer, model = load_tokenizer(tiny_checkpoint), load_model(tiny_checkpoint, "auto")
    greedy = {}
    for prompt in prompts:
        ids = tokenizer.encode(prompt)
        out = model.generate(
            torch.tensor([ids]), max_new_tokens=6, min_new_tokens=6, do_sample=False
        )
        greedy[prompt] = (ids, out[0, len(ids) :].tolist())
    with endpoint(tokens=greedy) as server:
        found = agreement(server.url, "m", {}, tiny_checkpoint, prompts, max_new_tokens=6)
    assert (found.num_prompts, found.num_equal, found.num_same_encoding) == (2, 2, 2)
    assert (found.num_tokens, found.num_tokens_equal, found.largest_gap) == (12, 12, 0.0)

    ids, tokens = greedy["import os"]
    greedy["import os"] = (ids, [*tokens[:-1], (tokens[-1] + 1) % 600])
    with endpoint(tokens=greedy) as server:
        found = agreement(server.url, "m", {}, tiny_checkpoint, prompts, max_new_tokens=6)
    assert (found.num_equal, found.num_tokens_equal) == (1, 11)
    assert found.largest_gap > 0
