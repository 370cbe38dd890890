"""Budgets are met, bounds and hand-made lists are kept, and what is predicted is what the cut
gives.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from flab_deploy.artifacts import Artifact, open_artifact
from flab_deploy.checkpoint import resolve
from flab_deploy.corpus import Instruction, load_records
from flab_deploy.decoder import load_model, model_shape, output_logits
from flab_deploy.errors import ArtifactError, ConfigError, FlabError, PlanError
from flab_deploy.importance import ScoreConfig, score
from flab_deploy.importance.calibration import kl_measure, states_of
from flab_deploy.pruning import PlanConfig, load_plan, plan, prune
from flab_deploy.pruning.baselines import BASELINES, plan_baseline
from flab_deploy.pruning.planning.plan import preview, read_preview
from flab_deploy.pruning.planning.planner import Planner
from flab_deploy.pruning.planning.sweep import sweep
from flab_deploy.pruning.table import sweep_table, table_of
from flab_deploy.records.document import as_json, read_record, record_of
from flab_deploy.records.plan import (
    LATENCY_FILE,
    PLAN_FILE,
    SWEEP_FILE,
    LatencyRecord,
    PlanRecord,
    SweepFigures,
    SweepPlan,
    SweepPoint,
    SweepRecord,
)
from flab_deploy.records.scores import SCORES_FILE
from flab_deploy.settings.plan import Metric
from tests.architectures import save_tiny
from tests.conftest import MakeCheckpoint
from tests.example_batches import example_batches

SCORE = ScoreConfig(corpus="reference", num_counted=40, num_calibration=8, held_out="")


@pytest.fixture(scope="module")
def source(make_checkpoint: MakeCheckpoint) -> Path:
    """A decoder whose key-value heads can be cut, too."""
    return make_checkpoint("qwen3")


@pytest.fixture(scope="module")
def scores(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scored") / "scores"
    score(source, out, SCORE)
    return out


def planned(source: Path, scores: Path, out: Path, config: PlanConfig) -> PlanRecord:
    plan(source, scores, out, config)
    return read_record(PlanRecord, out / PLAN_FILE)


@pytest.mark.parametrize("metric", ["parameters", "bytes", "flops", "kv_bytes"])
def test_a_budget_in_any_metric_is_met_and_the_figures_are_those_of_the_cut(
    source: Path, scores: Path, tmp_path: Path, metric: Metric
) -> None:
    config = PlanConfig(metric=metric, reduction=0.3, channel_multiple=8, context_tokens=64)
    document = planned(source, scores, tmp_path / "plan", config)
    budget = document.budget
    assert budget.after <= budget.limit == pytest.approx(0.7 * budget.before)
    pruned = prune(source, tmp_path / "plan", tmp_path / "pruned", reopen="never")
    shape = model_shape(pruned.path)
    assert asdict(shape) == asdict(document.after)
    assert document.figures.after.num_parameters == shape.num_parameters
    stored = (pruned.path / "model.safetensors").stat().st_size
    assert 0 <= stored - document.figures.after.weight_bytes < 20_000
    assert (
        sum(document.contribution.values()) == document.before.num_parameters - shape.num_parameters
    )


def test_an_absolute_budget_is_met(source: Path, scores: Path, tmp_path: Path) -> None:
    document = planned(
        source, scores, tmp_path / "plan", PlanConfig(metric="bytes", at_most=150_000)
    )
    assert document.figures.after.weight_bytes <= 150_000 < document.figures.before.weight_bytes


def calibration_kl(
    source: Path, scores: Path, pruned: Path, kept: tuple[int, ...]
) -> tuple[float, float]:
    """KL of a cut checkpoint by plain arithmetic, over the kept tokens, and the mass of the dropped
    ones.
    """
    examples = load_records(scores / "calibration.jsonl", Instruction)
    original, smaller = load_model(source, torch.float32), load_model(pruned, torch.float32)
    before = example_batches(source, examples, 4)
    after = example_batches(pruned, examples, 4)
    total, lost, count = 0.0, 0.0, 0
    with torch.no_grad():
        for one, other in zip(states_of(original, before), states_of(smaller, after), strict=True):
            p = output_logits(original, one).double().log_softmax(-1)[:, list(kept)]
            q = output_logits(smaller, other).double().log_softmax(-1)[:, : len(kept)]
            mass = p.logsumexp(-1, keepdim=True)
            total += float(((p - mass).exp() * (p - mass - q)).sum())
            lost -= float(mass.sum())
            count += len(p)
    return total / count, lost / count


def test_the_predicted_divergence_is_that_of_the_cut_checkpoint(
    source: Path, scores: Path, tmp_path: Path
) -> None:
    config = PlanConfig(
        reduction=0.3, min_tokens_kept=model_shape(source).vocab_size, channel_multiple=8
    )
    document = planned(source, scores, tmp_path / "plan", config)
    prune(source, tmp_path / "plan", tmp_path / "pruned", reopen="never")
    found, lost = calibration_kl(
        source, scores, tmp_path / "pruned", load_plan(tmp_path / "plan").keep_token_ids
    )
    assert document.predicted_kl_parts_nats.vocabulary == 0.0
    assert lost == pytest.approx(0.0, abs=1e-9)
    assert document.predicted_kl_nats == pytest.approx(
        found, rel=0.01, abs=5e-6
    )  # stored to five decimals


def test_compensation_is_in_the_plan_its_prediction_and_the_cut(
    source: Path, scores: Path, tmp_path: Path
) -> None:
    config = PlanConfig(
        reduction=0.3,
        min_tokens_kept=model_shape(source).vocab_size,
        channel_multiple=8,
        drop_layers=(1, 3),
        compensate=True,
    )
    document = planned(source, scores, tmp_path / "plan", config)
    first, *rest = document.write_factors
    assert document.keep_layers == (0, 2, 4) and first == 1.0
    assert 0 < rest[1] < rest[0] < 1  # random layers make the stream longer
    prune(source, tmp_path / "plan", tmp_path / "pruned", reopen="never")
    found, _ = calibration_kl(
        source, scores, tmp_path / "pruned", load_plan(tmp_path / "plan").keep_token_ids
    )
    assert document.predicted_kl_nats == pytest.approx(found, rel=0.01, abs=5e-6)
    gemma = resolve(save_tiny(tmp_path / "gemma", "gemma2", tied=True))
    with pytest.raises(ConfigError, match="compensate cannot scale gemma2: its layers normalise"):
        Planner(gemma, open_artifact(scores), config)


def test_dropped_tokens_cost_what_the_original_gives_to_them(
    source: Path, scores: Path, tmp_path: Path
) -> None:
    before = model_shape(source)
    floors = PlanConfig(
        at_most=before.num_parameters - 60 * before.parameters_per_token,
        max_layers_dropped=0,
        cut_heads=False,
        min_channels_kept=64,
    )
    document = planned(source, scores, tmp_path / "plan", floors)
    prune(source, tmp_path / "plan", tmp_path / "pruned", reopen="never")
    kept = load_plan(tmp_path / "plan").keep_token_ids
    found, lost = calibration_kl(source, scores, tmp_path / "pruned", kept)
    assert len(kept) < model_shape(source).vocab_size
    assert found == pytest.approx(0.0, abs=1e-5)
    assert document.predicted_kl_parts_nats.vocabulary == pytest.approx(lost, rel=0.2)


def test_layers_and_tokens_named_by_hand_are_kept(
    source: Path, scores: Path, tmp_path: Path
) -> None:
    wanted = tmp_path / "tokens.txt"
    wanted.write_text("690, 691\n692\n", encoding="utf-8")
    by_hand = PlanConfig(reduction=0.3, drop_layers=(1, 3), keep_tokens=str(wanted))
    document = planned(source, scores, tmp_path / "drop", by_hand)
    assert document.keep_layers == (0, 2, 4)
    assert {690, 691, 692} <= set(document.keep_token_ids)
    document = planned(
        source, scores, tmp_path / "keep", PlanConfig(reduction=0.3, keep_layers=(4, 0, 1))
    )
    assert document.keep_layers == (0, 1, 4)
    protected = PlanConfig(reduction=0.3, min_layers_dropped=2, protect_layers=(1, 2, 3))
    assert planned(source, scores, tmp_path / "protect", protected).keep_layers == (1, 2, 3)


def test_sizes_are_rounded_for_engines_and_never_up_beyond_the_source(
    source: Path, scores: Path, tmp_path: Path
) -> None:
    before = model_shape(source)
    for multiple, devices in ((64, 2), (1024, 1)):
        config = PlanConfig(reduction=0.2, vocab_multiple=multiple, tensor_parallel=devices)
        after = planned(source, scores, tmp_path / f"plan-{multiple}", config).after
        prune(
            source, tmp_path / f"plan-{multiple}", tmp_path / f"pruned-{multiple}", reopen="never"
        )
        assert asdict(model_shape(tmp_path / f"pruned-{multiple}")) == asdict(after)
        assert after.vocab_size % multiple == 0 or after.vocab_size == before.vocab_size
        assert after.vocab_size <= before.vocab_size
        assert after.intermediate_size % 32 == 0
        assert after.num_key_value_heads % devices == 0


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"reduction": 0.2, "at_most": 1e6}, "both set a budget"),
        ({"reduction": 1.2}, "give a share between 0 and 1"),
        ({"at_most": -1.0}, "at_most is -1.0; give a number above 0"),
        ({"keep_layers": (0,), "drop_layers": (1,)}, "give one of the two"),
        ({"drop_layers": (1,), "protect_layers": (1,)}, "both protected and dropped"),
        ({"keep_layers": (1, 2), "protect_layers": (0,)}, "not among keep_layers"),
        ({"drop_layers": (1, 1)}, "has 1 twice"),
        ({"protect_layers": (-1,)}, "protect_layers has -1; give 0 or more"),
        ({"paper": True, "reduction": 0.2}, "paper sets all sizes"),
        ({"latency_model": "x.json"}, "is for metric latency"),
        ({"min_layers_dropped": 3, "max_layers_dropped": 1}, "0 <= min <= max"),
        ({"tensor_parallel": 0}, "give 1 or more"),
        ({"metric": "joules"}, "give one of parameters"),
        ({"token_coverage": 0.0}, "above 0 and up to 1"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        PlanConfig(**config)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (PlanConfig(reduction=0.99), "no cut removes 99% of .* is the most; lower the reduction"),
        (
            PlanConfig(metric="kv_bytes", reduction=0.5, cut_heads=False, min_layers_kept=4),
            "20.0% is the most",
        ),
        (PlanConfig(at_most=10.0), "is the most; raise at_most"),
        (PlanConfig(at_most=1e12), "already, at most 1e.12 were asked for; lower at_most"),
        (
            PlanConfig(protect_layers=(0, 1, 2, 3, 4), min_layers_dropped=1),
            "must go; lower min_layers_dropped",
        ),
        (PlanConfig(drop_layers=(7,)), "the model has 5 layers"),
        (
            PlanConfig(drop_layers=(0, 1, 2), max_layers_dropped=2),
            "the layers named by hand leave 2",
        ),
        (PlanConfig(tensor_parallel=3), "cannot be shared by 3 devices"),
        (PlanConfig(min_channels_kept=40, min_channels_dropped=30), "no FFN width from 40 to 34"),
        (PlanConfig(min_tokens_kept=10_000), "10,000 tokens must stay"),
        (
            PlanConfig(paper=True),
            "it has .* tokens, it has 64 FFN channels; give a reduction instead",
        ),
        (PlanConfig(keep_tokens="/nowhere/tokens"), "cannot read keep_tokens"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    source: Path, scores: Path, tmp_path: Path, config: PlanConfig, message: str
) -> None:
    with pytest.raises(FlabError, match=message) as caught:
        plan(source, scores, tmp_path / "plan", config)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_most_that_a_refusal_names_is_possible(
    source: Path, scores: Path, tmp_path: Path
) -> None:
    floors = PlanConfig(reduction=0.9, min_layers_kept=3, min_channels_kept=32)
    with pytest.raises(PlanError) as caught:
        plan(source, scores, tmp_path / "plan", floors)
    most = float(str(caught.value).split("% is the most")[0].rsplit(" ", 1)[1]) / 100
    document = planned(source, scores, tmp_path / "plan", replace(floors, reduction=most - 0.001))
    assert document.after.num_hidden_layers == 3


def test_scores_of_another_model_are_refused(
    make_checkpoint: MakeCheckpoint, scores: Path, tmp_path: Path
) -> None:
    with pytest.raises(PlanError, match="scores another model"):
        plan(make_checkpoint("qwen3", tied=False), scores, tmp_path / "plan")


def test_scores_of_another_version_are_refused_by_name(
    source: Path, scores: Path, tmp_path: Path
) -> None:
    old = Path(shutil.copytree(scores, tmp_path / "scores"))
    document = json.loads((old / SCORES_FILE).read_text(encoding="utf-8"))
    del document["schema_version"]
    (old / SCORES_FILE).write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"scores\.json has no schema_version"):
        plan(source, old, tmp_path / "plan")
    (old / SCORES_FILE).write_text(
        json.dumps({"schema_version": 1} | document | {"layer_serach": {}}), encoding="utf-8"
    )
    with pytest.raises(ArtifactError, match=r"scores\.json: has a field 'layer_serach'"):
        plan(source, old, tmp_path / "plan")
    assert not (tmp_path / "plan").exists()


def test_a_dry_run_shows_the_very_plan_and_writes_nothing(
    source: Path, scores: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    shown = preview(source, scores, PlanConfig(reduction=0.3))
    assert list(Path.cwd().iterdir()) == []
    written = planned(source, scores, tmp_path / "plan", PlanConfig(reduction=0.3))
    assert as_json(shown.plan) == as_json(written)
    assert asdict(read_preview(tmp_path / "plan")).keys() == asdict(shown).keys()
    text = table_of(shown.plan, shown.cut)
    assert f"{shown.plan.figures.after.num_parameters:,}" in text
    assert "memory to serve" in text and "predicted divergence" in text


def in_short(plan: SweepPlan) -> SweepPoint:
    sizes = ("num_hidden_layers", "intermediate_size", "num_key_value_heads", "vocab_size")
    return SweepPoint(
        reduction=plan.reduction,
        num_parameters=plan.figures.after.num_parameters,
        predicted_kl_nats=plan.predicted_kl_nats,
        **{name: getattr(plan.after, name) for name in sizes},
    )


def test_a_sweep_holds_the_plan_of_each_budget_and_draws_it(
    source: Path, scores: Path, tmp_path: Path
) -> None:
    artifact = sweep(source, scores, tmp_path / "sweep", (0.4, 0.2))
    found = read_record(SweepRecord, artifact.path / SWEEP_FILE)
    plans = found.plans
    assert [one.reduction for one in plans] == [0.2, 0.4]
    alone = planned(source, scores, tmp_path / "plan", PlanConfig(reduction=0.4))
    assert plans[1].after == alone.after
    assert plans[1].predicted_kl_nats == alone.predicted_kl_nats
    root = ElementTree.parse(artifact.path / "sweep.svg").getroot()
    assert root.tag.endswith("svg")
    assert not [e for e in root.iter() if e.tag.endswith(("script", "image"))]
    links = [value for e in root.iter() for name, value in e.items() if name.endswith("href")]
    assert links and all(link.startswith("#") for link in links)
    texts = {e.text for e in root.iter() if e.tag.endswith("text")}
    assert {"chosen", "also measured", "parameters removed (%)"} <= texts
    points = SweepFigures(plans=tuple(map(in_short, plans)))
    assert record_of(SweepFigures, artifact.figures, "sweep") == points
    assert f"{plans[1].after.num_parameters:,}" in sweep_table(found)
    again = sweep(source, scores, tmp_path / "again", (0.4, 0.2))
    assert again.digest == artifact.digest
    with pytest.raises(PlanError, match="no cut removes 99%"):
        sweep(source, scores, tmp_path / "none", (0.2, 0.99))
    with pytest.raises(ConfigError, match="sweep sets the budgets"):
        sweep(source, scores, tmp_path / "none", (0.2,), PlanConfig(reduction=0.3))


@pytest.mark.slow
def test_the_plan_has_the_same_bytes_whatever_the_threads(
    source: Path, scores: Path, tmp_path: Path
) -> None:
    program = (
        "import sys; from pathlib import Path; from flab_deploy.pruning import PlanConfig, plan; "
        "plan(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), PlanConfig(reduction=0.45, "
        "channel_multiple=4))"
    )
    plan(source, scores, tmp_path / "here", PlanConfig(reduction=0.45, channel_multiple=4))
    threads = "1" if torch.get_num_threads() > 1 else "2"
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "PYTHONHASHSEED": "1"}
    command = [sys.executable, "-c", program, *map(str, (source, scores, tmp_path / "there"))]
    subprocess.run(command, check=True, env=environment, cwd=tmp_path, capture_output=True)
    here, there = (tmp_path / name / "plan.json" for name in ("here", "there"))
    assert here.read_bytes() == there.read_bytes()


def test_a_latency_plan_says_what_was_predicted_and_what_came_and_can_be_repeated(
    source: Path, scores: Path, tmp_path: Path
) -> None:
    config = PlanConfig(metric="latency", reduction=0.3, context_tokens=16)
    document = planned(source, scores, tmp_path / "plan", config)
    assert document.budget.after <= document.budget.limit
    found = read_record(LatencyRecord, tmp_path / "plan" / LATENCY_FILE)
    for times in (found.before, found.after):
        assert times.realised is not None
        assert times.predicted.decode_ms > 0 and times.realised.decode_ms > 0
    again = replace(config, latency_model=str(tmp_path / "plan" / LATENCY_FILE))
    assert planned(source, scores, tmp_path / "again", again) == document
    with pytest.raises(ConfigError, match="was measured at context 16"):
        plan(source, scores, tmp_path / "none", replace(again, context_tokens=32))
    other = replace(config, latency_model=str(tmp_path / "plan" / PLAN_FILE))
    with pytest.raises(ConfigError, match="plan.json has schema_version 2, .* latency plan"):
        plan(source, scores, tmp_path / "none", other)


def test_a_frequency_budget_lets_rare_tokens_go(source: Path, scores: Path, tmp_path: Path) -> None:
    every = planned(source, scores, tmp_path / "every", PlanConfig(reduction=0.3))
    frequent = planned(
        source, scores, tmp_path / "plan", PlanConfig(reduction=0.3, least_token_count=5)
    )
    assert frequent.num_tokens_needed < every.num_tokens_needed
    prune(source, tmp_path / "plan", tmp_path / "pruned", reopen="never")


@pytest.mark.parametrize("rule", BASELINES)
def test_a_baseline_meets_the_budget_and_can_be_applied(
    source: Path, scores: Path, tmp_path: Path, rule: str
) -> None:
    before = model_shape(source).num_parameters
    config = PlanConfig(reduction=0.3, channel_multiple=1)
    artifact: Artifact = plan_baseline(source, scores, tmp_path / "plan", rule, config)  # type: ignore[arg-type]
    prune(source, tmp_path / "plan", tmp_path / "pruned", reopen="never")
    after = model_shape(tmp_path / "pruned").num_parameters
    assert after == artifact.figures["num_parameters"]
    assert 0.6 * before < after <= 0.7 * before
    assert open_artifact(tmp_path / "plan").kind == "plan"
    assert resolve(source).digest == load_plan(tmp_path / "plan").source


def test_measuring_nothing_cut_costs_nothing(source: Path, scores: Path) -> None:
    model = load_model(source, torch.float32)
    examples = load_records(scores / "calibration.jsonl", Instruction)
    measure = kl_measure(model, example_batches(source, examples, 4))
    assert measure() == pytest.approx(0.0, abs=1e-9)
