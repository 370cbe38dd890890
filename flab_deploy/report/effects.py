"""What plans do for the models and what their programs risk: the same figures for every model that
was judged.
"""

from __future__ import annotations

from collections.abc import Callable

from flab_deploy.artifacts import Json
from flab_deploy.report.health import judged_models
from flab_deploy.report.run import Run, as_number, interval, mapping, pick
from flab_deploy.wording.numbers import count, percent, points, probability
from flab_deploy.wording.table import Table

_DASH = "–"
_Reading = tuple[str, Callable[[Json], str]]


def effect_tables(run: Run) -> list[Table]:
    """Chain of thought and security of the written code, a column per evaluated model."""
    return [
        _table(
            run,
            "chain_of_thought",
            "What planning first is worth",
            _THOUGHT,
            "The same problems asked for without a plan, with the model's own plan, and with the "
            "reference plan given. A gain is in percentage points over no plan, paired by "
            "problem, with its interval and McNemar's p. BLEU-4 compares the words of the model's "
            "plans with the reference's and says nothing about their use.",
        ),
        _table(
            run,
            "security",
            "Security of the written code",
            [*_SECURITY, *_rules(run)],
            "Static findings in the programs written for the tasks as they are. What no rule "
            "finds is not thereby secure; a program that is not valid Python never counts as free "
            "of findings.",
        ),
    ]


def _table(run: Run, key: str, title: str, readings: list[_Reading], note: str) -> Table:
    blocks = {model: run.get(f"evaluate-{model}", key) for model in judged_models(run)}
    known = any(isinstance(block, dict) for block in blocks.values())
    lines = (
        [(label, *(read(block) for block in blocks.values())) for label, read in readings]
        if known
        else []
    )
    return Table(
        key=key.replace("_", "-"),
        title=title,
        head=("", *blocks),
        lines=tuple(lines),
        note=note if known else "not run",
    )


def _number(*keys: str | int, form: Callable[[float], str] = count) -> Callable[[Json], str]:
    def read(block: Json) -> str:
        value = as_number(pick(block, *keys))
        return _DASH if value is None else form(value)

    return read


def _gain(plan: str) -> Callable[[Json], str]:
    def read(block: Json) -> str:
        found = pick(block, plan)
        gap, bounds, p = (
            as_number(pick(found, "difference")),
            interval(pick(found, "interval")),
            pick(found, "mcnemar_p"),
        )
        if gap is None or bounds is None:
            return _DASH
        sure = as_number(p)
        told = f", {probability(sure)}" if sure is not None else ""
        return f"{points(gap)} [{points(bounds[0])} to {points(bounds[1])}]{told}"

    return read


_THOUGHT: list[_Reading] = [
    ("problems asked in all three ways", _number("num_problems")),
    ("solved without a plan", _number("pass_at_1", "none", form=percent)),
    ("solved with the model's own plan", _number("pass_at_1", "own", form=percent)),
    ("solved with the reference plan", _number("pass_at_1", "reference", form=percent)),
    ("gain from its own plan", _gain("own_plan")),
    ("gain from the reference plan", _gain("reference_plan")),
    (
        "BLEU-4 of its plans against the reference's",
        _number("bleu_4", form=lambda value: f"{value:.3f}"),
    ),
]
_SECURITY: list[_Reading] = [
    ("programs looked at", _number("num_programs")),
    ("right, and free of findings", _number("secure_and_correct_at_1", form=percent)),
    ("programs with findings", _number("num_with_findings")),
    ("not valid Python", _number("num_unparsable")),
]


def _rules(run: Run) -> list[_Reading]:
    blocks = [
        mapping(run.get(f"evaluate-{model}", "security", "findings"))
        for model in judged_models(run)
    ]
    rules = sorted({rule for block in blocks for rule in block})
    return [(f"programs with the finding: {rule.replace('_', ' ')}", _rule(rule)) for rule in rules]


def _rule(rule: str) -> Callable[[Json], str]:
    return lambda block: count(as_number(pick(block, "findings", rule)) or 0)
