"""Which device and which precision a stage takes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from flab_deploy import WAIT_POLICY
from flab_deploy.cli.program import main
from flab_deploy.decoder import (
    asked_dtype,
    calculates_in,
    choose_device,
    choose_dtype,
    load_model,
    weights_dtype,
)
from flab_deploy.errors import ConfigError
from flab_deploy.settings.run import PipelineConfig
from flab_deploy.settings.shared.device import DeviceConfig
from flows.effort import ON_A_DEVICE, effort_of
from tests.architectures import save_tiny
from tests.decoder.pretended_gpu import pretended_gpu

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("source") / "model", "llama")


def with_dtype(source: Path, folder: Path, dtype: str) -> Path:
    """A config of that number format."""
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config | {"dtype": dtype}), encoding="utf-8")
    return folder


def test_auto_takes_what_there_is() -> None:
    for kind, found in (("none", "cpu"), ("cuda", "cuda"), ("mps", "mps")):
        with pretended_gpu(kind):
            assert choose_device("auto") == torch.device(found)
            assert choose_device("cpu") == CPU


@pytest.mark.parametrize(
    ("machine", "asked", "message"),
    [
        ("none", "cuda", "device is cuda, but PyTorch finds no GPU here; take cpu or auto"),
        ("none", "cuda:0", "device is cuda:0, but PyTorch finds no GPU here; take cpu or auto"),
        ("none", "mps", "device is mps, but PyTorch finds none here; take cpu or auto"),
        (
            "cuda",
            "cuda:1",
            "device is cuda:1, but the last GPU here is cuda:0; take one that is there, or auto",
        ),
    ],
)
def test_a_device_that_is_not_there_is_refused(machine: str, asked: str, message: str) -> None:
    with pretended_gpu(machine), pytest.raises(ConfigError) as caught:
        choose_device(asked)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU", ""])
def test_a_name_that_is_none_is_refused_when_settings_are_made(name: str) -> None:
    with pytest.raises(ConfigError, match=f"^device is '{name}'; give auto, cpu, cuda, mps, or"):
        DeviceConfig(device=name)


VERBS = {
    "score": ["reference"],
    "plan": ["reference", "--scores", "nowhere"],
    "prune": ["reference", "--plan", "nowhere"],
    "recover": ["nowhere"],
    "evaluate": ["reference"],
    "footprint": ["nowhere", "nowhere"],
    "export": ["nowhere"],
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_so_in_one_line_before_any_work(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pretended_gpu("none"), pytest.raises(SystemExit) as caught:
        main([verb, *VERBS[verb], "--out", str(tmp_path / "out"), "--device", "cuda"])
    assert caught.value.code == 2
    said = capsys.readouterr().err.splitlines()
    assert said == ["error: device is cuda, but PyTorch finds no GPU here; take cpu or auto"]
    assert list(tmp_path.iterdir()) == []


def test_precision_is_that_of_the_weights_where_the_device_has_it(
    source: Path, tmp_path: Path
) -> None:
    paths = {
        name: with_dtype(source, tmp_path / name, name)
        for name in ("float32", "bfloat16", "float16")
    }
    for name, path in paths.items():
        own = getattr(torch, name)
        assert weights_dtype(path) == own
        here = own if calculates_in(own, CPU) else torch.float32
        assert choose_dtype(path, CPU, "auto") == here
        assert choose_dtype(path, CPU, "bfloat16") == torch.bfloat16
        with pretended_gpu():
            assert choose_dtype(path, torch.device("cuda"), "auto") == own
    assert calculates_in(torch.float32, CPU)
    assert calculates_in(torch.bfloat16, CPU) == torch.ops.mkldnn._is_mkldnn_bf16_supported()
    assert asked_dtype("auto", torch.float32) == torch.float32
    assert asked_dtype("float16", torch.float32) == torch.float16
    with pytest.raises(ConfigError, match="names dtype 'float3'; expected one such as bfloat16"):
        weights_dtype(with_dtype(source, tmp_path / "other", "float3"))


def test_a_model_is_loaded_where_it_is_to_run(source: Path) -> None:
    with pretended_gpu():
        for asked, found in (("cpu", CPU), ("cuda", torch.device("cuda", 0))):
            model = load_model(source, torch.bfloat16, asked)
            assert {parameter.device for parameter in model.parameters()} == {found}
            assert model.dtype == torch.bfloat16 and not model.training


@pytest.mark.parametrize(("given", "found"), [(None, "PASSIVE"), ("active", "ACTIVE")])
def test_waiting_threads_sleep_unless_the_user_says_otherwise(
    given: str | None, found: str
) -> None:
    """As OpenMP itself says when PyTorch has loaded it."""
    environment = {**os.environ, "OMP_DISPLAY_ENV": "true"}
    environment.pop(WAIT_POLICY[0], None)
    environment |= {WAIT_POLICY[0]: given} if given else {}
    done = subprocess.run(
        [sys.executable, "-c", "import flab_deploy, torch"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.search(rf"OMP_WAIT_POLICY *= *'{found}'", done.stderr), done.stderr


def test_a_run_sets_all_stages_and_a_stage_its_own() -> None:
    run = PipelineConfig(size="small", device="cuda:1", dtype="bfloat16")
    effort = effort_of(run, {"plan": {"device": "cpu"}, "evaluate": {"dtype": "float32"}})
    measured = ["score", "plan", "recover", "evaluate", "likelihood", "footprint", "export"]
    assert measured == ON_A_DEVICE
    places = {
        stage: (getattr(effort, stage).device, getattr(effort, stage).dtype)
        for stage in ON_A_DEVICE
    }
    assert places.pop("plan") == ("cpu", "bfloat16")
    assert places.pop("evaluate") == ("cuda:1", "float32")
    assert set(places.values()) == {("cuda:1", "bfloat16")}
