"""Go, by its tree-sitter grammar."""

from __future__ import annotations

from flab_deploy.mining.grammar import Grammar, language_of

LANGUAGE = language_of(
    Grammar(
        package="tree_sitter_go",
        functions=frozenset({"function_declaration", "method_declaration"}),
        methods=frozenset({"method_declaration"}),
        test=r"^func Test\w*\(",
    ),
    title="Go",
    suffixes=(".go",),
    keywords="break case chan const continue default defer else fallthrough for func go goto if "
    "import interface map package range return select struct switch type var nil true false",
)
