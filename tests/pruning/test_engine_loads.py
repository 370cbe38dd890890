"""vLLM itself opens a cut checkpoint of every architecture and continues texts as transformers
does.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from flab_deploy.decoder import load_model
from flab_deploy.engines import python_of
from flab_deploy.tokenizer import with_parts
from tests.architectures import HEADS_CAN_GO, SETTINGS, WITH_EXPERTS, save_tiny
from tests.pruning.plans import cut

# Sizes that vLLM's attention has kernels for.
_SIZES: dict[str, Any] = {
    "hidden_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "query_pre_attn_scalar": 32,
    "use_sliding_window": False,
    "n_embd": 128,
    "n_head": 4,
}
# vLLM 0.32's CPU build opens these and then answers zeros, for uncut models of this size too: only
# opening is checked.
_WRONG_WHEN_UNCUT = {"qwen3_moe"}
_NEW_TOKENS = 8
_PROMPT = list(range(1, 20))
# Each model has a process of its own, forked from one that has imported all of vLLM, and ended
# before vLLM cleans up. What was imported is frozen: vLLM collects garbage several times for each
# model.
_SCRIPT = """
import gc, json, os, sys
import vllm.v1.worker.cpu_worker
from vllm import LLM, SamplingParams
prompt, new_tokens, *folders = json.loads(sys.argv[1])
gc.freeze()
for folder in folders:
    if os.fork():
        os.wait()
        continue
    try:
        llm = LLM(
            model=folder, enforce_eager=True, dtype="float32", max_model_len=64, max_num_seqs=2,
            skip_tokenizer_init=True, disable_log_stats=True,
        )
        settings = SamplingParams(
            temperature=0.0, max_tokens=new_tokens, ignore_eos=True, detokenize=False
        )
        out = llm.generate({"prompt_token_ids": prompt}, settings, use_tqdm=False)
        found = list(out[0].outputs[0].token_ids)
    except BaseException as error:
        found = f"{type(error).__name__}: {error}"
    with open(os.path.join(folder, "found.json"), "w") as stream:
        json.dump(found, stream)
    os._exit(0)
"""


def cut_for_engine(model_type: str, folder: Path) -> Path:
    """A tiny checkpoint of `model_type` with fewer tokens, layers, channels, heads and experts, as
    far as it allows.
    """
    source = save_tiny(folder, model_type, tied=model_type != "qwen3", sizes=_SIZES)
    tokens = tuple(with_parts(source, range(0, 402, 3)))
    changes: dict[str, Any] = {"keep_layers": (0, 2, 3), "keep_token_ids": tokens}
    if model_type in WITH_EXPERTS:
        # Layers 0 and 3 are dense, and of the others layer 2 stays out by the sparse step.
        changes |= {"keep_layers": (0, 1, 3), "keep_experts": ((), (0, 2, 3, 5), ())}
    else:
        changes["keep_channels"] = (tuple(range(0, 64, 2)),) * 3
    if model_type in HEADS_CAN_GO:
        changes["keep_key_value_heads"] = ((1,), (0,), (1,))
    return cut(source, folder.with_name(f"{model_type}-cut"), **changes)


def continued(path: Path) -> list[int]:
    ids = torch.tensor([_PROMPT])
    model = load_model(path, torch.float32)
    out = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=_NEW_TOKENS,
        min_new_tokens=_NEW_TOKENS,
    )
    assert isinstance(out, torch.Tensor)
    return [int(token) for token in out[0, len(_PROMPT) :]]


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")
def test_vllm_continues_cut_models_as_transformers_does(tmp_path: Path) -> None:
    paths = {
        model_type: cut_for_engine(model_type, tmp_path / model_type) for model_type in SETTINGS
    }
    environment = os.environ | {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
    }
    arguments = json.dumps([_PROMPT, _NEW_TOKENS, *map(str, paths.values())])
    result = subprocess.run(
        [python_of("vllm"), "-P", "-c", _SCRIPT, arguments],
        cwd=tmp_path,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    lost = [model_type for model_type, path in paths.items() if not (path / "found.json").is_file()]
    assert lost == [], result.stderr[-2000:]
    answers = {
        model_type: json.loads((path / "found.json").read_text())
        for model_type, path in paths.items()
    }
    assert {
        model_type: answer for model_type, answer in answers.items() if not isinstance(answer, list)
    } == {}
    compared = answers.keys() - _WRONG_WHEN_UNCUT
    differing = {
        model_type for model_type in compared if answers[model_type] != continued(paths[model_type])
    }
    assert differing == set()
