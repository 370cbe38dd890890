"""How far each exported format is from its source: `parity.json`."""

from __future__ import annotations

from typing import Literal

from flab_deploy.records.document import record

PARITY_FILE = "parity.json"


@record
class VllmParity:
    """The checkpoint directory, opened in a fresh process, against PyTorch in its own precision."""

    num_prompts: int
    num_long_inputs: int
    num_logits_identical: int
    max_abs_logit_difference: float
    num_tokenizations_equal: int
    overridden_tokenizer_settings: tuple[str, ...]
    """What transformers replaces in this architecture's tokenizer."""
    dtype: str
    versions: dict[str, str]


@record
class OnnxComparison:
    """An ONNX model under ONNX Runtime against PyTorch, both in float32."""

    num_prompts: int
    num_new_tokens: int
    num_greedy_equal: int
    num_greedy_near_ties: int
    max_abs_logit_difference: float
    max_abs_logit_difference_bound: float
    mean_abs_logit_difference: float
    num_long_inputs: int
    long_input_tokens: tuple[int, ...]
    long_max_abs_logit_difference: float
    num_long_greedy_equal: int
    dtype: str


@record
class OnnxParity(OnnxComparison):
    """The same of the exported model, with what exported it."""

    exporter_max_abs_logit_difference: float
    """Of the exporter's transformers version, which also opens the checkpoint."""
    opset: int
    onnxruntime_version: str
    optimum_version: str
    optimum_onnx_version: str
    transformers_version: str


@record
class ExportRecord:
    """Parity by format; None for a format that was not asked for."""

    schema_version: Literal[1]
    vllm: VllmParity | None
    onnx: OnnxParity | None


@record
class ExportFigures:
    """The figures that `export` shows."""

    files: dict[str, str]
    """SHA-256 by path of every file."""
