"""Writes synthetic run directories, as the stages would: from records, so that no field can be
misspelt here.
"""

import json
import math
import random
from pathlib import Path

from flab_deploy.artifacts import MANIFEST, tree_digest, write_json
from flab_deploy.records.bench import (
    BENCH_FILE,
    AgreementRecord,
    BenchRecord,
    BothServed,
    CarbonRecord,
    ComponentEnergy,
    EnergyRecord,
    EngineRecord,
    LatencyFigures,
    LoadRecord,
    MachineRecord,
    Percentile,
    RoundFigures,
    RoundRatios,
    ScheduleDelay,
    ServedModel,
    ServerMetrics,
    ValidityRecord,
)
from flab_deploy.records.compare import (
    COMPARISON_FILE,
    BothHealth,
    ChangedProblem,
    ClaimFigures,
    ComparisonRecord,
    DropRecord,
    FamilyPair,
    MethodPair,
    NoiseRecord,
    OutsideSource,
    OutsideSources,
    RobustnessClaim,
    TaskClaim,
    WorstCaseClaim,
)
from flab_deploy.records.document import as_json, write_record
from flab_deploy.records.evaluate import (
    REPORT_FILE,
    EvaluatedModel,
    EvaluationRecord,
    HealthRecord,
    PerturbationFigures,
    PlanGain,
    RobustFigures,
    RobustnessRecord,
    SandboxRecord,
    SecurityRecord,
    SuiteRecord,
    TaskFigures,
    ThoughtRecord,
    WaysOfThought,
)
from flab_deploy.records.export import PARITY_FILE, ExportRecord, OnnxParity, VllmParity
from flab_deploy.records.footprint import (
    FOOTPRINT_FILE,
    BothFootprints,
    FootprintRecord,
    ModelFootprint,
)
from flab_deploy.records.likelihood import (
    LIKELIHOOD_FILE,
    BitsFigures,
    LikelihoodRecord,
    TokenAgreement,
)
from flab_deploy.records.plan import (
    PLAN_FILE,
    Budget,
    CandidateRecord,
    CostRecord,
    CostsRecord,
    CurveRecord,
    CurvesRecord,
    PlanCorpus,
    PlanRecord,
    PredictedParts,
    ShapeRecord,
)
from flab_deploy.records.prune import (
    PredictedRecord,
    PruneRecord,
    ReadingRecord,
    RealisedRecord,
    ReopenedRecord,
    TokenizerRecord,
)
from flab_deploy.records.recover import RecoverRecord
from flab_deploy.records.run import RUN_FILE, ManifestRecord, RunMachine, RunRecord
from flab_deploy.records.scores import (
    SCORES_FILE,
    CalibrationRecord,
    ChannelScores,
    DropPath,
    LayerScore,
    LayerSearchRecord,
    ScoresRecord,
    TokenCounts,
)
from flab_deploy.settings.footprint import FootprintConfig

NUM_LAYERS, VOCAB, CHANNELS = 14, 9216, 448
KINDS = {
    "function_synthesis": (1200, 0.842),
    "output_prediction": (600, 0.713),
    "chain_of_thought": (600, 0.781),
}
PERTURBATIONS = {
    "rename_arguments": ("names", 0.81),
    "camel_case_function": ("names", 0.83),
    "reorder_examples": ("docstring", 0.835),
    "back_translation": ("docstring", 0.76),
    "extra_blank_lines": ("format", 0.838),
    "tabs_for_spaces": ("format", 0.62),
    "dead_code": ("syntax", 0.79),
}


def finished(
    folder: Path,
    kind: str,
    documents: dict[str, object],
    *,
    figures: object | None = None,
    parents: dict | None = None,
    measurements: tuple[str, ...] = (),
) -> str:
    """Write an artifact as a stage would, with a fixed time; returns its digest."""
    folder.mkdir(parents=True)
    for name, value in documents.items():
        write_record(folder / name, value)
    digest = tree_digest(folder, exclude=frozenset({MANIFEST, *measurements}))
    manifest = ManifestRecord(
        kind=kind,
        digest=digest,
        key="k" * 64,
        parents=parents or {},
        config={"seed": 0},
        versions={"flab-deploy": "0.1.0", "torch": "2.13.0"},
        figures=as_json(figures) if figures else {},
        measurements=measurements,
        seconds=12.345,
    )
    write_record(folder / MANIFEST, manifest)
    return digest


def shape(vocab: int, layers: int, channels: int, parameters: int) -> ShapeRecord:
    return ShapeRecord(
        model_type="qwen2",
        vocab_size=vocab,
        num_hidden_layers=layers,
        hidden_size=192,
        intermediate_size=channels,
        num_attention_heads=3,
        num_key_value_heads=1,
        head_dim=64,
        tie_word_embeddings=True,
        num_parameters=parameters,
        parameters_per_channel=576,
        parameters_per_key_value_head=98_688,
        parameters_per_token=192,
        num_experts=0,
        num_experts_per_tok=0,
        num_expert_layers=0,
        parameters_per_expert=0,
        shared_expert_parameters=0,
    )


def scores() -> ScoresRecord:
    rng = random.Random(0)
    quantiles = tuple(
        tuple(round(0.01 * (1 + layer / 5) * 200 ** (q / 10), 6) for q in range(11))
        for layer in range(NUM_LAYERS)
    )
    layers = tuple(
        LayerScore(layer=i, kl_nats=round(2.5 * math.exp(-i / 3) + 0.03 + 0.1 * rng.random(), 5))
        for i in range(NUM_LAYERS)
    )
    path = DropPath(order=(11, 9), scores=(0.05, 0.11), kl_nats=(0.05, 0.11))
    return ScoresRecord(
        schema_version=1,
        num_tokens=412_330,
        token_counts=TokenCounts(
            num_seen=5200,
            sorted_counts=tuple(max(1, round(52_000 / (r + 1) ** 1.25)) for r in range(5200)),
        ),
        layers=layers,
        layer_search=LayerSearchRecord(
            metric="kl",
            method="greedy",
            first_scores=tuple(layer.kl_nats for layer in layers),
            order=path.order,
            scores=path.scores,
            kl_nats=path.kl_nats,
            by_depth=(path,),
        ),
        unit_metric="activation_squared",
        calibration=CalibrationRecord(
            num_examples=256,
            num_tokens=40_960,
            num_contaminated=0,
            self_generated=False,
            digest="c" * 64,
        ),
        channels=ChannelScores(
            num_channels=CHANNELS,
            mean_score_by_layer=tuple(q[5] for q in quantiles),
            quantiles=tuple(q / 10 for q in range(11)),
            quantiles_by_layer=quantiles,
        ),
    )


def cost(parameters: int) -> CostRecord:
    return CostRecord(
        num_parameters=parameters,
        weight_bytes=2 * parameters,
        kv_bytes_per_token=7168,
        forward_flops_per_token=2 * parameters,
        serving_memory_bytes=3 * parameters,
    )


def plan() -> PlanRecord:
    keep = tuple(i for i in range(NUM_LAYERS) if i not in (9, 11))
    candidates = tuple(
        CandidateRecord(
            num_layers=n,
            intermediate_size=width,
            vocab_size=5312,
            num_key_value_heads=1,
            num_experts=0,
            num_parameters=5_263_104,
            kl_nats=kl,
        )
        for n, width, kl in ((13, 336, 0.514), (12, 400, 0.231), (11, 432, 0.388), (10, 440, 0.902))
    )
    line = CurveRecord(sizes=(448, 400), kl_nats=(0.0, 0.08))
    return PlanRecord(
        schema_version=2,
        source="a" * 64,
        corpus=PlanCorpus(name="reference", num_counted=20_000, every_text_identical=True),
        vocab_multiple=8,
        write_factors=(1.0,) * len(keep),
        budget=Budget(
            metric="parameters", reduction=0.22, before=6_782_016, limit=5_289_972, after=5_263_104
        ),
        before=shape(VOCAB, NUM_LAYERS, CHANNELS, 6_782_016),
        after=shape(5312, 12, 400, 5_263_104),
        figures=CostsRecord(before=cost(6_782_016), after=cost(5_263_104)),
        predicted_kl_nats=0.231,
        predicted_kl_parts_nats=PredictedParts(structure=0.2, vocabulary=0.031),
        contribution={"vocabulary": 749_568, "layers": 437_592, "ffn": 331_752},
        num_tokens_needed=5303,
        unseen_token_share=0.0004,
        candidates=candidates,
        curves=CurvesRecord(width=line, key_value_heads=line, experts=line, vocabulary=line),
        keep_layers=keep,
        keep_channels=tuple(tuple(range(400)) for _ in keep),
        keep_key_value_heads=tuple((0,) for _ in keep),
        keep_experts=(),
        keep_token_ids=tuple(range(5312)),
    )


def pruned() -> PruneRecord:
    proof = {
        "num_documents": 20_000,
        "num_covered": 20_000,
        "num_identical": 20_000,
        "num_lossless": 20_000,
        "num_characters": 2_600_000,
        "num_tokens_before": 780_000,
        "num_tokens_after": 780_000,
    }
    return PruneRecord(
        schema_version=1,
        num_parameters=5_263_104,
        vocab_size=5312,
        num_hidden_layers=12,
        intermediate_size=400,
        num_attention_heads=3,
        num_key_value_heads=1,
        num_experts=0,
        warnings=("intermediate_size 400 is no multiple of 64 any more",),
        tokenizer=TokenizerRecord(
            **proof,
            num_byte_strings=2048,
            num_byte_strings_lossless=2048,
            num_scalars=144_762,
            num_scalars_lossless=144_762,
            held_out=ReadingRecord(**proof),
        ),
        predicted=PredictedRecord(
            num_parameters=5_263_104, weight_bytes=10_526_208, kl_nats=0.0012
        ),
        weight_bytes=10_526_208,
        reopened=ReopenedRecord(
            checked=True, reason=None, num_generated=32, max_abs_logit_difference=None
        ),
        realised=RealisedRecord(kl_nats=0.0019, num_tokens=1638, reason=None),
    )


def recovered() -> RecoverRecord:
    loss = tuple((step, round(0.4 + 2.1 * math.exp(-step / 60), 4)) for step in range(0, 401, 10))
    return RecoverRecord(
        schema_version=1, steps=400, num_examples=6400, num_parameters=5_263_104, loss_curve=loss
    )


def bounds(value: float, n: int) -> tuple[float, float]:
    half = 1.96 * math.sqrt(value * (1 - value) / n)
    return round(value - half, 5), round(value + half, 5)


def perturbation(name: str, family: str, share: float, factor: float) -> PerturbationFigures:
    return PerturbationFigures(
        family=family,
        probe=name == "tabs_for_spaces",
        baseline=None,
        num_items=300,
        num_unchanged=4,
        num_rejected=2,
        num_repeated=1,
        nominal_pass_at_1=0.842 * factor,
        pass_at_1=share * factor,
        interval=bounds(share * factor, 300),
        worst_case=RobustFigures(
            num_problems=300,
            num_forms=2,
            pass_at_1=0.842 * factor,
            mean_case_pass_at_1=share * factor,
            robust_pass_at_1=0.7 * factor,
            robust_drop_at_1=0.17,
            robust_relative_at_1=0.2,
            attack_success_at_1=0.17,
            exchangeable_robust_pass_at_1=None,
        ),
    )


def health() -> HealthRecord:
    return HealthRecord(
        num_problems=2400,
        num_judged=2400,
        canonical_pass_rate=1.0,
        num_excluded=0,
        excluded=(),
        verdicts={"passed": 1900, "wrong_answer": 440, "timeout": 60},
        num_truncated=3,
        num_unparsable=41,
        num_infrastructure_errors=0,
    )


def gain(difference: float, low: float, high: float, p: float) -> PlanGain:
    return PlanGain(
        difference=difference,
        interval=(low, high),
        num_only_without=4,
        num_only_with=20,
        mcnemar_p=p,
    )


def evaluation(digest: str, factor: float, name: str = "reference") -> EvaluationRecord:
    tasks = {}
    for kind, (n, share) in KINDS.items():
        passed = round(n * share * factor)
        tasks[kind] = TaskFigures(
            num_problems=n,
            num_passed=passed,
            pass_at_1=passed / n,
            interval=bounds(passed / n, n),
            pass_at_k={},
        )
    robust = 0.55 * factor
    return EvaluationRecord(
        schema_version=1,
        model=EvaluatedModel(digest=digest, name=name),
        suite=SuiteRecord(name="reference-test", digest="5" * 64, num_problems=2400),
        confidence=0.95,
        tasks=tasks,
        robustness=RobustnessRecord(
            task_kind="function_synthesis",
            num_problems=300,
            num_items=2083,
            num_seeds=2,
            nominal_pass_at_1=0.842 * factor,
            robust_pass_at_1=robust,
            interval=bounds(robust, 300),
            robust_drop_at_1=0.347,
            worst_case_pass_at_1=0.31 * factor,
            perturbations={
                name: perturbation(name, family, share, factor)
                for name, (family, share) in PERTURBATIONS.items()
            },
        ),
        chain_of_thought=ThoughtRecord(
            num_problems=200,
            pass_at_1=WaysOfThought(own=0.78 * factor, none=0.7 * factor, reference=0.9 * factor),
            own_plan=gain(0.08, 0.03, 0.13, 0.004),
            reference_plan=gain(0.2, 0.14, 0.26, 0.0001),
            bleu_4=0.412,
        ),
        security=SecurityRecord(
            num_programs=1800,
            num_unparsable=41,
            num_with_findings=3,
            secure_and_correct_at_1=0.8 * factor,
            findings={"CWE-78 eval": 2, "CWE-327 hashlib": 1},
        ),
        health=health(),
        sandbox=SandboxRecord(
            tier="namespaces",
            layers=("user namespace", "no network", "seccomp", "rlimits"),
            cpu_limit_s=2.0,
            memory_limit_bytes=268_435_456,
        ),
    )


def compared(n: int, original: float, candidate: float, half: float, verdict: str) -> dict:
    """Figures of any claim, by field."""
    kept, gap = candidate / original, candidate - original
    return {
        "num_problems": n,
        "num_clusters": n,
        "design_effect": 1.0,
        "original_pass_at_1": original,
        "candidate_pass_at_1": candidate,
        "difference": gap,
        "difference_interval": (gap - half, gap + half),
        "retention": kept,
        "retention_interval": (round(kept - half, 5), round(kept + half, 5)),
        "num_only_original": 61,
        "num_only_candidate": 74,
        "mcnemar_p": 0.302,
        "non_inferiority_p": {"shown": 0.00021, "not shown": 0.99, "underpowered": 0.2}[verdict],
        "verdict": verdict,
        "num_problems_needed": 3400 if verdict == "underpowered" else None,
    }


def comparison(candidate: str, factor: float, verdicts: dict[str, str]) -> ComparisonRecord:
    tasks = {
        kind: TaskClaim(
            **compared(n, share, round(n * share * factor) / n, 30 / n, verdicts[kind]), holm_p=0.01
        )
        for kind, (n, share) in KINDS.items()
    }
    lost = tuple(
        ChangedProblem(
            task_id=f"test/{kind}/{i}",
            kind=kind,
            verdict="timeout_cpu" if i % 7 == 0 else "fail_assert",
        )
        for kind in KINDS
        for i in range(61)
    )
    won = ChangedProblem(task_id="test/g", kind="function_synthesis", verdict="fail_load")
    worst = compared(300, 0.31, 0.31 * factor, 0.12, "underpowered")
    return ComparisonRecord(
        schema_version=2,
        answer=("Of 2,400 problems the original solves 79.4 %.",),
        original="a" * 64,
        candidate=candidate,
        original_name="reference",
        candidate_name="slimmed",
        margin=0.97,
        alpha=0.05,
        confidence=0.95,
        suite="5" * 64,
        tasks=tasks,
        overall=ClaimFigures(**compared(2400, 0.794, 0.794 * factor, 0.014, verdicts["overall"])),
        robustness=RobustnessClaim(
            **compared(2083, 0.55, 0.55 * factor, 0.09, verdicts["robustness"]),
            worst_case=WorstCaseClaim(**worst, num_forms=14),
            drop=DropRecord(
                original=0.347, candidate=0.35, difference=0.003, interval=(-0.01, 0.016)
            ),
            families={
                family: FamilyPair(**under(0.8, factor), holm_p=0.61)
                for family, _ in PERTURBATIONS.values()
            },
            perturbations={
                name: MethodPair(
                    **under(share, factor),
                    benjamini_hochberg_p=0.02 if name == "dead_code" else 0.8,
                )
                for name, (_, share) in PERTURBATIONS.items()
            },
        ),
        lost=lost,
        gained=(won,) * 74,
        noise=NoiseRecord(
            num_problems=2400,
            num_flips=6,
            flip_rate=0.0025,
            interval=(0.0011, 0.0054),
            difference=0.0,
            num_disagreements=135,
            more_disagreements_p=0.001,
        ),
        health=BothHealth(original=health(), candidate=health()),
        sources=None,
    )


def sources() -> OutsideSources:
    """Where verdicts are from if another harness gave them."""
    file = OutsideSource(
        file="slim/eval_results.json",
        sha256="6" * 64,
        num_problems=2400,
        fewest_samples=1,
        most_samples=1,
    )
    return OutsideSources(
        harness="EvalPlus",
        task="HumanEval",
        metric="plus",
        same_problems="data set",
        num_other_prompts=None,
        original=file,
        candidate=file,
    )


def under(share: float, factor: float) -> dict:
    """Figures of any pair under a perturbation, by field."""
    gap = share * factor - share
    return {
        "num_items": 300,
        "original_pass_at_1": share,
        "candidate_pass_at_1": share * factor,
        "difference": gap,
        "difference_interval": (gap - 0.03, gap + 0.03),
        "retention": factor,
        "retention_interval": (factor - 0.03, factor + 0.03),
        "num_only_original": 9,
        "num_only_candidate": 7,
        "mcnemar_p": 0.8,
    }


def curve(middle: float, spread: float) -> tuple[tuple[float, float], ...]:
    return tuple(
        (q / 50, round(middle * math.exp(spread * (q / 50 - 0.5) * (1 + 2 * (q / 50) ** 6)), 4))
        for q in range(51)
    )


def percentile(
    ms: float | None,
    interval: tuple[float | None, float | None] | None = None,
    reason: str | None = None,
) -> Percentile:
    return Percentile(ms=ms, interval_ms=interval, reason=reason)


def latency(
    middle: float,
    spread: float,
    *,
    p50: tuple[float, float] | None = None,
    p99: Percentile | None = None,
) -> LatencyFigures:
    points = curve(middle, spread)
    return LatencyFigures(
        num_samples=400,
        mean=percentile(points[27][1]),
        p50=percentile(points[25][1], p50),
        p90=percentile(points[45][1]),
        p99=p99 or percentile(points[49][1]),
        curve=points,
    )


def served(digest: str, factor: float) -> ServedModel:
    few = "400 requests are too few for a 99th percentile (1,000 needed)"
    tpot = latency(7.4 * factor, 0.8)
    figures = RoundFigures(
        p50_ttft_ms=38.0 * factor,
        p50_tpot_ms=7.4 * factor,
        p50_e2el_ms=470.0 * factor,
        burst_output_throughput=1012.0 / factor,
    )
    missing = ComponentEnergy(status="unavailable", reason="no sensor", joules=None)
    return ServedModel(
        model_digest=digest,
        validity=ValidityRecord(verdict="valid", reasons=()),
        completed=400,
        failed=0,
        duration_s=100.5,
        total_output_tokens=23_260,
        request_throughput=3.98,
        output_throughput=231.4,
        schedule_delay=ScheduleDelay(p50_ms=0.3, p99_ms=2.1, max_ms=4.8),
        ttft=latency(
            38.0 * factor, 1.6, p50=(35.1 * factor, 41.2 * factor), p99=percentile(None, reason=few)
        ),
        tpot=latency(7.4 * factor, 0.8, p99=percentile(tpot.p99.ms, (18.0 * factor, None))),
        e2el=latency(470.0 * factor, 1.5),
        startup_s=41.2,
        server_metrics=ServerMetrics(
            request_success_total=400,
            prompt_tokens_total=51_020,
            generation_tokens_total=23_260,
            requests_sent=400,
        ),
        rounds=(figures, figures),
        burst_output_throughput=1012.0 / factor,
        energy=EnergyRecord(
            status="unavailable",
            reason="no readable power sensor (RAPL and NVML are missing)",
            joules=None,
            energy_per_output_token_joules=None,
            window_s=100.5,
            components={"cpu": missing, "gpu": missing},
        ),
        carbon=CarbonRecord(
            status="unavailable",
            reason="no energy figure",
            intensity_g_per_kwh=475.0,
            source="world average, 2023",
            gco2e_per_million_tokens=None,
        ),
    )


def bench() -> BenchRecord:
    agreed = AgreementRecord(
        num_prompts=50,
        num_equal=49,
        num_tokens=2400,
        num_tokens_equal=2391,
        num_same_encoding=50,
        largest_gap=0.02,
        max_new_tokens=48,
        method="token ids after each prefix",
    )
    return BenchRecord(
        schema_version=1,
        engine=EngineRecord(name="vllm", version="0.32.0", device="cpu", mode="compiled"),
        machine=MachineRecord(
            processor="2 × x86-64",
            cores=2,
            usable_cores=2,
            memory_bytes=8_000_000_000,
            system="Linux 6.1",
            python="3.11.7",
            load_average_1min=0.4,
        ),
        models=BothServed(original=served("a" * 64, 1.0), slimmed=served("r" * 64, 0.81)),
        ratios=RoundRatios(
            p50_ttft_ms=(0.79, 0.84),
            p50_tpot_ms=(0.81, None),
            p50_e2el_ms=(0.8, 0.82),
            burst_output_throughput=(1.21, 1.26),
        ),
        method="both servers up, one loaded at a time",
        agreement=dict.fromkeys(("original", "pruned", "slimmed"), agreed),
        plan=LoadRecord(
            digest="d" * 64,
            request_rate=4.0,
            num_requests=400,
            num_warmup_requests=16,
            seed=7,
            num_burst_requests=64,
            rounds=2,
            duration_s=100.0,
            order="A B A B",
        ),
    )


def footprint() -> FootprintRecord:
    return FootprintRecord(
        schema_version=2,
        models=BothFootprints(
            original=ModelFootprint(
                num_parameters=6_782_016,
                bytes_on_disk=14_170_000,
                peak_memory_bytes=412_000_000,
                forward_flops_per_token=13_560_000,
            ),
            slimmed=ModelFootprint(
                num_parameters=5_263_104,
                bytes_on_disk=10_890_000,
                peak_memory_bytes=405_000_000,
                forward_flops_per_token=10_520_000,
            ),
        ),
        config=FootprintConfig(batch_size=8, context_tokens=256, repeats=3),
    )


def bits(num_texts: int, original: float, ratio: float, verdict: str) -> BitsFigures:
    """Figures of one set of texts."""
    agreement = TokenAgreement(
        num_tokens=52_300,
        token_share=0.981,
        top_1=0.957,
        top_1_interval=(0.949, 0.965),
        kl_nats=0.0421,
        kl_nats_interval=(0.0389, 0.0453),
        dropped_probability=0.0002,
    )
    return BitsFigures(
        num_texts=num_texts,
        num_clusters=num_texts // 4,
        num_cut=3,
        num_bytes=212_400,
        original_bits_per_byte=original,
        candidate_bits_per_byte=original * ratio,
        difference=original * (ratio - 1),
        difference_interval=(original * (ratio - 1) - 0.002, original * (ratio - 1) + 0.002),
        ratio=ratio,
        ratio_interval=(ratio - 0.0034, ratio + 0.0034),
        non_inferiority_p=0.0001 if verdict == "shown" else 0.999,
        verdict=verdict,
        detectable_loss=0.0043,
        num_texts_needed=12,
        agreement=agreement,
        agreement_reason=None,
    )


def likelihood(candidate: str, ratio: float, verdict: str) -> LikelihoodRecord:
    sets = {
        "problems": bits(1500, 0.1234, ratio, verdict),
        "texts": bits(400, 0.6021, ratio, verdict),
    }
    return LikelihoodRecord(
        schema_version=1,
        answer=("For 1,500 reference solutions the original needs 0.1234 bits per byte.",),
        original="a" * 64,
        candidate=candidate,
        original_name="reference",
        candidate_name="slimmed",
        original_dtype="float32",
        candidate_dtype="float32",
        suite="reference",
        max_loss=0.05,
        confidence=0.95,
        max_tokens=1024,
        num_left_out=2,
        sets=sets,
        verdict=verdict,
    )


def parity() -> ExportRecord:
    return ExportRecord(
        schema_version=1,
        vllm=VllmParity(
            num_prompts=50,
            num_long_inputs=8,
            num_logits_identical=58,
            max_abs_logit_difference=0.0,
            num_tokenizations_equal=50,
            overridden_tokenizer_settings=("normalizer",),
            dtype="bfloat16",
            versions={"transformers": "5.19.0"},
        ),
        onnx=OnnxParity(
            num_prompts=50,
            num_new_tokens=48,
            num_greedy_equal=50,
            num_greedy_near_ties=0,
            max_abs_logit_difference=0.0000213,
            max_abs_logit_difference_bound=0.001,
            mean_abs_logit_difference=0.000001,
            num_long_inputs=8,
            long_input_tokens=(128, 256),
            long_max_abs_logit_difference=0.00003,
            num_long_greedy_equal=8,
            dtype="float32",
            exporter_max_abs_logit_difference=0.00001,
            opset=18,
            onnxruntime_version="1.23.2",
            optimum_version="2.0.0",
            optimum_onnx_version="0.1.0",
            transformers_version="4.57.6",
        ),
    )


def asked() -> RunRecord:
    return RunRecord(
        schema_version=1,
        command=("flab", "run", "--out", "slim"),
        config={"budget": 0.22},
        changed={"plan.reduction": 0.3},
        machine=RunMachine(
            system="Linux x86_64", python="3.11.7", num_cpus=2, memory_bytes=8_000_000_000
        ),
    )


SHOWN = {
    "function_synthesis": "shown",
    "output_prediction": "underpowered",
    "chain_of_thought": "shown",
    "overall": "shown",
    "robustness": "not shown",
}
FAILED = dict.fromkeys(SHOWN, "not shown")


def write_start(run: Path) -> None:
    """Write a run that stopped after the original was evaluated."""
    finished(run / "scores", "scores", {SCORES_FILE: scores()}, parents={"model": "a" * 64})
    finished(run / "plan", "plan", {PLAN_FILE: plan()}, parents={"scores": "b" * 64})
    finished(run / "evaluate-original", "evaluation", {REPORT_FILE: evaluation("a" * 64, 1.0)})


def write_complete(run: Path) -> Path:
    """Write a run with every stage to a new directory."""
    write_start(run)
    finished(run / "pruned", "checkpoint", {}, parents={"plan": "b" * 64}, figures=pruned())
    finished(run / "recovered", "checkpoint", {}, figures=recovered())
    for model, factor, verdicts in (("pruned", 0.884, FAILED), ("recovered", 1.008, SHOWN)):
        digest = model[0] * 64
        judged, found = evaluation(digest, factor), comparison(digest, factor, verdicts)
        finished(run / f"evaluate-{model}", "evaluation", {REPORT_FILE: judged})
        finished(run / f"compare-{model}", "comparison", {COMPARISON_FILE: found})
    for model, ratio, said in (("pruned", 1.213, "not shown"), ("recovered", 1.0065, "shown")):
        read = likelihood(model[0] * 64, ratio, said)
        finished(run / f"likelihood-{model}", "likelihood", {LIKELIHOOD_FILE: read})
    measured = {"footprint": (FOOTPRINT_FILE, footprint()), "bench": (BENCH_FILE, bench())}
    for stage, (file, found) in measured.items():
        finished(run / stage, stage, {file: found}, measurements=(file,))
    finished(run / "export", "export", {PARITY_FILE: parity()})
    write_record(run / RUN_FILE, asked())
    return run


def write_comparison(run: Path, verdict: str = "not shown") -> Path:
    """Write two evaluations and their comparison alone, under a user's own names."""
    judged = {
        "original": ("big", evaluation("a" * 64, 1.0)),
        "candidate": ("small", evaluation("p" * 64, 0.94, "my-small-model")),
    }
    parents = {
        role: finished(run / name, "evaluation", {REPORT_FILE: document})
        for role, (name, document) in judged.items()
    }
    found = comparison("p" * 64, 0.94, dict.fromkeys(SHOWN, verdict))
    finished(run / "verdict", "comparison", {COMPARISON_FILE: found}, parents=parents)
    return run


def edit(path: Path, *keys: str, value: object) -> None:
    """Set one value of a JSON document of a run, as if the stage had found it, and renew the
    stage's digest.
    """
    document = json.loads(path.read_text(encoding="utf-8"))
    place = document
    for key in keys[:-1]:
        place = place[key]
    assert keys[-1] in place
    place[keys[-1]] = value
    write_json(path, document)
    manifest = json.loads((path.parent / MANIFEST).read_text(encoding="utf-8"))
    manifest["digest"] = tree_digest(
        path.parent, exclude=frozenset({MANIFEST, *manifest["measurements"]})
    )
    write_json(path.parent / MANIFEST, manifest)
