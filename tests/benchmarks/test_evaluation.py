"""Every reference task is sound, and our generation against transformers' own on the same
prompts.
"""

from __future__ import annotations

import time
from statistics import median

import pytest
import torch

from flab_deploy.checkpoint import reference_path
from flab_deploy.corpus import TASK_KINDS
from flab_deploy.decoder import load_model, load_tokenizer
from flab_deploy.evaluation.tasks.suite import canonical_verdicts
from flab_deploy.evaluation.writing.completion import GenerateConfig
from flab_deploy.evaluation.writing.generate import generate
from flab_deploy.reference.tasks import make_tasks
from flab_deploy.sandbox import Limits

ROUNDS, PROMPTS, TOKENS = 3, 96, 96


@pytest.mark.benchmark
def test_every_reference_solution_passes() -> None:
    tasks = [task for kind in TASK_KINDS for task in make_tasks("test", kind, 2000)]
    started = time.perf_counter()
    verdicts = canonical_verdicts(tasks, Limits(), 0, "reference")
    seconds = time.perf_counter() - started
    failed = [
        (t.task_id, v.verdict, v.detail)
        for t, v in zip(tasks, verdicts, strict=True)
        if not v.passed
    ]
    print(f"\n{len(tasks) - len(failed)} of {len(tasks)} reference solutions pass, {seconds:.0f} s")
    assert failed == []


@pytest.mark.benchmark
def test_tokens_per_second_over_transformers_generate() -> None:
    model, tokenizer = (
        load_model(reference_path(), torch.bfloat16),
        load_tokenizer(reference_path()),
    )
    prompts = [task.prompt for task in make_tasks("test", "function_synthesis", PROMPTS)]
    tokenizer.padding_side = "left"
    ratios, speeds = [], []
    for _ in range(ROUNDS):
        started = time.process_time()
        with torch.inference_mode():
            for i in range(0, PROMPTS, 32):
                batch = tokenizer(
                    prompts[i : i + 32], return_tensors="pt", padding=True, add_special_tokens=False
                )
                model.generate(**batch, do_sample=False, max_new_tokens=TOKENS)
        theirs = time.process_time()
        written = generate(model, tokenizer, prompts, GenerateConfig(max_new_tokens=TOKENS))
        ours = time.process_time()
        ratios.append((theirs - started) / (ours - theirs))
        speeds.append(sum(c.num_tokens for c in written) / (ours - theirs))
    print(
        f"\nprocessor time of transformers' generate over ours: median {median(ratios):.2f}, "
        f"{min(ratios):.2f} to {max(ratios):.2f}; ours {median(speeds):.0f} tokens per "
        "processor second"
    )
    assert median(ratios) > 1
