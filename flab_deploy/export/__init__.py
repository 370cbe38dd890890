"""Exporting a checkpoint to what servers load: a vLLM-ready directory and an ONNX model.

Every format is opened again and compared with its source; out of bounds, nothing is written.
"""

from flab_deploy.export.stage import export
from flab_deploy.settings.export import ExportConfig

__all__ = ["ExportConfig", "export"]
