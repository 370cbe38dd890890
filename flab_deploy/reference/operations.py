"""The steps that reference programming tasks are composed of.

A task is a short pipeline over one argument: keep some items, change each one, reduce
what is left, adjust the result. Every step carries its code and its English wordings,
so that a task's solution and its description always say the same thing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Element = Literal["number", "word", "character"]
Value = Literal["number", "text", "list"]
Constant = Literal["none", "small", "factor", "length", "letter", "separator"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a pipeline: its code and how people describe it."""

    key: str
    """Stable name; compositions are identified by the keys of their steps."""
    code: str
    """Python expression over `{x}` (one item) or `{seq}` (a list), with `{k}` as the constant."""
    nouns: tuple[str, ...]
    """Noun-phrase wordings over `{n}` (plural noun) or `{s}` (the phrase so far)."""
    verbs: tuple[str, ...]
    """Imperative wordings."""
    slug: str
    """Fragment of a function name."""
    constant: Constant = "none"
    """What kind of constant the step draws."""
    gives: Value = "number"
    """Type of the value after this step (reducers and adjustments only)."""


def _keep(
    key: str, code: str, nouns: tuple[str, ...], slug: str, constant: Constant = "none"
) -> Step:
    verbs = tuple(f"keep the {noun}" for noun in nouns) + (f"select only the {nouns[0]}",)
    return Step(key=key, code=code, nouns=nouns, verbs=verbs, slug=slug, constant=constant)


def _change(
    key: str,
    code: str,
    nouns: tuple[str, ...],
    verbs: tuple[str, ...],
    slug: str,
    constant: Constant = "none",
) -> Step:
    return Step(key=key, code=code, nouns=nouns, verbs=verbs, slug=slug, constant=constant)


def _reduce(
    key: str,
    code: str,
    nouns: tuple[str, ...],
    slug: str,
    gives: Value,
    constant: Constant = "none",
) -> Step:
    verbs = tuple("return " + noun.replace("{s}", "them") for noun in nouns)
    return Step(
        key=key, code=code, nouns=nouns, verbs=verbs, slug=slug, constant=constant, gives=gives
    )


# fmt: off
KEEP: dict[Element, tuple[Step, ...]] = {
    "number": (
        _keep("even", "{x} % 2 == 0", ("even {n}", "{n} that are even"), "even"),
        _keep("odd", "{x} % 2 != 0", ("odd {n}", "{n} that are odd"), "odd"),
        _keep("positive", "{x} > 0", ("positive {n}", "{n} above zero"), "positive"),
        _keep("negative", "{x} < 0", ("negative {n}", "{n} below zero"), "negative"),
        _keep("nonzero", "{x} != 0", ("nonzero {n}", "{n} that are not zero"), "nonzero"),
        _keep("greater", "{x} > {k}", ("{n} greater than {k}", "{n} larger than {k}", "{n} above {k}"), "large", "small"),
        _keep("less", "{x} < {k}", ("{n} less than {k}", "{n} smaller than {k}", "{n} below {k}"), "small", "small"),
        _keep("at_least", "{x} >= {k}", ("{n} that are at least {k}", "{n} of {k} or more"), "min", "small"),
        _keep("at_most", "{x} <= {k}", ("{n} that are at most {k}", "{n} of {k} or less"), "max", "small"),
        _keep("divisible", "{x} % {k} == 0", ("{n} divisible by {k}", "multiples of {k}"), "divisible", "factor"),
        _keep("indivisible", "{x} % {k} != 0", ("{n} not divisible by {k}", "{n} that {k} does not divide"), "indivisible", "factor"),
        _keep("different", "{x} != {k}", ("{n} different from {k}", "{n} not equal to {k}"), "other", "small"),
        _keep("near", "abs({x}) < {k}", ("{n} closer to zero than {k}", "{n} with absolute value below {k}"), "near", "small"),
    ),
    "word": (
        _keep("longer", "len({x}) > {k}", ("{n} longer than {k} characters", "{n} with more than {k} characters"), "long", "length"),
        _keep("shorter", "len({x}) < {k}", ("{n} shorter than {k} characters", "{n} with fewer than {k} characters"), "short", "length"),
        _keep("length", "len({x}) == {k}", ("{n} of exactly {k} characters", "{n} with {k} characters"), "sized", "length"),
        _keep("even_length", "len({x}) % 2 == 0", ("{n} of even length", "{n} with an even number of characters"), "even_length"),
        _keep("starts", "{x}.startswith({k})", ("{n} that start with {k}", "{n} beginning with {k}"), "starting", "letter"),
        _keep("ends", "{x}.endswith({k})", ("{n} that end with {k}", "{n} ending in {k}"), "ending", "letter"),
        _keep("contains", "{k} in {x}", ("{n} that contain {k}", "{n} with the letter {k}"), "containing", "letter"),
        _keep("lacks", "{k} not in {x}", ("{n} that do not contain {k}", "{n} without the letter {k}"), "lacking", "letter"),
        _keep("lower", "{x}.islower()", ("lowercase {n}", "{n} written in lowercase"), "lowercase"),
        _keep("capital", "{x}[:1].isupper()", ("capitalized {n}", "{n} that start with a capital letter"), "capitalized"),
    ),
    "character": (
        _keep("vowels", '{x} in "aeiou"', ("vowels", "{n} that are vowels"), "vowels"),
        _keep("no_vowels", '{x} not in "aeiou"', ("{n} that are not vowels", "{n} other than vowels"), "no_vowels"),
        _keep("letters", "{x}.isalpha()", ("letters", "{n} that are letters"), "letters"),
        _keep("digits", "{x}.isdigit()", ("digits", "{n} that are digits"), "digits"),
        _keep("uppers", "{x}.isupper()", ("uppercase {n}", "{n} in uppercase"), "uppercase"),
        _keep("lowers", "{x}.islower()", ("lowercase {n}", "{n} in lowercase"), "lowercase"),
        _keep("no_spaces", '{x} != " "', ("{n} that are not spaces", "{n} other than spaces"), "no_spaces"),
        _keep("equal", "{x} == {k}", ("{n} equal to {k}", "occurrences of {k}"), "matching", "letter"),
        _keep("unequal", "{x} != {k}", ("{n} different from {k}", "{n} other than {k}"), "without", "letter"),
    ),
}

CHANGE: dict[Element, tuple[Step, ...]] = {
    "number": (
        _change("square", "{x} * {x}", ("squares of {s}",), ("square each one", "square them"), "squares"),
        _change("cube", "{x} ** 3", ("cubes of {s}",), ("cube each one", "raise each to the third power"), "cubes"),
        _change("double", "{x} * 2", ("doubles of {s}",), ("double each one", "double them"), "doubles"),
        _change("negate", "-{x}", ("negatives of {s}",), ("negate each one", "flip the sign of each one"), "negated"),
        _change("absolute", "abs({x})", ("absolute values of {s}",), ("take the absolute value of each one", "drop the signs"), "absolute"),
        _change("add", "{x} + {k}", ("{s} increased by {k}", "{s} plus {k}"), ("add {k} to each one", "increase each one by {k}"), "increased", "small"),
        _change("subtract", "{x} - {k}", ("{s} decreased by {k}", "{s} minus {k}"), ("subtract {k} from each one", "decrease each one by {k}"), "decreased", "small"),
        _change("multiply", "{x} * {k}", ("{s} multiplied by {k}", "{s} times {k}"), ("multiply each one by {k}", "scale each one by {k}"), "scaled", "factor"),
        _change("remainder", "{x} % {k}", ("remainders of {s} modulo {k}",), ("take each one modulo {k}", "take the remainder of each one by {k}"), "remainders", "factor"),
        _change("quotient", "{x} // {k}", ("quotients of {s} by {k}",), ("divide each one by {k}, rounding down", "floor-divide each one by {k}"), "quotients", "factor"),
        _change("cap", "min({x}, {k})", ("{s} capped at {k}", "{s} limited to at most {k}"), ("cap each one at {k}", "limit each one to at most {k}"), "capped", "small"),
        _change("raise", "max({x}, {k})", ("{s} raised to at least {k}",), ("raise each one to at least {k}", "replace each one below {k} by {k}"), "raised", "small"),
    ),
    "word": (
        _change("upper", "{x}.upper()", ("{s} in uppercase", "{s} converted to uppercase"), ("convert each one to uppercase", "make them uppercase"), "upper"),
        _change("lowercase", "{x}.lower()", ("{s} in lowercase", "{s} converted to lowercase"), ("convert each one to lowercase", "make them lowercase"), "lower"),
        _change("capitalize", "{x}.capitalize()", ("{s} with a capital first letter",), ("capitalize each one", "capitalize them"), "capitalized"),
        _change("backwards", "{x}[::-1]", ("{s} spelled backwards", "{s} written in reverse"), ("spell each one backwards", "reverse each one"), "backwards"),
        _change("prefix", "{x}[:{k}]", ("first {k} characters of {s}",), ("cut each one to its first {k} characters", "keep the first {k} characters of each one"), "prefixes", "length"),
        _change("suffix", "{x}[-{k}:]", ("last {k} characters of {s}",), ("cut each one to its last {k} characters", "keep the last {k} characters of each one"), "suffixes", "length"),
        _change("repeat", "{x} * {k}", ("{s} repeated {k} times",), ("repeat each one {k} times", "write each one {k} times"), "repeated", "factor"),
        _change("append", "{x} + {k}", ("{s} followed by {k}",), ("append {k} to each one", "add {k} at the end of each one"), "extended", "letter"),
        _change("prepend", "{k} + {x}", ("{s} preceded by {k}",), ("prepend {k} to each one", "put {k} before each one"), "prefixed", "letter"),
    ),
    "character": (
        _change("upper", "{x}.upper()", ("{s} in uppercase",), ("convert each one to uppercase", "make them uppercase"), "upper"),
        _change("lowercase", "{x}.lower()", ("{s} in lowercase",), ("convert each one to lowercase", "make them lowercase"), "lower"),
        _change("twice", "{x} * 2", ("{s} written twice",), ("write each one twice", "double each one"), "doubled"),
        _change("repeat", "{x} * {k}", ("{s} repeated {k} times",), ("repeat each one {k} times", "write each one {k} times"), "repeated", "factor"),
        _change("follow", "{x} + {k}", ("{s} each followed by {k}",), ("put {k} after each one", "append {k} to each one"), "followed", "separator"),
    ),
}

REDUCE: dict[Element, tuple[Step, ...]] = {
    "number": (
        _reduce("sum", "sum({seq})", ("the sum of {s}", "the total of {s}"), "sum", "number"),
        _reduce("count", "len({seq})", ("the number of {s}", "the count of {s}"), "count", "number"),
        _reduce("largest", "max({seq}, default=0)", ("the largest of {s}", "the maximum of {s}"), "largest", "number"),
        _reduce("smallest", "min({seq}, default=0)", ("the smallest of {s}", "the minimum of {s}"), "smallest", "number"),
        _reduce("list", "{seq}", ("the list of {s}", "a list of {s}"), "list", "list"),
        _reduce("sorted", "sorted({seq})", ("the sorted list of {s}", "the list of {s} in increasing order"), "sorted", "list"),
        _reduce("descending", "sorted({seq}, reverse=True)", ("the list of {s} in decreasing order", "the list of {s} from largest to smallest"), "descending", "list"),
        _reduce("reversed", "{seq}[::-1]", ("the reversed list of {s}", "the list of {s} in reverse order"), "reversed", "list"),
        _reduce("first", "{seq}[:{k}]", ("the first {k} of {s}",), "first", "list", "length"),
        _reduce("last", "{seq}[-{k}:]", ("the last {k} of {s}",), "last", "list", "length"),
        _reduce("distinct", "len(set({seq}))", ("the number of distinct values among {s}",), "distinct", "number"),
        _reduce("unique", "sorted(set({seq}))", ("the sorted list of distinct values among {s}",), "unique", "list"),
    ),
    "word": (
        _reduce("count", "len({seq})", ("the number of {s}", "the count of {s}"), "count", "number"),
        _reduce("list", "{seq}", ("the list of {s}", "a list of {s}"), "list", "list"),
        _reduce("sorted", "sorted({seq})", ("the sorted list of {s}", "the list of {s} in alphabetical order"), "sorted", "list"),
        _reduce("reversed", "{seq}[::-1]", ("the reversed list of {s}", "the list of {s} in reverse order"), "reversed", "list"),
        _reduce("join", "{k}.join({seq})", ("{s} joined with {k}", "the text of {s} separated by {k}"), "join", "text", "separator"),
        _reduce("longest", 'max({seq}, key=len, default="")', ("the longest of {s}",), "longest", "text"),
        _reduce("shortest", 'min({seq}, key=len, default="")', ("the shortest of {s}",), "shortest", "text"),
        _reduce("by_length", "sorted({seq}, key=len)", ("the list of {s} sorted by length",), "by_length", "list"),
        _reduce("first", "{seq}[:{k}]", ("the first {k} of {s}",), "first", "list", "length"),
        _reduce("unique", "sorted(set({seq}))", ("the sorted list of distinct values among {s}",), "unique", "list"),
    ),
    "character": (
        _reduce("text", '"".join({seq})', ("the text made of {s}", "the string of {s}"), "text", "text"),
        _reduce("count", "len({seq})", ("the number of {s}", "the count of {s}"), "count", "number"),
        _reduce("list", "{seq}", ("the list of {s}", "a list of {s}"), "list", "list"),
        _reduce("join", "{k}.join({seq})", ("{s} joined with {k}", "the text of {s} separated by {k}"), "join", "text", "separator"),
        _reduce("reversed", '"".join({seq}[::-1])', ("the text made of {s} in reverse order",), "reversed", "text"),
        _reduce("sorted", '"".join(sorted({seq}))', ("the text made of {s} in alphabetical order",), "sorted", "text"),
        _reduce("distinct", "len(set({seq}))", ("the number of distinct values among {s}",), "distinct", "number"),
    ),
}

ADJUST: tuple[Step, ...] = (
    Step(key="plus", code="{v} + {k}", nouns=("{s}, plus {k}",), verbs=("add {k} to the result",), slug="plus", constant="small"),
    Step(key="minus", code="{v} - {k}", nouns=("{s}, minus {k}",), verbs=("subtract {k} from the result",), slug="minus", constant="small"),
    Step(key="times", code="{v} * {k}", nouns=("{s}, times {k}",), verbs=("multiply the result by {k}",), slug="times", constant="factor"),
    Step(key="modulo", code="{v} % {k}", nouns=("{s}, modulo {k}",), verbs=("take the result modulo {k}",), slug="modulo", constant="factor"),
    Step(key="as_text", code="str({v})", nouns=("{s}, as a string",), verbs=("convert the result to a string",), slug="text", gives="text"),
)
"""What may be done to a number at the end."""
# fmt: on

WORDS = (
    "apple river stone cloud light green house table paper music water garden window silver "
    "mouse tiger bread candle forest bridge north summer winter coffee pencil basket mirror island "
    "Anna Omar Berlin Tokyo Peru Zoe Ivan Oslo Lima Cairo Delta Echo sun sky map key pen cup hat box "
    "red blue tea ink oak elm ant bee owl fox level radar noon kayak data code byte loop node graph"
).split()
"""Words that inputs are made of."""
