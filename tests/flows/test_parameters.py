"""One definition of what a run can be asked for: settings, command line, form and record agree."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import pytest

from flab_deploy.cli.program import make_app
from flab_deploy.cli.verb import all_verbs
from flab_deploy.errors import ConfigError
from flab_deploy.settings.run import PipelineConfig
from flab_deploy.settings.shared.bounds import TextForm, bounds_of, hints_of
from flab_deploy.settings.shared.changes import docs_of
from flows.effort import STAGES, changed_settings, effort_of, settings_of, split
from flows.parameters import command_of, run_directory
from flows.prepare import record

SETTINGS = [(stage, name) for stage, config in STAGES.items() for name in hints_of(config)]
BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
OWN = [field.name for field in fields(PipelineConfig)]


@pytest.fixture(scope="module")
def form() -> dict[str, Any]:
    """The schema that Prefect's UI draws its form from."""
    from prefect.utilities.callables import parameter_schema

    from flows.pipeline import pipeline

    return parameter_schema(pipeline).model_dump()


@pytest.fixture(scope="module")
def options() -> set[str]:
    """Every option that the help of `flab run` lists."""
    found = make_app(all_verbs())["run"].assemble_argument_collection()
    return {name for argument in found for name in argument.names}


def fields_of(form: dict[str, Any], stage: str) -> dict[str, Any]:
    """The form's fields for the settings of a stage."""
    reference = form["properties"][stage]["$ref"]
    found: dict[str, Any] = form["definitions"][reference.rpartition("/")[2]]
    return found


@pytest.mark.parametrize(("stage", "name"), SETTINGS, ids=map(".".join, SETTINGS))
def test_every_setting_of_a_stage_is_an_option_and_a_field_of_the_form(
    stage: str, name: str, options: set[str], form: dict[str, Any]
) -> None:
    assert f"--{stage}.{name.replace('_', '-')}" in options
    field = fields_of(form, stage)["properties"][name]
    assert field["description"] == docs_of(STAGES[stage])[name]
    bounds = bounds_of(hints_of(STAGES[stage])[name])
    assert {word: field[word] for word in BOUNDS.values() if word in field} == {
        BOUNDS[short]: bound for short, bound in bounds.items()
    }


def test_a_stage_of_the_form_takes_its_own_settings_and_needs_none(form: dict[str, Any]) -> None:
    for stage, config in STAGES.items():
        found = fields_of(form, stage)
        assert set(found["properties"]) == set(hints_of(config))
        assert "required" not in found
        assert found["additionalProperties"] is False
        assert form["properties"][stage]["default"] == {}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"reduction": 0.0}, "give a share from 0.01 to 0.6, such as 0.22"),
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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recover": {"learning_rate": 0}}, "recover: learning_rate is 0; give a number above 0"),
        ({"score": {"nums": 3}}, "score: no setting is called 'nums'; there are .*corpus, "),
        ({"plan": {"keep_layers": [1], "drop_layers": [2]}}, "plan: keep_layers and drop_layers"),
    ],
)
def test_a_change_that_a_stage_refuses_is_named_with_the_stage(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        effort_of(PipelineConfig(), changes)


def test_changes_lie_over_what_the_size_of_the_run_sets() -> None:
    small = PipelineConfig(size="small", seed=7)
    changes = {"recover": {"learning_rate": 1e-4}, "evaluate": {"pass_k": [1]}}
    effort = effort_of(small, changes)
    assert effort.recover == replace(effort_of(small).recover, learning_rate=1e-4)
    assert effort.recover.num_examples == 64
    assert effort.evaluate == effort_of(small).evaluate
    assert changed_settings(small, effort) == {
        "size": "small",
        "seed": 7,
        "recover.learning_rate": 1e-4,
    }


def test_another_budget_takes_the_place_of_the_reduction() -> None:
    assert effort_of(PipelineConfig(), {"plan": {"at_most": 2e6}}).plan.reduction is None
    assert effort_of(PipelineConfig(), {"plan": {"paper": True}}).plan.reduction is None


def test_the_flow_takes_what_the_configuration_holds_with_the_same_defaults() -> None:
    from flows.pipeline import pipeline

    asked = {name: item.default for name, item in inspect.signature(pipeline.fn).parameters.items()}
    assert split(asked) == (PipelineConfig(), {})
    rest = {name: value for name, value in asked.items() if name not in {*OWN, *STAGES}}
    assert rest == {"out": inspect.Parameter.empty, "model": "reference", "force": False}
    assert len(asked) == len(rest) + len(OWN) + len(STAGES)


def test_every_field_of_the_form_has_a_title_and_says_what_it_does(form: dict[str, Any]) -> None:
    titles = [field["title"] for field in form["properties"].values()]
    assert len(titles) == len(set(titles)) == 15 + len(STAGES)
    for name, field in form["properties"].items():
        assert field["title"][0].isupper(), name
        assert "_" not in field["title"], name
        assert field["description"].endswith("."), name
    assert [field["position"] for field in form["properties"].values()] == list(range(len(titles)))
    assert form["required"] == ["out"]


def test_the_runs_own_part_of_the_form_is_flat_and_checks_ranges_and_choices(
    form: dict[str, Any],
) -> None:
    own = {name: field for name, field in form["properties"].items() if name not in STAGES}
    assert {field["type"] for field in own.values()} == {"string", "number", "integer", "boolean"}
    assert (own["reduction"]["minimum"], own["reduction"]["maximum"]) == (0.01, 0.6)
    assert own["size"]["enum"] == ["small", "demo", "full"]
    assert own["seed"]["minimum"] == 0
    assert {name: own[name]["description"] for name in OWN} == dict(docs_of(PipelineConfig))


def test_a_relative_output_directory_lies_in_the_programs_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FLAB_HOME", str(tmp_path))
    assert run_directory("nightly") == tmp_path / "runs" / "nightly"
    assert run_directory(tmp_path / "here") == tmp_path / "here"


def others(hint: Any, default: Any) -> Iterator[Any]:
    """Values of a declared type that are not the default."""
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if bare is bool:
        yield not default
    elif bare is str:
        has_form = any(isinstance(extra, TextForm) for extra in get_args(hint)[1:])
        yield "cpu" if has_form else "another one"
    elif get_origin(bare) is tuple:
        yield from ((value,) for value in others(get_args(bare)[0], None) if (value,) != default)
    elif get_origin(bare) is Literal:
        yield from (value for value in get_args(bare) if value != default)
    elif bare in (int, float):
        bounds = bounds_of(hint)
        start, high = bounds.get("ge", bounds.get("gt", 0)), bounds.get("le", bounds.get("lt"))
        found = (start + (high - start) * share if high else start + share for share in (0.5, 0.25))
        numbers = [bare(value) for value in (*found, start + 1, start + 2)]
        yield from (value for value in numbers if value != default)
    else:
        yield from others(next(a for a in get_args(bare) if a is not type(None)), default)


NEEDS: dict[str, dict[str, Any]] = {"latency_model": {"metric": "latency"}}
"""Changes that are refused without another one, where trying does not find it."""


def change_all(config: PipelineConfig, stage: str, names: list[str]) -> dict[str, Any]:
    """As many of these settings of a stage changed together as do not contradict each other."""
    base = getattr(effort_of(config), stage)
    changes = dict(NEEDS.get(names[0], {}))
    left, before = names, -1
    while len(changes) > before:
        before = len(changes)
        for name in [name for name in left if name not in changes]:
            for value in others(hints_of(STAGES[stage])[name], getattr(base, name)):
                try:
                    effort_of(config, {stage: {**changes, name: value}})
                except ConfigError:
                    continue
                changes[name] = value
                break
    return changes


@pytest.mark.parametrize("stage", STAGES)
def test_the_recorded_command_makes_the_same_run(stage: str) -> None:
    config = PipelineConfig(reduction=0.3, size="small", with_bench=False, seed=7)
    left = list(hints_of(STAGES[stage]))
    while left:
        changes = change_all(config, stage, left)
        effort = effort_of(config, {stage: changes})
        words = command_of("reference", Path("out"), config, effort)
        assert words[:2] == ["flab", "run"]
        _, bound, _ = make_app(all_verbs()).parse_args(words[1:], exit_on_error=False)
        assert bound.arguments["config"] == config
        assert effort_of(config, bound.arguments["stages"]) == effort
        done = set(bound.arguments["stages"][stage])
        assert done & set(left), f"no other value was found for {left}"
        left = [name for name in left if name not in done]


def test_the_record_says_what_was_set_and_what_it_came_to(tmp_path: Path) -> None:
    config = PipelineConfig(reduction=0.3, with_export=False, with_bench=False)
    effort = effort_of(config, {"recover": {"learning_rate": 1e-4}})
    record.fn("reference", tmp_path, config, effort)
    found = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert found["config"] == {
        "model": "reference",
        **json.loads(json.dumps(settings_of(config, effort))),
    }
    assert found["config"]["recover"]["learning_rate"] == 1e-4
    assert found["config"]["recover"]["num_examples"] == 8000
    assert found["changed"] == {
        "reduction": 0.3,
        "with_export": False,
        "with_bench": False,
        "recover.learning_rate": 1e-4,
    }
    assert found["command"][-2:] == ["--recover.learning-rate", "0.0001"]
