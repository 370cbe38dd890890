"""The plan of a cut: one JSON file to review, to edit by hand and to replay; nonsense in it is
refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TypeAlias

from flab_deploy.artifacts import Json, read_json
from flab_deploy.decoder import ARCHITECTURES, ModelShape
from flab_deploy.errors import PlanError
from flab_deploy.records.document import version_of
from flab_deploy.records.plan import PLAN_FILE, PlanRecord
from flab_deploy.records.prune import PredictedRecord

SCHEMA_VERSION = version_of(PlanRecord)

Kept: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class PrunePlan:
    """What stays of a checkpoint. Raises PlanError for lists that no checkpoint could have."""

    source: str
    """Digest of the checkpoint the plan was made for."""
    keep_token_ids: Kept
    """Increasing ids; the position in this tuple is the new id."""
    keep_layers: Kept
    """Increasing layer indices of the source."""
    keep_channels: tuple[Kept, ...] = ()
    """For each kept layer, its increasing FFN channels, all of one length; () keeps every channel.
    """
    keep_key_value_heads: tuple[Kept, ...] = ()
    """For each kept layer, its increasing key-value groups, all of one length; () keeps every head.

    A group is one key-value head with the query heads that read it.
    """
    keep_experts: tuple[Kept, ...] = ()
    """For each kept layer, its increasing experts, all of one length, empty for a layer without; ()
    keeps all.
    """
    write_factors: tuple[float, ...] = ()
    """For each kept layer, what its attention's and its FFN's output weights are multiplied by; ()
    leaves them alone.
    """
    vocab_multiple: int = 1
    """The vocabulary matrices get this multiple of rows; the surplus rows are dropped tokens' and
    have no token.
    """
    corpus: str = "reference"
    """Corpus whose token sequences must stay what they were."""
    num_counted: int = 2_000
    """Examples of the corpus that the tokens were counted on."""
    every_text_identical: bool = True
    """Whether each of those texts must read as before. After a frequency budget only those must
    that lost no token.
    """

    def __post_init__(self) -> None:
        """Refuse lists that are empty, out of order, repeated, negative or uneven."""
        _check_increasing("keep_token_ids", self.keep_token_ids)
        _check_increasing("keep_layers", self.keep_layers)
        for name in ("keep_channels", "keep_key_value_heads", "keep_experts"):
            _check_per_layer(name, getattr(self, name), len(self.keep_layers))
        _check_factors(self.write_factors, len(self.keep_layers))
        if self.vocab_multiple < 1:
            raise PlanError(f"vocab_multiple is {self.vocab_multiple}; give 1 or more")


def load_plan(path: Path) -> PrunePlan:
    """What stays by the plan in a plan artifact, whoever wrote it.

    Of a plan that was edited or written by hand only the lists of what stays are read, with its
    source and its corpus; whatever else it says is not looked at. Raises ArtifactError if it is
    missing, PlanError if it is nonsense.
    """
    file = path / PLAN_FILE
    data = read_json(file)
    if not isinstance(data, dict) or data.get("schema_version") != SCHEMA_VERSION:
        found = data.get("schema_version") if isinstance(data, dict) else None
        raise PlanError(f"{file} has schema {found!r}, expected {SCHEMA_VERSION}; plan again")
    try:
        return _plan_of(data)
    except KeyError as error:
        raise PlanError(f"{file} has no {error.args[0]!r}; plan again") from None
    except PlanError as error:
        raise PlanError(f"{file}: {error}") from None


def _plan_of(data: Mapping[str, Json]) -> PrunePlan:
    corpus = data["corpus"]
    if not isinstance(corpus, dict):
        raise PlanError("names no corpus as an object with a name; plan again")
    return PrunePlan(
        source=str(data["source"]),
        keep_token_ids=_integers("keep_token_ids", data["keep_token_ids"]),
        keep_layers=_integers("keep_layers", data["keep_layers"]),
        keep_channels=_rows("keep_channels", data),
        keep_experts=_rows("keep_experts", data),
        keep_key_value_heads=_rows("keep_key_value_heads", data),
        write_factors=_factors(data.get("write_factors", [])),
        vocab_multiple=_integers("vocab_multiple", [data.get("vocab_multiple", 1)])[0],
        corpus=str(corpus["name"]),
        num_counted=_integers("num_counted", [corpus["num_counted"]])[0],
        every_text_identical=bool(corpus.get("every_text_identical", True)),
    )


def predicted_figures(path: Path) -> PredictedRecord:
    """What the planner predicted for the cut, to stand beside what the cut gives; None for what a
    plan made by hand does not say.
    """
    data = _within(read_json(path / PLAN_FILE))
    after = _within(_within(data.get("figures")).get("after"))
    parameters, weights = after.get("num_parameters"), after.get("weight_bytes")
    divergence = data.get("predicted_kl_nats")
    return PredictedRecord(
        num_parameters=parameters if isinstance(parameters, int) else None,
        weight_bytes=weights if isinstance(weights, int) else None,
        kl_nats=float(divergence) if isinstance(divergence, int | float) else None,
    )


def _within(value: Json) -> Mapping[str, Json]:
    """The fields of a JSON object; none, if it is anything else."""
    return value if isinstance(value, dict) else {}


def check_fits(plan: PrunePlan, shape: ModelShape) -> None:
    """Raise PlanError unless every index of `plan` exists in a decoder of `shape` and its kind can
    be cut so.
    """
    _check_below("keep_token_ids", plan.keep_token_ids, shape.vocab_size, "tokens")
    _check_below("keep_layers", plan.keep_layers, shape.num_hidden_layers, "layers")
    for name, count, what in (
        ("keep_channels", shape.intermediate_size, "channels"),
        ("keep_key_value_heads", shape.num_key_value_heads, "key-value heads"),
        ("keep_experts", shape.num_experts, "experts"),
    ):
        for position, kept in enumerate(getattr(plan, name)):
            _check_below(f"{name}[{position}]", kept, count, what)
    if set(plan.write_factors) - {1.0} and (
        unable := cannot_scale("write_factors", shape.model_type)
    ):
        raise PlanError(unable)
    if plan.keep_key_value_heads:
        _check_heads(len(plan.keep_key_value_heads[0]), shape)
    experts = max(map(len, plan.keep_experts), default=0) or shape.num_experts
    if experts < shape.num_experts_per_tok:
        raise PlanError(
            f"keep_experts keeps {experts} experts, but each token runs through "
            f"{shape.num_experts_per_tok}; keep more"
        )


def cannot_scale(name: str, model_type: str) -> str:
    """Why the setting `name` cannot scale what layers of `model_type` write, for an error; empty if
    it can.
    """
    reason = ARCHITECTURES[model_type].no_write_factors
    return f"{name} cannot scale {model_type}: {reason}; leave it out" if reason else ""


def _check_heads(kept: int, shape: ModelShape) -> None:
    architecture = ARCHITECTURES[shape.model_type]
    if kept == shape.num_key_value_heads:
        return
    if architecture.no_head_cut:
        raise PlanError(
            f"keep_key_value_heads cannot cut {shape.model_type}: {architecture.no_head_cut}; "
            "keep all"
        )
    heads = shape.num_attention_heads // shape.num_key_value_heads * kept
    if architecture.heads_divide_hidden_size and shape.hidden_size % heads:
        raise PlanError(
            f"keep_key_value_heads leaves {heads} attention heads, which do not divide hidden_size "
            f"{shape.hidden_size} as {shape.model_type} demands; keep another number"
        )


def _integers(name: str, values: Json) -> Kept:
    if not isinstance(values, list):
        raise PlanError(f"{name} is {values!r}; give a list of whole numbers")
    numbers = []
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int):
            raise PlanError(f"{name} has {value!r}; give whole numbers")
        numbers.append(value)
    return tuple(numbers)


def _factors(values: Json) -> tuple[float, ...]:
    if not isinstance(values, list):
        raise PlanError(f"write_factors is {values!r}; give a list of numbers")
    factors = []
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise PlanError(f"write_factors has {value!r}; give numbers")
        factors.append(float(value))
    return tuple(factors)


def _rows(name: str, data: Mapping[str, Json]) -> tuple[Kept, ...]:
    rows = data.get(name, [])
    if not isinstance(rows, list):
        raise PlanError(f"{name} is {rows!r}; give a list for each kept layer")
    return tuple(_integers(f"{name}[{position}]", row) for position, row in enumerate(rows))


def _check_increasing(name: str, values: Sequence[int]) -> None:
    if not values:
        raise PlanError(f"{name} is empty; keep at least one")
    if values[0] < 0:
        raise PlanError(f"{name} has {values[0]}; indices start at 0")
    for before, after in zip(values, values[1:], strict=False):
        if after == before:
            raise PlanError(f"{name} has {after} twice; name each one once")
        if after < before:
            raise PlanError(f"{name} has {after} after {before}; list them in increasing order")


def _check_per_layer(name: str, rows: Sequence[Kept], num_layers: int) -> None:
    if not rows:
        return
    if len(rows) != num_layers:
        raise PlanError(
            f"{name} has {len(rows)} lists for {num_layers} kept layers; give one for each"
        )
    width = max(len(row) for row in rows)
    for position, row in enumerate(rows):
        if name == "keep_experts" and not row:
            continue
        _check_increasing(f"{name}[{position}]", row)
        if len(row) != width:
            raise PlanError(
                f"{name}[{position}] keeps {len(row)} where another layer keeps {width}; keep "
                "equally many"
            )


def _check_factors(factors: Sequence[float], num_layers: int) -> None:
    if factors and len(factors) != num_layers:
        raise PlanError(
            f"write_factors has {len(factors)} numbers for {num_layers} kept layers; give one "
            "for each"
        )
    for factor in factors:
        if not (isfinite(factor) and factor > 0):
            raise PlanError(
                f"write_factors has {factor}; give positive numbers, 1 to leave a layer alone"
            )


def _check_below(name: str, values: Sequence[int], count: int, what: str) -> None:
    if values and values[-1] >= count:
        raise PlanError(
            f"{name} has {values[-1]}, but the model has {count} {what}, numbered from 0"
        )
