"""The rules of the code base that a reader relies on, checked."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("flab_deploy", "serving", "flows")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
LONGEST_FILE, LONGEST_FUNCTION, MEDIAN_FUNCTION = 500, 60, 15
VAGUE = {"utils", "common", "helpers", "base", "core", "manager", "misc"}


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def functions_of(path: Path) -> list[tuple[str, int]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        (
            f"{path.relative_to(ROOT)}:{node.name}",
            (node.end_lineno or node.lineno) - node.lineno + 1,
        )
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def test_files_are_short() -> None:
    assert [path for path in SOURCES if lines_of(path) > LONGEST_FILE] == []


def test_functions_are_short() -> None:
    sizes = [size for path in SOURCES for size in functions_of(path)]
    assert [size for size in sizes if size[1] > LONGEST_FUNCTION] == []
    assert median(size for _, size in sizes) <= MEDIAN_FUNCTION


def test_modules_have_telling_names() -> None:
    assert [path for path in SOURCES if path.stem in VAGUE] == []


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
