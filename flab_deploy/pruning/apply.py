"""The `prune` stage: an exact cut of a checkpoint along a plan, tensor by tensor, without building the model."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from flab_deploy.artifacts import Artifact, Draft, open_artifact, read_json, run_stage, write_json
from flab_deploy.checkpoint import Checkpoint, read_config, resolve, weight_files
from flab_deploy.corpus import Instruction
from flab_deploy.decoder import LAYER_PREFIX, PER_LAYER_LISTS, check_supported, model_shape, role_of, split_layer
from flab_deploy.errors import PlanError
from flab_deploy.pruning.plan import PrunePlan, load_plan
from flab_deploy.reference.corpus import load_held_out, load_instructions
from flab_deploy.tokenizer import SUPERSEDED, TOKENIZER_FILE, Proof, prove, remap_token_ids, shrink

logger = logging.getLogger(__name__)
_NUM_HELD_OUT = 500
_REWRITTEN = frozenset(
    {"config.json", "generation_config.json", TOKENIZER_FILE, "tokenizer_config.json", "manifest.json"}
)


def prune(model: str | Path, plan: Path, out: Path, *, force: bool = False) -> Artifact:
    """Cut the checkpoint `model` along `plan` into the checkpoint directory `out`; same plan, same bytes.

    Raises PlanError if the plan was made for another checkpoint.
    """
    checkpoint = resolve(model)
    planned = open_artifact(plan, "plan")
    decided = load_plan(plan)
    if decided.source != checkpoint.digest:
        raise PlanError(
            f"{plan} was made for checkpoint {decided.source[:12]}, not {checkpoint.digest[:12]}; plan this one first"
        )
    return run_stage(
        out, kind="checkpoint", module=__name__, config={},
        parents={"model": checkpoint.digest, "plan": planned.digest},
        work=lambda draft: _cut(draft, checkpoint, decided), force=force,
    )  # fmt: skip


def _cut(draft: Draft, checkpoint: Checkpoint, plan: PrunePlan) -> None:
    source, out = checkpoint.path, draft.path
    _cut_weights(source, out, plan)
    _write_configs(source, out, plan)
    shrink(source, out, plan.keep_token_ids)
    for file in sorted(source.iterdir()):
        textual = file.suffix in {".json", ".jinja", ".txt"} or file.name == "LICENSE"
        if file.is_file() and textual and file.name not in _REWRITTEN | SUPERSEDED and "safetensors" not in file.name:
            shutil.copyfile(file, out / file.name)
    proof = _prove(source, out, plan)
    shape = model_shape(out)
    draft.figures |= {
        "num_parameters": shape.num_parameters, "vocab_size": shape.vocab_size,
        "num_hidden_layers": shape.num_hidden_layers, "intermediate_size": shape.intermediate_size,
        "tokenizer": asdict(proof),
    }  # fmt: skip


def _prove(source: Path, out: Path, plan: PrunePlan) -> Proof:
    """Show that every text of the plan's corpus reads as before. Raises PlanError if one does not."""
    counted = load_instructions(plan.corpus, plan.num_counted, "score")
    held_out = load_held_out(plan.corpus, plan.num_counted, _NUM_HELD_OUT)
    proof = prove(source, out, plan.keep_token_ids, _texts(counted), held_out=_texts(held_out))
    problem = proof.problem(plan.corpus)
    if problem:
        raise PlanError(f"the smaller tokenizer {problem}; score and plan again on the present corpus")
    return proof


def _texts(examples: list[Instruction]) -> Iterator[str]:
    return (text for example in examples for text in (example.prompt, example.completion))


def _tensors(source: Path) -> Iterator[tuple[str, Tensor]]:
    for file in weight_files(source):
        with safe_open(file, framework="pt") as stream:
            for name in sorted(stream.keys()):
                yield name, stream.get_tensor(name)


def cut_tensor(name: str, tensor: Tensor, plan: PrunePlan) -> tuple[str, Tensor] | None:
    """The tensor's new name and what the plan keeps of it, or None if its layer goes."""
    inside = split_layer(name)
    new_name, position = name, 0
    if inside:
        layer, rest = inside
        if layer not in plan.keep_layers:
            return None
        position = plan.keep_layers.index(layer)
        new_name = f"{LAYER_PREFIX}{position}.{rest}"
    role = role_of(name)
    if role == "vocabulary":
        return new_name, tensor[torch.tensor(plan.keep_token_ids)]
    if role == "ffn_rows":
        return new_name, tensor[torch.tensor(plan.keep_channels[position])]
    if role == "ffn_columns":
        return new_name, tensor[:, torch.tensor(plan.keep_channels[position])].contiguous()
    return new_name, tensor


def _cut_weights(source: Path, out: Path, plan: PrunePlan) -> None:
    kept = dict(filter(None, (cut_tensor(name, tensor, plan) for name, tensor in _tensors(source))))
    save_file(kept, out / "model.safetensors", metadata={"format": "pt"})


def _write_configs(source: Path, out: Path, plan: PrunePlan) -> None:
    config = read_config(source)
    check_supported(config, source)
    new_id = {old: new for new, old in enumerate(plan.keep_token_ids)}
    config = remap_token_ids(config, new_id, "config.json")
    config |= {
        "vocab_size": len(plan.keep_token_ids), "num_hidden_layers": len(plan.keep_layers),
        "intermediate_size": len(plan.keep_channels[0]),
    }  # fmt: skip
    for name in PER_LAYER_LISTS:
        if isinstance(config.get(name), list):
            config[name] = [config[name][layer] for layer in plan.keep_layers]
    if config.get("max_window_layers") is not None:
        config["max_window_layers"] = min(config["max_window_layers"], len(plan.keep_layers))
    config.pop("_name_or_path", None)
    write_json(out / "config.json", config)
    generation = source / "generation_config.json"
    if generation.is_file():
        settings = cast("dict[str, Any]", read_json(generation))
        write_json(out / "generation_config.json", remap_token_ids(settings, new_id, "generation_config.json"))
