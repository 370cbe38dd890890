"""Whether vLLM and transformers generate the same greedy tokens from one checkpoint.

vLLM generates and returns token ids (`return_token_ids`). transformers then reads prompt and
completion in one forward pass: the two greedy continuations are equal exactly when every
generated token is the arg max of the logits before it, by induction over positions. This
takes one pass per prompt instead of one per token. Low-precision logits have near ties, which
a different order of summation may break differently; how close a differing pair was is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import httpx

from flab_deploy.artifacts import Json
from flab_deploy.decoder import load_model, load_tokenizer
from flab_deploy.errors import ServingError


@dataclass(frozen=True, kw_only=True)
class ServedTokens:
    """What vLLM generated for one prompt."""

    prompt_ids: tuple[int, ...]
    """The prompt as vLLM encoded it."""
    output_ids: tuple[int, ...]
    """Generated tokens, an end-of-text token included."""


def agreement(
    url: str,
    model: str,
    headers: dict[str, str],
    checkpoint: Path,
    prompts: Sequence[str],
    *,
    max_new_tokens: int = 48,
) -> dict[str, Json]:
    """Greedy agreement of a running server with transformers on the checkpoint it serves.

    Returns `num_prompts`, `num_equal` (whole continuations), `num_tokens`, `num_tokens_equal`,
    `num_same_encoding`, and `largest_gap`: how much larger, in logits, transformers' first choice
    was than vLLM's token, at worst. Raises ServingError if the server does not answer.
    """
    with httpx.Client(base_url=url, headers=headers, timeout=120, trust_env=False) as client:
        completions = [_complete(client, model, prompt, max_new_tokens) for prompt in prompts]
    return {
        "num_prompts": len(prompts),
        **_compare(checkpoint, prompts, completions),
        "max_new_tokens": max_new_tokens,
        "method": "vLLM's token ids against transformers' arg max after each prefix, in the "
        "checkpoint's own precision",
    }


def _complete(client: httpx.Client, model: str, prompt: str, max_new_tokens: int) -> ServedTokens:
    body = {
        "model": model,
        "prompt": prompt,
        "max_tokens": max_new_tokens,
        "temperature": 0.0,
        "repetition_penalty": 1.0,
        "return_token_ids": True,
    }
    try:
        choice = client.post("/v1/completions", json=body).raise_for_status().json()["choices"][0]
        return ServedTokens(
            prompt_ids=tuple(choice["prompt_token_ids"]), output_ids=tuple(choice["token_ids"])
        )
    except (httpx.HTTPError, KeyError, TypeError, ValueError) as error:
        raise ServingError(
            f"vLLM gave no token ids for a prompt ({error}); is the engine older than 0.11?"
        ) from None


def _compare(
    checkpoint: Path, prompts: Sequence[str], completions: Sequence[ServedTokens]
) -> dict[str, Json]:
    import torch

    tokenizer, model = load_tokenizer(checkpoint), load_model(checkpoint, "auto")
    num_equal = num_tokens = num_tokens_equal = num_same_encoding = 0
    largest_gap = 0.0
    for prompt, completion in zip(prompts, completions, strict=True):
        num_same_encoding += tuple(tokenizer.encode(prompt)) == completion.prompt_ids
        ids = torch.tensor(
            [[*completion.prompt_ids, *completion.output_ids]]
        )  # (1, prompt + output)
        with torch.inference_mode():
            logits = cast(torch.Tensor, model(ids).logits)[
                0
            ].float()  # (prompt + output, vocabulary)
        before = logits[len(completion.prompt_ids) - 1 : -1]  # (output, vocabulary)
        chosen = torch.tensor(completion.output_ids)
        same = before.argmax(-1) == chosen
        gaps = before.max(-1).values - before.gather(-1, chosen[:, None])[:, 0]
        num_equal += bool(same.all())
        num_tokens += len(chosen)
        num_tokens_equal += int(same.sum())
        largest_gap = max(largest_gap, float(gaps.max()))
    return {
        "num_equal": num_equal,
        "num_tokens": num_tokens,
        "num_tokens_equal": num_tokens_equal,
        "num_same_encoding": num_same_encoding,
        "largest_gap": round(largest_gap, 6),
    }
