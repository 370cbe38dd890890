from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flab_deploy.artifacts import (
    Draft,
    check_digest,
    code_digest,
    open_artifact,
    run_stage,
    tree_digest,
)
from flab_deploy.errors import ArtifactError


def make(
    out: Path, text: str = "x", config: int = 1, force: bool = False, calls: list[int] | None = None
) -> str:
    def work(draft: Draft) -> None:
        if calls is not None:
            calls.append(1)
        (draft.path / "data.txt").write_text(text)
        (draft.path / "time.json").write_text(str(id(draft)))

    return run_stage(
        out,
        kind="thing",
        module="flab_deploy.home",
        parents={"source": "abc"},
        config={"n": config},
        work=work,
        measurements=("time.json",),
        force=force,
    ).digest


def test_an_unchanged_stage_is_skipped_and_a_changed_one_runs_again(tmp_path: Path) -> None:
    calls: list[int] = []
    first = make(tmp_path / "a", calls=calls)
    assert make(tmp_path / "a", calls=calls) == first
    assert len(calls) == 1
    make(tmp_path / "a", config=2, calls=calls)
    assert len(calls) == 2


def test_measurements_stay_outside_the_digest(tmp_path: Path) -> None:
    assert make(tmp_path / "a") == make(tmp_path / "b")


def test_a_failing_stage_leaves_nothing_behind(tmp_path: Path) -> None:
    def work(draft: Draft) -> None:
        (draft.path / "half.txt").write_text("half")
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError):
        run_stage(
            tmp_path / "a",
            kind="thing",
            module="flab_deploy.home",
            parents={},
            config={},
            work=work,
        )
    assert list(tmp_path.iterdir()) == []


def test_a_failing_rerun_keeps_the_finished_artifact(tmp_path: Path) -> None:
    digest = make(tmp_path / "a")

    def work(draft: Draft) -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError):
        run_stage(
            tmp_path / "a",
            kind="thing",
            module="flab_deploy.home",
            parents={},
            config={"n": 9},
            work=work,
        )
    assert open_artifact(tmp_path / "a").digest == digest


def test_what_a_killed_process_left_is_removed_by_the_next_run(tmp_path: Path) -> None:
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        text=True,
        check=True,
    )
    leftover = tmp_path / f".a.tmp-{dead.stdout.strip()}"
    leftover.mkdir()
    (leftover / "half.txt").write_text("half")
    make(tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_someone_elses_directory_is_not_overwritten(tmp_path: Path) -> None:
    mine = tmp_path / "a"
    mine.mkdir()
    (mine / "precious.txt").write_text("keep")
    with pytest.raises(ArtifactError, match="already exists"):
        make(mine)
    assert (mine / "precious.txt").read_text() == "keep"
    make(mine, force=True)
    assert open_artifact(mine, "thing")


def test_another_kind_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "a")
    with pytest.raises(ArtifactError, match="'thing' artifact, expected 'plan'"):
        open_artifact(tmp_path / "a", "plan")


def test_a_changed_file_breaks_the_digest(tmp_path: Path) -> None:
    make(tmp_path / "a")
    artifact = open_artifact(tmp_path / "a")
    check_digest(artifact)
    (tmp_path / "a" / "data.txt").write_text("y")
    with pytest.raises(ArtifactError, match="was changed after it was made"):
        check_digest(artifact)


def test_the_tree_digest_sees_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("1")
    before = tree_digest(tmp_path)
    (tmp_path / "one").rename(tmp_path / "two")
    assert tree_digest(tmp_path) != before


def test_the_code_digest_covers_imported_modules() -> None:
    assert code_digest("flab_deploy.artifacts") != code_digest("flab_deploy.errors")


def test_the_code_digest_covers_what_a_package_imports_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "parts"
    package.mkdir()
    (package / "one.py").write_text("VALUE = 1")
    by_name = 'import_module(f"{__name__}.{name}")'
    (package / "__init__.py").write_text(
        f"from importlib import import_module\nname = 'one'\n{by_name}"
    )
    monkeypatch.syspath_prepend(tmp_path)
    before = code_digest.__wrapped__("parts")
    (package / "one.py").write_text("VALUE = 2")
    assert code_digest.__wrapped__("parts") != before


def test_the_work_gets_an_absolute_path_even_for_a_relative_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    seen: list[Path] = []
    run_stage(
        Path("out"),
        kind="k",
        module="flab_deploy.errors",
        parents={},
        config={},
        work=lambda draft: seen.append(draft.path),
    )
    assert seen[0].is_absolute()
    assert Path("out").is_dir()
