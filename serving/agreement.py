"""Whether vLLM and transformers generate the same greedy tokens from one checkpoint.

vLLM generates and returns token ids (`return_token_ids`). transformers then reads prompt and
completion in one forward pass: the two greedy continuations are equal exactly when every
generated token is the arg max of the logits before it, by induction over positions. This
takes one pass per prompt instead of one per token. Low-precision logits have near ties, which
a different order of summation may break differently; the record says how close they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from flab_deploy.decoder import load_model, load_tokenizer
from flab_deploy.errors import ServingError
from flab_deploy.records.bench import AgreementRecord

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, kw_only=True)
class ServedTokens:
    """What vLLM generated for one prompt."""

    prompt_ids: tuple[int, ...]
    """The prompt as vLLM encoded it."""
    output_ids: tuple[int, ...]
    """Generated tokens, an end-of-text token included."""


@dataclass(frozen=True, kw_only=True)
class _Read:
    """What transformers makes of one completion."""

    num_tokens: int
    num_equal: int
    """Tokens that are transformers' first choice too."""
    largest_gap: float
    """In logits, from its first choice down to the token that vLLM took, at worst."""


def agreement(
    url: str,
    model: str,
    headers: dict[str, str],
    checkpoint: Path,
    prompts: Sequence[str],
    *,
    max_new_tokens: int = 48,
) -> AgreementRecord:
    """Greedy agreement of a running server with transformers on the checkpoint it serves.

    transformers reads it on the CPU: a GPU's memory belongs to the servers that are up.
    Raises ServingError if the server does not answer.
    """
    with httpx.Client(base_url=url, headers=headers, timeout=120, trust_env=False) as client:
        completions = [_complete(client, model, prompt, max_new_tokens) for prompt in prompts]
    tokenizer, reread = load_tokenizer(checkpoint), load_model(checkpoint, "auto")
    pairs = zip(prompts, completions, strict=True)
    read = [_read(reread, completion) for completion in completions]
    return AgreementRecord(
        num_prompts=len(prompts),
        num_equal=sum(one.num_equal == one.num_tokens for one in read),
        num_tokens=sum(one.num_tokens for one in read),
        num_tokens_equal=sum(one.num_equal for one in read),
        num_same_encoding=sum(tuple(tokenizer.encode(p)) == c.prompt_ids for p, c in pairs),
        largest_gap=round(max((one.largest_gap for one in read), default=0.0), 6),
        max_new_tokens=max_new_tokens,
        method="vLLM's token ids against transformers' arg max after each prefix, in the "
        "checkpoint's own precision",
    )


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


def _read(model: PreTrainedModel, completion: ServedTokens) -> _Read:
    import torch

    tokens = [*completion.prompt_ids, *completion.output_ids]
    ids = torch.tensor([tokens], device=model.device)  # (1, prompt + output)
    with torch.inference_mode():
        logits = model(ids).logits[0].float().cpu()  # (prompt + output, vocabulary)
    before = logits[len(completion.prompt_ids) - 1 : -1]  # (output, vocabulary)
    chosen = torch.tensor(completion.output_ids)
    gaps = before.max(-1).values - before.gather(-1, chosen[:, None])[:, 0]
    return _Read(
        num_tokens=len(chosen),
        num_equal=int((before.argmax(-1) == chosen).sum()),
        largest_gap=float(gaps.max()),
    )
