"""What plans do for the models and what their programs risk: the same figures for every model that
was judged.
"""

from __future__ import annotations

from flab_deploy.records.evaluate import PlanGain, SecurityRecord, ThoughtRecord
from flab_deploy.records.report import ReportTable
from flab_deploy.report.run import RunContents
from flab_deploy.report.tables import Reading, gain, readings, table
from flab_deploy.wording.numbers import count, percent, probability


def effect_tables(run: RunContents) -> list[ReportTable]:
    """Chain of thought and security of the written code, a column per evaluated model."""
    judged = run.evaluations
    risks = {model: found.security for model, found in judged.items()}
    plans = {model: found.chain_of_thought for model, found in judged.items()}
    rules = {rule for found in risks.values() if found for rule in found.findings}
    return [
        table(
            "chain-of-thought",
            "What planning first is worth",
            ("", *judged),
            readings(_THOUGHT, plans),
            "The same problems asked for without a plan, with the model's own plan, and with the "
            "reference plan given. A gain is in percentage points over no plan, paired by "
            "problem, with its interval and McNemar's p. BLEU-4 compares the words of the model's "
            "plans with the reference's and says nothing about their use.",
        ),
        table(
            "security",
            "Security of the written code",
            ("", *judged),
            readings([*_SECURITY, *(_finding(rule) for rule in sorted(rules))], risks),
            "Static findings in the programs written for the tasks as they are. What no rule "
            "finds is not thereby secure; a program that is not valid Python never counts as free "
            "of findings.",
        ),
    ]


def _gain(found: PlanGain) -> str:
    return f"{gain(found.difference, found.interval)}, {probability(found.mcnemar_p)}"


def _finding(rule: str) -> Reading[SecurityRecord]:
    label = f"programs with the finding: {rule.replace('_', ' ')}"
    return label, lambda found: count(found.findings.get(rule, 0))


_THOUGHT: list[Reading[ThoughtRecord]] = [
    ("problems asked in all three ways", lambda found: count(found.num_problems)),
    ("solved without a plan", lambda found: percent(found.pass_at_1.none)),
    ("solved with the model's own plan", lambda found: percent(found.pass_at_1.own)),
    ("solved with the reference plan", lambda found: percent(found.pass_at_1.reference)),
    ("gain from its own plan", lambda found: _gain(found.own_plan)),
    ("gain from the reference plan", lambda found: _gain(found.reference_plan)),
    ("BLEU-4 of its plans against the reference's", lambda found: f"{found.bleu_4:.3f}"),
]
_SECURITY: list[Reading[SecurityRecord]] = [
    ("programs looked at", lambda found: count(found.num_programs)),
    ("right, and free of findings", lambda found: percent(found.secure_and_correct_at_1)),
    ("programs with findings", lambda found: count(found.num_with_findings)),
    ("not valid Python", lambda found: count(found.num_unparsable)),
]
