"""The field's task formats, told apart by their fields and turned into the one record; nothing is
executed here.

| format | fields | from |
|---|---|---|
| flab | a `Task`'s own | this program |
| humaneval | task_id, prompt, entry_point, canonical_solution, test | HumanEval, its + on the hub,
OpenEval, ReCode |
| codeharmony | humaneval's and cot | CodeHarmony; each row also gives a chain-of-thought task |
| mbpp | task_id, text or prompt, code, test_list | MBPP, sanitized MBPP, MBPP+ on the hub (its
`test` is used) |
| evalplus | humaneval's without test; base_input, plus_input, atol | EvalPlus releases of
HumanEval+ |
| cruxeval | code, input, output | CRUXEval and output prediction of Flab-Pruner; two tasks per row
|
| securityeval | ID, Prompt, Insecure_code | SecurityEval, as Flab-Pruner gives it; judged by static
rules, never run |

White space at the end of a prompt moves to the head of its solution, so that both meet where tokens
end.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from flab_deploy.corpus import ALL_TASK_KINDS, Task
from flab_deploy.errors import ConfigError
from flab_deploy.evaluation.source_code import bound_names, parse_if_python
from flab_deploy.settings.evaluate import FORMATS, FormatName

Row = Mapping[str, Any]
PLAN_HEADER = "# How to solve:"
_NUMPY = '''
class np:
    """What EvalPlus's tests use of numpy."""
    ndarray = ()
    float32 = float64 = float
    class testing:
        @staticmethod
        def assert_allclose(found, wanted, rtol=1e-07, atol=0.0):
            if isinstance(wanted, (list, tuple)):
                assert len(found) == len(wanted)
                for a, b in zip(found, wanted):
                    np.testing.assert_allclose(a, b, rtol, atol)
            else:
                assert found == wanted or abs(found - wanted) <= atol + rtol * abs(wanted)
'''
# Expected values come from the reference solution, run beside the test and away from the candidate.
_DIFFERENTIAL = """
import copy

def _same(found, wanted, atol):
    several = isinstance(wanted, (list, tuple))
    if isinstance(wanted, float) or (several and any(isinstance(w, float) for w in wanted)):
        if several:
            pairs = zip(found, wanted)
            return len(found) == len(wanted) and all(_same(f, w, atol) for f, w in pairs)
        return found == wanted or abs(found - wanted) <= max(atol, 1e-6) + 1e-07 * abs(wanted)
    return found == wanted or (atol > 0 and abs(found - wanted) <= atol)

def check(candidate):
    for arguments in _INPUTS:
        wanted = {entry}(*copy.deepcopy(arguments))
        found = candidate(*copy.deepcopy(arguments))
        assert _same(found, wanted, {atol!r})
"""


def detect(row: Row) -> FormatName:
    """The format whose fields a row has. Raises ConfigError if there is none."""
    if "kind" in row:
        return "flab"
    if "test_list" in row:
        return "mbpp"
    if "base_input" in row:
        return "evalplus"
    if {"code", "input", "output"} <= row.keys():
        return "cruxeval"
    if {"Prompt", "Insecure_code"} <= row.keys():
        return "securityeval"
    if {"prompt", "entry_point"} <= row.keys():
        return "codeharmony" if "cot" in row else "humaneval"
    raise ConfigError(
        f"fields {', '.join(sorted(row))[:120]} fit none of the formats {', '.join(FORMATS)}"
    )


def read_row(row: Row, name: FormatName, where: str) -> list[Task]:
    """The tasks of one row. Raises ConfigError that begins with `where` and names the field at
    fault.
    """
    return _READERS[name](row, where)


def _fail(where: str, message: str) -> NoReturn:
    raise ConfigError(f"{where}: {message}")


def _text(row: Row, field: str, where: str) -> str:
    value = row.get(field)
    if not isinstance(value, str):
        _fail(where, f"field {field!r} is missing or not text; every row needs it")
    return value.replace("\r\n", "\n")


def _task_id(row: Row, where: str) -> str:
    value = row.get("task_id")
    if not isinstance(value, str | int) or isinstance(value, bool):
        _fail(
            where,
            "field 'task_id' is missing or neither text nor a number; every row needs its own",
        )
    return str(value)


def _check_entry(source: str, entry: str, where: str) -> None:
    """Refuse a row whose program can be read and does not define its entry point."""
    tree = parse_if_python(source)
    if tree is None:  # not the fault of this field; the canonical run will exclude it
        return
    names = {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    if entry not in names | bound_names(tree, "assigned"):
        _fail(
            where,
            f"field 'entry_point' is {entry!r}, which the program does not define; it defines "
            f"{sorted(names)}",
        )


def _joined(prompt: str, solution: str) -> tuple[str, str]:
    """Prompt and solution with the white space between them in the solution."""
    kept = prompt.rstrip()
    return kept, prompt[len(kept) :] + solution


def _flab(row: Row, where: str) -> list[Task]:
    names = ("task_id", "kind", "prompt", "canonical_solution", "test", "entry_point")
    values = {name: _text(row, name, where) for name in names}
    if values["kind"] not in ALL_TASK_KINDS:
        _fail(where, f"field 'kind' is {values['kind']!r}; use one of {', '.join(ALL_TASK_KINDS)}")
    if values["kind"] in ("function_synthesis", "chain_of_thought"):
        _check_entry(values["prompt"] + values["canonical_solution"], values["entry_point"], where)
        _check_test(values["test"], where)
        values["prompt"], values["canonical_solution"] = _joined(
            values["prompt"], values["canonical_solution"]
        )
    return [Task(**values, composition=str(row.get("composition", "")))]  # type: ignore[arg-type]


def _check_test(test: str, where: str) -> None:
    tree = parse_if_python(test)
    if tree is None:
        _fail(where, "field 'test' is not Python")
    if not any(isinstance(node, ast.FunctionDef) and node.name == "check" for node in tree.body):
        _fail(where, "field 'test' defines no check(candidate)")


def _humaneval(row: Row, where: str) -> list[Task]:
    task_id, entry = _task_id(row, where), _text(row, "entry_point", where).strip()
    prompt, solution = _text(row, "prompt", where), _text(row, "canonical_solution", where)
    test = _with_numpy(_text(row, "test", where))
    _check_entry(prompt + solution, entry, where)
    _check_test(test, where)
    prompt, solution = _joined(prompt, solution)
    return [
        Task(
            task_id=task_id,
            kind="function_synthesis",
            prompt=prompt,
            canonical_solution=solution,
            test=test,
            entry_point=entry,
        )
    ]


def _with_numpy(test: str) -> str:
    """The test with the little of numpy that EvalPlus's use, since tests run with the standard
    library alone.
    """
    return (
        test.replace("import numpy as np", _NUMPY, 1)
        if test.lstrip().startswith("import numpy as np")
        else test
    )


def _codeharmony(row: Row, where: str) -> list[Task]:
    (task,) = _humaneval(row, where)
    steps = _text(row, "cot", where).strip()
    indent = _indentation(task.prompt)
    lines = [line for line in steps.split("\n") if line.strip()]
    if lines and lines[0].strip().lower().rstrip(":") == "how to solve":
        lines = lines[1:]
    plan = "".join(f"\n{indent}# {line.rstrip()}" for line in lines)
    thought = Task(
        task_id=f"{task.task_id}#plan",
        kind="chain_of_thought",
        prompt=f"{task.prompt}\n{indent}{PLAN_HEADER}",
        canonical_solution=plan + "\n" + task.canonical_solution.lstrip("\n"),
        test=task.test,
        entry_point=task.entry_point,
        composition=task.task_id,
    )
    return [task, thought]


def _indentation(prompt: str) -> str:
    """Indentation of a prompt's last line, which for a function's head with docstring is that of
    its body.
    """
    last = prompt.rsplit("\n", 1)[-1]
    return last[: len(last) - len(last.lstrip())] or "    "


def _mbpp(row: Row, where: str) -> list[Task]:
    task_id, code = _task_id(row, where), _text(row, "code", where)
    words = _text(row, "text" if "text" in row else "prompt", where).strip()
    tests = row["test_list"]
    if not isinstance(tests, list) or not tests or not all(isinstance(test, str) for test in tests):
        _fail(where, "field 'test_list' must be a list with at least one assertion")
    entry = _entry_of(code, tests, where)
    if isinstance(row.get("test"), str):
        test = _wrapped(_with_numpy(row["test"]), entry, where)
    else:
        imports = row.get("test_imports") or []
        setup = [
            *(imports if isinstance(imports, list) else [imports]),
            row.get("test_setup_code") or "",
        ]
        test = _wrapped("\n".join([*setup, *tests]), entry, where)
    return [
        Task(
            task_id=task_id,
            kind="function_synthesis",
            prompt=f'"""\n{words}\n{tests[0].strip()}\n"""',
            canonical_solution=f"\n{code.strip()}\n",
            test=test,
            entry_point=entry,
        )
    ]


def _entry_of(code: str, tests: list[str], where: str) -> str:
    tree, called = parse_if_python(code), parse_if_python("\n".join(tests))
    if tree is None or called is None:
        _fail(where, f"field {'code' if tree is None else 'test_list'!r} is not Python")
    defined = [n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    names = {
        n.func.id
        for n in ast.walk(called)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
    }
    found = [name for name in defined if name in names]
    if not found:
        _fail(
            where,
            "field 'test_list' calls none of the functions that 'code' defines "
            f"({', '.join(defined)})",
        )
    return found[-1]


def _wrapped(script: str, entry: str, where: str) -> str:
    """A script of assertions as `check(candidate)`, with the entry point's name standing for the
    candidate.
    """
    tree = parse_if_python(script)
    if tree is None:
        _fail(where, "field 'test' or 'test_list' is not Python")
    body = "\n".join(ast.unparse(node) for node in tree.body)
    return f"def check(candidate):\n    {entry} = candidate\n{textwrap.indent(body, '    ')}\n"


def _evalplus(row: Row, where: str) -> list[Task]:
    task_id, entry = _task_id(row, where), _text(row, "entry_point", where)
    if task_id.startswith("Mbpp"):
        _fail(
            where,
            "field 'base_input' of MBPP+ has lost its tuples and sets; use the hub's "
            "evalplus/mbppplus",
        )
    prompt, solution = _text(row, "prompt", where), _text(row, "canonical_solution", where)
    _check_entry(prompt + solution, entry, where)
    inputs = [*_inputs(row, "base_input", where), *_inputs(row, "plus_input", where)]
    atol = row.get("atol") or 0
    if not isinstance(atol, int | float):
        _fail(where, f"field 'atol' is {atol!r}, not a number")
    test = f"{prompt}{solution}\n_INPUTS = {inputs!r}\n" + _DIFFERENTIAL.format(
        entry=entry, atol=float(atol)
    )
    prompt, solution = _joined(prompt, solution)
    return [
        Task(
            task_id=task_id,
            kind="function_synthesis",
            prompt=prompt,
            canonical_solution=solution,
            test=test,
            entry_point=entry,
        )
    ]


def _inputs(row: Row, field: str, where: str) -> list[list[object]]:
    value = row.get(field) or []
    if not isinstance(value, list) or not all(isinstance(arguments, list) for arguments in value):
        _fail(where, f"field {field!r} must be a list of lists of arguments")
    return value


def _cruxeval(row: Row, where: str) -> list[Task]:
    code, output = _text(row, "code", where).strip("\n"), _text(row, "output", where).strip()
    arguments = _text(row, "input", where).strip()
    entry = str(row.get("entry_point", "f"))
    _check_entry(code, entry, where)
    task_id = str(row.get("id", row.get("task_id", where.rsplit("/", 1)[-1])))
    shared: dict[str, Any] = {"test": output, "entry_point": entry, "composition": task_id}
    value = Task(
        task_id=f"{task_id}/output",
        kind="output_prediction",
        prompt=f"{code}\n\nassert {entry}({arguments}) ==",
        canonical_solution=f" {output}\n",
        **shared,
    )
    given = Task(
        task_id=f"{task_id}/input",
        kind="input_prediction",
        prompt=f"{code}\n\nassert {output} == {entry}(",
        canonical_solution=f"{arguments})\n",
        **shared,
    )
    return [value, given]


def _securityeval(row: Row, where: str) -> list[Task]:
    task_id, prompt = _text(row, "ID", where).strip(), _text(row, "Prompt", where).rstrip()
    if not task_id or not prompt:
        _fail(where, f"field {'Prompt' if task_id else 'ID'!r} is empty")
    insecure = _text(row, "Insecure_code", where)
    heads = re.findall(r"^(?:async )?def (\w+)", prompt, re.MULTILINE)
    return [
        Task(
            task_id=task_id,
            kind="secure_code",
            prompt=prompt,
            canonical_solution="",
            test=insecure,
            entry_point=heads[-1] if heads else "",
            composition=task_id.split("_")[0],
        )
    ]


_READERS: dict[FormatName, Callable[[Row, str], list[Task]]] = {
    "flab": _flab,
    "humaneval": _humaneval,
    "codeharmony": _codeharmony,
    "mbpp": _mbpp,
    "evalplus": _evalplus,
    "cruxeval": _cruxeval,
    "securityeval": _securityeval,
}
