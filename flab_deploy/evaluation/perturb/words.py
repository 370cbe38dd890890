"""English as docstrings use it: synonyms, verb forms, plurals, number words. Small tables, reviewed
by hand.
"""

from __future__ import annotations

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
"""Phrase to phrases that say the same in a docstring."""

NAME_SYNONYMS = {
    "add": "sum", "all": "every", "array": "list", "avg": "mean", "average": "mean", "build": "make",
    "calculate": "compute", "change": "alter", "char": "character", "check": "verify", "compute": "calculate",
    "convert": "transform", "count": "tally", "create": "make", "delete": "remove", "distinct": "different",
    "evaluate": "assess", "even": "divisible_by_two", "filter": "select", "find": "locate", "first": "leading",
    "get": "fetch", "handle": "treat", "is": "check", "join": "combine", "joined": "combined", "largest": "biggest",
    "last": "final", "length": "size", "list": "items", "long": "lengthy", "longest": "lengthiest",
    "make": "create", "max": "maximum", "merge": "combine", "min": "minimum", "number": "num", "odd": "uneven",
    "positive": "above_zero", "negative": "below_zero", "process": "handle", "product": "multiplied",
    "remove": "drop", "replace": "substitute", "reverse": "flip", "reversed": "flipped", "search": "find",
    "select": "choose", "shortest": "briefest", "smallest": "least", "solve": "resolve", "sort": "order",
    "sorted": "ordered", "split": "divide", "string": "text", "sum": "total", "task": "job", "text": "string",
    "transform": "convert", "unique": "distinct", "upper": "uppercase", "lower": "lowercase", "word": "term",
    "words": "terms", "func": "function", "analyze": "examine", "descending": "decreasing",
}  # fmt: skip
"""Part of a snake_case name to a part that means the same."""

VERBS = {
    "add": "added", "analyze": "analyzed", "append": "appended", "apply": "applied", "build": "built",
    "calculate": "calculated", "change": "changed", "check": "checked", "choose": "chose", "combine": "combined",
    "compare": "compared", "compute": "computed", "concatenate": "concatenated", "convert": "converted",
    "count": "counted", "create": "created", "cut": "cut", "decode": "decoded", "decrease": "decreased",
    "determine": "determined", "divide": "divided", "double": "doubled", "drop": "dropped", "encode": "encoded",
    "evaluate": "evaluated", "extract": "extracted", "filter": "filtered", "find": "found", "generate": "generated",
    "get": "got", "give": "gave", "halve": "halved", "implement": "implemented", "increase": "increased",
    "insert": "inserted", "join": "joined", "keep": "kept", "make": "made", "merge": "merged", "move": "moved",
    "multiply": "multiplied", "negate": "negated", "parse": "parsed", "pick": "picked", "prepend": "prepended",
    "print": "printed", "put": "put", "raise": "raised", "remove": "removed", "repeat": "repeated",
    "replace": "replaced", "return": "returned", "reverse": "reversed", "round": "rounded", "scale": "scaled",
    "search": "searched", "select": "selected", "skip": "skipped", "sort": "sorted", "split": "split",
    "square": "squared", "subtract": "subtracted", "sum": "summed", "swap": "swapped", "take": "took",
    "test": "tested", "transform": "transformed", "trim": "trimmed", "turn": "turned", "use": "used",
    "verify": "verified", "write": "wrote",
}  # fmt: skip
"""Imperative to simple past."""

NOUNS = (
    "amount", "argument", "array", "bracket", "case", "character", "count", "digit", "element", "entry", "example",
    "factor", "function", "group", "index", "input", "integer", "item", "key", "length", "letter", "line", "list",
    "loop", "name", "number", "object", "operation", "output", "pair", "parameter", "part", "place", "position",
    "prefix", "product", "property", "quotient", "range", "remainder", "result", "root", "row", "score", "sentence",
    "separator", "sequence", "set", "space", "square", "step", "string", "substring", "suffix", "sum", "symbol",
    "text", "tuple", "value", "vowel", "word",
)  # fmt: skip
"""Countable nouns."""

_IRREGULAR_PLURALS = {
    "index": "indices",
    "matrix": "matrices",
    "vertex": "vertices",
    "child": "children",
}

NUMBER_WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip
"""The word for each number up to twelve."""

NUMBER_OF_WORD = {word: str(number) for number, word in enumerate(NUMBER_WORDS)}
"""The digits for each number word."""

CONTRACTIONS = {
    "do not": "don't", "does not": "doesn't", "is not": "isn't", "are not": "aren't", "cannot": "can't",
    "should not": "shouldn't", "must not": "mustn't", "will not": "won't", "it is": "it's", "that is": "that's",
    "you are": "you're", "there is": "there's",
}  # fmt: skip
"""Long to short form."""


def s_form(word: str) -> str:
    """Plural of a noun, which is also how the third person of a verb is spelt."""
    if word in _IRREGULAR_PLURALS:
        return _IRREGULAR_PLURALS[word]
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return word + "es"
    return word[:-1] + "ies" if word.endswith("y") and word[-2] not in "aeiou" else word + "s"


def ing_form(verb: str) -> str:
    """Present participle of a verb."""
    if verb.endswith("e") and not verb.endswith("ee"):
        return verb[:-1] + "ing"
    doubled = verb in ("cut", "drop", "get", "put", "skip", "split", "sum", "swap", "trim")
    return verb + (verb[-1] if doubled else "") + "ing"


def _inflections() -> dict[str, tuple[str, ...]]:
    groups = [{noun, s_form(noun)} for noun in NOUNS]
    groups += [{verb, s_form(verb), ing_form(verb)} for verb in VERBS if verb not in NOUNS]
    return {word: tuple(sorted(group - {word})) for group in groups for word in sorted(group)}


INFLECTIONS = _inflections()
"""Word to its other forms: singular and plural of nouns, present forms of verbs."""


def like(model: str, word: str) -> str:
    """The word with a capital letter where `model` has one."""
    return word[:1].upper() + word[1:] if model[:1].isupper() else word
