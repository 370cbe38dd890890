"""The judge against one plain process: on programs that do not cheat, apart and together mean the
same.
"""

import ast
import copy
import random
import subprocess
import sys
from collections.abc import Iterator

import pytest

from flab_deploy.corpus import Task
from flab_deploy.evaluation.tasks.load import read_tasks
from flab_deploy.reference.tasks import make_tasks
from flab_deploy.sandbox import Limits, Program, judge
from tests.field_data import HUMANEVAL_FILES, field_file

COMPARISONS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)
OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod)


def changed(node: ast.AST, rng: random.Random) -> bool:
    """Whether a node could be given another meaning, in place."""
    match node:
        case ast.Compare(ops=[first, *_]):
            node.ops[0] = rng.choice(
                [kind for kind in COMPARISONS if not isinstance(first, kind)]
            )()
        case ast.BinOp() | ast.AugAssign():
            node.op = rng.choice([kind for kind in OPERATORS if not isinstance(node.op, kind)])()
        case ast.BoolOp():
            node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        case ast.Return(value=ast.expr() as value):
            node.value = rng.choice(
                [ast.Constant(None), ast.Tuple([value], ast.Load()), ast.List([], ast.Load())]
            )
        case ast.Constant(value=bool(value)):
            node.value = not value
        case ast.Constant(value=int(value)):
            node.value = value + rng.choice([1, -1])
        case ast.If() | ast.While():
            node.test = ast.UnaryOp(ast.Not(), node.test)
        case _:
            return False
    return True


def mutants(task: Task, most: int) -> Iterator[str]:
    """Programs that differ from the task's solution in one place of it."""
    tree = ast.parse(task.prompt + task.canonical_solution)
    first, rng = task.prompt.rstrip().count("\n") + 2, random.Random(task.task_id)
    places = [i for i, node in enumerate(ast.walk(tree)) if getattr(node, "lineno", 0) >= first]
    for place in rng.sample(places, len(places)):
        other = copy.deepcopy(tree)
        if most and changed(list(ast.walk(other))[place], rng):
            most -= 1
            yield ast.unparse(ast.fix_missing_locations(other))


def passes_in_one_process(source: str, task: Task, cpu_s: int) -> bool:
    bounded = f"import resource\nresource.setrlimit(resource.RLIMIT_CPU, ({cpu_s}, {cpu_s + 1}))\n"
    bounded += "resource.setrlimit(resource.RLIMIT_AS, (1 << 32, 1 << 32))\n"
    program = f"{bounded}{source}\n{task.test}\ncheck({task.entry_point})\n"
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, stdin=subprocess.DEVNULL
    )
    return done.returncode == 0


def disagreements(tasks: list[Task], each: int, cpu_s: int) -> tuple[list[str], int, int]:
    """Where the two differ, how many programs pass, and how many there are."""
    cases = [(source, task) for task in tasks for source in mutants(task, each)]
    programs = [
        Program(
            program_id=task.task_id,
            source=source,
            test=task.test,
            entry_point=task.entry_point,
            prelude=task.prompt,
        )
        for source, task in cases
    ]
    verdicts = judge(programs, Limits(cpu_s=cpu_s, wall_s=10 * cpu_s))
    plain = [passes_in_one_process(source, task, cpu_s) for source, task in cases]
    found = [
        f"{task.task_id} {verdict} {alone}\n{source}"
        for (source, task), verdict, alone in zip(cases, verdicts, plain, strict=True)
        if verdict.passed != alone
    ]
    return found, sum(plain), len(cases)


def test_on_changed_solutions_of_the_generated_tasks() -> None:
    tasks = [
        *make_tasks("test", "function_synthesis", 40),
        *make_tasks("test", "chain_of_thought", 20),
    ]
    found, passed, number = disagreements(tasks, 2, cpu_s=2)
    assert found == [] and 0 < passed < number >= 100


@pytest.mark.slow
def test_on_changed_solutions_of_humaneval() -> None:
    found, passed, number = disagreements(
        read_tasks(str(field_file(*HUMANEVAL_FILES))), 12, cpu_s=5
    )
    sys.stdout.write(
        f"{number} changed solutions, {passed} pass, judged differently: {len(found)}\n"
    )
    assert found == [] and passed < number >= 1000
