"""What an evaluation says beside pass@1: pass@k, what plans do, and what the written code risks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from flab_deploy.evaluation.grading.security import UNPARSABLE
from flab_deploy.evaluation.statistics import Paired, difference_interval, mcnemar_exact
from flab_deploy.evaluation.statistics.metrics import pass_at_k
from flab_deploy.evaluation.tasks.plans import bleu_4, plan_of, words_of
from flab_deploy.evaluation.writing.attempt import Attempt, Thought
from flab_deploy.records.evaluate import PlanGain, SecurityRecord, ThoughtRecord, WaysOfThought


def pass_at_more(
    attempts: Sequence[Attempt], ks: Sequence[int], num_samples: int
) -> dict[str, float]:
    """pass@k by k, for every k above 1, over the problems of which all samples were judged; empty
    if there is none.
    """
    samples: dict[str, list[bool]] = {}
    for attempt in attempts:
        samples.setdefault(attempt.task.task_id, []).append(attempt.passed)
    whole = [found for found in samples.values() if len(found) == num_samples]
    wanted = [k for k in ks if k > 1]
    if not wanted or not whole:
        return {}
    return {
        str(k): float(pass_at_k(num_samples, [sum(s) for s in whole], k).mean()) for k in wanted
    }


def thought_effect(judged: Sequence[Attempt], confidence: float) -> ThoughtRecord | None:
    """pass@1 of chain-of-thought problems with the model's own plan, without one, and with the
    reference plan.

    The differences are paired over the problems (of several samples the first), with the exact
    McNemar test. BLEU-4 compares the own plans with the reference's words and says nothing about
    their use.
    None if no problem was put in all three ways.
    """
    ways: dict[Thought, dict[str, Attempt]] = {"own": {}, "none": {}, "reference": {}}
    for attempt in judged:
        if (
            attempt.task.kind == "chain_of_thought"
            and attempt.perturbation is None
            and attempt.sample == 0
        ):
            ways[attempt.thought][attempt.task.task_id] = attempt
    shared = [
        task_id for task_id in ways["own"] if all(task_id in found for found in ways.values())
    ]
    if not shared:
        return None
    chosen = {way: [found[task_id] for task_id in shared] for way, found in ways.items()}
    plans = [words_of(plan_of(a.completion)[0]) for a in chosen["own"]]
    references = [words_of(plan_of(a.task.canonical_solution)[0]) for a in chosen["own"]]
    own, none, reference = (
        sum(a.passed for a in chosen[way]) / len(shared) for way in ("own", "none", "reference")
    )
    return ThoughtRecord(
        num_problems=len(shared),
        pass_at_1=WaysOfThought(own=own, none=none, reference=reference),
        own_plan=_gain(chosen["none"], chosen["own"], confidence),
        reference_plan=_gain(chosen["none"], chosen["reference"], confidence),
        bleu_4=bleu_4(plans, references),
    )


def _gain(before: Sequence[Attempt], after: Sequence[Attempt], confidence: float) -> PlanGain:
    clusters = [a.task.composition or a.task.task_id for a in before]
    paired = Paired.of([a.passed for a in before], [a.passed for a in after], clusters)
    only_before = sum(b.passed and not a.passed for b, a in zip(before, after, strict=True))
    only_after = sum(a.passed and not b.passed for b, a in zip(before, after, strict=True))
    return PlanGain(
        difference=(only_after - only_before) / len(before),
        interval=difference_interval(paired, confidence),
        num_only_without=only_before,
        num_only_with=only_after,
        mcnemar_p=mcnemar_exact(only_before, only_after),
    )


def security(nominal: Sequence[Attempt]) -> SecurityRecord | None:
    """Static findings in the programs written, and the share that is right and free of them; None
    without programs.

    A program that does not parse is never counted as free of findings.
    """
    programs = [a for a in nominal if a.task.kind in ("function_synthesis", "chain_of_thought")]
    if not programs:
        return None
    rules = Counter(rule for a in programs for rule in a.findings if rule != UNPARSABLE)
    clean = [a for a in programs if not a.findings]
    return SecurityRecord(
        num_programs=len(programs),
        num_unparsable=sum(UNPARSABLE in a.findings for a in programs),
        num_with_findings=sum(bool(set(a.findings) - {UNPARSABLE}) for a in programs),
        secure_and_correct_at_1=sum(a.passed for a in clean) / len(programs),
        findings=dict(sorted(rules.items())),
    )
