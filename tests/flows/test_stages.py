"""Tasks around stages: what a run's states, artifacts and errors say. The stages are small, the
artifacts are real.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flab_deploy.artifacts import Artifact, Draft, json_digest, run_stage
from flab_deploy.errors import ArtifactError, PlanError

pytestmark = pytest.mark.usefixtures("prefect_server")

library = logging.getLogger("flab_deploy.stand_in")
# States and log lines arrive as events, a moment later, or much later on a busy machine.
PATIENCE_S = 120


def copy_words(words: str, out: Path, *, force: bool = False) -> Artifact:
    """A stage as the library writes them."""

    def work(draft: Draft) -> None:
        library.info("copying: 1 of 4 words")
        library.info("copying: 2 of 4 words")
        (draft.path / "words.txt").write_text(words, encoding="utf-8")

    return run_stage(
        out,
        kind="words",
        module="flows.parameters",
        parents={"words": json_digest(words)},
        config={},
        work=work,
        force=force,
    )


def break_off(out: Path) -> Artifact:
    """A stage that fails as the library does."""
    raise PlanError(f"no cut meets the budget for {out}; ask for less")


def run(*calls: Any, **options: Any) -> list[Artifact]:
    """Run stages in a flow of their own."""
    from prefect import flow

    @flow(name="stand-in", persist_result=False)
    def stand_in() -> list[Artifact]:
        return [call() for call in calls]

    return stand_in()


@pytest.fixture
def states(api: Callable[..., Any]) -> Callable[[], list[tuple[str, str]]]:
    """A function that tells (name, state) of the tasks of the newest run, in order."""

    def read() -> list[tuple[str, str]]:
        newest = api("/flow_runs/filter", sort="START_TIME_DESC", limit=1)[0]
        mine = {"id": {"any_": [newest["id"]]}}
        deadline = time.monotonic() + PATIENCE_S
        while True:
            found = api("/task_runs/filter", flow_runs=mine, sort="EXPECTED_START_TIME_ASC")
            if found and all(item["state"]["type"] in ("COMPLETED", "FAILED") for item in found):
                return [(item["name"], item["state"]["name"]) for item in found]
            assert time.monotonic() < deadline, found
            time.sleep(0.1)

    return read


@pytest.fixture
def words() -> Any:
    from flows.stages import stage

    return stage(limit_s=60, long=True)(copy_words)


def test_an_unchanged_stage_ends_as_cached_and_a_lost_artifact_is_made_again(
    words: Any, states: Any, tmp_path: Path
) -> None:
    out = tmp_path / "words-original"
    (first,) = run(lambda: words("a b c d", out))
    assert [state for _, state in states()] == ["Completed"]
    (second,) = run(lambda: words("a b c d", out))
    assert states() == [("words-original", "Cached")]
    assert second.digest == first.digest
    shutil.rmtree(out)
    (third,) = run(lambda: words("a b c d", out))
    assert [state for _, state in states()] == ["Completed"]
    assert third.digest == first.digest
    assert (out / "words.txt").read_text(encoding="utf-8") == "a b c d"
    run(lambda: words("a b c d", out, force=True))
    assert [state for _, state in states()] == ["Completed"]
    (other,) = run(lambda: words("e f", out))
    assert [state for _, state in states()] == ["Completed"]
    assert other.digest != first.digest


def test_a_long_stage_shows_how_far_it_has_come(
    words: Any, api: Callable[..., Any], tmp_path: Path
) -> None:
    run(lambda: words("a b c d", tmp_path / "words-long"))
    found = api("/artifacts/filter", artifacts={"key": {"any_": ["words-long-progress"]}})
    assert [(item["type"], item["data"]) for item in found] == [("progress", 100.0)]


def test_the_librarys_lines_are_stored_with_the_run(
    words: Any, api: Callable[..., Any], tmp_path: Path
) -> None:
    from flows.run import deliver

    run(lambda: words("a b", tmp_path / "words-logged"))
    deliver()
    newest = api("/flow_runs/filter", sort="START_TIME_DESC", limit=1)[0]["id"]
    deadline, messages = time.monotonic() + PATIENCE_S, []
    while "copying: 2 of 4 words" not in messages:
        assert time.monotonic() < deadline, messages
        time.sleep(0.1)
        found = api("/logs/filter", logs={"flow_run_id": {"any_": [newest]}}, limit=200)
        messages = [item["message"] for item in found]
    handlers = logging.getLogger("flab_deploy").handlers
    assert not [handler for handler in handlers if "ToPrefect" in type(handler).__name__]


def test_an_expected_error_leaves_the_flow_as_it_was_raised(states: Any, tmp_path: Path) -> None:
    from flows.stages import stage

    broken = stage(limit_s=60)(break_off)
    with pytest.raises(PlanError, match="ask for less") as caught:
        run(lambda: broken(out=tmp_path / "plan"))
    assert type(caught.value) is PlanError
    assert caught.value.exit_code == 2
    assert [state for _, state in states()] == ["Failed"]


def test_a_stage_that_takes_too_long_fails(tmp_path: Path) -> None:
    from flows.stages import stage

    reached = []

    def sleep(out: Path) -> Artifact:
        for _ in range(600):
            time.sleep(0.1)
        reached.append(out)
        raise ArtifactError(f"{out} was not interrupted")

    with pytest.raises(TimeoutError):
        run(lambda: stage(limit_s=0.5)(sleep)(out=tmp_path / "slow"))
    assert reached == []


def test_nan_and_infinity_become_empty_cells() -> None:
    from flows.present import finite

    assert finite([{"a": float("nan"), "b": float("inf"), "c": 1.5, "d": "x"}]) == [
        {"a": None, "b": None, "c": 1.5, "d": "x"}
    ]
