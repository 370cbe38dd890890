"""One model, its scores and what may be cut, ready to be planned for one budget after another."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from flab_deploy.artifacts import Artifact
from flab_deploy.checkpoint import Checkpoint
from flab_deploy.decoder import ModelShape, choose_device, layer_parameters, model_shape
from flab_deploy.errors import ConfigError, PlanError
from flab_deploy.importance.tokens import frequent_tokens
from flab_deploy.pruning.plan_document import PrunePlan, cannot_scale
from flab_deploy.pruning.planning.budget import Cost, Room, Sizes, limit_of, room_for
from flab_deploy.pruning.planning.cost import computed_cost, figures_of, precision_of
from flab_deploy.pruning.planning.latency import LatencyModel, latency_model
from flab_deploy.pruning.planning.paper import paper_sizes
from flab_deploy.pruning.planning.scores import Scores, read_scores
from flab_deploy.pruning.planning.selection import MeasuredSizes, least_divergent, measure_curves
from flab_deploy.pruning.planning.trial import Trials
from flab_deploy.records.plan import CostRecord, CurvesRecord
from flab_deploy.settings.plan import PlanConfig
from flab_deploy.tokenizer import TokenSelection, padded_rows

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What is to be cut, and what that was weighed against."""

    plan: PrunePlan
    sizes: Sizes
    shape: ModelShape
    """Sizes after the cut."""
    figures: CostRecord
    """What the cut model will take."""
    limit: float | None
    """The budget in the metric's unit; None where the sizes were given."""
    measured: list[MeasuredSizes]
    """All cuts that were measured, the chosen one first."""
    curves: CurvesRecord | None
    """Divergence of cutting each axis alone; None where the sizes were given."""


class Planner:
    """Plans cuts of one model. Whatever can be refused is refused before the model is loaded."""

    def __init__(self, checkpoint: Checkpoint, scored: Artifact, config: PlanConfig) -> None:
        choose_device(config.device)
        self.checkpoint, self.scored, self.config = checkpoint, scored, config
        self.path = checkpoint.path
        self.shape = model_shape(self.path)
        if config.compensate and (unable := cannot_scale("compensate", self.shape.model_type)):
            raise ConfigError(unable)
        self.precision = precision_of(self.path, self.shape)
        self.scores: Scores = read_scores(scored, self.shape)
        self.selection = TokenSelection(
            self.path, self.scores.token_counts, _wanted(self.scores.token_counts, config)
        )
        self.needed_tokens = self.selection.least
        self.room: Room = room_for(
            self.shape,
            layer_parameters(self.path),
            config,
            needed_tokens=self.needed_tokens,
            cuts_heads=config.cut_heads and self.scores.heads is not None,
            cuts_experts=self.scores.experts is not None,
        )
        self._tokens: dict[int, tuple[int, ...]] = {}

    @cached_property
    def latency(self) -> LatencyModel | None:
        """How long the parts of this model take on this machine; None unless latency is the
        metric.
        """
        return (
            latency_model(self.path, self.room, self.config)
            if self.config.metric == "latency"
            else None
        )

    @cached_property
    def cost(self) -> Cost:
        """What a shape takes, in the unit of the metric."""
        return (
            self.latency.decode_ms if self.latency else computed_cost(self.config, self.precision)
        )

    @cached_property
    def trials(self) -> Trials:
        """The loaded model, for measuring cuts."""
        return Trials(self.path, self.shape, self.scores, self.config)

    @cached_property
    def curves(self) -> CurvesRecord:
        """Divergence of cutting each axis alone."""
        return measure_curves(self.room, self.trials, self.tokens)

    def limit(self, config: PlanConfig) -> float | None:
        """The budget in the unit of the metric, or None for the paper's sizes. Raises PlanError if
        it is impossible.
        """
        if config.paper:
            paper_sizes(self.shape, self.needed_tokens)
            return None
        return limit_of(self.room, self.cost, config)

    def decide(self, config: PlanConfig) -> Decision:
        """The least divergent cut that meets the budget of `config`, whose other settings must be
        the planner's.

        Raises PlanError if no cut meets it.
        """
        limit = self.limit(config)
        if limit is None:
            measured = [self._measured(paper_sizes(self.shape, self.needed_tokens))]
        else:
            measured = least_divergent(
                self.room, self.trials, self.curves, self.cost, limit, config.max_measurements
            )
        if not measured:
            raise PlanError(
                f"no cut keeps at most {limit:,.6g} of {config.metric}; change the floors or "
                "the budget"
            )
        return self.decision(measured, limit, self.curves if limit is not None else None)

    def decision(
        self, measured: list[MeasuredSizes], limit: float | None, curves: CurvesRecord | None = None
    ) -> Decision:
        """The first of some measured cuts, as a plan."""
        sizes = measured[0].sizes
        tokens = self.tokens(sizes.vocab_size)
        multiple = self._row_multiple(len(tokens))
        sizes = replace(sizes, vocab_size=padded_rows(len(tokens), multiple))
        choice = self.trials.choice(sizes)
        plan = PrunePlan(
            source=self.checkpoint.digest,
            keep_token_ids=tokens,
            keep_layers=choice.layers,
            keep_channels=_lists(choice.channels),
            keep_key_value_heads=_lists(choice.heads),
            keep_experts=_lists(choice.experts),
            vocab_multiple=multiple,
            write_factors=self.trials.write_factors(choice.layers),
            corpus=self.scores.config.corpus,
            num_counted=self.scores.config.num_counted,
            every_text_identical=self.config.least_token_count == 1
            and self.config.token_coverage == 1.0,
        )
        shape = self.room.shape(sizes)
        return Decision(
            plan=plan,
            sizes=sizes,
            shape=shape,
            limit=limit,
            measured=measured,
            curves=curves,
            figures=figures_of(shape, self.precision, self.config),
        )

    def tokens(self, size: int) -> tuple[int, ...]:
        """The token ids that a vocabulary of `size` rows keeps."""
        if size not in self._tokens:
            whole = size == self.shape.vocab_size
            self._tokens[size] = tuple(range(size) if whole else self.selection.choose(size))
        return self._tokens[size]

    def _row_multiple(self, num_tokens: int) -> int:
        """What rows are padded to; nothing where that would make more rows than the original
        has.
        """
        multiple = self.room.vocab_multiple
        return multiple if padded_rows(num_tokens, multiple) <= self.shape.vocab_size else 1

    def _measured(self, sizes: Sizes) -> MeasuredSizes:
        lost = self.trials.vocabulary_kl([self.tokens(sizes.vocab_size)])[0]
        return MeasuredSizes(
            sizes=sizes, structure_kl=self.trials.structure_kl(sizes), vocabulary_kl=lost
        )

    @property
    def unseen_token_share(self) -> float:
        """Good-Turing estimate of the share of tokens in new text of this kind that the corpus has
        never seen.

        Those that a cut vocabulary lacks are split into shorter ones.
        """
        total = int(self.scores.token_counts.sum())
        return int((self.scores.token_counts == 1).sum()) / total if total else 1.0


def _lists(rows: Sequence[Tensor]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(int(index) for index in row) for row in rows)


def _wanted(counts: NDArray[np.int64], config: PlanConfig) -> NDArray[np.bool_]:
    """Which tokens must stay, (V,) bool: frequent ones and those kept by hand. Raises ConfigError
    for a bad file.
    """
    wanted = frequent_tokens(
        counts, least_count=config.least_token_count, coverage=config.token_coverage
    )
    if config.keep_tokens is None:
        return wanted
    try:
        words = Path(config.keep_tokens).read_text(encoding="utf-8").replace(",", " ").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read keep_tokens {config.keep_tokens}: {error}") from None
    wrong = next(
        (word for word in words if not (word.isdecimal() and int(word) < len(counts))), None
    )
    if wrong is not None:
        raise ConfigError(
            f"{config.keep_tokens} has {wrong!r}; give token ids from 0 to {len(counts) - 1}"
        )
    wanted[[int(word) for word in words]] = True
    return wanted
