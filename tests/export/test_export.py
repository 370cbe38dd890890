"""The export stage: parity is measured on what was written, and a figure out of bounds writes
nothing.
"""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from flab_deploy import engines
from flab_deploy.artifacts import Artifact, check_digest, file_digest, tree_digest
from flab_deploy.decoder import load_model
from flab_deploy.errors import ConfigError, ExportError
from flab_deploy.export import ExportConfig, export
from flab_deploy.export.formats import FORMATS, engines_needed
from flab_deploy.export.inputs import parity_inputs
from flab_deploy.export.onnx_decoder import OnnxDecoder
from flab_deploy.export.parity import (
    check_tokens,
    checkpoint_parity,
    onnx_parity,
    other_version_parity,
    torch_greedy,
    torch_logits,
)
from flab_deploy.records.document import read_record, record_of
from flab_deploy.records.export import PARITY_FILE, ExportFigures, ExportRecord
from flab_deploy.reopen import ReopenAnswers, ReopenInputs
from flab_deploy.settings.export import Format

VLLM_ONLY = ExportConfig(formats=("vllm",), num_prompts=6, num_new_tokens=8)
BOTH = ExportConfig(num_prompts=6, num_new_tokens=8)


def parity(artifact: Artifact) -> ExportRecord:
    return read_record(ExportRecord, artifact.path / PARITY_FILE)


def answers(inputs: ReopenInputs, **changes: Any) -> ReopenAnswers:
    """What a fresh process says that reads every text as it should."""
    found: dict[str, Any] = {
        "token_ids": tuple(tuple(ids) for ids in inputs.text_ids),
        "overridden": (),
        "logit_digests": ("0",) * len(inputs.all_ids),
        "generated": (),
        "versions": {"transformers": "5.0"},
    }
    return ReopenAnswers(**(found | changes))


@pytest.fixture(scope="module")
def source(make_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("source") / "model")


@pytest.fixture(scope="module")
def exported(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return export(source, tmp_path_factory.mktemp("exported") / "export", VLLM_ONLY)


def test_a_fresh_process_finds_identical_logits(exported: Artifact) -> None:
    found = parity(exported)
    assert found.vllm is not None and found.onnx is None
    assert found.vllm.num_logits_identical == 6 + 4
    assert found.vllm.num_tokenizations_equal == 6
    assert found.vllm.max_abs_logit_difference == 0.0
    assert found.vllm.dtype == "bfloat16"
    assert found.vllm.overridden_tokenizer_settings == ()


def test_the_manifest_lists_every_file_and_only_parity_is_outside_the_digest(
    exported: Artifact,
) -> None:
    check_digest(exported)
    files = record_of(ExportFigures, exported.figures, "export").files
    written = {
        p.relative_to(exported.path).as_posix() for p in exported.path.rglob("*") if p.is_file()
    }
    assert files.keys() == written - {"manifest.json", "parity.json"}
    assert all(file_digest(exported.path / name) == digest for name, digest in files.items())


def test_an_unchanged_export_is_kept(source: Path, exported: Artifact) -> None:
    before = (exported.path / "manifest.json").stat().st_mtime_ns
    assert export(source, exported.path, VLLM_ONLY) == exported
    assert (exported.path / "manifest.json").stat().st_mtime_ns == before


def test_logits_that_differ_in_one_bit_are_refused(source: Path) -> None:
    inputs = parity_inputs(source, 2, 2048, 8)
    model = load_model(source, torch.bfloat16)
    last = np.stack([torch_logits(model, ids)[-1] for ids in inputs.all_ids])
    last[1, 5] = np.nextafter(last[1, 5], np.float32(np.inf))
    with pytest.raises(
        ExportError, match=r"differs from its source: other logits for 6 of 6 inputs, by up to \d"
    ):
        checkpoint_parity(model, inputs, answers(inputs), last)


def test_a_tokenizer_that_encodes_differently_is_refused(source: Path) -> None:
    inputs = parity_inputs(source, 2, 2048, 8)
    with pytest.raises(
        ExportError, match=r"transformers 5\.0 encodes 1 of 2 prompts unlike tokenizer\.json"
    ):
        check_tokens(inputs, answers(inputs, token_ids=(tuple(inputs.text_ids[0]), (1, 2, 3))))


def test_a_tokenizer_that_the_architecture_overrides_is_refused(
    tmp_path: Path, make_model: Callable[..., Path]
) -> None:
    odd = make_model(tmp_path / "model")
    description = json.loads((odd / "tokenizer.json").read_text())
    description["pre_tokenizer"] = {
        "type": "ByteLevel",
        "add_prefix_space": True,
        "trim_offsets": True,
        "use_regex": True,
    }
    (odd / "tokenizer.json").write_text(json.dumps(description))
    with pytest.raises(
        ExportError, match=r"encodes 6 of 6 prompts unlike tokenizer\.json.*'pre_tokenizer'"
    ):
        export(odd, tmp_path / "export", VLLM_ONLY)


def test_logits_that_are_no_numbers_are_no_parity(source: Path) -> None:
    inputs = parity_inputs(source, 1, 2048, 8)
    nan = np.full((len(inputs.all_ids), 400), np.nan, np.float32)
    with pytest.raises(ExportError, match=r"transformers 4\.0 opens .* by up to inf"):
        other_version_parity(load_model(source, torch.float32), inputs, nan, "4.0", 1e-3)


def test_long_inputs_fit_the_context_and_are_long_where_it_allows(source: Path) -> None:
    assert [len(ids) for ids in parity_inputs(source, 3, 2048, 8).long_ids] == [512, 640, 768, 1024]
    assert [len(ids) for ids in parity_inputs(source, 3, 700, 8).long_ids] == [512, 640, 692]
    with pytest.raises(ExportError, match="too short to prove parity"):
        parity_inputs(source, 3, 40, 8)


def test_a_failed_export_writes_nothing(
    source: Path, tmp_path: Path, make_model: Callable[..., Path]
) -> None:
    wrong = make_model(tmp_path / "model", eos_token_id=9)
    with pytest.raises(ExportError, match="eos_token_id 9"):
        export(wrong, tmp_path / "export", VLLM_ONLY)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    "values",
    [
        {"formats": ()},
        {"formats": ("gguf",)},
        {"num_prompts": 0},
        {"num_new_tokens": 0},
        {"max_abs_logit_difference": 0.0},
        {"max_abs_logit_difference": float("nan")},
    ],
)
def test_settings_that_make_no_sense_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        ExportConfig(**values)  # type: ignore[arg-type]


def test_the_configuration_is_plain_data() -> None:
    assert json.loads(json.dumps(asdict(ExportConfig())))["num_prompts"] == 50


@pytest.fixture(scope="module")
def optimum() -> None:
    states = {status.name: status.state for status in engines.status()}
    if states["optimum"] not in ("installed", "external"):
        pytest.skip("the optimum engine is not installed (flab engines install optimum)")


@pytest.fixture(scope="module")
def with_onnx(optimum: None, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return export(source, tmp_path_factory.mktemp("onnx") / "export", BOTH)


@pytest.mark.engine
def test_onnx_runtime_computes_and_decodes_what_pytorch_does(with_onnx: Artifact) -> None:
    found = parity(with_onnx).onnx
    assert found is not None
    assert found.num_greedy_equal == 6
    assert found.num_long_greedy_equal == 4
    assert 0 < found.max_abs_logit_difference < 1e-3
    assert found.long_input_tokens == (512, 640, 768, 1024)
    assert found.transformers_version.startswith("4.")  # the exporter read the portable settings


@pytest.mark.engine
def test_two_exports_are_byte_identical(with_onnx: Artifact, source: Path, tmp_path: Path) -> None:
    again = export(source, tmp_path / "elsewhere", BOTH)
    assert again.digest == with_onnx.digest
    assert tree_digest(again.path / "onnx") == tree_digest(with_onnx.path / "onnx")
    assert str(tmp_path).encode() not in (again.path / "onnx" / "model.onnx").read_bytes()


@pytest.mark.engine
def test_the_onnx_model_comes_with_its_tokenizer(with_onnx: Artifact) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert (with_onnx.path / "onnx" / name).read_bytes() == (
            with_onnx.path / "vllm" / name
        ).read_bytes()


@pytest.mark.engine
def test_the_cache_gives_what_whole_sequences_give(with_onnx: Artifact, source: Path) -> None:
    decoder = OnnxDecoder(with_onnx.path / "onnx" / "model.onnx", 1)
    ids = parity_inputs(source, 1, 2048, 8).long_ids[0]
    whole = list(ids)
    for _ in range(5):
        whole.append(int(decoder.logits(whole)[-1].argmax()))
    assert (
        decoder.greedy(ids, 5)
        == whole[len(ids) :]
        == torch_greedy(load_model(source, torch.float32), ids, 5)
    )


@pytest.mark.engine
def test_a_lost_rope_theta_is_caught_with_the_number(
    with_onnx: Artifact, make_model: Callable[..., Path], tmp_path: Path
) -> None:
    default_theta = make_model(
        tmp_path / "model", rope_parameters={"rope_type": "default", "rope_theta": 10_000.0}
    )
    decoder = OnnxDecoder(with_onnx.path / "onnx" / "model.onnx", 1)
    inputs = parity_inputs(default_theta, 2, 2048, 4)
    with pytest.raises(ExportError, match=r"differ from PyTorch's by up to [1-9\.]") as caught:
        onnx_parity(load_model(default_theta, torch.float32), decoder, inputs, 4, 1e-3)
    number = float(re.findall(r"up to ([\d.e+-]+)", str(caught.value))[0])
    assert number > 0.1


@pytest.mark.engine
def test_scaled_rope_reaches_the_graph(
    optimum: None, make_model: Callable[..., Path], tmp_path: Path
) -> None:
    yarn = {
        "rope_type": "yarn",
        "rope_theta": 20_000.0,
        "factor": 4.0,
        "original_max_position_embeddings": 512,
    }
    scaled = make_model(tmp_path / "model", rope_parameters=yarn)
    config = ExportConfig(formats=("onnx",), num_prompts=2, num_new_tokens=4)
    artifact = export(scaled, tmp_path / "export", config)
    assert sorted(path.name for path in artifact.path.iterdir()) == [
        "manifest.json",
        "onnx",
        "parity.json",
    ]
    found = parity(artifact)
    assert found.vllm is None and found.onnx is not None
    assert found.onnx.exporter_max_abs_logit_difference < 1e-3


def test_every_format_has_a_field_for_its_parity_and_says_which_engine_it_needs() -> None:
    assert tuple(FORMATS) == get_args(Format)
    assert set(FORMATS) < {field.name for field in fields(ExportRecord)}
    assert engines_needed(("vllm",)) == ()
    assert engines_needed(("vllm", "onnx")) == ("optimum",)
    assert set(engines_needed(tuple(FORMATS))) <= set(engines.ENGINES)


def test_importing_the_stage_does_not_import_torch() -> None:
    import subprocess

    code = (
        "import sys, flab_deploy.export; sys.exit('torch' in sys.modules or 'transformers' "
        "in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
