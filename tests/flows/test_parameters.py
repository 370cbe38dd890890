"""One definition of what a run can be asked for: configuration, form and record agree."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

import pytest

from flab_deploy.errors import ConfigError
from flows.parameters import PipelineConfig, command_of, run_directory


@pytest.fixture(scope="module")
def form() -> dict[str, Any]:
    """The schema that Prefect's UI draws its form from."""
    from prefect.utilities.callables import parameter_schema

    from flows.pipeline import pipeline

    return parameter_schema(pipeline).model_dump()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"reduction": 0.0}, "give a share from 0.01 to 0.6"),
        ({"reduction": 22}, "reduction is 22"),
        ({"reduction": float("nan")}, "reduction is nan"),
        ({"size": "huge"}, "give one of small, demo, full"),
        ({"seed": -1}, "seed is -1"),
        ({"margin": 97}, "margin is 97; give a share from 0.5 to 1.5"),
        ({"with_export": False}, "turn the export on or the load test off"),
    ],
)
def test_values_that_make_no_sense_are_refused_in_one_line(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        PipelineConfig(**values)
    assert "\n" not in str(caught.value)


def test_the_flow_takes_what_the_configuration_holds_with_the_same_defaults() -> None:
    from flows.pipeline import pipeline

    asked = {name: item.default for name, item in inspect.signature(pipeline.fn).parameters.items()}
    held = {item.name: item.default for item in fields(PipelineConfig)}
    assert MISSING not in held.values()
    assert {name: asked.pop(name) for name in held} == held
    assert asked == {"out": inspect.Parameter.empty, "model": "reference", "force": False}


def test_every_field_of_the_form_has_a_title_and_says_what_it_does(form: dict[str, Any]) -> None:
    titles = [field["title"] for field in form["properties"].values()]
    assert len(titles) == len(set(titles)) == 10
    for name, field in form["properties"].items():
        assert field["title"][0].isupper(), name
        assert "_" not in field["title"], name
        assert field["description"].endswith("."), name
    assert [field["position"] for field in form["properties"].values()] == list(range(10))
    assert form["required"] == ["out"]


def test_the_form_is_flat_and_checks_ranges_and_choices(form: dict[str, Any]) -> None:
    kinds = {name: field["type"] for name, field in form["properties"].items()}
    assert set(kinds.values()) == {"string", "number", "integer", "boolean"}
    assert (
        form["properties"]["reduction"]["minimum"],
        form["properties"]["reduction"]["maximum"],
    ) == (0.01, 0.6)
    assert form["properties"]["size"]["enum"] == ["small", "demo", "full"]
    assert form["properties"]["seed"]["minimum"] == 0


def test_a_relative_output_directory_lies_in_the_programs_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FLAB_HOME", str(tmp_path))
    assert run_directory("nightly") == tmp_path / "runs" / "nightly"
    assert run_directory(tmp_path / "here") == tmp_path / "here"


def test_the_recorded_command_names_every_choice() -> None:
    config = PipelineConfig(
        reduction=0.3,
        size="small",
        suite="a.jsonl",
        margin=0.9,
        with_export=False,
        with_bench=False,
        seed=7,
    )
    words = command_of("reference", Path("out"), config)
    assert words[:2] == ["flab", "run"]
    assert {
        "0.3",
        "small",
        "a.jsonl",
        "0.9",
        "7",
        "--no-with-export",
        "--no-with-bench",
        "reference",
        "out",
    } <= set(words)
    assert len(asdict(config)) == 7
