"""A program of its own, run by path in a fresh process of the main environment or of the optimum
engine.

It opens a checkpoint, answers the given inputs with logits and token ids, generates with
`--new-tokens`, and, with `--onnx`, exports the checkpoint to ONNX. It imports nothing of this
project, because the engine's packages must come first; run it with `python -P` so that its folder
shadows no package.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "transformers", "tokenizers", "optimum", "optimum-onnx", "onnx", "onnxruntime")


def versions() -> dict[str, str]:
    """Versions of the packages this process runs with."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def answer(
    checkpoint: Path, inputs: Path, out: Path, device: str, dtype: str, new_tokens: int
) -> None:
    """Write `answers.json` and `last_logits.npy` (N, V) float32, computed on that device.

    The answers are token ids of the texts, the SHA-256 of each input's logits and the ids generated
    after each.
    """
    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    wanted: dict[str, Any] = json.loads(inputs.read_text(encoding="utf-8"))
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    wanted_dtype = dtype if dtype == "auto" else getattr(torch, dtype)
    model: torch.nn.Module = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=wanted_dtype)
    model.to(device).eval()
    digests, last, generated = [], [], []
    for ids in [*wanted["text_ids"], *wanted["long_ids"]]:
        with torch.inference_mode():
            found = model(input_ids=torch.tensor([ids], device=device)).logits[0]
        logits = found.float().cpu().numpy()  # (T, V)
        digests.append(hashlib.sha256(logits.tobytes()).hexdigest())
        last.append(logits[-1])
        if new_tokens:
            generated.append(generate(model, ids, new_tokens))
    np.save(out / "last_logits.npy", np.stack(last))
    answers = {
        "token_ids": [list(tokenizer(text)["input_ids"]) for text in wanted["texts"]],
        "overridden": overridden_settings(
            json.loads(tokenizer.backend_tokenizer.to_str()), checkpoint
        ),
        "logit_digests": digests,
        "generated": generated,
        "versions": versions(),
    }
    (out / "answers.json").write_text(json.dumps(answers), encoding="utf-8")


def generate(model: Any, ids: list[int], new_tokens: int) -> list[int]:
    """Greedy continuation of `ids`, end tokens ignored so that every call gives `new_tokens`
    ids.
    """
    import torch

    prompt = torch.tensor([ids], device=model.device)
    out = model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        do_sample=False,
        pad_token_id=0,
        max_new_tokens=new_tokens,
        min_new_tokens=new_tokens,
    )
    return [int(token) for token in out[0, len(ids) :]]


def overridden_settings(used: dict[str, Any], checkpoint: Path) -> list[str]:
    """Settings of `tokenizer.json` that the tokenizer's class replaced by its own."""
    stored: dict[str, Any] = json.loads((checkpoint / "tokenizer.json").read_text(encoding="utf-8"))
    return [
        name for name in ("normalizer", "pre_tokenizer", "decoder") if used[name] != stored[name]
    ]


def export_onnx(checkpoint: Path, out: Path) -> None:
    """Export to ONNX in float32 with a key-value cache; equal weights are stored once."""
    from optimum.exporters.onnx import main_export

    main_export(
        model_name_or_path=str(checkpoint),
        output=str(out),
        task="text-generation-with-past",
        library_name="transformers",
        dtype="fp32",
        do_validation=False,
        local_files_only=True,
    )


def main() -> None:
    """Answer the inputs, then export if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("inputs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--new-tokens", type=int, default=0)
    parser.add_argument("--onnx", type=Path)
    options = parser.parse_args()
    import torch

    torch.set_num_threads(options.threads)
    answer(
        options.checkpoint,
        options.inputs,
        options.out,
        options.device,
        options.dtype,
        options.new_tokens,
    )
    if options.onnx:
        export_onnx(options.checkpoint, options.onnx)


if __name__ == "__main__":
    main()
