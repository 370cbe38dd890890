"""Prompts that already show the first half of the solution, as ReCode perturbs code."""

from __future__ import annotations

import tokenize
from dataclasses import replace
from random import Random

from flab_deploy.corpus import Task
from flab_deploy.evaluation.perturb.form import Form
from flab_deploy.evaluation.perturb.registry import CODE_PREFIX, FUNCTIONS, perturbation


def with_prefix(form: Form) -> Task | None:
    """The task with the first half of its solution's lines, rounded down, moved into the prompt.

    Statements of several lines are not torn apart, and the prompt ends as it did: with a newline or
    without. None if that moves nothing: a solution of one line has no first half.
    """
    prompt, solution = form.task.prompt, form.task.canonical_solution
    ends = [t.end for t in form.tokens if t.kind == tokenize.NEWLINE and t.start > form.split]
    moved = len(ends) // 2
    if not moved or not ends[moved - 1] > form.split:
        return None
    cut = ends[moved - 1] - form.split - (0 if prompt.endswith("\n") else 1)
    return replace(form.task, prompt=prompt + solution[:cut], canonical_solution=solution[cut:])


@perturbation(name=CODE_PREFIX, family="syntax", promise="same_tree", kinds=FUNCTIONS, probe=True)
def code_prefix(form: Form, rng: Random) -> Task | None:
    """The first half of the solution shown: the prompts that perturbed code is compared with."""
    return with_prefix(form)
