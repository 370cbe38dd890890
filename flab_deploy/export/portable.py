"""The portable checkpoint: the source's weights, with settings that transformers 4 and 5, and so
vLLM and optimum, read alike.

transformers 5 keeps RoPE settings under `rope_parameters` and calls the number format `dtype`;
version 4 reads `rope_theta`, `rope_scaling` and `torch_dtype`, and silently falls back to a
default where they are missing. Both spellings are written. Of the tokenizer, `tokenizer.json`
is the whole truth; files that could contradict it are left out.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from flab_deploy.artifacts import write_json
from flab_deploy.checkpoint import INDEX, read_config, stored_metadata, stored_tensors, weight_files
from flab_deploy.decoder import check_supported, model_shape
from flab_deploy.errors import ExportError
from flab_deploy.export.special_ids import ROLES, check_special_ids
from flab_deploy.tokenizer import load_tokenizer

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
_DTYPES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}
# Left out: where the source lay, and what repeats tokenizer.json and may contradict it.
_DROPPED_FROM_CONFIG = (
    "_name_or_path",
    "_attn_implementation",
    "torch_dtype",
    "rope_theta",
    "rope_scaling",
)
_DROPPED_FROM_TOKENIZER = (
    "added_tokens_decoder",
    "auto_map",
    "backend",
    "extra_special_tokens",
    "is_local",
    "name_or_path",
    "processor_class",
    "special_tokens_map_file",
    "tokenizer_file",
)


def write_checkpoint(source: Path, target: Path) -> None:
    """Write the checkpoint at `source` to the new directory `target` in portable form.

    Raises ExportError if a special token id is wrong or the settings have no portable form,
    UnsupportedModel or ArtifactError if the source is no decoder or lacks its tokenizer.
    """
    config = portable_config(source)
    generation_config = portable_generation_config(source, config)
    tokenizer_config = portable_tokenizer_config(source)
    check_special_ids(config, generation_config, tokenizer_config, load_tokenizer(source))
    target.mkdir()
    write_json(target / "config.json", config)
    write_json(target / "generation_config.json", generation_config)
    write_json(target / "tokenizer_config.json", tokenizer_config)
    for name in ("tokenizer.json", "chat_template.jinja", INDEX):
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    for file in weight_files(source):
        _write_weights(file, target / file.name)


def portable_config(source: Path) -> dict[str, Any]:
    """The model's configuration in both spellings, its RoPE settings as the source model itself
    resolves them.
    """
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    raw = {
        key: value for key, value in read_config(source).items() if key not in _DROPPED_FROM_CONFIG
    }
    check_supported(raw, source)
    num_rows = model_shape(source).vocab_size
    if num_rows != raw["vocab_size"]:
        raise ExportError(
            f"{source}/config.json says vocab_size {raw['vocab_size']}, the weights have "
            f"{num_rows} rows"
        )
    raw.setdefault("architectures", [MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[raw["model_type"]]])
    resolved = AutoConfig.from_pretrained(source)
    dtype = str(raw.get("dtype") or resolved.dtype or _stored_dtype(source)).removeprefix("torch.")
    rope = dict(getattr(resolved, "rope_parameters", None) or {})
    return {**raw, "dtype": dtype, "torch_dtype": dtype, **_rope_settings(rope)}


def _rope_settings(rope: dict[str, Any]) -> dict[str, Any]:
    """RoPE settings as transformers 5 reads them (`rope_parameters`) and as 4 does (the other
    keys).
    """
    if not rope:
        return {}
    if any(isinstance(value, dict) for value in rope.values()):
        raise ExportError(
            f"RoPE settings differ by layer type ({', '.join(rope)}), which transformers 4 "
            "cannot read"
        )
    scaling = {
        key: value
        for key, value in rope.items()
        if key not in ("rope_theta", "partial_rotary_factor")
    }
    settings = {"rope_parameters": rope, "rope_theta": rope["rope_theta"]}
    if "partial_rotary_factor" in rope:
        settings["partial_rotary_factor"] = rope["partial_rotary_factor"]
    if scaling.get("rope_type", "default") != "default":
        settings["rope_scaling"] = scaling
    return settings


def portable_generation_config(source: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Generation defaults: the source's own, or the special ids of its configuration."""
    path = source / "generation_config.json"
    settings: dict[str, Any] = (
        json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    )
    settings.pop("_from_model_config", None)
    for role in ROLES:
        if config.get(f"{role}_id") is not None:
            settings.setdefault(f"{role}_id", config[f"{role}_id"])
    return dict(sorted(settings.items()))


def portable_tokenizer_config(source: Path) -> dict[str, Any]:
    """Tokenizer settings for the class that both majors know and that takes `tokenizer.json` as it
    is.

    For some architectures transformers 5 uses a class of its own all the same; parity shows what
    that changes.
    """
    settings: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if (source / name).is_file():
            settings |= json.loads((source / name).read_text(encoding="utf-8"))
    extra = settings.get("extra_special_tokens")
    if isinstance(extra, list):
        settings.setdefault("additional_special_tokens", extra)
    elif isinstance(extra, dict):
        settings |= extra
    kept = {key: value for key, value in settings.items() if key not in _DROPPED_FROM_TOKENIZER}
    return {**kept, "tokenizer_class": "PreTrainedTokenizerFast"}


def _stored_dtype(source: Path) -> str:
    stored = stored_tensors(weight_files(source)[0])
    return _DTYPES.get(stored[0].dtype, "float32")


def _write_weights(source: Path, target: Path) -> None:
    """Copy a weight file byte for byte; add the format mark that older readers insist on where it
    is missing.
    """
    if stored_metadata(source).get("format") == "pt":
        shutil.copyfile(source, target)
        return
    from safetensors.torch import load_file, save_file

    save_file(load_file(source), target, metadata={"format": "pt"})
