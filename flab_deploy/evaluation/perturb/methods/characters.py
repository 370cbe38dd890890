"""Perturbations of a docstring letter by letter: what hurried fingers, editors and fonts do to
prose.

Each takes a task apart, a seeded random source, and gives the edits; none if it does not apply.
Names, numbers, quoted text and doctests stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from random import Random

from flab_deploy.evaluation.perturb.form import Edit, Form, Span
from flab_deploy.evaluation.perturb.registry import DESCRIBED, perturbation

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_SHORTEST_WORD = 4
_TYPESET = {"'": "\u2019", "-": "\u2010", " ": "\u00a0"}

_in_prose = partial(perturbation, family="natural_language", promise="same_code", kinds=DESCRIBED)


def neighbour(rng: Random, letter: str) -> str:
    """A letter beside `letter` on a QWERTY keyboard, in the same case."""
    row = next(row for row in _ROWS if letter.lower() in row)
    at = row.index(letter.lower())
    found = rng.choice([row[i] for i in (at - 1, at + 1) if 0 <= i < len(row)])
    return found.upper() if letter.isupper() else found


def some(rng: Random, items: Sequence[Span], share: float) -> list[Span]:
    """About `share` of the items, at least one if there are any."""
    chosen = [item for item in items if rng.random() < share]
    return chosen or ([rng.choice(items)] if items else [])


def long_words(form: Form) -> list[Span]:
    """Words of the prose that can be recognised with a letter changed."""
    return [w for w in form.words if w.end - w.start >= _SHORTEST_WORD and form.text(w).isascii()]


def _in_inner_letters(form: Form, rng: Random, change: Callable[[str], str]) -> list[Edit]:
    """One inner letter changed in a fifth of the longer words."""
    edits = []
    for word in some(rng, long_words(form), 0.2):
        at = rng.choice(
            [i for i in range(word.start + 1, word.end - 1) if form.source[i].isalpha()]
        )
        edits.append(Edit(start=at, end=at + 1, text=change(form.source[at])))
    return edits


@_in_prose(published="ButterFingersPerturbation")
def butter_fingers_perturbation(form: Form, rng: Random) -> list[Edit]:
    """Inner letters replaced by their keyboard neighbours, in a fifth of the longer words, one
    letter each.
    """
    return _in_inner_letters(form, rng, lambda letter: neighbour(rng, letter))


@_in_prose(published="ChangeCharCase")
def change_char_case(form: Form, rng: Random) -> list[Edit]:
    """The case of 35 % of the letters flipped."""
    letters = [Span(start=i, end=i + 1) for word in form.words for i in range(word.start, word.end)]
    letters = [letter for letter in letters if form.text(letter).isalpha()]
    chosen = some(rng, letters, 0.35)
    return [Edit(start=s.start, end=s.end, text=form.text(s).swapcase()) for s in chosen]


@_in_prose(published="SwapCharactersPerturbation")
def swap_characters_perturbation(form: Form, rng: Random) -> list[Edit]:
    """Two inner letters exchanged, in a fifth of the longer words."""
    places = {
        word: [
            i for i in range(word.start + 1, word.end - 2) if form.source[i] != form.source[i + 1]
        ]
        for word in long_words(form)
    }
    chosen = some(rng, [word for word, found in places.items() if found], 0.2)
    starts = [rng.choice(places[word]) for word in chosen]
    return [Edit(start=at, end=at + 2, text=form.source[at + 1] + form.source[at]) for at in starts]


@_in_prose()
def drop_character(form: Form, rng: Random) -> list[Edit]:
    """An inner letter left out, in a fifth of the longer words."""
    return _in_inner_letters(form, rng, lambda _: "")


@_in_prose()
def double_character(form: Form, rng: Random) -> list[Edit]:
    """An inner letter typed twice, in a fifth of the longer words."""
    return _in_inner_letters(form, rng, lambda letter: letter * 2)


def _gaps(form: Form, pattern: str) -> list[Span]:
    """Matches of a pattern in the prose that touch no protected text."""
    found = [
        Span(start=line.start + match.start(), end=line.start + match.end())
        for line in form.prose
        for match in re.finditer(pattern, form.text(line))
    ]
    return [gap for gap in found if not any(gap.overlaps(other) for other in form.protected)]


@_in_prose(published="WhitespacePerturbation")
def whitespace_perturbation(form: Form, rng: Random) -> list[Edit]:
    """Some spaces between words doubled, some after commas dropped."""
    chosen = some(rng, _gaps(form, r"(?<=[A-Za-z,]) (?=[A-Za-z])"), 0.15)
    return [
        Edit(start=s.start, end=s.end, text="" if form.source[s.start - 1] == "," else "  ")
        for s in chosen
    ]


@_in_prose()
def punctuation(form: Form, rng: Random) -> list[Edit]:
    """Final full stops left out, and half of the commas between words."""
    stops = _gaps(form, r"(?<=[A-Za-z])\.(?=\s*$)")
    commas = [s for s in _gaps(form, r"(?<=[A-Za-z]),(?= [A-Za-z])") if rng.random() < 0.5]
    return [Edit(start=s.start, end=s.end, text="") for s in stops + commas]


@_in_prose()
def typographic_characters(form: Form, rng: Random) -> list[Edit]:
    """Typeset apostrophes and hyphens within words, and no-break spaces for a third of the spaces
    between them.
    """
    marks = _gaps(form, r"(?<=[A-Za-z])['-](?=[A-Za-z])")
    spaces = some(rng, _gaps(form, r"(?<=[A-Za-z]) (?=[A-Za-z])"), 0.33)
    return [Edit(start=s.start, end=s.end, text=_TYPESET[form.text(s)]) for s in marks + spaces]
