"""Perturbations of format: indentation, quotes, blank lines, comments, line ends, the prompt's last
characters.

The program's syntax tree stays as it is, docstring aside. Nothing on a prompt's way is ever
stripped.
"""

from __future__ import annotations

import ast
import re
import tokenize
from bisect import bisect_right
from dataclasses import replace
from functools import partial
from random import Random

from flab_deploy.corpus import Task
from flab_deploy.evaluation.perturb.form import Edit, Form, Span, Token, edited, line_starts
from flab_deploy.evaluation.perturb.methods.syntax import nodes
from flab_deploy.evaluation.perturb.registry import CODE, DESCRIBED, FUNCTIONS, perturbation

_COMMENTS = (
    "# Module-level helper.",
    "# Public function.",
    "# Keep this function short.",
    "# See the tests for usage.",
)
_SAFE_STRING = re.compile(r"(['\"])([^'\"\\\n]*)\1")

_format = partial(perturbation, family="format", promise="same_tree")
_in_code = partial(_format, kinds=CODE, shape="prefix")


@_format(kinds=FUNCTIONS, published="doc2comments")
def doc2comments(form: Form, rng: Random) -> Task | None:
    """The docstring as comment lines."""
    text = form.text(form.inner)
    lines = [line.removeprefix(form.indentation).rstrip() for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    while lines and not lines[0]:
        lines.pop(0)
    if not lines or form.indentation.strip():
        return None
    comments = ("\n" + form.indentation).join(f"# {line}" if line else "#" for line in lines)
    return edited(form, [Edit(start=form.docstring.start, end=form.docstring.end, text=comments)])


def _literals(form: Form) -> list[Token]:
    """Strings of several lines other than the docstring: their line ends are values."""
    doc = form.docstring if form.has_docstring else None
    return [t for t in form.tokens if t.kind == tokenize.STRING and "\n" in t.text and t != doc]


def _line_ends(form: Form) -> list[int]:
    """Offsets of the prompt's line ends, but for those within literals, after a backslash, or at
    its very end.
    """
    literals = _literals(form)
    ends = [start - 1 for start in line_starts(form.source)[1:-1] if start < form.split]
    return [
        at
        for at in ends
        if form.source[at - 1 : at] != "\\" and not any(t.start < at < t.end for t in literals)
    ]


def _in_example(form: Form, at: int) -> bool:
    """Whether a line end is followed by more of a doctest, which a blank line would end."""
    if not form.has_docstring or not any(line.end == at for line in form.doctests):
        return False
    return bool(form.source[at + 1 :].split("\n", 1)[0].strip())


@_format(published="new_lines")
def new_lines(form: Form, rng: Random) -> Task | None:
    """One to three empty lines, anywhere in code and description but not within examples."""
    ends = [at for at in _line_ends(form) if not _in_example(form, at)]
    chosen = rng.sample(ends, min(len(ends), rng.randint(1, 3)))
    return (
        edited(form, [Edit(start=at, end=at, text="\n") for at in sorted(chosen)])
        if chosen
        else None
    )


@_format(kinds=FUNCTIONS, shape="prefix", published="new_line_afterdoc")
def new_line_afterdoc(form: Form, rng: Random) -> Task | None:
    """An empty line between the docstring and the code that the prompt shows."""
    at = form.docstring.end
    if form.split <= at + 1 or form.source[at : at + 1] != "\n":
        return None
    return edited(form, [Edit(start=at, end=at, text="\n")])


@_format(published="new_line_aftercode", probe=True)
def new_line_aftercode(form: Form, rng: Random) -> Task | None:
    """A newline at the end of the prompt, where tokenizers often merge it with what would
    follow.
    """
    following = form.task.canonical_solution.lstrip(" ")
    ends = form.task.prompt.endswith("\n") or not following.startswith("\n")
    return None if ends else replace(form.task, prompt=form.task.prompt + "\n")


@_format(published="split_lines")
def split_lines(form: Form, rng: Random) -> Task | None:
    """The longest line of code broken after an opening bracket or a comma within brackets."""
    starts = line_starts(form.source)
    places: dict[int, list[int]] = {}
    depth = 0
    for token, following in zip(form.tokens, form.tokens[1:], strict=False):
        opens, closes = token.text in ("(", "[", "{"), token.text in (")", "]", "}")
        depth += (opens - closes) if token.kind == tokenize.OP else 0
        breakable = (
            depth > 0 and (opens or token.text == ",") and following.text not in (")", "]", "}")
        )
        if (
            token.kind == tokenize.OP
            and breakable
            and following.start < form.split
            and following.kind != tokenize.NL
        ):
            places.setdefault(bisect_right(starts, token.start) - 1, []).append(token.end)
    if not places:
        return None
    line = max(places, key=lambda number: starts[number + 1] - starts[number])
    text = form.source[starts[line] : starts[line + 1] - 1]
    indent = text[: len(text) - len(text.lstrip())]
    at = rng.choice(places[line])
    end = at + len(form.source[at:]) - len(form.source[at:].lstrip(" "))
    return edited(form, [Edit(start=at, end=end, text=f"\n{indent}        ")])


@_format(published="tab_indent", fits_indentation=True)
def tab_indent(form: Form, rng: Random) -> Task | None:
    """A tab for each four spaces of indentation, in prompt and solution."""
    return _reindented(form, "\t")


@_format(fits_indentation=True)
def two_space_indent(form: Form, rng: Random) -> Task | None:
    """Two spaces for each four of indentation, in prompt and solution."""
    return _reindented(form, "  ")


def _reindented(form: Form, unit: str) -> Task | None:
    levels = [t.text for t in form.tokens if t.kind == tokenize.INDENT]
    if any(len(level) % 4 or level.strip(" ") for level in levels):
        return None
    literals = _literals(form)
    edits = []
    for start in line_starts(form.source)[:-1]:
        found = re.compile(r" +(?=\S)").match(form.source, start)
        if found and not any(t.start < start < t.end for t in literals):
            level, rest = divmod(len(found[0]), 4)
            edits.append(Edit(start=start, end=found.end(), text=unit * level + " " * rest))
    return edited(form, edits)


@_format(kinds=DESCRIBED)
def quote_style(form: Form, rng: Random) -> Task | None:
    """The docstring in the other kind of triple quotes."""
    other = {'"""': "'''", "'''": '"""'}.get(form.quotes)
    text = form.text(form.inner)
    if other is None or other in text or text.endswith(other[0]):
        return None
    opening = Edit(start=form.inner.start - 3, end=form.inner.start, text=other)
    return edited(form, [opening, Edit(start=form.inner.end, end=form.inner.end + 3, text=other)])


@_in_code()
def string_quotes(form: Form, rng: Random) -> Task | None:
    """Short strings of the code in the other kind of quotes."""
    edits = []
    for token in form.tokens:
        found = _SAFE_STRING.fullmatch(token.text) if token.kind == tokenize.STRING else None
        if found and token.end <= form.split:
            other = "'" if found[1] == '"' else '"'
            edits.append(Edit(start=token.start, end=token.end, text=other + found[2] + other))
    return edited(form, edits) if edits else None


@_in_code()
def redundant_parentheses(form: Form, rng: Random) -> Task | None:
    """Brackets around a value that needs none."""
    values: list[ast.expr] = [s.value for s in nodes(form, ast.Assign)]
    values += [s.value for s in nodes(form, ast.Return) if s.value is not None]
    values += nodes(form, ast.Compare)
    if not values:
        return None
    span: Span = form.span_of(rng.choice(values))
    return edited(form, [Edit(start=span.start, end=span.end, text=f"({form.text(span)})")])


@_format()
def blank_line_removal(form: Form, rng: Random) -> Task | None:
    """All empty lines of the prompt taken out, but for those that end an example."""
    ends = set(_line_ends(form))
    starts = line_starts(form.source)
    edits = []
    for first, second in zip(starts, starts[1:], strict=False):
        blank = not form.source[first : second - 1].strip()
        after_example = form.has_docstring and any(line.end == first - 1 for line in form.doctests)
        if blank and first and second - 1 in ends and first - 1 in ends and not after_example:
            edits.append(Edit(start=first, end=second, text=""))
    return edited(form, edits) if edits else None


@_format()
def trailing_spaces(form: Form, rng: Random) -> Task | None:
    """Spaces at the end of a third of the prompt's lines; the prompt itself ends as before."""
    examples = {line.end for line in form.doctests} if form.has_docstring else set()
    ends = [at for at in _line_ends(form) if at not in examples]
    chosen = [at for at in ends if rng.random() < 0.34] or ([rng.choice(ends)] if ends else [])
    return (
        edited(form, [Edit(start=at, end=at, text=" " * rng.randint(1, 4)) for at in chosen])
        if chosen
        else None
    )


@_format()
def crlf(form: Form, rng: Random) -> Task | None:
    """The prompt's lines ended as on Windows."""
    ends = _line_ends(form)
    return (
        edited(form, [Edit(start=at, end=at, text="\r") for at in ends])
        if ends and not _literals(form)
        else None
    )


@_format()
def comment_insertion(form: Form, rng: Random) -> Task | None:
    """A comment that says nothing, before the function."""
    first = min([form.function.lineno, *(d.lineno for d in form.function.decorator_list)])
    at = form.offset(first, 0)
    return edited(form, [Edit(start=at, end=at, text=rng.choice(_COMMENTS) + "\n")])


@_format(probe=True)
def prompt_end_space(form: Form, rng: Random) -> Task | None:
    """A space at the end of the prompt, which tokenizers merge with the word that would follow."""
    following = form.task.canonical_solution
    if form.task.prompt[-1:].isspace() or not following.startswith((" ", "\n")):
        return None
    rest = following.removeprefix(" ")
    return replace(form.task, prompt=form.task.prompt + " ", canonical_solution=rest)


def fit_indentation(prompt: str, completion: str) -> str:
    """The completion with its indentation in the style of the prompt, where a completion starts a
    new line.

    A model may go on in the style it was trained on; an editor would fix that without asking.
    """
    style = re.search(r"\n([ \t]+)\S[^\n]*\Z", prompt)
    first = re.match(r"[ \t]*\n(?:[ \t]*\n)*([ \t]+)\S", completion)
    if style is None or first is None or style[1] == first[1]:
        return completion
    own, unit = first[1], style[1]

    def fit(match: re.Match[str]) -> str:
        levels, rest = divmod(len(match[1]), len(own))
        return "\n" + unit * levels + match[1][len(match[1]) - rest :]

    return re.sub(r"\n([ \t]+)(?=\S)", fit, completion)
