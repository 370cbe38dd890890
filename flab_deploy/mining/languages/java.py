"""Java, by its tree-sitter grammar."""

from __future__ import annotations

from flab_deploy.mining.grammar import Grammar, language_of

LANGUAGE = language_of(
    Grammar(
        package="tree_sitter_java",
        functions=frozenset({"method_declaration", "constructor_declaration"}),
        classes=frozenset({"class_declaration", "enum_declaration", "interface_declaration"}),
        test=r"@(Parameterized)?Test\b",
    ),
    title="Java",
    suffixes=(".java",),
    keywords="abstract assert boolean break byte case catch char class continue default do double "
    "else enum extends final finally float for if implements import instanceof int interface long "
    "new null package private protected public return short static super switch synchronized this "
    "throw throws try var void while true false",
)
