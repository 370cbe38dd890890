"""The methods by name, and how to choose among them.

Names are those of the papers where there is one: ReCode's (Wang et al., 2022) in `docstring`,
`func_name`, `natgen` and `format`, and NatGen's (Chakraborty et al., 2022), in snake_case.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flab_deploy.errors import ConfigError
from flab_deploy.evaluation.perturb.methods import (
    characters,
    chat,
    docstring,
    function_names,
    language,
    layout,
    lookalikes,
    prefix,
    syntax,
    variables,
)
from flab_deploy.evaluation.perturb.registry import CODE_PREFIX, FAMILIES, Method, methods_in

_MODULES = (
    characters,
    language,
    lookalikes,
    docstring,
    function_names,
    variables,
    syntax,
    prefix,
    layout,
    chat,
)
METHODS: dict[str, Method] = {
    method.name: method for module in _MODULES for method in methods_in(module)
}
"""All methods by name.

Their order is that of the prompts in an evaluation of `all` or of a family, on which batches and so
near-ties depend: a new method goes to the end of its module.
"""

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
