"""Every architecture, tied and untied: a cut checkpoint is the original with parts left out, bit
for bit or nearly.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import PreTrainedModel

from flab_deploy.decoder import (
    ARCHITECTURES,
    attention_output,
    backbone,
    down_projection,
    has_experts,
    layers,
    model_shape,
    num_key_value_heads,
    only_channels,
    only_experts,
    only_heads,
    only_layers,
    output_logits,
    scaled_writes,
)
from flab_deploy.errors import PlanError
from flab_deploy.tokenizer import with_parts
from tests.architectures import HEADS_CAN_GO, NUM_LAYERS, SETTINGS, WIDTH, WITH_EXPERTS, save_tiny
from tests.pruning.plans import (
    cached_logits,
    cut,
    full_plan,
    logits,
    opened,
    planned_bytes,
    planned_parameters,
)

# transformers' GPT-BigCode uses what PyTorch is about to give up.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")
Make = Callable[[str, bool], Path]
CASES = [(model_type, tied) for model_type in SETTINGS for tied in (True, False)]
IDS = torch.arange(1, 25)[None]
KEEP_LAYERS = (1, 2, 3)
CHANNELS = tuple(tuple(range(start, WIDTH, 2)) for start in (0, 1, 0))
GROUPS = ((0, 2), (0, 1), (1, 2))
EXPERTS = ((0, 2, 3), (1, 2, 5), (0, 4, 5))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Make:
    made: dict[tuple[str, bool], Path] = {}

    def make(model_type: str, tied: bool) -> Path:
        if (model_type, tied) not in made:
            folder = tmp_path_factory.mktemp(f"{model_type}-{tied}")
            made[model_type, tied] = save_tiny(folder, model_type, tied=tied)
        return made[model_type, tied]

    return make


def tensors(path: Path) -> dict[str, torch.Tensor]:
    with safe_open(path / "model.safetensors", framework="pt") as stream:
        return {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118


@pytest.mark.parametrize(("model_type", "tied"), CASES)
def test_keeping_everything_keeps_the_logits_bit_for_bit(
    source: Make, tmp_path: Path, model_type: str, tied: bool
) -> None:
    path = source(model_type, tied)
    everything = (
        {"keep_channels": (tuple(range(WIDTH)),) * NUM_LAYERS}
        if model_type not in WITH_EXPERTS
        else {}
    )
    same = cut(path, tmp_path, **everything)
    assert model_shape(same) == model_shape(path)
    assert model_shape(path).tie_word_embeddings == tied
    before, after = tensors(path), tensors(same)
    assert before.keys() == after.keys() and all(
        torch.equal(before[name], after[name]) for name in before
    )
    assert torch.equal(logits(same, IDS), logits(path, IDS))


@pytest.mark.parametrize(("model_type", "tied"), CASES)
def test_fewer_tokens_restrict_the_logits(
    source: Make, tmp_path: Path, model_type: str, tied: bool
) -> None:
    path = source(model_type, tied)
    size = model_shape(path).vocab_size
    tokens = with_parts(path, range(0, size, 7))
    small = cut(path, tmp_path, keep_token_ids=tuple(tokens), vocab_multiple=16)
    assert model_shape(small).vocab_size % 16 == 0
    expected = logits(path, torch.tensor(tokens)[IDS])[..., tokens]
    torch.testing.assert_close(
        logits(small, IDS)[..., : len(tokens)], expected, atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize(("model_type", "tied"), CASES)
def test_fewer_layers_equal_skipping_them_with_a_cache_too(
    source: Make, tmp_path: Path, model_type: str, tied: bool
) -> None:
    path = source(model_type, tied)
    shallow, original = (opened(cut(path, tmp_path, keep_layers=KEEP_LAYERS)), opened(path))
    assert torch.equal(logits(original, IDS), logits(path, IDS))
    with only_layers(original, KEEP_LAYERS):
        assert torch.equal(logits(shallow, IDS), logits(original, IDS))
        assert torch.equal(cached_logits(shallow, IDS), cached_logits(original, IDS))
        torch.testing.assert_close(
            cached_logits(shallow, IDS), logits(shallow, IDS), atol=1e-4, rtol=1e-4
        )
        assert torch.equal(generated(shallow), generated(original))
    assert torch.equal(logits(original, IDS), logits(path, IDS))


@pytest.mark.parametrize("model_type", SETTINGS)
def test_factors_scale_what_layers_write_and_a_factor_of_one_changes_no_bit(
    source: Make, tmp_path: Path, model_type: str
) -> None:
    path, factors = source(model_type, True), (1.0, 0.7, 1.3)
    if ARCHITECTURES[model_type].no_write_factors:
        with pytest.raises(
            PlanError, match=f"write_factors cannot scale {model_type}: its layers normalise"
        ):
            cut(path, tmp_path, keep_layers=KEEP_LAYERS, write_factors=factors)
        return
    scaled = cut(path, tmp_path, keep_layers=KEEP_LAYERS, write_factors=factors)
    original = opened(path)
    with only_layers(original, KEEP_LAYERS):
        plain = logits(original, IDS)
        with scaled_writes(original, factors):
            expected = logits(original, IDS)
    torch.testing.assert_close(logits(scaled, IDS), expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(expected, plain, atol=1e-3)
    before, after = tensors(path), tensors(scaled)
    first = re.compile(r"\.0\.")
    of_first = [name for name in after if first.search(name) and "experts." not in name]
    assert of_first and all(
        torch.equal(after[n], before[first.sub(f".{KEEP_LAYERS[0]}.", n, 1)]) for n in of_first
    )


def generated(model: PreTrainedModel) -> torch.Tensor:
    out = model.generate(
        IDS,
        attention_mask=torch.ones_like(IDS),
        max_new_tokens=8,
        min_new_tokens=8,
        do_sample=False,
    )
    assert isinstance(out, torch.Tensor)
    return out


@pytest.mark.parametrize(("model_type", "tied"), CASES)
def test_a_cut_of_everything_equals_masking_and_survives_saving(
    source: Make, tmp_path: Path, model_type: str, tied: bool
) -> None:
    path = source(model_type, tied)
    kept = {"keep_layers": KEEP_LAYERS}
    original = opened(path)
    with ExitStack() as masks:
        masks.enter_context(only_layers(original, KEEP_LAYERS))
        if model_type in WITH_EXPERTS:
            has = [has_experts(layer) for layer in layers(original)]
            kept["keep_experts"] = tuple(row if has[at] else () for at, row in enumerate(EXPERTS))
            masks.enter_context(only_experts(original, [torch.tensor(row) for row in EXPERTS]))
        else:
            kept["keep_channels"] = CHANNELS
            masks.enter_context(only_channels(original, [torch.tensor(row) for row in CHANNELS]))
        if model_type in HEADS_CAN_GO:
            kept["keep_key_value_heads"] = GROUPS
            masks.enter_context(only_heads(original, [torch.tensor(row) for row in GROUPS]))
        expected = logits(original, IDS)
    plan = full_plan(path, tmp_path / "corpus.jsonl", **kept)
    small = cut(path, tmp_path, **kept)
    torch.testing.assert_close(logits(small, IDS), expected, atol=1e-5, rtol=1e-5)
    assert planned_parameters(path, plan) == model_shape(small).num_parameters
    assert planned_bytes(path, plan) == sum(tensor.nbytes for tensor in tensors(small).values())
    model = opened(small)
    model.save_pretrained(tmp_path / "again")
    again = opened(tmp_path / "again")
    assert torch.equal(logits(again, IDS), logits(model, IDS))
    assert torch.equal(generated(again), generated(model))


@pytest.mark.parametrize("model_type", [name for name in SETTINGS if name not in WITH_EXPERTS])
def test_dropping_dead_channels_and_heads_keeps_the_logits(
    source: Make, tmp_path: Path, model_type: str
) -> None:
    path = tmp_path / "source"
    model = opened(source(model_type, True))
    groups = num_key_value_heads(model)
    for layer in layers(model):
        down_projection(layer).weight.data[:, [3, 7, 31]] = 0.0
        projection = attention_output(layer)
        if model_type in HEADS_CAN_GO:
            projection.weight.data.view(projection.out_features, groups, -1)[:, 1] = 0.0
    model.save_pretrained(path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (path / name).write_bytes((source(model_type, True) / name).read_bytes())
    changes = {
        "keep_channels": (tuple(c for c in range(WIDTH) if c not in (3, 7, 31)),) * NUM_LAYERS
    }
    if model_type in HEADS_CAN_GO:
        changes["keep_key_value_heads"] = ((0, 2),) * NUM_LAYERS
    torch.testing.assert_close(
        logits(cut(path, tmp_path, **changes), IDS), logits(model, IDS), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("model_type", [name for name in SETTINGS if name not in HEADS_CAN_GO])
def test_heads_that_no_configuration_can_express_stay(
    source: Make, tmp_path: Path, model_type: str
) -> None:
    path = source(model_type, True)
    groups = model_shape(path).num_key_value_heads
    if groups == 1:
        return
    with pytest.raises(PlanError, match=f"cannot cut {model_type}: .*; keep all"):
        cut(path, tmp_path, keep_key_value_heads=(tuple(range(groups - 1)),) * NUM_LAYERS)
    assert not (tmp_path / "cut").exists()


@pytest.mark.parametrize("model_type", SETTINGS)
def test_states_become_the_models_own_logits(source: Make, model_type: str) -> None:
    model = opened(source(model_type, False))
    with torch.no_grad():
        states = backbone(model)(input_ids=IDS, use_cache=False).last_hidden_state
        assert torch.equal(output_logits(model, states), logits(model, IDS))


@pytest.mark.parametrize("model_type", SETTINGS)
def test_sizes_after_a_cut_follow_from_the_sizes_before(
    source: Make, tmp_path: Path, model_type: str
) -> None:
    path = source(model_type, False)
    shape, heads = model_shape(path), model_type in HEADS_CAN_GO
    assert shape.num_parameters == sum(p.numel() for p in opened(path).parameters())
    changes = {"keep_key_value_heads": ((0, 1),) * NUM_LAYERS} if heads else {}
    if model_type in WITH_EXPERTS:
        sparse = [layer for layer in range(NUM_LAYERS) if (layer + 1) % 2 == 0 and layer != 3]
        changes["keep_experts"] = tuple(
            (0, 1, 2) if at in sparse else () for at in range(NUM_LAYERS)
        )
    else:
        changes["keep_channels"] = (tuple(range(40)),) * NUM_LAYERS
    plan = full_plan(path, tmp_path / "corpus.jsonl", keep_token_ids=tuple(range(300)), **changes)
    after = shape.resized(
        vocab_size=300,
        num_hidden_layers=NUM_LAYERS,
        layer_parameters=0,
        intermediate_size=WIDTH if model_type in WITH_EXPERTS else 40,
        num_key_value_heads=2 if heads else None,
        num_experts=3 if model_type in WITH_EXPERTS else None,
    )
    assert after.num_parameters == planned_parameters(path, plan)


def test_lists_that_count_layers_follow_the_cut(source: Make, tmp_path: Path) -> None:
    gemma = json.loads(
        (
            cut(source("gemma3_text", True), tmp_path / "a", keep_layers=(1, 2)) / "config.json"
        ).read_text()
    )
    assert gemma["layer_types"] == ["sliding_attention", "full_attention"]
    assert "_sliding_window_pattern" not in gemma
    moe = json.loads(
        (
            cut(source("qwen3_moe", True), tmp_path / "b", keep_layers=(1, 2, 3)) / "config.json"
        ).read_text()
    )
    assert (moe["mlp_only_layers"], moe["decoder_sparse_step"]) == ([1, 2], 1)
    qwen = json.loads(
        (cut(source("qwen2", True), tmp_path / "c", keep_layers=(1, 3)) / "config.json").read_text()
    )
    assert (qwen["max_window_layers"], qwen["layer_types"]) == (
        1,
        ["full_attention", "sliding_attention"],
    )
