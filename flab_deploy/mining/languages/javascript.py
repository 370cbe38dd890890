"""JavaScript, by its tree-sitter grammar; tests are calls there, so none are mined."""

from __future__ import annotations

from flab_deploy.mining.grammar import Grammar, language_of

LANGUAGE = language_of(
    Grammar(
        package="tree_sitter_javascript",
        functions=frozenset(
            {
                "function_declaration",
                "generator_function_declaration",
                "function_expression",
                "arrow_function",
                "method_definition",
            }
        ),
        classes=frozenset({"class_declaration"}),
        wrappers=frozenset({"export_statement", "lexical_declaration", "variable_declarator"}),
        test=r"(?!)",
    ),
    title="JavaScript",
    suffixes=(".js", ".mjs", ".cjs", ".jsx"),
    keywords="async await break case catch class const continue debugger default delete do else "
    "export extends finally for function if import in instanceof let new null of return static "
    "super switch this throw try typeof undefined var void while yield true false",
)
