"""Writes synthetic run directories, as the stages would."""

import json
import math
import random
from pathlib import Path

from flab_deploy.artifacts import MANIFEST, Json, tree_digest, write_json

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
    figures: dict | None = None,
    parents: dict | None = None,
    config: dict | None = None,
    measurements: tuple[str, ...] = (),
) -> str:
    """Write an artifact as a stage would, with a fixed time; returns its digest."""
    folder.mkdir(parents=True)
    for name, value in documents.items():
        write_json(folder / name, value)
    digest = tree_digest(folder, exclude=frozenset({MANIFEST, *measurements}))
    manifest = {
        "kind": kind,
        "digest": digest,
        "key": "k" * 64,
        "parents": parents or {},
        "config": config or {"seed": 0},
        "versions": {"flab-deploy": "0.1.0", "torch": "2.13.0"},
        "figures": figures or {},
        "measurements": list(measurements),
        "seconds": 12.345,
    }
    write_json(folder / MANIFEST, manifest)
    return digest


def shape(vocab: int, layers: int, channels: int, parameters: int) -> dict[str, Json]:
    return {
        "vocab_size": vocab,
        "num_hidden_layers": layers,
        "hidden_size": 192,
        "intermediate_size": channels,
        "num_attention_heads": 3,
        "num_key_value_heads": 1,
        "tie_word_embeddings": True,
        "num_parameters": parameters,
    }


def scores() -> dict[str, object]:
    rng = random.Random(0)
    quantiles = [
        [round(0.01 * (1 + layer / 5) * 200 ** (q / 10), 6) for q in range(11)]
        for layer in range(NUM_LAYERS)
    ]
    return {
        "num_tokens": 412_330,
        "token_counts": {
            "num_seen": 5200,
            "sorted_counts": [max(1, round(52_000 / (r + 1) ** 1.25)) for r in range(5200)],
        },
        "layers": [
            {"layer": i, "kl_nats": round(2.5 * math.exp(-i / 3) + 0.03 + 0.1 * rng.random(), 5)}
            for i in range(NUM_LAYERS)
        ],
        "channels": {
            "quantiles": [q / 10 for q in range(11)],
            "num_channels": CHANNELS,
            "mean_score_by_layer": [q[5] for q in quantiles],
            "quantiles_by_layer": quantiles,
        },
        "calibration": {"num_examples": 256, "num_tokens": 40_960, "digest": "c" * 64},
    }


def plan() -> dict[str, object]:
    keep = [i for i in range(NUM_LAYERS) if i not in (9, 11)]
    candidates = [
        {
            "num_layers": n,
            "intermediate_size": width,
            "vocab_size": 5312,
            "num_parameters": 5_263_104,
            "kl_nats": kl,
        }
        for n, width, kl in ((13, 336, 0.514), (12, 400, 0.231), (11, 432, 0.388), (10, 440, 0.902))
    ]
    return {
        "schema_version": 1,
        "source": "a" * 64,
        "budget": {"metric": "parameters", "reduction": 0.22},
        "keep_token_ids": list(range(5312)),
        "keep_layers": keep,
        "keep_channels": [list(range(400)) for _ in keep],
        "before": shape(VOCAB, NUM_LAYERS, CHANNELS, 6_782_016),
        "after": shape(5312, 12, 400, 5_263_104),
        "contribution": {"vocabulary": 749_568, "layers": 437_592, "ffn": 331_752},
        "candidates": candidates,
        "predicted_kl_nats": 0.231,
    }


def bounds(value: float, n: int) -> list[float]:
    half = 1.96 * math.sqrt(value * (1 - value) / n)
    return [round(value - half, 5), round(value + half, 5)]


def evaluation(digest: str, factor: float) -> dict[str, object]:
    tasks = {}
    for kind, (n, share) in KINDS.items():
        passed = round(n * share * factor)
        tasks[kind] = {
            "num_problems": n,
            "num_passed": passed,
            "pass_at_1": passed / n,
            "interval": bounds(passed / n, n),
        }
    perturbations = {
        name: {
            "family": family,
            "probe": name == "tabs_for_spaces",
            "num_items": 300,
            "num_unchanged": 4,
            "num_rejected": 2,
            "num_repeated": 1,
            "nominal_pass_at_1": 0.842 * factor,
            "pass_at_1": share * factor,
            "interval": bounds(share * factor, 300),
        }
        for name, (family, share) in PERTURBATIONS.items()
    }
    robust = 0.55 * factor
    return {
        "model": {"digest": digest, "name": "reference"},
        "suite": {"name": "reference-test", "digest": "5" * 64, "num_problems": 2400},
        "confidence": 0.95,
        "tasks": tasks,
        "robustness": {
            "task_kind": "function_synthesis",
            "num_problems": 300,
            "num_items": 2083,
            "num_seeds": 2,
            "worst_case_pass_at_1": 0.31 * factor,
            "nominal_pass_at_1": 0.842 * factor,
            "robust_pass_at_1": robust,
            "interval": bounds(robust, 300),
            "robust_drop_at_1": 0.347,
            "perturbations": perturbations,
        },
        "chain_of_thought": {
            "num_problems": 200,
            "pass_at_1": {"own": 0.78 * factor, "none": 0.7 * factor, "reference": 0.9 * factor},
            "own_plan": {"difference": 0.08, "interval": [0.03, 0.13], "mcnemar_p": 0.004},
            "reference_plan": {"difference": 0.2, "interval": [0.14, 0.26], "mcnemar_p": 0.0001},
            "bleu_4": 0.412,
        },
        "security": {
            "num_programs": 1800,
            "num_unparsable": 41,
            "num_with_findings": 3,
            "secure_and_correct_at_1": 0.8 * factor,
            "findings": {"CWE-78 eval": 2, "CWE-327 hashlib": 1},
        },
        "health": {
            "num_problems": 2400,
            "num_judged": 2400,
            "canonical_pass_rate": 1.0,
            "num_excluded": 0,
            "verdicts": {"passed": 1900, "wrong_answer": 440, "timeout": 60},
            "num_truncated": 3,
            "num_unparsable": 41,
            "num_infrastructure_errors": 0,
        },
        "sandbox": {
            "tier": "namespaces",
            "layers": ["user namespace", "no network", "seccomp", "rlimits"],
            "cpu_limit_s": 2.0,
            "memory_limit_bytes": 268_435_456,
        },
    }


def compared(
    n: int, original: float, candidate: float, half: float, verdict: str
) -> dict[str, object]:
    kept = candidate / original
    return {
        "num_problems": n,
        "original_pass_at_1": original,
        "candidate_pass_at_1": candidate,
        "difference": candidate - original,
        "difference_interval": [candidate - original - half, candidate - original + half],
        "retention": kept,
        "retention_interval": [round(kept - half, 5), round(kept + half, 5)],
        "num_only_original": 61,
        "num_only_candidate": 74,
        "mcnemar_p": 0.302,
        "non_inferiority_p": {"shown": 0.00021, "not shown": 0.99, "underpowered": 0.2}[verdict],
        "verdict": verdict,
        "num_problems_needed": 3400 if verdict == "underpowered" else None,
    }


def comparison(candidate: str, factor: float, verdicts: dict[str, str]) -> dict[str, object]:
    tasks = {
        kind: compared(n, share, round(n * share * factor) / n, 30 / n, verdicts[kind])
        for kind, (n, share) in KINDS.items()
    }
    lost = [
        {
            "task_id": f"test/{kind}/{i}",
            "kind": kind,
            "verdict": "timeout_cpu" if i % 7 == 0 else "fail_assert",
        }
        for kind in KINDS
        for i in range(61)
    ]
    return {
        "original": "a" * 64,
        "candidate": candidate,
        "margin": 0.97,
        "confidence": 0.95,
        "tasks": tasks,
        "overall": compared(2400, 0.794, 0.794 * factor, 0.014, verdicts["overall"]),
        "robustness": {
            **compared(2083, 0.55, 0.55 * factor, 0.09, verdicts["robustness"]),
            "worst_case": compared(300, 0.31, 0.31 * factor, 0.12, "underpowered"),
            "families": {
                family: under(0.8, factor) | {"holm_p": 0.61}
                for family, _ in PERTURBATIONS.values()
            },
            "perturbations": {
                name: under(share, factor)
                | {"benjamini_hochberg_p": 0.02 if name == "dead_code" else 0.8}
                for name, (_, share) in PERTURBATIONS.items()
            },
        },
        "lost": lost,
        "gained": [{"task_id": "test/g", "kind": "function_synthesis", "verdict": "fail_load"}]
        * 74,
        "noise": {
            "num_problems": 2400,
            "num_flips": 6,
            "flip_rate": 0.0025,
            "interval": [0.0011, 0.0054],
        },
    }


def under(share: float, factor: float) -> dict[str, object]:
    return {
        "num_items": 300,
        "original_pass_at_1": share,
        "candidate_pass_at_1": share * factor,
        "difference": share * factor - share,
        "difference_interval": [share * factor - share - 0.03, share * factor - share + 0.03],
        "num_only_original": 9,
        "num_only_candidate": 7,
        "mcnemar_p": 0.8,
    }


def curve(middle: float, spread: float) -> list[list[float]]:
    return [
        [q / 50, round(middle * math.exp(spread * (q / 50 - 0.5) * (1 + 2 * (q / 50) ** 6)), 4)]
        for q in range(51)
    ]


def served(digest: str, factor: float) -> dict[str, object]:
    figures: dict[str, object] = {
        "model_digest": digest,
        "validity": {"verdict": "valid", "reasons": []},
        "completed": 400,
        "failed": 0,
        "request_throughput": 3.98,
        "output_throughput": 231.4,
        "burst_output_throughput": 1012.0 / factor,
        "total_output_tokens": 23_260,
        "schedule_delay_ms": {"p50": 0.3, "p99": 2.1, "max": 4.8},
        "startup_s": 41.2,
        "server_metrics": {
            "request_success_total": 400,
            "prompt_tokens_total": 51_020,
            "generation_tokens_total": 23_260,
            "requests_sent": 400,
        },
        "energy": {
            "status": "unavailable",
            "reason": "no readable power sensor (RAPL and NVML are missing)",
            "joules": None,
            "energy_per_output_token_joules": None,
            "components": {"cpu": "unavailable", "gpu": "unavailable"},
        },
        "carbon": {
            "status": "unavailable",
            "reason": "no energy figure",
            "gco2e_per_million_tokens": None,
            "intensity_g_per_kwh": 475,
            "source": "world average, 2023",
        },
    }
    for stamp, middle, spread in (("ttft", 38.0, 1.6), ("tpot", 7.4, 0.8), ("e2el", 470.0, 1.5)):
        figures[f"{stamp}_ms_curve"] = points = curve(middle * factor, spread)
        figures[f"p50_{stamp}_ms"], figures[f"p90_{stamp}_ms"] = points[25][1], points[45][1]
        figures[f"p99_{stamp}_ms"], figures[f"mean_{stamp}_ms"] = points[49][1], points[27][1]
    figures["p50_ttft_ms_interval"] = [35.1 * factor, 41.2 * factor]
    figures["p99_tpot_ms_interval"] = [18.0 * factor, None]
    figures["p99_ttft_ms"] = None
    figures["p99_ttft_ms_reason"] = "400 requests are too few for a 99th percentile (1,000 needed)"
    return figures


def bench() -> dict[str, object]:
    return {
        "engine": {"name": "vllm", "version": "0.32.0", "device": "cpu"},
        "machine": {"cpu": "2 × x86-64", "memory_bytes": 8_000_000_000, "system": "Linux 6.1"},
        "plan": {
            "digest": "d" * 64,
            "request_rate": 4.0,
            "num_requests": 400,
            "seed": 7,
            "duration_s": 100.0,
        },
        "ratios": {"p50_ttft_ms": [0.79, 0.84], "burst_output_throughput": [1.21, 1.26]},
        "models": {"original": served("a" * 64, 1.0), "slimmed": served("r" * 64, 0.81)},
        "agreement": {
            model: {
                "num_prompts": 50,
                "num_equal": 49,
                "num_tokens": 2400,
                "num_tokens_equal": 2391,
            }
            for model in ("original", "pruned", "slimmed")
        },
    }


def footprint() -> dict[str, object]:
    return {
        "models": {
            "original": {
                "num_parameters": 6_782_016,
                "bytes_on_disk": 14_170_000,
                "peak_memory_bytes": 412_000_000,
                "forward_flops_per_token": 13_560_000,
            },
            "slimmed": {
                "num_parameters": 5_263_104,
                "bytes_on_disk": 10_890_000,
                "peak_memory_bytes": 405_000_000,
                "forward_flops_per_token": 10_520_000,
            },
        },
        "config": {"batch_size": 8, "context_tokens": 256, "repeats": 3},
    }


def parity() -> dict[str, object]:
    return {
        "vllm": {"num_prompts": 50, "num_greedy_equal": 49, "loads_in_transformers": True},
        "onnx": {
            "num_prompts": 50,
            "max_abs_logit_difference": 0.0000213,
            "num_greedy_equal": 50,
            "num_long_inputs": 8,
            "onnxruntime_version": "1.23.2",
        },
    }


SHOWN = {
    "function_synthesis": "shown",
    "output_prediction": "underpowered",
    "chain_of_thought": "shown",
    "overall": "shown",
    "robustness": "not shown",
}


def write_start(run: Path) -> None:
    """Write a run that stopped after the original was evaluated."""
    finished(run / "scores", "scores", {"scores.json": scores()}, parents={"model": "a" * 64})
    finished(run / "plan", "plan", {"plan.json": plan()}, parents={"scores": "b" * 64})
    finished(run / "evaluate-original", "evaluation", {"report.json": evaluation("a" * 64, 1.0)})


def write_complete(run: Path) -> Path:
    """Write a run with every stage to a new directory."""
    write_start(run)
    cut = {
        "predicted": {"kl_nats": 0.0012},
        "realised": {"kl_nats": 0.0019, "num_tokens": 1638},
        "reopened": {"checked": True},
        "tokenizer": {"num_documents": 20_000, "num_identical": 20_000},
    }
    finished(run / "pruned", "pruned", {"config.json": {}}, parents={"plan": "b" * 64}, figures=cut)
    loss = [[step, round(0.4 + 2.1 * math.exp(-step / 60), 4)] for step in range(0, 401, 10)]
    finished(
        run / "recovered",
        "recovered",
        {"config.json": {}},
        figures={"steps": 400, "loss_curve": loss, "num_examples": 6400},
    )
    finished(run / "evaluate-pruned", "evaluation", {"report.json": evaluation("p" * 64, 0.884)})
    finished(run / "evaluate-recovered", "evaluation", {"report.json": evaluation("r" * 64, 1.008)})
    failed = dict.fromkeys(SHOWN, "not shown")
    finished(
        run / "compare-pruned",
        "comparison",
        {"comparison.json": comparison("p" * 64, 0.884, failed)},
    )
    finished(
        run / "compare-recovered",
        "comparison",
        {"comparison.json": comparison("r" * 64, 1.008, SHOWN)},
    )
    finished(
        run / "footprint",
        "footprint",
        {"footprint.json": footprint()},
        measurements=("footprint.json",),
    )
    finished(run / "export", "export", {"parity.json": parity()})
    finished(run / "bench", "bench", {"bench.json": bench()}, measurements=("bench.json",))
    write_json(
        run / "run.json", {"command": ["flab", "run", "--out", "slim"], "config": {"budget": 0.22}}
    )
    return run


def write_comparison(run: Path, verdict: str = "not shown") -> Path:
    """Write two evaluations and their comparison alone, under a user's own names."""
    judged = {"original": evaluation("a" * 64, 1.0), "candidate": evaluation("p" * 64, 0.94)}
    judged["candidate"]["model"] = {"digest": "p" * 64, "name": "my-small-model"}
    names = {"original": "big", "candidate": "small"}
    parents = {
        role: finished(run / names[role], "evaluation", {"report.json": document})
        for role, document in judged.items()
    }
    found = comparison("p" * 64, 0.94, dict.fromkeys(SHOWN, verdict))
    finished(run / "verdict", "comparison", {"comparison.json": found}, parents=parents)
    return run


def edit(path: Path, *keys: str, value: object) -> None:
    """Set one value of a JSON document of a run, as if the stage had found it, and renew the
    stage's digest.
    """
    document = json.loads(path.read_text(encoding="utf-8"))
    place = document
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    write_json(path, document)
    manifest = json.loads((path.parent / MANIFEST).read_text(encoding="utf-8"))
    manifest["digest"] = tree_digest(
        path.parent, exclude=frozenset({MANIFEST, *manifest["measurements"]})
    )
    write_json(path.parent / MANIFEST, manifest)
