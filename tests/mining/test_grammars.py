"""Functions of languages that are read by their grammars."""

from __future__ import annotations

from pathlib import Path

import pytest

from flab_deploy.mining.found import MissingGrammar
from flab_deploy.mining.grammar import Grammar, language_of
from tests.mining.trees import mined, parts

JAVASCRIPT = """\
/** Adds. */
export function add(a, b) {
  const c = a + b;
  return c;
}

export default class Box extends Base {
  /** Says
   * how large. */
  size(unit) {
    unit += 1;
    return unit;
  }
}

// Turns.
// Both ways.
const turn = (x) => {
  x++;
  return x;
};

const odd = 1; // not of what follows
function undescribed() {
  one();
  two();
}
"""
GO = """\
package p

// Add adds.
func Add(a int) int {
\tb := a
\treturn b
}

// Move moves.
func (t *T) Move() {
\tone()
\ttwo()
}

func TestAdd(t *testing.T) {
\tone()
\ttwo()
}
"""
JAVA = """\
/** A class. */
public class Box {
  /** Adds. */
  @Override
  public int add(int a) {
    /* why */
    a += 1;
    return a;
  }

  @Test
  void adds() {
    one();
    two();
  }
}
"""


def test_javascript(tmp_path: Path) -> None:
    pytest.importorskip("tree_sitter_javascript")
    found = mined(tmp_path, {"a.js": JAVASCRIPT})
    assert found.kinds == {"function": 2, "method": 1}
    assert found.languages == {"javascript": 1}
    add, size, turn = parts(found)
    assert add == (
        "/** Adds. */\nexport function add(a, b) {",
        "\n  const c = a + b;\n  return c;\n}\n",
    )
    assert size == (
        "export default class Box extends Base {\n  /** Says\n   * how large. */\n  size(unit) {",
        "\n    unit += 1;\n    return unit;\n  }\n",
    )
    assert turn == (
        "// Turns.\n// Both ways.\nconst turn = (x) => {",
        "\n  x++;\n  return x;\n};\n",
    )


def test_go(tmp_path: Path) -> None:
    pytest.importorskip("tree_sitter_go")
    found = mined(tmp_path, {"a.go": GO})
    assert found.kinds == {"function": 1, "method": 1, "test": 1}
    assert [prompt for prompt, _ in parts(found)] == [
        "// Add adds.\nfunc Add(a int) int {",
        "// Move moves.\nfunc (t *T) Move() {",
        "func TestAdd(t *testing.T) {",
    ]


def test_java(tmp_path: Path) -> None:
    pytest.importorskip("tree_sitter_java")
    found = mined(tmp_path, {"Box.java": JAVA})
    assert found.kinds == {"method": 1, "test": 1}
    assert parts(found) == [
        (
            "public class Box {\n  /** Adds. */\n  @Override\n  public int add(int a) {",
            "\n    /* why */\n    a += 1;\n    return a;\n  }\n",
        ),
        ("public class Box {\n  @Test\n  void adds() {", "\n    one();\n    two();\n  }\n"),
    ]


def test_copies_under_other_names_are_left_out_and_broken_files_counted(tmp_path: Path) -> None:
    pytest.importorskip("tree_sitter_go")
    files: dict[str, str | bytes] = {
        "a.go": GO,
        "b.go": GO.replace("Add", "Plus")
        .replace("b := a", "c := a")
        .replace("return b", "return c"),
        "c.go": "package p\nfunc {\n",
    }
    found = mined(tmp_path, files)
    assert found.files_left_out == {"vendored": 0, "syntax_error": 1}
    assert len(found.records) == 3
    assert found.functions_left_out == {"duplicate": 1, "near_duplicate": 2}


def test_a_grammar_that_is_not_installed_is_missed_when_a_file_is_read() -> None:
    unknown = Grammar(package="tree_sitter_of_no_language", functions=frozenset(), test="test")
    language = language_of(unknown, title="None", suffixes=(".none",), keywords="")
    with pytest.raises(MissingGrammar):
        list(language.candidates(GO))


def test_languages_that_are_not_asked_for_are_not_read(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"a.go": GO, "a.py": "x = 1\n"}
    found = mined(tmp_path, files, languages=("python",))
    assert (found.records, found.languages) == ([], {"python": 1})
