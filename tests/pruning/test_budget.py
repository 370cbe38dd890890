"""The arithmetic of budgets, against trying every size."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from flab_deploy.decoder import ModelShape
from flab_deploy.errors import PlanError
from flab_deploy.pruning.planning.budget import Room, Sizes, fitting, room_for
from flab_deploy.pruning.planning.latency import ms_at
from flab_deploy.pruning.planning.paper import paper_sizes
from flab_deploy.pruning.planning.selection import kl_at
from flab_deploy.records.plan import CurveRecord, LineRecord
from flab_deploy.settings.plan import PlanConfig

NO_EXPERTS = dict.fromkeys(
    (
        "num_experts",
        "num_experts_per_tok",
        "num_expert_layers",
        "parameters_per_expert",
        "shared_expert_parameters",
    ),
    0,
)
# CodeQwen1.5-7B-Chat, one of the paper's models; sizes from its configuration.
CODEQWEN = ModelShape(
    model_type="qwen2",
    vocab_size=92_416,
    num_hidden_layers=32,
    hidden_size=4096,
    intermediate_size=13_440,
    num_attention_heads=32,
    num_key_value_heads=4,
    head_dim=128,
    tie_word_embeddings=False,
    num_parameters=7_250_284_544,
    parameters_per_channel=3 * 4096,
    parameters_per_key_value_head=0,
    parameters_per_token=2 * 4096,
    **NO_EXPERTS,
)
CODEQWEN_LAYER = (7_250_284_544 - 2 * 92_416 * 4096 - 4096) // 32
SMALL = ModelShape(
    model_type="qwen3",
    vocab_size=41,
    num_hidden_layers=3,
    hidden_size=8,
    intermediate_size=12,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=2,
    tie_word_embeddings=True,
    num_parameters=2_000,
    parameters_per_channel=24,
    parameters_per_key_value_head=40,
    parameters_per_token=8,
    **NO_EXPERTS,
)


def small_room(config: PlanConfig) -> Room:
    return room_for(SMALL, 500, config, needed_tokens=11, cuts_heads=True, cuts_experts=False)


def test_the_papers_cut_of_its_own_model_has_the_papers_size() -> None:
    room = room_for(
        CODEQWEN,
        CODEQWEN_LAYER,
        PlanConfig(paper=True),
        needed_tokens=17_000,
        cuts_heads=False,
        cuts_experts=False,
    )
    after = room.shape(paper_sizes(CODEQWEN, 17_000))
    assert after.num_parameters == 5_734_187_008
    assert (after.vocab_size, after.num_hidden_layers, after.intermediate_size) == (
        17_176,
        28,
        13_184,
    )


@pytest.mark.parametrize(
    ("shape", "needed", "reason"),
    [
        (replace(CODEQWEN, vocab_size=17_176), 100, "17,176 tokens"),
        (CODEQWEN, 17_177, "the corpus needs 17,177"),
        (replace(CODEQWEN, num_hidden_layers=4), 100, "it has 4 layers"),
        (replace(CODEQWEN, intermediate_size=256), 100, "256 FFN channels"),
    ],
)
def test_the_papers_cut_is_refused_where_it_does_not_fit(
    shape: ModelShape, needed: int, reason: str
) -> None:
    with pytest.raises(PlanError, match=reason):
        paper_sizes(shape, needed)


@pytest.mark.parametrize("vocab_multiple", [1, 4])
def test_fitting_finds_what_trying_every_size_finds(vocab_multiple: int) -> None:
    room = small_room(PlanConfig(channel_multiple=2, vocab_multiple=vocab_multiple))
    for limit, layers in product((700.0, 1_000.0, 1_500.0, 1_999.0), room.layers):
        found = list(fitting(room, lambda shape: shape.num_parameters, limit, layers))
        expected = []
        for heads in room.key_value_heads:
            for width in room.widths:
                fits = [
                    Sizes(
                        num_layers=layers,
                        key_value_heads=heads,
                        experts=0,
                        width=width,
                        vocab_size=rows,
                    )
                    for rows in room.vocab_sizes
                ]
                fits = [sizes for sizes in fits if room.shape(sizes).num_parameters <= limit]
                expected += [max(fits, key=lambda sizes: sizes.vocab_size)] if fits else []
                if fits and expected[-1].vocab_size == room.vocab_sizes[0]:
                    break
        assert found == expected


def test_no_allowed_size_is_above_the_source() -> None:
    for config in (
        PlanConfig(channel_multiple=32),
        PlanConfig(vocab_multiple=64),
        PlanConfig(channel_multiple=5),
    ):
        room = small_room(config)
        assert room.shape(room.largest).num_parameters <= SMALL.num_parameters
        assert max(room.widths) <= SMALL.intermediate_size
        assert max(room.vocab_sizes) <= SMALL.vocab_size


def test_curves_and_lines_pass_through_their_points() -> None:
    curve = CurveRecord(sizes=(2, 6, 8), kl_nats=(3.0, 1.0, 0.0))
    assert [kl_at(curve, size) for size in (1, 2, 4, 6, 7, 8, 9)] == [
        3.0,
        3.0,
        2.0,
        1.0,
        0.5,
        0.0,
        0.0,
    ]
    line = LineRecord(sizes=(2, 6, 8), ms=(1.0, 3.0, 3.5))
    assert [ms_at(line, size) for size in (0, 2, 4, 6, 7, 8, 10)] == [
        0.0,
        1.0,
        2.0,
        3.0,
        3.25,
        3.5,
        4.0,
    ]
