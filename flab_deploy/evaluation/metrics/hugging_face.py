"""The metrics as classes of Hugging Face's `evaluate`; they load and compute without a network.

Use the classes, `PassAtK().compute(verdicts=[[True, False]])`, or the loader with the absolute
path of a folder beside this file: `evaluate.load(str(metric_folder("pass_at_k")))`. Importing
this module imports `evaluate`, which takes seconds, so nothing on the command line's way does.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
from datasets import Features, List, Value

from flab_deploy.errors import ConfigError
from flab_deploy.evaluation import statistics
from flab_deploy.evaluation.grading.programs import same_value, value_of
from flab_deploy.evaluation.statistics import metrics
from flab_deploy.evaluation.tasks.plans import bleu_4, words_of
from flab_deploy.settings.compare import CompareConfig

METRIC_NAMES = ("pass_at_k", "robust_pass_at_k", "retention", "typed_match", "plan_bleu")
_CITATION = "flab-deploy"


def metric_folder(name: str) -> Path:
    """Absolute path to give to `evaluate.load`. Raises ConfigError for a name outside
    METRIC_NAMES.
    """
    if name not in METRIC_NAMES:
        raise ConfigError(f"no metric {name!r}; choose one of {', '.join(METRIC_NAMES)}")
    return Path(__file__).resolve().parent / name


class _Offline(evaluate.Metric):  # type: ignore[misc]
    """Base: keeps its inputs in memory, and has nothing to download."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "keep_in_memory": True})

    def _download_and_prepare(self, dl_manager: Any) -> None:
        del dl_manager


class PassAtK(_Offline):
    """pass@k from verdicts per problem and sample: `compute(verdicts=[[True, False], ...], k=[1,
    2])`.
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Unbiased pass@k: the chance that at least one of k samples of a "
            "problem is right.",
            citation=_CITATION,
            inputs_description="verdicts: per problem, whether each sample passed. k: one or "
            "more sample counts.",
            features=Features({"verdicts": List(Value("bool"))}),
        )

    def _compute(
        self, verdicts: Sequence[Sequence[bool]], k: Sequence[int] = (1,)
    ) -> dict[str, float]:
        samples = [len(problem) for problem in verdicts]
        correct = [sum(problem) for problem in verdicts]
        return {
            f"pass@{size}": float(metrics.pass_at_k(samples, correct, size).mean()) for size in k
        }


class RobustPassAtK(_Offline):
    """ReCode's robust pass, drop and relative at k: `compute(nominal=(P, S), perturbed=(P, S, J),
    k=[1])`.
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="pass@k where a sample counts only if it is right for every perturbed "
            "form of its problem.",
            citation=_CITATION,
            inputs_description="nominal: problem x sample; perturbed: problem x sample x "
            "form; all booleans.",
            features=Features(
                {"nominal": List(Value("bool")), "perturbed": List(List(Value("bool")))}
            ),
        )

    def _compute(
        self,
        nominal: Sequence[Sequence[bool]],
        perturbed: Sequence[Sequence[Sequence[bool]]],
        k: Sequence[int] = (1,),
    ) -> dict[str, float]:
        right, forms = np.asarray(nominal, dtype=bool), np.asarray(perturbed, dtype=bool)
        found = {}
        for size in k:
            found[f"robust_pass@{size}"] = metrics.robust_pass_at_k(forms, size)
            found[f"robust_drop@{size}"] = metrics.robust_drop_at_k(right, forms, size)
            found[f"robust_relative@{size}"] = metrics.robust_relative_at_k(right, forms, size)
        return found


class Retention(_Offline):
    """Share of the original's pass rate kept: `compute(original=[...], candidate=[...])`; the claim
    that is tested is keeping at least `margin`.
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Pass rate of a candidate over the original's on the same problems, "
            "with interval and test.",
            citation=_CITATION,
            inputs_description="original, candidate: one boolean per problem. cluster: name "
            "per problem, may be empty.",
            features=Features(
                {"original": Value("bool"), "candidate": Value("bool"), "cluster": Value("string")}
            ),
        )

    def _compute(
        self,
        original: Sequence[bool],
        candidate: Sequence[bool],
        cluster: Sequence[str],
        margin: float = CompareConfig.margin,
        confidence: float = CompareConfig.confidence,
    ) -> dict[str, float | None]:
        paired = statistics.Paired.of(original, candidate, cluster)
        low, high = statistics.retention_interval(paired, confidence) or (None, None)
        return {
            "retention": statistics.retention(paired),
            "retention_low": low,
            "retention_high": high,
            "non_inferiority_p": statistics.non_inferiority_p(paired, margin),
        }


class TypedMatch(_Offline):
    """Share of predicted values that are the expected literal, types included:
    `compute(predictions, references)`.
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Exact match of Python literals that tells True from 1 and 1.0 from "
            "1; nothing is executed.",
            citation=_CITATION,
            inputs_description="predictions, references: one Python literal per problem, as text.",
            features=Features({"predictions": Value("string"), "references": Value("string")}),
        )

    def _compute(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        matched = [
            _is_literal(p, value_of(r)) for p, r in zip(predictions, references, strict=True)
        ]
        return {"typed_match": sum(matched) / len(matched)}


class PlanBleu(_Offline):
    """Corpus BLEU-4 of plans in words, with one reference each: `compute(predictions,
    references)`.
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Corpus BLEU-4 without smoothing, for comparison with published figures.",
            citation=_CITATION,
            inputs_description="predictions, references: one plan per problem, as text.",
            features=Features({"predictions": Value("string"), "references": Value("string")}),
        )

    def _compute(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        return {
            "bleu_4": bleu_4(
                [words_of(text) for text in predictions], [words_of(text) for text in references]
            )
        }


def _is_literal(text: str, value: object) -> bool:
    try:
        return same_value(value_of(text), value)
    except ValueError:
        return False
