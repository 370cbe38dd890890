"""Parity: how far an export is from the PyTorch model it was made of. Shapes: T tokens, V
vocabulary.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from flab_deploy.errors import ExportError
from flab_deploy.export.onnx_decoder import OnnxDecoder
from flab_deploy.records.export import OnnxComparison, VllmParity
from flab_deploy.reopen import ReopenAnswers, ReopenInputs


@dataclass(kw_only=True)
class Differences:
    """Absolute logit differences, gathered input by input."""

    maxima: list[float] = field(default_factory=list)
    """Largest difference of each input."""
    total: float = 0.0
    """Sum over all logits."""
    count: int = 0
    """Number of logits."""

    def add(self, logits: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
        """Compare two arrays of logits (T, V); a difference that is no number counts as
        infinite.
        """
        difference = np.nan_to_num(np.abs(logits - expected), nan=np.inf)
        self.maxima.append(float(difference.max()))
        self.total += float(difference.sum(dtype=np.float64))
        self.count += difference.size


@torch.inference_mode()
def torch_logits(model: PreTrainedModel, ids: list[int]) -> NDArray[np.float32]:
    """Logits (T, V) after each of the ids (T,)."""
    found = model(input_ids=torch.tensor([ids], device=model.device)).logits[0]
    logits: NDArray[np.float32] = found.float().cpu().numpy()
    return logits


@torch.inference_mode()
def torch_greedy(model: PreTrainedModel, ids: list[int], num_new_tokens: int) -> list[int]:
    """The `num_new_tokens` most probable continuations one after the other, through the cache."""
    output = model(input_ids=torch.tensor([ids], device=model.device), use_cache=True)
    generated = [int(output.logits[0, -1].argmax())]
    while len(generated) < num_new_tokens:
        output = model(
            input_ids=torch.tensor([generated[-1:]], device=model.device),
            past_key_values=output.past_key_values,
            use_cache=True,
        )
        generated.append(int(output.logits[0, -1].argmax()))
    return generated


def checkpoint_parity(
    model: PreTrainedModel,
    inputs: ReopenInputs,
    answers: ReopenAnswers,
    last_logits: NDArray[np.float32],
) -> VllmParity:
    """Figures of a reopened checkpoint whose logits must be those of `model`, bit for bit.

    Raises ExportError if a logit or a token id differs.
    """
    check_tokens(inputs, answers)
    digests, worst = [], 0.0
    for ids, last in zip(inputs.all_ids, last_logits, strict=True):
        expected = torch_logits(model, ids)
        digests.append(hashlib.sha256(expected.tobytes()).hexdigest())
        worst = max(worst, float(np.nan_to_num(np.abs(last - expected[-1]), nan=np.inf).max()))
    num_identical = sum(a == b for a, b in zip(digests, answers.logit_digests, strict=True))
    if num_identical != len(digests) or worst > 0:
        raise ExportError(
            "the exported checkpoint differs from its source: other logits for "
            f"{len(digests) - num_identical} of {len(digests)} inputs, by up to {worst:g}; the "
            "source does not open the same way twice"
        )
    return VllmParity(
        num_prompts=len(inputs.texts),
        num_long_inputs=len(inputs.long_ids),
        num_logits_identical=num_identical,
        max_abs_logit_difference=worst,
        num_tokenizations_equal=len(inputs.texts),
        overridden_tokenizer_settings=answers.overridden,
        dtype=str(model.dtype).removeprefix("torch."),
        versions=answers.versions,
    )


def check_tokens(inputs: ReopenInputs, answers: ReopenAnswers) -> None:
    """Raise ExportError unless a fresh process encodes every prompt as `tokenizer.json` does.

    transformers 5 has a fixed normalizer and pre-tokenizer for some architectures, Qwen2 among
    them, and vLLM uses it: a tokenizer that was made otherwise serves other ids than it was trained
    on.
    """
    different = [
        text
        for text, ids, theirs in zip(inputs.texts, inputs.text_ids, answers.token_ids, strict=True)
        if tuple(ids) != theirs
    ]
    if different:
        raise ExportError(
            f"transformers {answers.versions['transformers']} encodes {len(different)} of "
            f"{len(inputs.texts)} prompts unlike tokenizer.json, such as {different[0][:40]!r}; "
            f"it replaces {list(answers.overridden)} for this architecture"
        )


def other_version_parity(
    model: PreTrainedModel,
    inputs: ReopenInputs,
    last_logits: NDArray[np.float32],
    version: str,
    bound: float,
) -> float:
    """Largest difference of the last logits (N, V) that another transformers version computed in
    float32.

    Raises ExportError if it exceeds `bound`: then that version did not read the checkpoint's
    settings.
    """
    differences = Differences()
    for ids, last in zip(inputs.all_ids, last_logits, strict=True):
        differences.add(last, torch_logits(model, ids)[-1])
    worst = max(differences.maxima)
    if not worst <= bound:
        raise ExportError(
            f"transformers {version} opens the exported checkpoint as another model: logits differ "
            f"by up to {worst:.3g}, the bound is {bound:g}; it does not understand all of "
            "config.json"
        )
    return worst


def onnx_parity(
    model: PreTrainedModel,
    decoder: OnnxDecoder,
    inputs: ReopenInputs,
    num_new_tokens: int,
    bound: float,
) -> OnnxComparison:
    """Figures of an ONNX model against the float32 `model`: logits, and greedy tokens through both
    caches.

    A different greedy token is a near tie if the model's own logits for the two are closer than
    twice `bound`. Raises ExportError if a logit differs by more than `bound`, or a token by more
    than a near tie.
    """
    short, long = Differences(), Differences()
    for ids in inputs.text_ids:
        short.add(decoder.logits(ids), torch_logits(model, ids))
    for ids in inputs.long_ids:
        long.add(decoder.logits(ids), torch_logits(model, ids))
    worst = max(short.maxima + long.maxima)
    if not worst <= bound:
        raise ExportError(
            f"ONNX logits differ from PyTorch's by up to {worst:.3g} (prompts "
            f"{max(short.maxima):.3g}, inputs of {len(inputs.long_ids[0])} tokens and more "
            f"{max(long.maxima):.3g}); the bound is {bound:g}"
        )
    margins = [_greedy_margin(model, decoder, ids, num_new_tokens) for ids in inputs.all_ids]
    widest = max((margin for margin in margins if margin is not None), default=0.0)
    if widest > 2 * bound:
        raise ExportError(
            f"ONNX greedy decoding chose a token {widest:.3g} below PyTorch's best; near ties "
            f"end at {2 * bound:g}"
        )
    equal = [margin is None for margin in margins]
    num_texts = len(inputs.texts)
    return OnnxComparison(
        num_prompts=num_texts,
        num_new_tokens=num_new_tokens,
        num_greedy_equal=sum(equal[:num_texts]),
        num_greedy_near_ties=num_texts - sum(equal[:num_texts]),
        max_abs_logit_difference=worst,
        max_abs_logit_difference_bound=bound,
        mean_abs_logit_difference=(short.total + long.total) / (short.count + long.count),
        num_long_inputs=len(inputs.long_ids),
        long_input_tokens=tuple(len(ids) for ids in inputs.long_ids),
        long_max_abs_logit_difference=max(long.maxima),
        num_long_greedy_equal=sum(equal[num_texts:]),
        dtype="float32",
    )


def _greedy_margin(
    model: PreTrainedModel, decoder: OnnxDecoder, ids: list[int], num_new_tokens: int
) -> float | None:
    """None if both decode alike, else the model's logit margin between the two tokens where they
    part.
    """
    expected, found = torch_greedy(model, ids, num_new_tokens), decoder.greedy(ids, num_new_tokens)
    parted = next((n for n, (a, b) in enumerate(zip(expected, found, strict=True)) if a != b), None)
    if parted is None:
        return None
    logits = torch_logits(model, ids + expected[:parted])[-1]
    return float(logits[expected[parted]] - logits[found[parted]])
