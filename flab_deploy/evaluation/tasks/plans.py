"""Chain of thought by what it does: the same problems without a plan, with the model's own, with
the reference.

A chain-of-thought task's prompt ends with the header of a plan, and its solution begins with the
plan as comments; both other ways to put it follow from that.
"""

from __future__ import annotations

import math
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from flab_deploy.corpus import Task
from flab_deploy.errors import ConfigError


def plan_of(text: str) -> tuple[str, str]:
    """The plan at the head of a solution, a newline before each line, and the rest: comment lines
    and what follows.
    """
    lines = text.split("\n")
    end = 1
    while end < len(lines) and lines[end].lstrip().startswith("#"):
        end += 1
    return "\n".join(lines[:end]), "\n".join(["", *lines[end:]])


def asks_for_plan(task: Task) -> bool:
    """Whether a task's prompt ends with the comment that begins a plan."""
    prompt, _, header = task.prompt.rpartition("\n")
    return task.kind == "chain_of_thought" and bool(prompt) and header.lstrip().startswith("#")


def without_plan(task: Task) -> Task:
    """The task, which asks for a plan, asked for directly."""
    prompt = task.prompt.rpartition("\n")[0].rstrip()
    return replace(task, prompt=prompt, canonical_solution=plan_of(task.canonical_solution)[1])


def with_reference_plan(task: Task) -> Task:
    """The task with the reference plan given, so that only the code is asked for.

    The full stop of its last line is left to the model: tokenizers join it to the line's end, so a
    prompt that ends with it is one that no model has seen.
    """
    plan, code = plan_of(task.canonical_solution)
    given = plan.rstrip(string.punctuation)
    return replace(task, prompt=task.prompt + given, canonical_solution=plan[len(given) :] + code)


def words_of(plan: str) -> list[str]:
    """Words of a plan without comment signs, in lower case."""
    return plan.replace("#", " ").lower().split()


def bleu_4(candidates: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> float:
    """Corpus BLEU-4 in [0, 1] with one reference each: Papineni et al. (2002), equations 1 and 2,
    no smoothing.
    """
    if len(candidates) != len(references):
        raise ConfigError(
            f"{len(candidates)} candidates and {len(references)} references; give one for each"
        )
    matched, total = [0] * 4, [0] * 4
    for candidate, reference in zip(candidates, references, strict=True):
        for n in range(1, 5):
            found, wanted = _grams(candidate, n), _grams(reference, n)
            matched[n - 1] += sum((found & wanted).values())
            total[n - 1] += sum(found.values())
    if min(matched, default=0) == 0:
        return 0.0
    written, length = sum(map(len, candidates)), sum(map(len, references))
    brevity = min(0.0, 1.0 - length / written)
    return math.exp(brevity + sum(math.log(m / t) for m, t in zip(matched, total, strict=True)) / 4)


def _grams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
