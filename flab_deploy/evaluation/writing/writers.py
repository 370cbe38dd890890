"""Attempts answered by a model, wherever it runs: the same prompts, the same stops, nothing written
twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from flab_deploy.artifacts import json_digest, tree_digest
from flab_deploy.decoder import choose_device, choose_dtype, load_model
from flab_deploy.errors import ConfigError
from flab_deploy.evaluation.writing.attempt import Attempt
from flab_deploy.evaluation.writing.completion import Completion, GenerateConfig, OnDone, Request
from flab_deploy.evaluation.writing.endpoint import EndpointClient
from flab_deploy.evaluation.writing.journal import AnswerJournal, journal
from flab_deploy.evaluation.writing.trim import first_stop
from flab_deploy.progress import progress
from flab_deploy.prompting import Prompting, tokenizer_of
from flab_deploy.settings.shared.device import Device, Dtype
from flab_deploy.settings.shared.prompt import PromptSettings

if TYPE_CHECKING:
    from flab_deploy.evaluation.writing.generate import Steps

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class AnswerSource:
    """Where the model runs."""

    path: Path
    """Checkpoint directory; its tokenizer makes the prompts wherever the model runs."""
    device: Device = "auto"
    """Where in this process."""
    dtype: Dtype = "auto"
    """Precision in this process."""
    endpoint: str = ""
    """Base URL of an OpenAI-compatible server; empty for a model in this process."""
    served_model: str = ""
    """The server's name for the model; may be empty if it has only one."""
    onnx: str = ""
    """Directory of an ONNX export; empty for PyTorch."""
    prompts: PromptSettings = PromptSettings()
    """How the model is asked."""

    def __post_init__(self) -> None:
        """Refuse two places at once."""
        if self.endpoint and self.onnx:
            raise ConfigError("give either an endpoint or an ONNX directory, not both")


def run_key(
    attempts: Sequence[Attempt], settings: GenerateConfig, place: AnswerSource, model_digest: str
) -> str:
    """What the completions depend on, as SHA-256: the prompts, the settings, the model and where it
    runs.
    """
    where = {
        "device": place.device,
        "dtype": place.dtype,
        "endpoint": place.endpoint,
        "served_model": place.served_model,
    }
    style = [getattr(place.prompts, field.name) for field in fields(PromptSettings)]
    onnx = tree_digest(Path(place.onnx)) if place.onnx else ""
    prompts = [[a.task.prompt, a.sample] for a in attempts]
    return json_digest([model_digest, where, onnx, style, asdict(settings), prompts])[:32]


def write_answers(
    attempts: Sequence[Attempt], settings: GenerateConfig, place: AnswerSource, run: str
) -> int:
    """Let the model answer all attempts, from the journal of `run` what it holds; the number of
    tokens written.
    """
    from flab_deploy.evaluation.writing.generate import encode

    model = _Model(place)
    asked = Prompting(place.path, place.prompts).prompt
    ids = encode(model.tokenizer, [asked(attempt.task.prompt) for attempt in attempts])
    with (
        closing(model),
        journal(run) as kept,
        progress("generation", len(attempts), "prompts") as advance,
    ):
        for first_line in (False, True):
            rows = [i for i, a in enumerate(attempts) if _one_line(a) is first_line]
            requests, members = _distinct(rows, ids, attempts)
            known = {n: kept.known[r.key] for n, r in enumerate(requests) if r.key in kept.known}
            advance(sum(len(members[n]) for n in known))
            config = replace(settings, stop_at_newline=first_line)
            done = _remember(kept, requests, members, known, advance)
            shown = [attempts[same[0]] for same in members]
            for same, completion in zip(
                members, model.write(requests, config, known, done, shown), strict=True
            ):
                for i in same:
                    attempts[i].take(completion)
    return sum(attempt.num_tokens for attempt in attempts)


def _remember(
    kept: AnswerJournal,
    requests: Sequence[Request],
    members: Sequence[Sequence[int]],
    known: Mapping[int, Completion],
    advance: Callable[[int], None],
) -> OnDone:
    """What to do with completions as they come: put new ones into the journal, show progress."""

    def on_done(at: Sequence[int], written: Sequence[Completion]) -> None:
        fresh = [(requests[n].key, w) for n, w in zip(at, written, strict=True) if n not in known]
        kept.add([key for key, _ in fresh], [w for _, w in fresh])
        advance(sum(len(members[n]) for n in at if n not in known))

    return on_done


def _one_line(attempt: Attempt) -> bool:
    return attempt.task.kind in ("output_prediction", "input_prediction")


def _distinct(
    rows: Sequence[int], ids: Sequence[tuple[int, ...]], attempts: Sequence[Attempt]
) -> tuple[list[Request], list[list[int]]]:
    """Each different request once, and the attempts it answers."""
    members: dict[Request, list[int]] = {}
    for i in rows:
        members.setdefault(Request(ids=ids[i], sample=attempts[i].sample), []).append(i)
    return list(members), list(members.values())


class _Model:
    """The model of a place, loaded when there is something left to write."""

    def __init__(self, place: AnswerSource) -> None:
        self._place = place
        self._endpoint = (
            EndpointClient(place.endpoint, place.served_model) if place.endpoint else None
        )
        self._steps: Steps | None = None
        self.tokenizer = tokenizer_of(place.path)

    def write(
        self,
        requests: Sequence[Request],
        config: GenerateConfig,
        known: Mapping[int, Completion],
        on_done: OnDone,
        attempts: Sequence[Attempt],
    ) -> list[Completion]:
        """Completions in the order of `requests`, which are the prompts of `attempts`."""
        if self._endpoint is not None:
            return self._endpoint.write(requests, config, known, on_done)
        if len(known) == len(requests):
            return [known[i] for i in range(len(requests))]
        from flab_deploy.evaluation.writing.generate import write

        def stop(position: int, text: str) -> bool:
            task = attempts[position].task
            return first_stop(task.prompt, text, task.entry_point) is not None

        self._steps = self._steps or _load(self._place)
        wanted = None if config.stop_at_newline else stop
        return write(self._steps, self.tokenizer, requests, config, known, on_done, wanted)

    def close(self) -> None:
        """Give up its connections."""
        if self._endpoint is not None:
            self._endpoint.close()


def _load(place: AnswerSource) -> Steps:
    """The model in this process."""
    from flab_deploy.evaluation.writing.onnx_steps import OnnxSteps
    from flab_deploy.evaluation.writing.torch_steps import TorchSteps

    if place.onnx:
        return OnnxSteps(Path(place.onnx))
    device = choose_device(place.device)
    dtype = choose_dtype(place.path, device, place.dtype)
    logger.info("evaluate: on %s in %s", device, str(dtype).removeprefix("torch."))
    return TorchSteps(load_model(place.path, dtype, device))
