"""Perturbations of a docstring that the eye does not see: letters of another script."""

from __future__ import annotations

from random import Random

from flab_deploy.evaluation.perturb.form import Edit, Form
from flab_deploy.evaluation.perturb.methods.characters import long_words, some
from flab_deploy.evaluation.perturb.registry import DESCRIBED, perturbation

_LOOKALIKES = {
    "a": "\u0430",
    "c": "\u0441",
    "e": "\u0435",
    "o": "\u043e",
    "p": "\u0440",
    "x": "\u0445",
}


@perturbation(family="natural_language", promise="same_code", kinds=DESCRIBED, probe=True)
def homoglyphs(form: Form, rng: Random) -> list[Edit]:
    """A third of the longer words with one Latin letter replaced by the Cyrillic one that looks the
    same.
    """
    able = [
        word
        for word in long_words(form)
        if any(letter in _LOOKALIKES for letter in form.text(word))
    ]
    edits = []
    for word in some(rng, able, 0.33):
        at = rng.choice([i for i in range(word.start, word.end) if form.source[i] in _LOOKALIKES])
        edits.append(Edit(start=at, end=at + 1, text=_LOOKALIKES[form.source[at]]))
    return edits
