"""The `prune` stage: an exact cut of a checkpoint along a plan, tensor by tensor, without building
the model.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from flab_deploy.artifacts import Artifact, Draft, open_artifact, read_json, run_stage, write_json
from flab_deploy.checkpoint import Checkpoint, resolve
from flab_deploy.corpora import load_held_out, load_instructions
from flab_deploy.corpus import Instruction
from flab_deploy.decoder import asked_dtype, choose_device, free_bytes, model_shape
from flab_deploy.errors import ArtifactError, ConfigError, PlanError
from flab_deploy.pruning.cutting.engine_rules import check_engine_rules
from flab_deploy.pruning.cutting.model_config import cut_settings
from flab_deploy.pruning.cutting.opens import Reopen, check_opens
from flab_deploy.pruning.cutting.realised import realised_divergence
from flab_deploy.pruning.cutting.tensors import FileCut, file_cuts
from flab_deploy.pruning.cutting.weights import write_weights
from flab_deploy.pruning.plan_document import PrunePlan, load_plan, predicted_figures
from flab_deploy.records.document import as_json
from flab_deploy.records.prune import PredictedRecord, PruneRecord, RealisedRecord
from flab_deploy.settings.shared.device import DeviceConfig
from flab_deploy.tokenizer import SUPERSEDED, TOKENIZER_FILE, Proof, prove, remap_token_ids, shrink

logger = logging.getLogger(__name__)
_NUM_HELD_OUT, _NUM_MEASURED = 500, 64
_REWRITTEN = frozenset(
    {
        "config.json",
        "generation_config.json",
        TOKENIZER_FILE,
        "tokenizer_config.json",
        "manifest.json",
    }
)
# Room for tokenizer, settings and manifest beside the weights.
_OTHER_FILES_BYTES = 64 << 20


def prune(
    model: str | Path,
    plan: Path,
    out: Path,
    *,
    reopen: Reopen = "auto",
    where: DeviceConfig = DeviceConfig(),
    force: bool = False,
) -> Artifact:
    """Cut the checkpoint `model` along `plan` into the checkpoint directory `out`; same plan, same
    bytes.

    Memory stays within a few hundred megabytes whatever the size. The result is then opened in a
    fresh process, always on the CPU, for that proves the files and not a device; and its divergence
    measured on held-out examples, `where` that says. Both are left out if the result is too large
    (`auto`) or `reopen` says `never`. Raises PlanError if the plan was made for another checkpoint
    or does not fit, UnsupportedModel for tensors that cannot be cut, ArtifactError for damaged
    weights or a full disk, ExportError if the result does not open; `out` is then left as it was.
    """
    choose_device(where.device)
    checkpoint = resolve(model)
    planned = open_artifact(plan, "plan")
    decided = load_plan(plan)
    if out.resolve() == checkpoint.path.resolve():
        raise ConfigError(f"{out} is the model itself; choose another --out")
    if decided.source != checkpoint.digest:
        raise PlanError(
            f"{plan} was made for checkpoint {decided.source[:12]}, not {checkpoint.digest[:12]}; "
            "plan this one first"
        )
    return run_stage(
        out,
        kind="checkpoint",
        module=__name__,
        config={"reopen": reopen, **asdict(where)},
        parents={"model": checkpoint.digest, "plan": planned.digest},
        work=lambda draft: _cut(draft, checkpoint, decided, reopen, where, predicted_figures(plan)),
        force=force,
    )


def _cut(
    draft: Draft,
    checkpoint: Checkpoint,
    plan: PrunePlan,
    reopen: Reopen,
    where: DeviceConfig,
    predicted: PredictedRecord,
) -> None:
    source, out = checkpoint.path, draft.path
    cuts = file_cuts(source, plan)
    check_room(cuts, out)
    try:
        _write_configs(source, out, plan)
        _write_tokenizer(source, out, plan)
        # The proof is quick and the weights are not: a corpus that reads differently is found
        # first.
        held_out = load_held_out(plan.corpus, plan.num_counted, _NUM_HELD_OUT)
        proof = _prove(source, out, plan, held_out)
        draft.digests |= write_weights(cuts, out)
    except OSError as error:
        raise ArtifactError(
            f"cannot write {out.parent} ({error.strerror or error}); nothing was left there"
        ) from None
    before, after = model_shape(source), model_shape(out)
    warnings = check_engine_rules(before, after)
    for warning in warnings:
        logger.warning("prune: %s", warning)
    reopened = check_opens(source, out, plan, before, after, reopen)
    realised = None
    if reopened.checked:
        realised = _realised(source, out, plan, held_out[:_NUM_MEASURED], where)
    found = PruneRecord(
        schema_version=1,
        num_parameters=after.num_parameters,
        vocab_size=after.vocab_size,
        num_hidden_layers=after.num_hidden_layers,
        intermediate_size=after.intermediate_size,
        num_attention_heads=after.num_attention_heads,
        num_key_value_heads=after.num_key_value_heads,
        num_experts=after.num_experts,
        warnings=tuple(warnings),
        tokenizer=proof,
        predicted=predicted,
        weight_bytes=_weight_bytes(cuts),
        reopened=reopened,
        realised=realised,
    )
    draft.figures |= as_json(found)


def _realised(
    source: Path, out: Path, plan: PrunePlan, held_out: list[Instruction], where: DeviceConfig
) -> RealisedRecord:
    reason = _too_large(source, where)
    found = None
    if held_out and reason is None:
        found = realised_divergence(source, out, plan.keep_token_ids, held_out, where)
    if found is None:
        none = f"{plan.corpus} has no texts beyond those counted that both tokenizers read alike"
        return RealisedRecord(kl_nats=None, num_tokens=None, reason=reason or none)
    logger.info("prune: realised divergence %.3g nats per held-out token", found.kl_nats)
    return found


def _too_large(source: Path, where: DeviceConfig) -> str | None:
    """Why the model does not fit in memory, if it does not."""
    device = choose_device(where.device)
    dtype = asked_dtype(where.dtype, torch.float32)
    needed, free = model_shape(source).num_parameters * dtype.itemsize, free_bytes(device)
    if needed <= free:
        return None
    return f"the model takes {needed / 1e9:.1f} GB, more than the {free / 1e9:.1f} GB free here"


def _weight_bytes(cuts: Sequence[FileCut]) -> int:
    return sum(tensor.num_bytes for cut in cuts for tensor in cut.tensors)


def check_room(cuts: Sequence[FileCut], out: Path) -> None:
    """Raise ArtifactError unless the disk of the directory `out` has room for the weights of
    `cuts`.
    """
    needed = _weight_bytes(cuts) + _OTHER_FILES_BYTES
    free = shutil.disk_usage(out).free
    if free < needed:
        raise ArtifactError(
            f"{out.parent} has {free / 1e9:.2f} GB free, the cut model needs {needed / 1e9:.2f} "
            "GB; free some or choose another --out"
        )


def _write_tokenizer(source: Path, out: Path, plan: PrunePlan) -> None:
    shrink(source, out, plan.keep_token_ids)
    for file in sorted(source.iterdir()):
        textual = file.suffix in {".json", ".jinja", ".txt"} or file.name == "LICENSE"
        if (
            file.is_file()
            and textual
            and file.name not in _REWRITTEN | SUPERSEDED
            and "safetensors" not in file.name
        ):
            shutil.copyfile(file, out / file.name)


def _prove(source: Path, out: Path, plan: PrunePlan, held_out: list[Instruction]) -> Proof:
    """Show that the texts of the plan's corpus read as it promises. Raises PlanError if one does
    not.
    """
    counted = load_instructions(plan.corpus, plan.num_counted, "score")
    proof = prove(source, out, plan.keep_token_ids, _texts(counted), held_out=_texts(held_out))
    problem = proof.problem(plan.corpus, all_covered=plan.every_text_identical)
    if problem:
        raise PlanError(
            f"the smaller tokenizer {problem}; score and plan again on the present corpus"
        )
    return proof


def _texts(examples: list[Instruction]) -> Iterator[str]:
    return (text for example in examples for text in (example.prompt, example.completion))


def _write_configs(source: Path, out: Path, plan: PrunePlan) -> None:
    new_id = {old: new for new, old in enumerate(plan.keep_token_ids)}
    settings = cut_settings(source, plan, model_shape(source))
    write_json(out / "config.json", remap_token_ids(settings, new_id, "config.json"))
    name = "generation_config.json"
    if (source / name).is_file():
        defaults = read_json(source / name)
        if not isinstance(defaults, dict):
            raise ArtifactError(f"{source / name} is no JSON object; download it again")
        write_json(out / name, remap_token_ids(defaults, new_id, name))
