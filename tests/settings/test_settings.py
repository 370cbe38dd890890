"""Settings: bounds are checked the same way everywhere, and a field is all that a new one needs."""

from __future__ import annotations

from dataclasses import dataclass, fields
from importlib import import_module
from pkgutil import iter_modules
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Le, Lt

import flab_deploy.settings
from flab_deploy.errors import ConfigError
from flab_deploy.settings.compare import PowerConfig
from flab_deploy.settings.plan import DEFAULT_REDUCTION, PlanConfig
from flab_deploy.settings.recover import RecoverConfig
from flab_deploy.settings.shared.bounds import bounds_of, check_bounds, hints_of
from flab_deploy.settings.shared.changes import changed, docs_of

CONFIGS = [
    found
    for module in iter_modules(flab_deploy.settings.__path__)
    for name, found in vars(import_module(f"flab_deploy.settings.{module.name}")).items()
    if name.endswith("Config") and found.__module__.endswith(f".{module.name}")
]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One field of every kind."""

    size: Annotated[int, Ge(1)] = 4
    """A size."""
    seed: Annotated[int, Ge(0), Le(9)] = 0
    """A seed."""
    share: Annotated[float, Gt(0), Le(1)] = 0.5
    """A share."""
    chance: Annotated[float, Gt(0), Lt(1)] | None = None
    """A chance, or none."""
    rate: Annotated[float, Gt(0)] = 1e-4
    """A rate."""
    level: float = 0.0
    """Any number."""
    heat: Annotated[float, Ge(0), Le(10)] = 0.0
    """A temperature."""
    below: Annotated[float, Lt(3)] = 2.0
    """A number below another."""
    layers: tuple[Annotated[int, Ge(0)], ...] = ()
    """Layers."""
    kind: Literal["a", "b"] = "a"
    """A choice."""

    def __post_init__(self) -> None:
        check_bounds(self)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 0}, "size is 0; give 1 or more, such as 4"),
        ({"seed": 10}, "seed is 10; give 0 to 9, such as 0"),
        ({"share": 0.0}, "share is 0.0; give a share above 0 and up to 1, such as 0.5"),
        ({"chance": 1.0}, "chance is 1.0; give a share between 0 and 1"),
        ({"rate": 0.0}, "rate is 0.0; give a number above 0, such as 0.0001"),
        ({"rate": float("nan")}, "rate is nan; give a number above 0, such as 0.0001"),
        ({"level": float("inf")}, "level is inf; give a finite number, such as 0.0"),
        ({"heat": 11.0}, "heat is 11.0; give a number from 0 to 10, such as 0.0"),
        ({"layers": (1, -1)}, "layers has -1; give 0 or more"),
        ({"below": 3}, "below is 3; give a number below 3, such as 2.0"),
        ({"size": "many"}, "size is many; give 1 or more, such as 4"),
        ({"kind": "c"}, "kind is 'c'; give one of a, b"),
    ],
)
def test_a_value_out_of_bounds_is_named_with_what_to_give(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        Sample(**values)
    assert str(caught.value) == message


def test_values_within_bounds_are_taken() -> None:
    Sample(size=1, seed=9, share=1, chance=0.999, rate=1e9, layers=(0, 5), kind="b")
    Sample(chance=None)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.__name__)
def test_every_setting_has_a_default_within_its_bounds_and_says_what_it_is(config: Any) -> None:
    check_bounds(config())
    docs = docs_of(config)
    assert list(docs) == [field.name for field in fields(config)]
    assert all(text.endswith((".", "`")) for text in docs.values())


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.__name__)
def test_every_bound_is_checked_when_settings_are_made(config: Any) -> None:
    for name, hint in hints_of(config).items():
        bounds = bounds_of(hint)
        low = bounds["ge"] - 1 if "ge" in bounds else bounds.get("gt")
        high = bounds["le"] + 1 if "le" in bounds else bounds.get("lt")
        for value in (low, high):
            if value is not None:
                with pytest.raises(ConfigError, match=f"^{name} is {value};"):
                    config(**{name: value})


def test_fields_of_a_base_class_are_described_too() -> None:
    assert docs_of(PowerConfig)["pass_rate"] == "The original's expected pass rate."
    assert list(docs_of(PowerConfig))[-1] == "num_problems"


def test_the_description_of_the_budget_names_its_default() -> None:
    assert f" {DEFAULT_REDUCTION:g} unless " in docs_of(PlanConfig)["reduction"]
    assert PlanConfig().share == DEFAULT_REDUCTION


def test_a_change_is_checked_and_lists_become_tuples() -> None:
    assert changed(PlanConfig(), {"keep_layers": [0, 1]}).keep_layers == (0, 1)
    assert changed(RecoverConfig(), {}) == RecoverConfig()
    with pytest.raises(ConfigError, match="batch_size is 0"):
        changed(RecoverConfig(), {"batch_size": 0})
