"""Perturbations of layout: indentation, quotes, blank lines, comments instead of a docstring, the prompt's end."""

from __future__ import annotations

import re
import tokenize
from dataclasses import replace
from random import Random

from flab_deploy.corpus import Task
from flab_deploy.evaluation.perturb.form import Edit, Form, edited, line_starts

_INDENT = "    "


def doc_to_comments(form: Form, rng: Random) -> Task | None:
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


def quote_style(form: Form, rng: Random) -> Task | None:
    """The docstring in the other kind of triple quotes."""
    other = {'"""': "'''", "'''": '"""'}.get(form.quotes)
    text = form.text(form.inner)
    if other is None or other in text or text.endswith(other[0]):
        return None
    opening = Edit(start=form.inner.start - 3, end=form.inner.start, text=other)
    return edited(form, [opening, Edit(start=form.inner.end, end=form.inner.end + 3, text=other)])


def blank_lines(form: Form, rng: Random) -> Task | None:
    """Empty lines before the docstring and where it already has one."""
    start = form.source.rfind("\n", 0, form.docstring.start) + 1
    if form.indentation.strip():
        return None
    gaps = [form.inner.start + m.start() for m in re.finditer(r"\n(?=\n)", form.text(form.inner))]
    return edited(form, [Edit(start=at, end=at, text="\n") for at in (start, *gaps)])


def two_space_indent(form: Form, rng: Random) -> Task | None:
    """Two spaces for each four of indentation, in prompt and solution."""
    return _reindented(form, "  ")


def tab_indent(form: Form, rng: Random) -> Task | None:
    """A tab for each four spaces of indentation, in prompt and solution."""
    return _reindented(form, "\t")


def _reindented(form: Form, unit: str) -> Task | None:
    levels = [t.text for t in form.tokens if t.kind == tokenize.INDENT]
    if any(len(level) % 4 or level.strip(" ") for level in levels):
        return None
    literal = [t for t in form.tokens if t.kind == tokenize.STRING and "\n" in t.text and t != form.docstring]
    edits = []
    for start in line_starts(form.source)[:-1]:
        found = re.compile(r" +(?=\S)").match(form.source, start)
        if found and not any(t.start < start < t.end for t in literal):
            level, rest = divmod(len(found[0]), 4)
            edits.append(Edit(start=start, end=found.end(), text=unit * level + " " * rest))
    return edited(form, edits)


def prompt_end_newline(form: Form, rng: Random) -> Task | None:
    """A newline at the end of the prompt, where tokenizers often merge it with what would follow."""
    if form.task.prompt.endswith("\n"):
        return None
    return replace(form.task, prompt=form.task.prompt + "\n")


def fit_indentation(prompt: str, completion: str) -> str:
    """The completion with its indentation in the style of the prompt, where a completion starts a new line.

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
