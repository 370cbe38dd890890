"""Applying a plan: shards, damaged input, full disks, kills, and the same bytes every time."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import subprocess
import sys
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from flab_deploy.artifacts import open_artifact
from flab_deploy.checkpoint import INDEX, resolve, weight_files
from flab_deploy.decoder import model_shape
from flab_deploy.errors import ArtifactError, ConfigError, ExportError, PlanError, UnsupportedModel
from flab_deploy.pruning import PrunePlan, prune
from flab_deploy.pruning.cutting.prune import check_room
from flab_deploy.pruning.cutting.tensors import file_cuts
from flab_deploy.records.document import record_of
from flab_deploy.records.prune import PruneRecord
from flab_deploy.tokenizer import with_parts
from tests.architectures import NUM_LAYERS, WIDTH, save_tiny
from tests.killed import killed_before_writing
from tests.pruning.plans import as_document, cut, full_plan, write_plan

CUT: dict[str, Any] = {
    "keep_layers": (0, 2, 3),
    "keep_channels": tuple(tuple(range(start, WIDTH, 2)) for start in (0, 1, 0)),
    "keep_key_value_heads": ((0, 2), (0, 1), (1, 2)),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("whole"), "llama", tied=False)


@pytest.fixture
def broken(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


def change_weights(path: Path, **tensors: torch.Tensor | None) -> None:
    weights = load_file(path / "model.safetensors")
    for name, value in tensors.items():
        weights.pop(name, None)
        if value is not None:
            weights[name] = value
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})


def all_tensors(path: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for file in weight_files(path) for name, tensor in load_file(file).items()}


def test_shards_give_the_same_tensors_as_one_file(whole: Path, tmp_path: Path) -> None:
    shards = save_tiny(tmp_path / "made", "llama", tied=False, max_shard_size="40KB")
    assert len(weight_files(shards)) > 3
    pruned, expected = (
        all_tensors(cut(shards, tmp_path / "a", **CUT)),
        all_tensors(cut(whole, tmp_path / "b", **CUT)),
    )
    assert pruned.keys() == expected.keys() and all(
        torch.equal(pruned[name], expected[name]) for name in expected
    )
    index = json.loads((tmp_path / "a" / "cut" / INDEX).read_text())
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in expected.values())
    assert set(index["weight_map"]) == set(expected)
    resolve(tmp_path / "a" / "cut")


def test_the_same_plan_gives_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    first, second = cut(whole, tmp_path / "a", **CUT), cut(whole, tmp_path / "b", **CUT)
    for file in sorted(path.name for path in first.iterdir() if path.name != "manifest.json"):
        assert (first / file).read_bytes() == (second / file).read_bytes(), file


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn]
)
def test_any_number_format_is_cut_bit_for_bit(
    broken: Path, tmp_path: Path, dtype: torch.dtype
) -> None:
    weights = {
        name: tensor.to(dtype) for name, tensor in load_file(broken / "model.safetensors").items()
    }
    weights["model.norm.weight"] = weights["model.norm.weight"].float()
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    pruned = load_file(cut(broken, tmp_path / "out", **CUT) / "model.safetensors")
    down = weights["model.layers.2.mlp.down_proj.weight"].view(
        torch.uint8 if dtype.itemsize == 1 else dtype
    )
    found = pruned["model.layers.1.mlp.down_proj.weight"]
    assert torch.equal(found.view(down.dtype), down[:, list(CUT["keep_channels"][1])])
    assert torch.equal(pruned["model.norm.weight"], weights["model.norm.weight"])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    "name", ["model.layers.3.mlp.down_proj.weight", "model.norm.weight", "lm_head.weight"]
)
def test_a_weight_that_is_no_number_is_named(
    broken: Path, tmp_path: Path, name: str, value: float
) -> None:
    weights = load_file(broken / "model.safetensors")
    weights[name].view(-1)[-1] = value
    change_weights(broken, **{name: weights[name]})
    with pytest.raises(ArtifactError, match=f"{name} holds NaN or infinite weights"):
        cut(broken, tmp_path / "out", **CUT)
    assert [path.name for path in (tmp_path / "out").iterdir() if "cut" in path.name] == []


def test_weights_whose_sum_overflows_are_still_numbers(broken: Path, tmp_path: Path) -> None:
    change_weights(broken, **{"model.norm.weight": torch.full((48,), 3e38)})
    cut(broken, tmp_path / "out", **CUT)


def test_quantised_and_unknown_tensors_are_named(broken: Path, tmp_path: Path) -> None:
    name = "model.layers.1.self_attn.q_proj"
    change_weights(broken, **{f"{name}.weight": torch.zeros(96, 48, dtype=torch.int8)})
    with pytest.raises(UnsupportedModel, match=f"{name}.weight is I8"):
        cut(broken, tmp_path / "a", **CUT)
    change_weights(
        broken, **{f"{name}.weight": torch.zeros(96, 48), f"{name}.weight_scale": torch.ones(96)}
    )
    with pytest.raises(UnsupportedModel, match=f"{name}.weight_scale"):
        cut(broken, tmp_path / "b", **CUT)
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(
        json.dumps(config | {"quantization_config": {"quant_method": "gptq"}})
    )
    with pytest.raises(UnsupportedModel, match="quant_method 'gptq'"):
        cut(broken, tmp_path / "c", **CUT)


def test_old_position_buffers_are_carried_along_and_do_not_count(
    broken: Path, tmp_path: Path
) -> None:
    name = "model.layers.3.self_attn.rotary_emb.inv_freq"
    before = model_shape(broken).num_parameters
    change_weights(broken, **{name: torch.arange(8)})
    assert model_shape(broken).num_parameters == before
    pruned = load_file(cut(broken, tmp_path / "out", **CUT) / "model.safetensors")
    assert torch.equal(pruned["model.layers.2.self_attn.rotary_emb.inv_freq"], torch.arange(8))


def test_sizes_that_contradict_the_configuration_are_named(broken: Path, tmp_path: Path) -> None:
    change_weights(broken, **{"model.layers.2.mlp.up_proj.weight": torch.zeros(60, 48)})
    with pytest.raises(
        ArtifactError, match=r"layers\.2\.mlp\.up_proj\.weight has shape \[60, 48\]"
    ):
        cut(broken, tmp_path / "out", **CUT)


def test_an_index_that_disagrees_with_the_files_is_refused(tmp_path: Path) -> None:
    source = save_tiny(tmp_path / "model", "llama", max_shard_size="40KB")
    index = json.loads((source / INDEX).read_text())
    files = sorted(set(index["weight_map"].values()))

    def write(weight_map: dict[str, str]) -> None:
        (source / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))

    placed = list(index["weight_map"].values())
    name, file = next(
        (name, file) for name, file in index["weight_map"].items() if placed.count(file) > 1
    )
    write({tensor: place for tensor, place in index["weight_map"].items() if tensor != name})
    with pytest.raises(
        ArtifactError, match=f"{file} has {name}, which the index does not place there"
    ):
        resolve(source)
    write(index["weight_map"] | {"model.extra.weight": files[0]})
    with pytest.raises(ArtifactError, match=f"{files[0]} lacks model.extra.weight"):
        resolve(source)
    write({tensor: file for tensor, file in index["weight_map"].items() if file != files[-1]})
    with pytest.raises(ArtifactError, match=f"has {files[-1]}, which its index does not name"):
        resolve(source)
    write({tensor: f"../{file}" for tensor, file in index["weight_map"].items()})
    with pytest.raises(ArtifactError, match="points outside its directory"):
        resolve(source)
    write(index["weight_map"])
    (source / files[1]).unlink()
    with pytest.raises(ArtifactError, match=f"has no {files[1]}"):
        resolve(source)


def test_the_disk_is_asked_before_it_is_filled(tmp_path: Path) -> None:
    source = save_tiny(tmp_path / "model", "llama", tied=False)
    header = {
        name: {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [0, 0]}
        for name, tensor in load_file(source / "model.safetensors").items()
    }
    end = 0
    for name, entry in header.items():
        if name in ("model.embed_tokens.weight", "lm_head.weight"):
            entry["shape"] = [entry["shape"][0], 10**9]
        entry["data_offsets"], end = (
            [end, end + 4 * prod(entry["shape"])],
            end + 4 * prod(entry["shape"]),
        )
    text = json.dumps(header).encode()
    with (source / "model.safetensors").open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.truncate(8 + len(text) + end)  # a hole: no disk space is used
    size = model_shape(source).vocab_size
    plan = PrunePlan(
        source="", keep_token_ids=tuple(range(size)), keep_layers=tuple(range(NUM_LAYERS))
    )
    with pytest.raises(ArtifactError, match=r"GB free, the cut model needs [\d.]+ GB; free some"):
        check_room(file_cuts(source, plan), tmp_path)


_PRUNE = """
import sys
from pathlib import Path
from flab_deploy.pruning import prune
prune(*map(Path, sys.argv[1:]), reopen="never")
"""


def test_a_write_that_fails_leaves_nothing(whole: Path, tmp_path: Path) -> None:
    plan = write_plan(
        tmp_path / "plan", as_document(full_plan(whole, tmp_path / "corpus.jsonl", **CUT))
    )
    script = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n{_PRUNE}"
    )
    command = [sys.executable, "-c", script, str(whole), str(plan), str(tmp_path / "out")]
    failed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "cannot write" in failed.stderr and "File too large" in failed.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus.jsonl", "plan"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 60_000


def test_a_kill_leaves_no_half_output(whole: Path, tmp_path: Path) -> None:
    plan = write_plan(
        tmp_path / "plan", as_document(full_plan(whole, tmp_path / "corpus.jsonl", **CUT))
    )
    script = killed_before_writing("model.safetensors", _PRUNE)
    command = [sys.executable, "-c", script, str(whole), str(plan), str(tmp_path / "out")]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert list(tmp_path.glob(".out.tmp-*/*"))
    assert not (tmp_path / "out").exists()
    prune(whole, plan, tmp_path / "out", reopen="never")
    assert not list(tmp_path.glob(".out.tmp-*"))
    resolve(tmp_path / "out")


def test_the_model_itself_is_no_output(whole: Path, tmp_path: Path) -> None:
    plan = write_plan(tmp_path / "plan", as_document(full_plan(whole, tmp_path / "corpus.jsonl")))
    with pytest.raises(ConfigError, match="is the model itself"):
        prune(whole, plan, whole, force=True)


def test_the_result_is_reopened_and_compared(whole: Path, tmp_path: Path) -> None:
    size = model_shape(whole).vocab_size
    tokens = tuple(with_parts(whole, range(0, size, 7)))
    for name, changes in {"fewer": {"keep_token_ids": tokens}, "cut": CUT}.items():
        plan = full_plan(whole, tmp_path / "corpus.jsonl", **changes)
        out = tmp_path / name
        prune(whole, write_plan(tmp_path / f"plan-{name}", as_document(plan)), out)
        found = record_of(PruneRecord, open_artifact(out).figures, name).reopened
        assert found.checked and found.num_generated == 32 and found.reason is None
        if name == "fewer":
            assert found.max_abs_logit_difference is not None
            assert found.max_abs_logit_difference < 1e-5
        else:
            assert found.max_abs_logit_difference is None


def test_a_result_that_does_not_open_is_no_output(broken: Path, tmp_path: Path) -> None:
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(config | {"hidden_act": "no such function"}))
    plan = write_plan(
        tmp_path / "plan", as_document(full_plan(broken, tmp_path / "corpus.jsonl", **CUT))
    )
    with pytest.raises(ExportError, match="cannot be opened in a fresh process .*no such function"):
        prune(broken, plan, tmp_path / "out")
    assert not (tmp_path / "out").exists()


NONSENSE = {
    "keep_layers": [
        ([0, 0], "keep_layers has 0 twice"),
        ([2, 1], "keep_layers has 1 after 2"),
        ([-1, 0], "has -1"),
        ([0, 9], "keep_layers has 9, but the model has 4 layers"),
        ([], "keep_layers is empty"),
        ([0, 1.5], "keep_layers has 1.5; give whole numbers"),
        ("all", "keep_layers is 'all'"),
    ],
    "keep_token_ids": [
        ([0, 10**6], "has 1000000, but the model has"),
        ([5, 5], "has 5 twice"),
        ([True], "has True"),
    ],
    "keep_channels": [
        ([[0]] * 3, "keep_channels has 3 lists for 4 kept layers"),
        ([[0, 1]] * 3 + [[0]], "keeps 1 where"),
        ([[0, 64]] * 4, r"keep_channels\[0\] has 64, but the model has 64 channels"),
        ([[0], [0], [], [0]], r"keep_channels\[2\] is empty"),
    ],
    "keep_key_value_heads": [
        ([[0, 3]] * 4, r"keep_key_value_heads\[0\] has 3, but the model has 3 key-value heads"),
        ([[1, 0]] * 4, r"keep_key_value_heads\[0\] has 0 after 1"),
    ],
    "keep_experts": [([[0]] * 4, r"keep_experts\[0\] has 0, but the model has 0 experts")],
    "vocab_multiple": [
        (0, "vocab_multiple is 0"),
        ("8", "vocab_multiple has '8'"),
        (4096, "rounding must not make"),
    ],
    "write_factors": [
        ([1, 1], "write_factors has 2 numbers for 4 kept layers"),
        ([1, 0, 1, 1], "write_factors has 0.0; give positive numbers"),
        ([1, "x", 1, 1], "write_factors has 'x'; give numbers"),
        (2, "write_factors is 2"),
    ],
    "corpus": [("text", "names no corpus"), ({"name": "x"}, "has no 'num_counted'")],
}


@pytest.mark.parametrize(
    ("field", "value", "message"), [(f, v, m) for f, cases in NONSENSE.items() for v, m in cases]
)
def test_nonsense_in_a_plan_is_named(
    whole: Path, tmp_path: Path, field: str, value: Any, message: str
) -> None:
    document = as_document(full_plan(whole, tmp_path / "corpus.jsonl")) | {field: value}
    with pytest.raises(PlanError, match=message):
        prune(whole, write_plan(tmp_path / "plan", document), tmp_path / "out", reopen="never")
    assert not (tmp_path / "out").exists()
