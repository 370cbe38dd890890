"""Which layer to drop next: every candidate measured exactly, at a fraction of a forward pass each.

A candidate that skips one layer starts from the cached states that reach that layer. Candidates
that have skipped theirs run through the deeper layers together. Costs per position are never
negative, so a candidate whose running sum exceeds a complete one's is out without being measured
any further.
Shapes: B examples, T tokens, D hidden size, P completion positions, L layers, n candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from flab_deploy.batches import Batch
from flab_deploy.importance.divergence import Head, Reference, reference_of
from flab_deploy.importance.layers.race import Race
from flab_deploy.importance.layers.stack import Arguments, LayerStack
from flab_deploy.importance.ranks import Ranks

Cost = Callable[[Head, Reference, Tensor], Tensor]
Advance = Callable[[int], None]
# Tokens that go through a layer at once: more of them no longer make its matrix products faster.
_TOKENS_AT_ONCE = 4096
CACHE_BYTES = 2 << 30


@dataclass(frozen=True, kw_only=True)
class Trunk:
    """A stack of layers that candidates are measured against."""

    keep: tuple[int, ...]
    """The layers it runs."""
    states: dict[int, list[Tensor]]
    """For each cached batch, the input (B, T, D) of every layer it runs."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A trunk without one of its layers, completely measured."""

    trunk: Trunk
    position: int
    """Index into the trunk's layers of the one that is skipped."""
    cost: float
    """Mean cost per completion position."""
    followed: Trunk | None = None
    """The candidate as a trunk, if its states were kept while it was measured."""

    @property
    def layer(self) -> int:
        """The layer that is skipped."""
        return self.trunk.keep[self.position]

    @property
    def rank(self) -> tuple[float, tuple[int, ...]]:
        """Order of preference: least cost, then the layer nearest to the input."""
        return self.cost, (self.layer, *self.trunk.keep)


class LayerSearch:
    """Exact costs of skipping layers on calibration batches, relative to the whole model."""

    def __init__(
        self,
        stack: LayerStack,
        head: Head,
        batches: Sequence[Batch],
        cost: Cost,
        *,
        ranks: Ranks | None = None,
        cache_bytes: int = CACHE_BYTES,
        advance: Advance = lambda _done: None,
    ) -> None:
        self.stack, self.head, self.cost = stack, head, cost
        self.ranks = ranks or Ranks()
        self.batches = self.ranks.share(batches)
        self.advance = advance
        self.order = list(range(len(self.batches)))
        """Batches in the order they are tried in; early ones should separate candidates."""
        self.references: list[Reference] = []
        self._embedded: list[Tensor] = []
        self._arguments: list[list[Arguments]] = []
        self.whole = Trunk(keep=tuple(range(len(stack.layers))), states={})
        steps = self.ranks.largest(len(self.batches))
        self.progress = [(step + 1) / steps for step in range(steps)]
        """Share of a candidate's whole cost that it usually has after each step, rising to 1."""
        self._read_original(cache_bytes)
        self.num_positions = sum(len(batch.positions) for batch in batches)

    @torch.no_grad()
    def _read_original(self, cache_bytes: int) -> None:
        """One clean pass: what the original predicts, and the states that candidates start from."""
        room = cache_bytes // 2  # a round's winner is cached beside the trunk it came from
        for index, batch in enumerate(self.batches):
            trace = self.stack.trace(batch)
            final = self.stack.finish(trace.inputs[-1], batch.positions)[0]
            self.references.append(reference_of(self.head, final, batch.targets))
            self._embedded.append(trace.inputs[0])
            self._arguments.append(trace.arguments)
            room -= sum(states.nbytes for states in trace.inputs)
            if room >= 0:
                self.whole.states[index] = trace.inputs[:-1]
            self.advance(1)

    def all_costs(self) -> list[float]:
        """Mean cost of skipping each layer of the whole model, none of them cut short.

        Afterwards batches stand in the order in which they separate good candidates from bad
        ones soonest.
        """
        sums = torch.zeros(len(self.batches), len(self.whole.keep), dtype=torch.float64)
        for index in self.order:
            sums[index] = self._sums(index, self.whole, range(len(self.whole.keep)))
        total = self.ranks.sum(sums.sum(0))
        share = (sums / total.clamp(min=torch.finfo(torch.float64).tiny)).sum(1)
        worth = [
            float(share[index]) / self.batches[index].input_ids.numel() for index in self.order
        ]
        self.order.sort(key=lambda index: (-worth[index], index))
        by_step = torch.zeros(len(self.progress), dtype=torch.float64)
        by_step[: len(self.order)] = share[self.order]
        self.progress = (self.ranks.sum(by_step).cumsum(0) / len(self.whole.keep)).tolist()
        return [float(value) / self.num_positions for value in total]

    @torch.no_grad()
    def measure(self, trunk: Trunk, position: int, cost: Cost | None = None) -> Candidate:
        """One candidate, completely measured (by the search's own cost unless another is given) and
        kept as a trunk.
        """
        keep = trunk.keep[:position] + trunk.keep[position + 1 :]
        total = torch.zeros(1, dtype=torch.float64)
        followed: dict[int, list[Tensor]] = {}
        for index in self.order:
            path = [*self._inputs(index, trunk, position)[: position + 1]]
            for layer in keep[position:]:
                path.append(self.run(index, layer, path[-1]))
            total += self._costs(index, path[-1], 1, cost or self.cost)
            if index in trunk.states:
                followed[index] = path[:-1]
        mean = float(self.ranks.sum(total)) / self.num_positions
        return Candidate(
            trunk=trunk, position=position, cost=mean, followed=Trunk(keep=keep, states=followed)
        )

    def best(self, trunks: Sequence[Trunk], width: int = 1) -> list[Candidate]:
        """The `width` best of all trunks without one of their layers, best first; costs are
        exact.
        """
        race = Race(_distinct(trunks), width, self.progress)
        while group := race.next_group():
            step = race.steps[group[0]]
            added = torch.zeros(len(group), dtype=torch.float64)
            if step < len(self.order):
                for at, trunk in enumerate(trunks):
                    rows = [row for row, key in enumerate(group) if key[0] == at]
                    if rows:
                        added[rows] = self._sums(
                            self.order[step], trunk, [group[row][1] for row in rows]
                        )
            race.advance(group, self.ranks.sum(added).tolist())
        self.advance(
            sum(len(self.order) - min(step, len(self.order)) for step in race.steps.values())
        )
        found = [
            Candidate(
                trunk=trunks[at],
                position=position,
                cost=race.sums[at, position] / self.num_positions,
            )
            for at, position in race.complete()
        ]
        return sorted(found, key=lambda candidate: candidate.rank)[:width]

    def follow(self, candidate: Candidate) -> Trunk:
        """The trunk that a candidate makes, its states computed where they are not yet kept."""
        return candidate.followed or self.trunk(
            candidate.trunk.keep[: candidate.position]
            + candidate.trunk.keep[candidate.position + 1 :],
            start=candidate.trunk,
        )

    @torch.no_grad()
    def trunk(self, keep: tuple[int, ...], start: Trunk) -> Trunk:
        """The stack `keep` as a trunk, from the states that it shares with `start`."""
        shared = next(
            (at for at, (a, b) in enumerate(zip(keep, start.keep, strict=False)) if a != b),
            len(keep),
        )
        states: dict[int, list[Tensor]] = {}
        for index, inputs in start.states.items():
            path = list(inputs[: min(shared, len(inputs) - 1) + 1])
            for layer in keep[len(path) - 1 : -1]:
                path.append(self.run(index, layer, path[-1]))
            states[index] = path[: len(keep)]
        return Trunk(keep=keep, states=states)

    def run(self, index: int, layer: int, states: Tensor, copies: int = 1) -> Tensor:
        """What a layer makes of states (copies * B, T, D) of a batch."""
        return self.stack.run(layer, states, self._arguments[index][layer], copies)

    @torch.no_grad()
    def states(self, index: int, trunk: Trunk) -> list[Tensor]:
        """What every layer of a trunk reads from a batch, and what the last one writes."""
        inputs = self._inputs(index, trunk, len(trunk.keep) - 1)
        return [*inputs, self.run(index, trunk.keep[-1], inputs[-1])]

    @torch.no_grad()
    def _inputs(self, index: int, trunk: Trunk, last: int) -> list[Tensor]:
        """What the trunk's layers up to position `last` read from a batch."""
        if index in trunk.states:
            return trunk.states[index]
        path = [self._embedded[index]]
        for layer in trunk.keep[:last]:
            path.append(self.run(index, layer, path[-1]))
        return path

    @torch.no_grad()
    def _sums(self, index: int, trunk: Trunk, positions: Sequence[int]) -> Tensor:
        """Summed cost on one batch of skipping each of the increasing `positions`, (n,) float64."""
        inputs = self._inputs(index, trunk, max(positions))
        at_once = max(1, _TOKENS_AT_ONCE // self.batches[index].input_ids.numel())
        sums = [
            self._together(index, trunk, inputs, positions[at : at + at_once])
            for at in range(0, len(positions), at_once)
        ]
        self.advance(len(positions))
        return torch.cat(sums)

    def _together(
        self, index: int, trunk: Trunk, inputs: Sequence[Tensor], positions: Sequence[int]
    ) -> Tensor:
        """Each candidate joins the others behind the layer that it skips."""
        running, joined = inputs[positions[0]], 1
        for at in range(positions[0] + 1, len(trunk.keep)):
            layer = trunk.keep[at]
            running = self.run(index, layer, running, joined)
            if at in positions:
                running, joined = torch.cat([running, inputs[at]]), joined + 1
        return self._costs(index, running, joined, self.cost)

    @torch.no_grad()
    def _costs(self, index: int, states: Tensor, copies: int, cost: Cost) -> Tensor:
        final = self.stack.finish(states, self.batches[index].positions, copies)
        return cost(self.head, self.references[index], final).sum(1).clamp(min=0).cpu()


def _distinct(trunks: Sequence[Trunk]) -> list[tuple[int, int]]:
    """(trunk, position) of every candidate; of candidates that keep the same layers only the
    first.
    """
    found: dict[tuple[int, ...], tuple[int, int]] = {}
    for at, trunk in enumerate(trunks):
        for position in range(len(trunk.keep)):
            found.setdefault(trunk.keep[:position] + trunk.keep[position + 1 :], (at, position))
    return list(found.values())
