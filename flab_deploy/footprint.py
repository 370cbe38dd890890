"""The `footprint` stage: parameters, bytes, peak memory and operations per token of two
checkpoints.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from flab_deploy.artifacts import Artifact, Draft, run_stage
from flab_deploy.checkpoint import Checkpoint, resolve, weight_files
from flab_deploy.decoder import choose_device, forward_flops_per_token, model_shape
from flab_deploy.errors import ArtifactError
from flab_deploy.records.document import write_record
from flab_deploy.records.footprint import (
    FOOTPRINT_FILE,
    BothFootprints,
    FootprintRecord,
    ModelFootprint,
)
from flab_deploy.settings.footprint import FootprintConfig

# Runs alone in a fresh interpreter: peak resident memory above the interpreter with its libraries
# loaded, or on a GPU the peak of what PyTorch takes there.
_PROBE = """
import json, sys
import torch
from transformers import AutoModelForCausalLM
def memory(name):
    # Not getrusage: its maximum survives exec, so it would be that of the process that started
    # this one.
    with open("/proc/self/status") as stream:
        return next(int(line.split()[1]) * 1024 for line in stream if line.startswith(name))
torch.manual_seed(0)
model_path, batch, tokens = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
device, dtype = torch.device(sys.argv[4]), sys.argv[5]
import transformers.models.auto.modeling_auto, transformers.generation
before = memory("VmRSS:")
model = AutoModelForCausalLM.from_pretrained(model_path, dtype=dtype, use_safetensors=True)
ids = torch.randint(0, model.config.vocab_size, (batch, tokens))
with torch.inference_mode():
    model.to(device)(input_ids=ids.to(device), use_cache=True)
if device.type == "cuda":
    peak = torch.cuda.max_memory_allocated(device)
elif device.type == "mps":
    peak = torch.mps.driver_allocated_memory()
else:
    peak = memory("VmHWM:") - before
print(json.dumps({"peak": peak}))
"""


def footprint(
    original: str | Path,
    slimmed: str | Path,
    out: Path,
    config: FootprintConfig = FootprintConfig(),
    *,
    force: bool = False,
) -> Artifact:
    """Measure both checkpoints; writes `footprint.json`. Memory is measured, the rest computed from
    the files. Raises ConfigError for a device that is not there.
    """
    choose_device(config.device)
    before, after = resolve(original), resolve(slimmed)
    return run_stage(
        out,
        kind="footprint",
        module=__name__,
        parents={"original": before.digest, "slimmed": after.digest},
        config=asdict(config),
        work=lambda draft: _write(draft, before, after, config),
        measurements=(FOOTPRINT_FILE,),
        force=force,
    )


def _write(
    draft: Draft, original: Checkpoint, slimmed: Checkpoint, config: FootprintConfig
) -> None:
    both = BothFootprints(
        original=_measure(original.path, config), slimmed=_measure(slimmed.path, config)
    )
    found = FootprintRecord(schema_version=2, models=both, config=config)
    write_record(draft.path / FOOTPRINT_FILE, found)


def _measure(path: Path, config: FootprintConfig) -> ModelFootprint:
    shape = model_shape(path)
    peaks = sorted(_peak_memory_bytes(path, config) for _ in range(config.repeats))
    return ModelFootprint(
        num_parameters=shape.num_parameters,
        bytes_on_disk=sum(file.stat().st_size for file in weight_files(path)),
        peak_memory_bytes=peaks[len(peaks) // 2],
        forward_flops_per_token=forward_flops_per_token(shape, config.context_tokens),
    )


def _peak_memory_bytes(path: Path, config: FootprintConfig) -> int:
    command = [
        sys.executable,
        "-c",
        _PROBE,
        str(path),
        str(config.batch_size),
        str(config.context_tokens),
        str(choose_device(config.device)),
        config.dtype,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ArtifactError(f"{path} could not be loaded to measure its memory: {last}")
    return int(json.loads(done.stdout.strip().splitlines()[-1])["peak"])
