"""Perturbations of code that the prompt shows: another way to write the same computation.

Sites come from the syntax tree; edits are made to the text, so that everything else stays as it was
written. Each takes a task apart, a seeded random source, and gives the edits; none if it does not
apply.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import partial
from random import Random
from typing import TypeVar

from flab_deploy.evaluation.perturb.form import Edit, Form, Token, usable_name
from flab_deploy.evaluation.perturb.registry import CODE, perturbation
from flab_deploy.evaluation.source_code import bound_names

_MIRRORED = {ast.Lt: ">", ast.Gt: "<", ast.LtE: ">=", ast.GtE: "<=", ast.Eq: "==", ast.NotEq: "!="}
_OPPOSITE = {ast.Eq: "!=", ast.NotEq: "==", ast.In: "not in", ast.NotIn: "in"}
_AUGMENTED = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.FloorDiv: "//", ast.Mod: "%"}
_NEVER = ("if False:", "while False:", "for _ in ():")
_COUNTERS = ("i", "index", "position", "k")
_RESULTS = ("answer", "outcome", "output", "value")
_UNUSED = ("unused = 0", "debug = False", "verbose = None", "cache = {}")
_MODULES = ("os", "sys", "json", "logging", "time")

Node = TypeVar("Node", bound=ast.AST)

_anywhere = partial(perturbation, family="syntax", promise="same_behaviour")
_in_code = partial(_anywhere, kinds=CODE, shape="prefix")


def nodes(form: Form, kind: type[Node]) -> list[Node]:
    """Nodes of one kind in the entry point's body, docstring aside, that lie within the prompt."""
    body = form.function.body[1:] if form.has_docstring else form.function.body
    everything = [node for statement in body for node in ast.walk(statement)]
    # Nodes within f-strings have no places of their own before Python 3.12, and patterns are no
    # expressions.
    closed = {
        id(n)
        for outer in everything
        if isinstance(outer, ast.JoinedStr | ast.pattern)
        for n in ast.walk(outer)
    }
    found = [node for node in everything if isinstance(node, kind) and id(node) not in closed]
    return [node for node in found if isinstance(node, ast.stmt | ast.expr) and form.shown(node)]


def _statements(form: Form) -> list[ast.stmt]:
    """Shown statements of one line that begin their line."""
    plain = ast.Assign | ast.AugAssign | ast.Return | ast.Expr
    return [
        s
        for s in nodes(form, ast.stmt)
        if isinstance(s, plain) and s.lineno == s.end_lineno and not form.indentation_of(s).strip()
    ]


def _pick(rng: Random, items: Sequence[Node]) -> list[Node]:
    """One of the items, or none."""
    return [rng.choice(items)] if items else []


def _fresh(rng: Random, form: Form, names: Sequence[str]) -> str | None:
    free = [name for name in names if usable_name(name, form)]
    return rng.choice(free) if free else None


def _before(form: Form, statement: ast.stmt, lines: Sequence[str]) -> Edit:
    """Lines put before a statement, indented like it."""
    at, indent = form.span_of(statement).start, form.indentation_of(statement)
    return Edit(start=at, end=at, text="".join(f"{line}\n{indent}" for line in lines))


def _replaced(form: Form, node: ast.expr | ast.stmt, text: str) -> Edit:
    span = form.span_of(node)
    joined = (
        form.source[span.start - 1 : span.start].isalnum() and text[:1].isalnum()
    )  # such as `if(x)`
    return Edit(start=span.start, end=span.end, text=f" {text}" if joined else text)


def _dead(form: Form, rng: Random) -> tuple[str, str] | None:
    """A block that never runs, holding a copy of a shown statement."""
    copies = _pick(rng, _statements(form))
    return (
        (rng.choice(_NEVER), f"    {form.code_of(copies[0])}")
        if copies and "_" not in form.names
        else None
    )


@_in_code(published="DeadCodeInserter")
def dead_code_inserter(form: Form, rng: Random) -> list[Edit]:
    """A shown statement copied into a block that never runs, before another one."""
    block = _dead(form, rng)
    return [_before(form, s, block) for s in _pick(rng, _statements(form))] if block else []


@_in_code(published="DeadCodeInserterLast")
def dead_code_inserter_last(form: Form, rng: Random) -> list[Edit]:
    """A shown statement copied into a block that never runs, after the shown ones or before the
    last of all.
    """
    block = _dead(form, rng)
    if block is None:
        return []
    later = [
        s
        for s in ast.walk(form.function)
        if isinstance(s, ast.stmt) and form.span_of(s).start >= form.split
    ]
    if not later:
        return [_before(form, s, block) for s in _statements(form)[-1:]]
    following = min(later, key=lambda s: form.span_of(s).start)
    start, indent = form.span_of(following).start, form.indentation_of(following)
    if (
        indent.strip()
        or form.source[form.split : start].strip()
        or form.code_of(following).startswith("elif")
    ):
        return []
    lines = "".join(f"\n{indent}{line}" for line in block)
    text = lines[1:] + "\n" if form.source[form.split - 1] == "\n" else lines
    return [Edit(start=form.split, end=form.split, text=text)]


def _header_end(form: Form, node: ast.For | ast.If) -> Token | None:
    """The colon of a compound statement whose body begins on a later line within or after the
    prompt.
    """
    last = node.iter if isinstance(node, ast.For) else node.test
    after = form.span_of(last).end
    colon = next(t for t in form.tokens if t.start >= after and t.text == ":")
    own_line = node.body[0].lineno > (last.end_lineno or last.lineno)
    return colon if own_line and colon.end <= form.split else None


Header = TypeVar("Header", ast.For, ast.If)


def _headers(form: Form, kind: type[Header]) -> Iterator[tuple[Header, Token, str]]:
    """Compound statements with a shown header: the node, its colon, the indentation of its body."""
    for node in ast.walk(form.function):
        if isinstance(node, kind):
            colon = _header_end(form, node)
            if (
                colon
                and not form.indentation_of(node).strip()
                and not form.code_of(node).startswith("elif")
            ):
                yield node, colon, form.indentation_of(node.body[0])


def _steady(node: ast.For) -> bool:
    """Whether the loop runs over a name, or a range of constants, names and lengths, that its body
    leaves alone.
    """
    call = (
        isinstance(node.iter, ast.Call)
        and isinstance(node.iter.func, ast.Name)
        and node.iter.func.id == "range"
    )
    if (
        not isinstance(node.target, ast.Name)
        or node.orelse
        or not (call or isinstance(node.iter, ast.Name))
    ):
        return False
    names = {n.id for n in ast.walk(node.iter) if isinstance(n, ast.Name)} - {"range", "len"}
    allowed = ast.Name | ast.Constant | ast.Call | ast.Load | ast.UnaryOp | ast.USub
    if not all(isinstance(n, allowed) for n in ast.walk(node.iter)) or node.target.id in names:
        return False
    inside = [n for statement in node.body for n in ast.walk(statement)]
    bound = any(bound_names(s, "assigned", "deleted") & names for s in node.body)
    owners = [n.value for n in inside if isinstance(n, ast.Attribute)]
    owners += [
        n.value for n in inside if isinstance(n, ast.Subscript) and not isinstance(n.ctx, ast.Load)
    ]
    return not bound and not any(isinstance(o, ast.Name) and o.id in names for o in owners)


def _bounds(form: Form, node: ast.For) -> tuple[str, str, str, int] | None:
    """Start, end, item expression over `{}` and step of a steady loop; None for a step that is no
    number.
    """
    if isinstance(node.iter, ast.Name):
        return "0", f"len({node.iter.id})", node.iter.id + "[{}]", 1
    assert isinstance(node.iter, ast.Call)
    texts = [form.code_of(argument) for argument in node.iter.args]
    start, end = ("0", texts[0]) if len(texts) == 1 else (texts[0], texts[1])
    try:
        step = int(ast.literal_eval(node.iter.args[2])) if len(texts) == 3 else 1
    except ValueError:
        return None
    return (start, end, "{}", step) if step else None


@_in_code(published="ForWhileTransformer")
def for_while_transformer(form: Form, rng: Random) -> list[Edit]:
    """A `for` over a sequence or a range as a `while` with a counter of its own."""
    counter = _fresh(rng, form, _COUNTERS)
    found = [(n, c, i) for n, c, i in _headers(form, ast.For) if _steady(n)]
    if counter is None or not found:
        return []
    node, colon, inner = rng.choice(found)
    bounds = _bounds(form, node)
    if bounds is None:
        return []
    start, end, item, step = bounds
    outer, before, target = (
        form.indentation_of(node),
        form.span_of(node).start,
        form.code_of(node.target),
    )
    lines = [
        f"{counter} = {start}",
        f"{outer}while {counter} {'<' if step > 0 else '>'} {end}:",
        f"{inner}{target} = {item.format(counter)}",
        f"{inner}{counter} {'+' if step > 0 else '-'}= {abs(step)}",
    ]
    return [Edit(start=before, end=colon.end, text="\n".join(lines))]


def _pure(node: ast.expr) -> bool:
    """Whether nothing but a value comes of evaluating it, whatever was evaluated before."""
    if isinstance(node, ast.Call):
        plain = (
            isinstance(node.func, ast.Name) and node.func.id in ("len", "abs") and not node.keywords
        )
        return plain and all(_pure(argument) for argument in node.args)
    if isinstance(node, ast.BinOp):
        return (
            isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Mod)
            and _pure(node.left)
            and _pure(node.right)
        )
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub) and _pure(node.operand)
    return isinstance(node, ast.Name | ast.Constant)


@_in_code(published="OperandSwap")
def operand_swap(form: Form, rng: Random) -> list[Edit]:
    """A comparison of two plain values read from right to left: `9 <= a` for `a >= 9`."""
    found = [
        node
        for node in nodes(form, ast.Compare)
        if len(node.ops) == 1
        and type(node.ops[0]) in _MIRRORED
        and _pure(node.left)
        and _pure(node.comparators[0])
    ]
    return [
        _replaced(
            form,
            n,
            f"{form.code_of(n.comparators[0])} {_MIRRORED[type(n.ops[0])]} {form.code_of(n.left)}",
        )
        for n in _pick(rng, found)
    ]


@_in_code(published="BlockSwap")
def block_swap(form: Form, rng: Random) -> list[Edit]:
    """The two branches of an `if` exchanged and its condition negated; a missing branch is a
    `pass`.
    """
    found = [
        (n, c, i) for n, c, i in _headers(form, ast.If) if not n.orelse or _plain_else(form, n)
    ]
    if not found:
        return []
    node, colon, inner = rng.choice(found)
    edits = [_replaced(form, node.test, f"not ({form.code_of(node.test)})")]
    if not node.orelse:
        text = f"\n{inner}pass\n{form.indentation_of(node)}else:"
        return [*edits, Edit(start=colon.end, end=colon.end, text=text)]
    blocks = [(form.span_of(b[0]).start, form.span_of(b[-1]).end) for b in (node.body, node.orelse)]
    (a, b), (c, d) = blocks
    return [
        *edits,
        Edit(start=a, end=b, text=form.source[c:d]),
        Edit(start=c, end=d, text=form.source[a:b]),
    ]


def _plain_else(form: Form, node: ast.If) -> bool:
    """Whether the shown statement has an `else` block of whole lines, indented like the first."""
    first = node.orelse[0]
    alike = form.indentation_of(first) == form.indentation_of(node.body[0])
    return alike and form.shown(node) and not form.code_of(first).startswith("elif")


@_in_code()
def comparison_negation(form: Form, rng: Random) -> list[Edit]:
    """An equality or membership test as the negation of its opposite: `(not a != b)` for `a ==
    b`.
    """
    found = [
        node
        for node in nodes(form, ast.Compare)
        if len(node.ops) == 1 and type(node.ops[0]) in _OPPOSITE
    ]
    return [
        _replaced(
            form,
            n,
            f"(not {form.code_of(n.left)} {_OPPOSITE[type(n.ops[0])]} "
            f"{form.code_of(n.comparators[0])})",
        )
        for n in _pick(rng, found)
    ]


@_in_code()
def chained_comparison_split(form: Form, rng: Random) -> list[Edit]:
    """A chain of two comparisons as two: `(a < b and b < c)` for `a < b < c`."""
    found = [
        n
        for n in nodes(form, ast.Compare)
        if len(n.ops) == 2 and all(map(_pure, (n.left, *n.comparators)))
    ]
    edits = []
    for node in _pick(rng, found):
        left, right = node.comparators
        first, last = form.span_of(left), form.span_of(node)
        chain = f"({form.source[last.start : first.end]} and {form.source[first.start : last.end]})"
        edits.append(_replaced(form, node, chain))
    return edits


@_in_code()
def double_negation(form: Form, rng: Random) -> list[Edit]:
    """A condition negated twice: `if not not (x):`."""
    tests = [
        n.test for n in ast.walk(form.function) if isinstance(n, ast.If | ast.While | ast.IfExp)
    ]
    tests = [test for test in tests if form.shown(test)]
    tests += [
        test
        for node in nodes(form, ast.expr)
        for part in getattr(node, "generators", ())
        for test in part.ifs
    ]
    return [_replaced(form, test, f"not not ({form.code_of(test)})") for test in _pick(rng, tests)]


@_in_code()
def return_via_variable(form: Form, rng: Random) -> list[Edit]:
    """A result given a name before it is returned."""
    found = [
        s
        for s in nodes(form, ast.Return)
        if s.value is not None and not form.indentation_of(s).strip()
    ]
    name = _fresh(rng, form, _RESULTS)
    edits = []
    for statement in _pick(rng, found) if name else []:
        assert statement.value is not None
        text = (
            f"{name} = "
            f"{form.code_of(statement.value)}\n{form.indentation_of(statement)}return {name}"
        )
        edits.append(_replaced(form, statement, text))
    return edits


@_in_code()
def constant_unfolding(form: Form, rng: Random) -> list[Edit]:
    """A whole number written as a sum: `(4 + 1)` for `5`."""
    found = [n for n in nodes(form, ast.Constant) if type(n.value) is int and n.value >= 2]
    return [
        _replaced(form, node, f"({node.value - 1} + 1)")
        for node in _pick(rng, found)
        if isinstance(node.value, int)
    ]


@_in_code()
def literal_to_constructor(form: Form, rng: Random) -> list[Edit]:
    """An empty list or dictionary made by its constructor: `list()` for `[]`."""
    values = [s.value for s in nodes(form, ast.Assign)]
    lists = [(v, "list()") for v in values if isinstance(v, ast.List) and not v.elts]
    dicts = [(v, "dict()") for v in values if isinstance(v, ast.Dict) and not v.keys]
    free = {"list", "dict"}.isdisjoint(bound_names(form.tree, "assigned", "deleted"))
    return [_replaced(form, value, text) for value, text in (lists + dicts if free else [])]


@_in_code()
def augmented_assignment_expansion(form: Form, rng: Random) -> list[Edit]:
    """`x = x + 1` for `x += 1`, where a number is added to a name."""
    found = [
        s
        for s in nodes(form, ast.AugAssign)
        if isinstance(s.target, ast.Name)
        and type(s.op) in _AUGMENTED
        and isinstance(s.value, ast.Constant)
        and isinstance(s.value.value, int | float)
    ]
    return [
        _replaced(form, s, f"{x} = {x} {_AUGMENTED[type(s.op)]} {form.code_of(s.value)}")
        for s in _pick(rng, found)
        for x in (form.code_of(s.target),)
    ]


@_in_code()
def unused_variable(form: Form, rng: Random) -> list[Edit]:
    """A variable that nothing reads, set before a shown statement."""
    line = rng.choice([line for line in _UNUSED if usable_name(line.split(" ")[0], form)] or [""])
    return [_before(form, s, [line]) for s in _pick(rng, _statements(form))] if line else []


@_anywhere()
def unused_import(form: Form, rng: Random) -> list[Edit]:
    """A module of the standard library imported before the function, and not used."""
    module = _fresh(rng, form, _MODULES)
    first = min([form.function.lineno, *(d.lineno for d in form.function.decorator_list)])
    at = form.offset(first, 0)
    return [Edit(start=at, end=at, text=f"import {module}\n\n\n")] if module else []


@_anywhere(promise="same_up_to_annotations")
def type_hints(form: Form, rng: Random) -> list[Edit]:
    """The function's annotations removed, or `object` as annotation of each parameter where there
    are none.
    """
    arguments = [n for n in ast.walk(form.function.args) if isinstance(n, ast.arg)]
    notes = [
        (form.offset(a.lineno, a.col_offset) + len(a.arg), a.annotation)
        for a in arguments
        if a.annotation
    ]
    returns = form.function.returns
    if not notes and returns is None:
        ends = [
            form.offset(a.lineno, a.col_offset) + len(a.arg)
            for a in arguments
            if a.arg not in ("self", "cls")
        ]
        return [Edit(start=at, end=at, text=": object") for at in ends]
    edits = [Edit(start=at, end=form.span_of(note).end, text="") for at, note in notes]
    if returns is not None:
        span = form.span_of(returns)
        arrow = max(t.start for t in form.tokens if t.text == "->" and t.start < span.start)
        edits.append(Edit(start=len(form.source[:arrow].rstrip()), end=span.end, text=""))
    return edits
