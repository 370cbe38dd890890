"""The rules of the code base that a reader relies on, checked."""

from __future__ import annotations

import ast
import dataclasses
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Literal, get_origin, get_type_hints

import pytest

# How often something may be found in the packages at most: as often as when the number was last
# lowered. It may only go down.
AT_MOST = {"dict[str, Any": 66, "dict[str, Json": 23, "fmt: skip": 9, "cast(": 37, "noqa": 3}
LONGEST_FILE, LONGEST_FUNCTION, MEDIAN_FUNCTION = 500, 60, 15
MOST_MODULES = 14
"""In one folder, its `__init__` aside."""
VAGUE = {"utils", "common", "helpers", "base", "core", "manager", "misc"}

ROOT = Path(__file__).parents[1]
PACKAGES = ("flab_deploy", "serving", "flows")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}
# What Hugging Face's `evaluate` loads is a folder with a module of its own name.
EVALUATE_MODULES = ROOT / "flab_deploy" / "evaluation" / "metrics"


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def twice(pairs: Iterable[tuple[str, Path]]) -> dict[str, list[str]]:
    """Names that stand in several files."""
    found = defaultdict(list)
    for name, path in pairs:
        found[name].append(named(path))
    return {name: paths for name, paths in found.items() if len(paths) > 1}


def room_of(path: Path) -> str:
    """The top-level package of the library that a module is in, or its package."""
    package, *rest = path.relative_to(ROOT).parts
    return f"{package}.{rest[0]}" if package == "flab_deploy" and len(rest) > 1 else package


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def functions_of(path: Path) -> list[tuple[str, int]]:
    return [
        (f"{named(path)}:{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1)
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def test_files_are_short() -> None:
    assert [named(path) for path in SOURCES if lines_of(path) > LONGEST_FILE] == []


def test_functions_are_short() -> None:
    sizes = [size for path in SOURCES for size in functions_of(path)]
    assert [size for size in sizes if size[1] > LONGEST_FUNCTION] == []
    assert median(size for _, size in sizes) <= MEDIAN_FUNCTION


def test_folders_are_small() -> None:
    files = (path for top in (*PACKAGES, "tests") for path in (ROOT / top).rglob("*.py"))
    sizes = Counter(named(path.parent) for path in files if path.stem != "__init__")
    assert {folder: size for folder, size in sizes.items() if size > MOST_MODULES} == {}


def test_modules_have_telling_names() -> None:
    assert [named(path) for path in SOURCES if path.stem in VAGUE] == []


def test_no_two_modules_of_a_room_have_one_name() -> None:
    own = [path for path in SOURCES if path.stem not in ("__init__", "__main__")]
    own = [path for path in own if path.parent.parent != EVALUATE_MODULES]
    assert twice((f"{room_of(path)}: {path.stem}", path) for path in own) == {}


def test_no_two_public_classes_have_one_name() -> None:
    classes = [
        (node.name, path)
        for path, tree in TREES.items()
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    assert twice(classes) == {}
    assert [named(path) for name, path in classes if name == "Row"] == []


@pytest.mark.parametrize("text", AT_MOST)
def test_what_was_cleared_away_does_not_come_back(text: str) -> None:
    found = {named(path): path.read_text(encoding="utf-8").count(text) for path in SOURCES}
    assert sum(found.values()) <= AT_MOST[text], {name: n for name, n in found.items() if n}


def test_every_package_says_what_it_holds() -> None:
    """In two sentences at least: what is in it, and what a reader should know of it."""
    said = {
        named(path): ast.get_docstring(tree) or ""
        for path, tree in TREES.items()
        if path.name == "__init__.py"
    }
    ends = {name: re.findall(r"[.!?](?=\s|$)", text) for name, text in said.items()}
    assert [name for name, found in ends.items() if len(found) < 2] == []


def records() -> list[type]:
    """Every record of a stage's JSON."""
    modules = [
        import_module(f"flab_deploy.records.{path.stem}")
        for path in sorted((ROOT / "flab_deploy" / "records").glob("*.py"))
        if path.stem != "__init__"
    ]
    return [
        found
        for module in modules
        for found in vars(module).values()
        if dataclasses.is_dataclass(found)
        and isinstance(found, type)
        and found.__module__ == module.__name__
    ]


def test_records_have_no_defaults_so_that_nothing_can_be_missing() -> None:
    missing = dataclasses.MISSING
    found = [
        f"{record.__name__}.{field.name}"
        for record in records()
        for field in dataclasses.fields(record)
        if field.default is not missing or field.default_factory is not missing
    ]
    assert found == []


def test_every_record_that_is_a_file_has_a_version() -> None:
    """A part of one has none: another record holds it, or it is a line, or figures of a
    manifest.
    """
    found = records()
    hints = {record: get_type_hints(record) for record in found}
    held = " ".join(str(hint) for hint in hints.values())
    parts = {base for record in found for base in record.__bases__} | {
        record
        for record in found
        if f"{record.__module__}.{record.__name__}" in held
        or record.__name__.endswith(("Figures", "Line"))
    }
    files = [record for record in found if record not in parts]
    assert len(files) >= 10
    unversioned = [
        record.__name__
        for record in files
        if get_origin(hints[record].get("schema_version")) is not Literal
    ]
    assert unversioned == []


def test_layers_hold() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "module",
    [
        "flab_deploy.cli.program",
        "flab_deploy.cli.verb",
        "flows.verbs",
        "flab_deploy.errors",
        "flab_deploy.corpus",
        "flab_deploy.artifacts",
    ],
)
def test_light_modules_stay_light(module: str) -> None:
    code = (
        f"import sys, {module}; print([m for m in ('torch', 'transformers', 'prefect') if "
        "m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


PUBLIC = {
    "flab_deploy.importance": {"ScoreConfig", "score"},
    "flab_deploy.pruning": {"PlanConfig", "PrunePlan", "load_plan", "plan", "prune"},
    "flab_deploy.recovery": {"RecoverConfig", "recover"},
    "flab_deploy.export": {"ExportConfig", "export"},
}


@pytest.mark.parametrize("module", sorted(PUBLIC))
def test_the_public_names_are_frozen(module: str) -> None:
    assert set(import_module(module).__all__) == PUBLIC[module]


def test_no_path_or_host_of_a_build_machine_is_committed() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    words = ["/" + "root/", "/" + "work/"]
    texts = [
        ROOT / name
        for name in listed.stdout.splitlines()
        if Path(name).suffix not in {".safetensors", ".png"}
    ]
    found = [
        (path.relative_to(ROOT).as_posix(), word)
        for path in texts
        if path.is_file()
        for word in words
        if word in path.read_text(encoding="utf-8", errors="ignore")
    ]
    assert found == []
