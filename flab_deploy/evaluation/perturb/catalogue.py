"""The methods by name, and what each promises to leave the same.

Names are those of the papers where there is one: ReCode's (Wang et al., 2022) in `docstring`,
`func_name`, `natgen` and `format`, and NatGen's (Chakraborty et al., 2022), in snake_case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal, get_args

from flab_deploy.corpus import Task, TaskKind
from flab_deploy.errors import ConfigError
from flab_deploy.evaluation.perturb.form import Edit, Form, edited
from flab_deploy.evaluation.perturb.methods import (
    characters,
    chat,
    docstring,
    function_names,
    language,
    layout,
    syntax,
    variables,
)
from flab_deploy.evaluation.perturb.methods.prefix import with_prefix
from flab_deploy.evaluation.perturb.promises import Promise

Family = Literal["natural_language", "function_name", "variable", "syntax", "format", "chat"]
FAMILIES: tuple[Family, ...] = get_args(Family)
Rewrite = Callable[[Form, Random], Task | None]
"""Makes the perturbed task, or None where the method does not apply."""
Shape = Literal["prompt", "prefix"]
"""What is perturbed: the prompt as it is, or one that shows the first half of the solution as well.
"""

DESCRIBED: tuple[TaskKind, ...] = ("function_synthesis", "chain_of_thought")
CODE: tuple[TaskKind, ...] = ("function_synthesis", "output_prediction")
ANY: tuple[TaskKind, ...] = ("function_synthesis", "output_prediction", "chain_of_thought")
CODE_PREFIX = "code_prefix"


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way to perturb a task."""

    name: str
    family: Family
    promise: Promise
    """What is checked of every item, besides that its canonical solution passes its tests."""
    rewrite: Rewrite
    kinds: tuple[TaskKind, ...] = ANY
    """Kinds of task that it is for."""
    shape: Shape = "prompt"
    """What it is given of a function-synthesis task; items are compared with unperturbed prompts of
    that shape.
    """
    published: str = ""
    """Its name in ReCode or NatGen, if it is there."""
    probe: bool = False
    """Whether it tests the tokenizer, or withholds or falsifies information; probes stay out of the
    headline figure.
    """
    fits_indentation: bool = False
    """Whether a completion may come in the usual indentation and is fitted to the prompt's."""
    wrapper: str = ""
    """Text that it puts before the prompt and that is no part of the program."""
    most_changed: float = 0.5
    """Share of the prompt's characters that it may change, at most."""

    @property
    def baseline(self) -> str | None:
        """The method whose items are the unperturbed prompts of its shape; None for the task's own
        prompt.
        """
        return CODE_PREFIX if self.shape == "prefix" else None


def _editing(edits_of: Callable[[Form, Random], list[Edit]]) -> Rewrite:
    def rewritten(form: Form, rng: Random) -> Task | None:
        edits = edits_of(form, rng)
        return edited(form, edits) if edits else None

    return rewritten


def _natural_language() -> list[Method]:
    published = {
        "butter_fingers_perturbation": "ButterFingersPerturbation",
        "change_char_case": "ChangeCharCase",
        "swap_characters_perturbation": "SwapCharactersPerturbation",
        "whitespace_perturbation": "WhitespacePerturbation",
        "english_inflectional_variation": "EnglishInflectionalVariation",
        "synonym_substitution": "SynonymSubstitution",
        "synonym_insertion": "SynonymInsertion",
        "tense_transformation_past": "TenseTransformationPast",
        "tense_transformation_future": "TenseTransformationFuture",
    }
    plain = (
        characters.butter_fingers_perturbation,
        characters.change_char_case,
        characters.swap_characters_perturbation,
        characters.drop_character,
        characters.double_character,
        characters.whitespace_perturbation,
        characters.punctuation,
        characters.typographic_characters,
        language.english_inflectional_variation,
        language.synonym_substitution,
        language.synonym_insertion,
        language.tense_transformation_past,
        language.tense_transformation_future,
        language.declarative_sentence,
        language.polite_request,
        language.article_removal,
        language.contractions,
        language.filler_sentence,
    )
    found = [
        _described(edits, "same_code", published=published.get(edits.__name__, ""))
        for edits in plain
    ]
    found += [
        _described(language.number_words, "same_code_other_numbers"),
        _described(characters.homoglyphs, "same_code", probe=True),
        _described(docstring.doctest_style, "same_tree_other_doc"),
        _described(docstring.doctest_removal, "same_tree_other_doc", probe=True, most_changed=1.0),
        _described(
            docstring.docstring_removal, "same_tree_other_doc", probe=True, most_changed=1.0
        ),
    ]
    return found


def _described(
    edits_of: Callable[[Form, Random], list[Edit]],
    promise: Promise,
    *,
    published: str = "",
    probe: bool = False,
    most_changed: float = 0.5,
) -> Method:
    return Method(
        name=edits_of.__name__,
        family="natural_language",
        promise=promise,
        rewrite=_editing(edits_of),
        kinds=DESCRIBED,
        published=published,
        probe=probe,
        most_changed=most_changed,
    )


def _function_names() -> list[Method]:
    plain = {
        function_names.func_rename_camel_case: "FuncRenameCamelCase",
        function_names.func_rename_butter_finger: "FuncRenameButterFinger",
        function_names.func_rename_swap_char: "FuncRenameSwapChar",
        function_names.func_rename_change_char: "FuncRenameChangeChar",
        function_names.func_rename_inflectional_variation: "FuncRenameInflectionalVariation",
        function_names.func_rename_synonym_sub: "FuncRenameSynonymSub",
        function_names.func_rename_abbreviation: "",
        function_names.func_rename_affix: "",
        function_names.func_rename_neutral: "",
        function_names.func_rename_misleading: "",
    }
    telling = (function_names.func_rename_neutral, function_names.func_rename_misleading)
    return [
        Method(
            name=new_name.__name__,
            family="function_name",
            promise="same_up_to_names",
            rewrite=function_names.renaming_to(new_name),
            published=published,
            probe=new_name in telling,
        )
        for new_name, published in plain.items()
    ]


def _variables() -> list[Method]:
    renamers = {
        variables.var_renamer_naive: "VarRenamerNaive",
        variables.var_renamer_rn: "VarRenamerRN",
        variables.var_renamer_generic: "",
        variables.var_renamer_abbreviation: "",
        variables.var_renamer_affix: "",
    }
    found = [
        Method(
            name=new_name.__name__,
            family="variable",
            promise="same_up_to_names",
            kinds=CODE,
            shape="prefix",
            rewrite=variables.renaming_variables(new_name),
            published=published,
        )
        for new_name, published in renamers.items()
    ]
    found.append(
        Method(
            name="parameter_rename",
            family="variable",
            promise="same_up_to_names",
            rewrite=variables.parameter_rename,
        )
    )
    found.append(
        Method(
            name="variable_name_swap",
            family="variable",
            promise="same_up_to_names",
            kinds=CODE,
            shape="prefix",
            rewrite=variables.variable_name_swap,
            probe=True,
        )
    )
    return found


def _syntax() -> list[Method]:
    in_code = {
        syntax.dead_code_inserter: "DeadCodeInserter",
        syntax.dead_code_inserter_last: "DeadCodeInserterLast",
        syntax.for_while_transformer: "ForWhileTransformer",
        syntax.operand_swap: "OperandSwap",
        syntax.block_swap: "BlockSwap",
        syntax.comparison_negation: "",
        syntax.chained_comparison_split: "",
        syntax.double_negation: "",
        syntax.return_via_variable: "",
        syntax.constant_unfolding: "",
        syntax.literal_to_constructor: "",
        syntax.augmented_assignment_expansion: "",
        syntax.unused_variable: "",
    }
    found = [
        Method(
            name=edits.__name__,
            family="syntax",
            promise="same_behaviour",
            kinds=CODE,
            shape="prefix",
            rewrite=_editing(edits),
            published=published,
        )
        for edits, published in in_code.items()
    ]
    return [
        *found,
        Method(
            name="unused_import",
            family="syntax",
            promise="same_behaviour",
            rewrite=_editing(syntax.unused_import),
        ),
        Method(
            name="type_hints",
            family="syntax",
            promise="same_up_to_annotations",
            rewrite=_editing(syntax.type_hints),
        ),
        Method(
            name=CODE_PREFIX,
            family="syntax",
            promise="same_tree",
            kinds=("function_synthesis",),
            probe=True,
            rewrite=lambda form, rng: with_prefix(form),
        ),
    ]


def _formats() -> list[Method]:
    def form_of(rewrite: Rewrite, **options: object) -> Method:
        name = getattr(rewrite, "__name__", "")
        plain = Method(name=name, family="format", promise="same_tree", rewrite=rewrite)
        return replace(plain, **options)  # type: ignore[arg-type]

    return [
        form_of(layout.doc2comments, kinds=DESCRIBED[:1], published="doc2comments"),
        form_of(layout.new_lines, published="new_lines"),
        form_of(
            layout.new_line_afterdoc,
            kinds=DESCRIBED[:1],
            shape="prefix",
            published="new_line_afterdoc",
        ),
        form_of(layout.new_line_aftercode, published="new_line_aftercode", probe=True),
        form_of(layout.split_lines, published="split_lines"),
        form_of(layout.tab_indent, published="tab_indent", fits_indentation=True),
        form_of(layout.two_space_indent, fits_indentation=True),
        form_of(layout.quote_style, kinds=DESCRIBED),
        form_of(layout.string_quotes, kinds=CODE, shape="prefix"),
        form_of(layout.redundant_parentheses, kinds=CODE, shape="prefix"),
        form_of(layout.blank_line_removal),
        form_of(layout.trailing_spaces),
        form_of(layout.crlf),
        form_of(layout.comment_insertion),
        form_of(layout.prompt_end_space, probe=True),
    ]


def _wrapped(wrapper: str) -> Rewrite:
    return lambda form, rng: replace(form.task, prompt=wrapper + form.task.prompt)


def _chats() -> list[Method]:
    return [
        Method(
            name=name,
            family="chat",
            promise="same_tree",
            rewrite=_wrapped(wrapper),
            wrapper=wrapper,
            kinds=DESCRIBED[:1],
        )
        for name, wrapper in chat.WRAPPERS.items()
    ]


METHODS: dict[str, Method] = {
    method.name: method
    for family in (_natural_language, _function_names, _variables, _syntax, _formats, _chats)
    for method in family()
}
"""All methods by name."""

DEFAULT_METHODS = (
    "butter_fingers_perturbation",
    "synonym_substitution",
    "declarative_sentence",
    "func_rename_camel_case",
    "func_rename_affix",
    "parameter_rename",
    "var_renamer_naive",
    "dead_code_inserter",
    "type_hints",
    "doc2comments",
    "two_space_indent",
    "chat_instruction",
)
"""One to three of each family: those met most in daily use that leave the task no harder for a
person.
"""


def method_named(name: str) -> Method:
    """The method of that name, ours or a published one. Raises ConfigError for an unknown one."""
    if name in METHODS:
        return METHODS[name]
    for method in METHODS.values():
        if name == method.published:
            return method
    raise ConfigError(
        f"no perturbation {name!r}; choose from all, {', '.join(FAMILIES)}, {', '.join(METHODS)}"
    )


def select(names: Iterable[str]) -> tuple[str, ...]:
    """Names of methods for names that may also be `all`, `default`, a family or a published name,
    without repeats.

    Raises ConfigError for an unknown one.
    """
    found: dict[str, None] = {}
    for name in names:
        if name == "all":
            chosen: Sequence[str] = [m for m in METHODS if m != CODE_PREFIX]
        elif name == "default":
            chosen = DEFAULT_METHODS
        elif name in FAMILIES:
            chosen = [
                m.name for m in METHODS.values() if m.family == name and m.name != CODE_PREFIX
            ]
        else:
            chosen = [method_named(name).name]
        found.update(dict.fromkeys(chosen))
    return tuple(found)
