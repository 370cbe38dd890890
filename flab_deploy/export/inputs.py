"""What parity is measured on: prompts of all task kinds, and inputs long enough to show a wrong
position encoding.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import chain, cycle, islice, zip_longest
from pathlib import Path

from flab_deploy.corpus import TASK_KINDS, Task
from flab_deploy.errors import ExportError
from flab_deploy.reference.tasks import make_tasks
from flab_deploy.tokenizer import load_tokenizer

LONG_INPUT_TOKENS = (512, 640, 768, 1024)


@dataclass(frozen=True, kw_only=True)
class ParityInputs:
    """Token ids and the texts they come from."""

    texts: list[str]
    """The prompts as text, to compare tokenizers on."""
    text_ids: list[list[int]]
    """The prompts as the source's `tokenizer.json` encodes them."""
    long_ids: list[list[int]]
    """Ids of long texts, 512 to 1024 tokens each unless the model's context is shorter."""

    @property
    def all_ids(self) -> list[list[int]]:
        """Ids of every input, the long ones last."""
        return [*self.text_ids, *self.long_ids]

    def save(self, path: Path) -> None:
        """Write the inputs as JSON for another process."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


def parity_inputs(
    checkpoint: Path, num_prompts: int, context_tokens: int, new_tokens: int
) -> ParityInputs:
    """`num_prompts` prompts and the long inputs, each with room for `new_tokens` in a context of
    `context_tokens`.

    Raises ExportError if the context is too short for the prompts, ArtifactError if there is no
    tokenizer.
    """
    tokenizer = load_tokenizer(checkpoint)
    tasks = _tasks(num_prompts)
    texts = [task.prompt for task in tasks]
    text_ids = [list(tokenizer.encode(text).ids) for text in texts]
    room = context_tokens - new_tokens
    longest = max(len(ids) for ids in text_ids)
    if longest > room:
        raise ExportError(
            f"the model's context of {context_tokens} tokens is too short to prove parity, which "
            f"takes {longest + new_tokens}; lower num_new_tokens"
        )
    lengths = sorted({min(length, room) for length in LONG_INPUT_TOKENS})
    endless = chain.from_iterable(tokenizer.encode(text).ids for text in _long_texts(tasks))
    stream = list(islice(endless, sum(lengths)))
    ends = [sum(lengths[: n + 1]) for n in range(len(lengths))]
    long_ids = [stream[end - length : end] for end, length in zip(ends, lengths, strict=True)]
    return ParityInputs(texts=texts, text_ids=text_ids, long_ids=long_ids)


def _tasks(count: int) -> list[Task]:
    per_kind = [make_tasks("validation", kind, -(-count // len(TASK_KINDS))) for kind in TASK_KINDS]
    mixed = chain.from_iterable(zip_longest(*per_kind))
    return [task for task in mixed if task is not None][:count]


def _long_texts(tasks: list[Task]) -> Iterator[str]:
    """Solved tasks one after the other, over and over."""
    for task in cycle(tasks):
        yield task.prompt + task.canonical_solution + "\n"
