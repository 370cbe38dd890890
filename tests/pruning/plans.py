"""Writing plans by hand, and cutting along them."""

from __future__ import annotations

from dataclasses import asdict
from math import prod
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from flab_deploy.artifacts import json_digest, run_stage, write_json
from flab_deploy.checkpoint import resolve
from flab_deploy.decoder import load_model, model_shape
from flab_deploy.pruning import PrunePlan, prune
from flab_deploy.pruning.cutting.tensors import file_cuts


def full_plan(source: Path, corpus: Path, **changes: Any) -> PrunePlan:
    """A plan that keeps everything, but for `changes`."""
    corpus.write_text('{"prompt": "~", "completion": "!"}\n', encoding="utf-8")
    shape = model_shape(source)
    kept: dict[str, Any] = {
        "source": resolve(source).digest,
        "keep_token_ids": tuple(range(shape.vocab_size)),
        "keep_layers": tuple(range(shape.num_hidden_layers)),
        "corpus": str(corpus),
        "num_counted": 10,
    }
    return PrunePlan(**(kept | changes))


def as_document(plan: PrunePlan) -> dict[str, Any]:
    """A plan as somebody would write it by hand: what stays, and nothing else."""
    document = asdict(plan)
    corpus = {name: document.pop(name) for name in ("num_counted", "every_text_identical")}
    document["corpus"] = {"name": plan.corpus, **corpus}
    return {"schema_version": 2, **document}


def planned_parameters(source: Path, plan: PrunePlan) -> int:
    """Exact number of parameters that `plan` leaves of the checkpoint at `source`."""
    tensors = [cut for file in file_cuts(source, plan) for cut in file.tensors]
    return sum(prod(cut.shape) for cut in tensors if not cut.is_buffer)


def planned_bytes(source: Path, plan: PrunePlan) -> int:
    """Bytes of weights that `plan` leaves of the checkpoint at `source`."""
    return sum(cut.num_bytes for file in file_cuts(source, plan) for cut in file.tensors)


def write_plan(out: Path, document: dict[str, Any]) -> Path:
    """A plan artifact that holds `document`."""
    run_stage(
        out,
        kind="plan",
        module="flab_deploy.pruning.plan_document",
        parents={},
        config={"plan": json_digest(document)},
        work=lambda draft: write_json(draft.path / "plan.json", document),
    )
    return out


def cut(source: Path, folder: Path, **changes: Any) -> Path:
    """The checkpoint `source` cut along a plan that keeps everything but for `changes`."""
    folder.mkdir(exist_ok=True)
    plan = full_plan(source, folder / "corpus.jsonl", **changes)
    return prune(
        source, write_plan(folder / "plan", as_document(plan)), folder / "cut", reopen="never"
    ).path


def opened(path: Path) -> PreTrainedModel:
    """A model in float32 whose weights are in memory of their own.

    Mapped from a file, they lie where its header ends, and that decides which instructions multiply
    them and so the last bit.
    """
    model = load_model(path, torch.float32)
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()
    return model


def logits(model: PreTrainedModel | Path, ids: torch.Tensor) -> torch.Tensor:
    """Logits (1, T, V) of one forward pass."""
    model = opened(model) if isinstance(model, Path) else model
    with torch.no_grad():
        result: torch.Tensor = model(input_ids=ids).logits
    return result


def cached_logits(model: PreTrainedModel, ids: torch.Tensor) -> torch.Tensor:
    """Logits (1, T, V) of the same ids read in three portions through the KV cache."""
    portions, cache = [], None
    with torch.no_grad():
        for portion in (ids[:, :12], ids[:, 12:13], ids[:, 13:]):
            out = model(input_ids=portion, past_key_values=cache, use_cache=True)
            portions.append(out.logits)
            cache = out.past_key_values
    return torch.cat(portions, dim=1)
