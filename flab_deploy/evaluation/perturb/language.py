"""Perturbations of a docstring's wording: typos, case, spacing, synonyms, another sentence.

Each takes a task apart, a seeded random source, and gives the edits; none if it does not apply.
Names, numbers, quoted text and doctests stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

from flab_deploy.evaluation.perturb.form import Edit, Form, Span

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_SHORTEST_WORD = 4

SYNONYMS = {
    "greater than": ("more than", "bigger than"),
    "larger than": ("greater than", "bigger than"),
    "less than": ("smaller than", "lower than"),
    "smaller than": ("less than", "lower than"),
    "fewer than": ("less than",),
    "different from": ("other than", "unequal to"),
    "not equal to": ("different from", "unequal to"),
    "start with": ("begin with",),
    "beginning with": ("starting with",),
    "end with": ("finish with",),
    "ending in": ("finishing in",),
    "return": ("give back", "give"),
    "compute": ("work out", "calculate"),
    "calculate": ("compute", "work out"),
    "find": ("determine", "work out"),
    "get": ("obtain", "produce"),
    "keep": ("retain", "hold on to"),
    "select": ("pick", "choose"),
    "check": ("verify", "test"),
    "convert": ("change", "turn"),
    "increase": ("raise",),
    "decrease": ("lower",),
    "append": ("attach",),
    "largest": ("biggest", "greatest"),
    "smallest": ("lowest",),
    "each one": ("every one", "each of them"),
    "only": ("just", "solely"),
    "exactly": ("precisely",),
    "also": ("additionally",),
    "given": ("provided",),
}
"""Reviewed by hand: each replacement says the same in a docstring."""

_THIRD_PERSON = {
    "return": "returns", "compute": "computes", "find": "finds", "get": "gets", "calculate": "calculates",
    "check": "checks", "create": "creates", "count": "counts", "convert": "converts", "take": "takes", "keep": "keeps",
}  # fmt: skip
_SUBJECTS = ("This function", "The function", "It")
_FILLERS = (
    "This helper is part of a larger program.",
    "The function is called from several modules.",
    "It was written for internal use.",
)


def neighbour(rng: Random, letter: str) -> str:
    """A letter beside `letter` on a QWERTY keyboard, in the same case."""
    row = next(row for row in _ROWS if letter.lower() in row)
    at = row.index(letter.lower())
    found = rng.choice([row[i] for i in (at - 1, at + 1) if 0 <= i < len(row)])
    return found.upper() if letter.isupper() else found


def _some(rng: Random, items: Sequence[Span], share: float) -> list[Span]:
    """About `share` of the items, at least one if there are any."""
    chosen = [item for item in items if rng.random() < share]
    return chosen or ([rng.choice(items)] if items else [])


def _long_words(form: Form) -> list[Span]:
    return [w for w in form.words if w.end - w.start >= _SHORTEST_WORD and form.text(w).isalpha()]


def butter_finger(form: Form, rng: Random) -> list[Edit]:
    """Inner letters replaced by their keyboard neighbours, in a fifth of the longer words, one letter each."""
    edits = []
    for word in _some(rng, _long_words(form), 0.2):
        at = rng.randrange(word.start + 1, word.end - 1)
        edits.append(Edit(start=at, end=at + 1, text=neighbour(rng, form.source[at])))
    return edits


def swap_characters(form: Form, rng: Random) -> list[Edit]:
    """Two inner letters exchanged, in a fifth of the longer words."""
    edits = []
    for word in _some(rng, _long_words(form), 0.2):
        places = [i for i in range(word.start + 1, word.end - 2) if form.source[i] != form.source[i + 1]]
        if places:
            at = rng.choice(places)
            edits.append(Edit(start=at, end=at + 2, text=form.source[at + 1] + form.source[at]))
    return edits


def char_case(form: Form, rng: Random) -> list[Edit]:
    """The case of 35 % of the letters flipped."""
    letters = [Span(start=i, end=i + 1) for word in form.words for i in range(word.start, word.end)]
    letters = [letter for letter in letters if form.text(letter).isalpha()]
    chosen = _some(rng, letters, 0.35)
    return [Edit(start=s.start, end=s.end, text=form.text(s).swapcase()) for s in chosen]


def whitespace(form: Form, rng: Random) -> list[Edit]:
    """Some spaces between words doubled, some after commas dropped."""
    gaps = [
        Span(start=line.start + found.start(), end=line.start + found.end())
        for line in form.prose
        for found in re.finditer(r"(?<=[A-Za-z,]) (?=[A-Za-z])", form.text(line))
    ]
    free = [gap for gap in gaps if not any(gap.overlaps(other) for other in form.protected)]
    return [
        Edit(start=gap.start, end=gap.end, text="" if form.source[gap.start - 1] == "," else "  ")
        for gap in _some(rng, free, 0.15)
    ]


def synonyms(form: Form, rng: Random) -> list[Edit]:
    """Half of the words and phrases with a known synonym, replaced by it."""
    pattern = re.compile(r"\b(" + "|".join(sorted(SYNONYMS, key=len, reverse=True)) + r")\b", re.IGNORECASE)
    free = {word.start for word in form.words}
    found = [
        Span(start=line.start + match.start(), end=line.start + match.end())
        for line in form.prose
        for match in pattern.finditer(form.text(line))
        if line.start + match.start() in free
    ]
    return [Edit(start=s.start, end=s.end, text=_synonym(rng, form.text(s))) for s in _some(rng, found, 0.5)]


def _synonym(rng: Random, phrase: str) -> str:
    chosen = rng.choice(SYNONYMS[phrase.lower()])
    return chosen[0].upper() + chosen[1:] if phrase[0].isupper() else chosen


def statement(form: Form, rng: Random) -> list[Edit]:
    """An opening imperative turned into a statement: "Return the sum" becomes "This function returns the sum"."""
    if not form.words or not form.prose:
        return []
    word = form.words[0]
    text = form.text(word)
    opens = form.source[form.prose[0].start : word.start].strip() == ""
    if not opens or text.lower() not in _THIRD_PERSON:
        return []
    return [Edit(start=word.start, end=word.end, text=f"{rng.choice(_SUBJECTS)} {_THIRD_PERSON[text.lower()]}")]


def filler_sentence(form: Form, rng: Random) -> list[Edit]:
    """A sentence that says nothing about the task, after the first line of the description."""
    if not form.prose or not form.text(form.prose[0]).rstrip().endswith("."):
        return []
    end = form.prose[0].start + len(form.text(form.prose[0]).rstrip())
    return [Edit(start=end, end=end, text=" " + rng.choice(_FILLERS))]


METHODS: dict[str, Callable[[Form, Random], list[Edit]]] = {
    "butter_finger": butter_finger,
    "swap_characters": swap_characters,
    "char_case": char_case,
    "whitespace": whitespace,
    "synonyms": synonyms,
    "statement": statement,
    "filler_sentence": filler_sentence,
}
