"""What a cut really costs: the divergence between the two checkpoints, on texts that no score was
made on.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from flab_deploy.batches import encode, end_of_text_id, make_batches
from flab_deploy.corpus import Instruction
from flab_deploy.decoder import asked_dtype, choose_device, load_model
from flab_deploy.errors import ConfigError
from flab_deploy.importance.calibration import states_of
from flab_deploy.importance.divergence import (
    head_of,
    in_float64,
    kl_per_position,
    log_normalizer,
    reference_of,
    rounded,
)
from flab_deploy.records.prune import RealisedRecord
from flab_deploy.settings.shared.device import DeviceConfig

_MAX_TOKENS, _EXAMPLES_AT_ONCE = 512, 16


def realised_divergence(
    source: Path,
    cut: Path,
    keep_token_ids: Sequence[int],
    examples: Sequence[Instruction],
    where: DeviceConfig = DeviceConfig(),
) -> RealisedRecord | None:
    """The divergence of the checkpoint `cut` from `source` on `examples`; None if none of them can
    be compared.

    Only examples that both tokenizers read as the same tokens can. Both models are loaded, one
    after the other. Raises ConfigError if memory does not hold the larger one.
    """
    new_id = {old: new for new, old in enumerate(keep_token_ids)}
    try:
        encoded = encode(source, examples, end_of_text_id(source), _MAX_TOKENS)
    except ConfigError:
        return None
    same = [(ids, start) for ids, start in encoded if all(token in new_id for token in ids)]
    if not same:
        return None
    device, dtype = choose_device(where.device), asked_dtype(where.dtype, torch.float32)
    original = load_model(source, dtype, device)
    whole = head_of(original)
    kept = torch.as_tensor(keep_token_ids, dtype=torch.long, device=device)
    head = replace(
        whole, weight=whole.weight[kept], bias=None if whole.bias is None else whole.bias[kept]
    )
    batches = [batch.to(device) for batch in make_batches(same, _EXAMPLES_AT_ONCE)]
    states = states_of(original, batches)
    lost = sum(
        float(in_float64(log_normalizer(whole, s) - log_normalizer(head, s)).sum()) for s in states
    )
    references = [
        reference_of(head, s, batch.targets) for s, batch in zip(states, batches, strict=True)
    ]
    del original, whole, states
    gc.collect()
    renamed = make_batches(
        [([new_id[token] for token in ids], start) for ids, start in same], _EXAMPLES_AT_ONCE
    )
    after = states_of(load_model(cut, dtype, device), [batch.to(device) for batch in renamed])
    moved = sum(
        float(kl_per_position(head, r, s[None]).sum())
        for r, s in zip(references, after, strict=True)
    )
    count = sum(len(batch.positions) for batch in batches)
    return RealisedRecord(
        kl_nats=rounded(max((lost + moved) / count, 0.0)), num_tokens=count, reason=None
    )
