"""Perturbations of a docstring's words and sentences: synonyms, word forms, tenses, other ways to
put it.

Each takes a task apart, a seeded random source, and gives the edits; none if it does not apply.
Names, numbers, quoted text and doctests stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from random import Random

from flab_deploy.evaluation.perturb.form import Edit, Form, Span
from flab_deploy.evaluation.perturb.methods.characters import some
from flab_deploy.evaluation.perturb.registry import DESCRIBED, perturbation
from flab_deploy.evaluation.perturb.words import (
    CONTRACTIONS,
    INFLECTIONS,
    NUMBER_OF_WORD,
    NUMBER_WORDS,
    SYNONYMS,
    VERBS,
    like,
    s_form,
)

_SUBJECTS = ("This function", "The function", "It")
_REQUESTS = ("Please", "Kindly", "Your task is to", "Write code to")
_FILLERS = (
    "This helper is part of a larger program.",
    "The function is called from several modules.",
    "It was written for internal use.",
)
_ONE_IS_NO_NUMBER = re.compile(
    r"(?:each|every|this|that|which|any|no|the) one\b|\bone (?:of|by|another|or)\b", re.I
)

_SENTENCE_END = re.compile(r"(?<!\be\.g)(?<!\bi\.e)(?<!\betc)[.?!](?=\s)")
_SETTING = re.compile(r"(?:given|for|from|out of)\b", re.IGNORECASE)
_COUNT = re.compile(r"numbers? of", re.I)

_in_prose = partial(perturbation, family="natural_language", promise="same_code", kinds=DESCRIBED)


def _phrases(form: Form, phrases: Iterable[str]) -> list[Span]:
    """Where one of the phrases stands in the prose, its first word being one that may change."""
    pattern = re.compile(
        r"\b(" + "|".join(sorted(phrases, key=len, reverse=True)) + r")\b", re.IGNORECASE
    )
    free = {word.start for word in form.words}
    return [
        Span(start=line.start + match.start(), end=line.start + match.end())
        for line in form.prose
        for match in pattern.finditer(form.text(line))
        if line.start + match.start() in free
    ]


def _replaced(form: Form, spans: Iterable[Span], text: str) -> list[Edit]:
    return [Edit(start=s.start, end=s.end, text=text) for s in spans]


@_in_prose(published="EnglishInflectionalVariation")
def english_inflectional_variation(form: Form, rng: Random) -> list[Edit]:
    """Half of the known nouns and verbs in another form: "number" for "numbers", "returns" for
    "return".
    """
    known = [
        word
        for word in form.words
        if form.text(word).lower() in INFLECTIONS
        and not _COUNT.match(form.source[word.start : word.end + 3])
    ]  # "the number of items" is a count, "the numbers of 9 or more" are items
    edits = []
    for word in some(rng, known, 0.5):
        text = form.text(word)
        edits.append(
            Edit(
                start=word.start,
                end=word.end,
                text=like(text, rng.choice(INFLECTIONS[text.lower()])),
            )
        )
    return edits


@_in_prose(published="SynonymSubstitution")
def synonym_substitution(form: Form, rng: Random) -> list[Edit]:
    """Half of the words and phrases with a known synonym, replaced by it."""
    chosen = some(rng, _phrases(form, SYNONYMS), 0.5)
    return [Edit(start=s.start, end=s.end, text=_synonym(rng, form.text(s))) for s in chosen]


def _synonym(rng: Random, phrase: str) -> str:
    return like(phrase, rng.choice(SYNONYMS[phrase.lower()]))


@_in_prose(published="SynonymInsertion")
def synonym_insertion(form: Form, rng: Random) -> list[Edit]:
    """A synonym in brackets after half of the words and phrases that have one."""
    chosen = some(rng, _phrases(form, SYNONYMS), 0.5)
    return [
        Edit(start=s.end, end=s.end, text=f" ({rng.choice(SYNONYMS[form.text(s).lower()])})")
        for s in chosen
    ]


def opening_verb(form: Form) -> Span | None:
    """The imperative that a description opens with, if it does."""
    if not form.words or not form.prose:
        return None
    word = form.words[0]
    opens = not form.source[form.prose[0].start : word.start].strip()
    return word if opens and form.text(word).lower() in VERBS else None


def _verbs(form: Form) -> list[Span]:
    """Imperatives: the opening verb, and known verbs right after a comma, "then" or "and"."""
    first = opening_verb(form)
    found = [first] if first else []
    for word in form.words:
        before = form.source[max(0, word.start - 40) : word.start]
        joined = re.search(r"(?:,|\bthen|\band)\s+$", before)
        if joined and word != first and form.text(word) in VERBS:
            found.append(word)
    return found


@_in_prose(published="TenseTransformationPast")
def tense_transformation_past(form: Form, rng: Random) -> list[Edit]:
    """Instructions in the past tense: "Returned the sum"."""
    return [
        Edit(start=v.start, end=v.end, text=like(form.text(v), VERBS[form.text(v).lower()]))
        for v in _verbs(form)
        if VERBS[form.text(v).lower()] != form.text(v).lower()
    ]


@_in_prose(published="TenseTransformationFuture")
def tense_transformation_future(form: Form, rng: Random) -> list[Edit]:
    """Instructions in the future tense: "Will return the sum"."""
    return [
        Edit(start=v.start, end=v.end, text=like(form.text(v), "will " + form.text(v).lower()))
        for v in _verbs(form)
    ]


def _main_verb(form: Form) -> Span | None:
    """The imperative of the first sentence: its first word, or the first verb after "Given ...,
    ".
    """
    opening = opening_verb(form)
    if opening or not form.prose or not _SETTING.match(form.text(form.prose[0]).lstrip()):
        return opening
    end = _first_sentence_end(form)
    return next(
        (
            verb
            for verb in _verbs(form)
            if verb.end <= end and form.source[: verb.start].rstrip().endswith(",")
        ),
        None,
    )


def _leading(form: Form, verb: Span, words: str) -> str:
    """Words to stand before a verb, in small letters unless the verb opens the description."""
    return words if verb == opening_verb(form) else words[0].lower() + words[1:]


@_in_prose()
def declarative_sentence(form: Form, rng: Random) -> list[Edit]:
    """An imperative turned into a statement: "Return the sum" becomes "This function returns the
    sum".
    """
    verb = _main_verb(form)
    if verb is None:
        return []
    return _replaced(
        form,
        [verb],
        f"{_leading(form, verb, rng.choice(_SUBJECTS))} {s_form(form.text(verb).lower())}",
    )


@_in_prose()
def polite_request(form: Form, rng: Random) -> list[Edit]:
    """An imperative turned into a request: "Please return the sum"."""
    verb = _main_verb(form)
    if verb is None:
        return []
    return _replaced(
        form, [verb], f"{_leading(form, verb, rng.choice(_REQUESTS))} {form.text(verb).lower()}"
    )


@_in_prose()
def article_removal(form: Form, rng: Random) -> list[Edit]:
    """Articles left out, as in notes: "Return sum of even numbers"."""
    articles = [
        w for w in form.words if form.text(w) in ("the", "a", "an") and form.source[w.end] == " "
    ]
    return [Edit(start=w.start, end=w.end + 1, text="") for w in articles]


@_in_prose()
def contractions(form: Form, rng: Random) -> list[Edit]:
    """Long forms shortened: "don't" for "do not"."""
    found = _phrases(form, CONTRACTIONS)
    return [
        Edit(start=s.start, end=s.end, text=like(form.text(s), CONTRACTIONS[form.text(s).lower()]))
        for s in found
    ]


@_in_prose()
def filler_sentence(form: Form, rng: Random) -> list[Edit]:
    """A sentence that says nothing about the task, after the first sentence of the description."""
    if not form.prose:
        return []
    end = _first_sentence_end(form)
    last = form.source[end - 1]
    if not (last.isalnum() or last in ".?!)"):
        return []
    return [
        Edit(start=end, end=end, text=("" if last in ".?!" else ".") + " " + rng.choice(_FILLERS))
    ]


def _first_sentence_end(form: Form) -> int:
    """Offset behind the first sentence of the description, which may go over several lines of one
    paragraph.
    """
    paragraph = [form.prose[0]]
    for line in form.prose[1:]:
        if line.start != paragraph[-1].end + 1:
            break
        paragraph.append(line)
    start, end = paragraph[0].start, paragraph[-1].end
    for found in _SENTENCE_END.finditer(form.source, start, end):
        if not any(
            span.start < found.start() and found.end() < span.end for span in form.protected
        ):
            return found.end()
    return start + len(form.source[start:end].rstrip())


@_in_prose(promise="same_code_other_numbers")
def number_words(form: Form, rng: Random) -> list[Edit]:
    """Small numbers in words, and the other way round: "the first three" for "the first 3"."""
    edits = []
    for span in form.protected:
        text, end = form.text(span), span.end
        around = form.source[span.start - 1] + form.source[end]
        within = any(other.start < span.start and span.end <= other.end for other in form.protected)
        if (
            text.isdigit()
            and int(text) < len(NUMBER_WORDS)
            and not set(around) - set(" ,.\n")
            and not within
        ):
            edits.append(Edit(start=span.start, end=end, text=NUMBER_WORDS[int(text)]))
    for word in form.words:
        near = form.source[max(0, word.start - 8) : word.end + 9]
        if form.text(word) in NUMBER_OF_WORD and not (
            form.text(word) == "one" and _ONE_IS_NO_NUMBER.search(near)
        ):
            edits.append(Edit(start=word.start, end=word.end, text=NUMBER_OF_WORD[form.text(word)]))
    return edits
