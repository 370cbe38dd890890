"""What parity is measured on: prompts of all task kinds, and inputs long enough to show a wrong
position encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, cycle, islice, zip_longest
from pathlib import Path

from flab_deploy.corpus import TASK_KINDS, Task
from flab_deploy.errors import ExportError
from flab_deploy.reference.tasks import make_tasks
from flab_deploy.reopen import ReopenInputs
from flab_deploy.tokenizer import load_tokenizer

LONG_INPUT_TOKENS = (512, 640, 768, 1024)


def parity_inputs(
    checkpoint: Path, num_prompts: int, context_tokens: int, new_tokens: int
) -> ReopenInputs:
    """`num_prompts` prompts and the long inputs, each with room for `new_tokens` in a context of
    `context_tokens`; long ones have 512 to 1024 tokens each unless the context is shorter.

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
    return ReopenInputs(texts=texts, text_ids=text_ids, long_ids=long_ids)


def _tasks(count: int) -> list[Task]:
    per_kind = [make_tasks("validation", kind, -(-count // len(TASK_KINDS))) for kind in TASK_KINDS]
    mixed = chain.from_iterable(zip_longest(*per_kind))
    return [task for task in mixed if task is not None][:count]


def _long_texts(tasks: list[Task]) -> Iterator[str]:
    """Solved tasks one after the other, over and over."""
    for task in cycle(tasks):
        yield task.prompt + task.canonical_solution + "\n"
