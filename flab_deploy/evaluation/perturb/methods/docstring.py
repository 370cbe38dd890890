"""Perturbations of a docstring's parts: its examples written another way, or information taken out
of it.
"""

from __future__ import annotations

import re
from functools import partial
from random import Random

from flab_deploy.evaluation.perturb.form import Edit, Form, Span
from flab_deploy.evaluation.perturb.registry import DESCRIBED, perturbation

_in_docstring = partial(
    perturbation, family="natural_language", promise="same_tree_other_doc", kinds=DESCRIBED
)


def _examples(form: Form) -> list[tuple[Span, str, str]]:
    """Doctests of one call line and one result line: their span, the call, the result."""
    lines = form.doctests
    found = []
    for first, second in zip(lines, lines[1:], strict=False):
        call, result = form.text(first).strip(), form.text(second).strip()
        follows = (
            form.source[first.end : second.start].strip(" \t") == "\n"
            and second.start == first.end + 1
        )
        if call.startswith(">>> ") and follows and not result.startswith((">>>", "...")):
            found.append((Span(start=first.start, end=second.end), call[4:], result))
    return found


@_in_docstring()
def doctest_style(form: Form, rng: Random) -> list[Edit]:
    """Each doctest as a line of text, its values copied: "Example: f(1) -> 2"."""
    examples = _examples(form)
    if len(examples) * 2 != len(form.doctests):
        return []
    arrow = rng.choice(("->", "=>", "returns", "=="))
    edits = []
    for span, call, result in examples:
        indent = re.match(r"\s*", form.text(span))
        assert indent is not None
        edits.append(
            Edit(
                start=span.start, end=span.end, text=f"{indent[0]}Example: {call} {arrow} {result}"
            )
        )
    return edits


def _lines_removed(form: Form, spans: list[Span]) -> list[Edit]:
    """Whole lines taken out, with their line ends; the opening line of the docstring keeps its
    place.
    """
    edits = []
    for span in spans:
        whole = form.source[span.end] == "\n" and span.start != form.inner.start
        edits.append(Edit(start=span.start, end=span.end + (1 if whole else 0), text=""))
    return edits


@_in_docstring(probe=True, most_changed=1.0)
def doctest_removal(form: Form, rng: Random) -> list[Edit]:
    """The doctests taken out: what does the description alone carry?"""
    if not form.prose:
        return []
    return _lines_removed(form, [span for span in form.doctests if span.end < form.inner.end])


@_in_docstring(probe=True, most_changed=1.0)
def docstring_removal(form: Form, rng: Random) -> list[Edit]:
    """The description taken out, the doctests left: what do name and examples alone carry?"""
    if not form.doctests:
        return []
    return _lines_removed(form, [span for span in form.prose if span.end < form.inner.end])
