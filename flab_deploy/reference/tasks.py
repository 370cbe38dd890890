"""Generated programming tasks: a description in words, two examples, hidden tests, a solution.

Tasks are composed of the steps in `operations`. A composition (which steps, in which order,
constants aside) belongs to exactly one split by its hash, so validation and test tasks are
made of compositions that training never shows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Literal

from flab_deploy.corpus import TASK_KINDS, Instruction, Task, TaskKind
from flab_deploy.reference.operations import ADJUST, CHANGE, KEEP, REDUCE, WORDS, Element, Step

Split = Literal["train", "validation", "test"]

_PARAMETERS: dict[Element, tuple[str, ...]] = {
    "number": ("numbers", "nums", "values", "items", "data", "xs", "amounts", "scores"),
    "word": ("words", "names", "strings", "items", "texts", "tokens", "labels"),
    "character": ("text", "sentence", "line", "s", "message", "phrase"),
}
_ITEM: dict[str, str] = {
    "numbers": "n",
    "nums": "n",
    "values": "v",
    "items": "item",
    "data": "d",
    "xs": "x",
    "amounts": "a",
    "scores": "s",
    "words": "w",
    "names": "name",
    "strings": "s",
    "texts": "t",
    "tokens": "t",
    "labels": "label",
    "text": "c",
    "sentence": "c",
    "line": "c",
    "s": "c",
    "message": "c",
    "phrase": "c",
}
_NOUN: dict[Element, str] = {"number": "numbers", "word": "strings", "character": "characters"}
_PLAIN_NAMES = (
    "solve",
    "process",
    "compute",
    "transform",
    "evaluate",
    "handle",
    "calculate",
    "analyze",
    "func",
    "task",
)
_VALUE_TYPE = {"number": "int", "text": "str", "list": "list"}


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A drawn composition with its constants."""

    element: Element
    keep: Step | None
    change: Step | None
    change_first: bool
    reduce: Step
    adjust: Step | None
    constants: dict[str, str]

    @property
    def composition(self) -> str:
        """Steps in order without constants, such as `number:even>square>sum`."""
        keep = self.keep.key if self.keep else "all"
        change = self.change.key if self.change else "same"
        middle = f"{change}>{keep}" if self.change_first else f"{keep}>{change}"
        adjust = self.adjust.key if self.adjust else "asis"
        return f"{self.element}:{middle}>{self.reduce.key}>{adjust}"


def split_of(composition: str) -> Split:
    """The split a composition belongs to: 5 % validation, 15 % test, the rest train."""
    bucket = int(hashlib.sha256(composition.encode()).hexdigest()[:8], 16) % 100
    return "validation" if bucket < 5 else "test" if bucket < 20 else "train"


def _constant(rng: Random, step: Step, element: Element) -> str:
    if step.constant == "small":
        return str(rng.choice((rng.randint(1, 9), rng.randint(1, 30))))
    if step.constant == "factor":
        return str(rng.randint(2, 9))
    if step.constant == "length":
        return str(rng.randint(2, 6))
    if step.constant == "letter":
        return repr(rng.choice("abcdefghilmnoprstuw")).replace("'", '"')
    return repr(rng.choice(("-", ",", " ", "_", "/", "+", ":", "|"))).replace("'", '"')


def draw_pipeline(rng: Random, split: Split) -> Pipeline:
    """A random pipeline whose composition belongs to `split`."""
    while True:
        element: Element = rng.choices(("number", "word", "character"), (5, 3, 2))[0]
        keep = rng.choice(KEEP[element]) if rng.random() < 0.85 else None
        change = rng.choice(CHANGE[element]) if rng.random() < 0.8 else None
        reduce = rng.choice(REDUCE[element])
        adjust = rng.choice(ADJUST) if reduce.gives == "number" and rng.random() < 0.35 else None
        if keep is None and change is None:
            continue
        first = (
            keep is not None
            and change is not None
            and element != "character"
            and rng.random() < 0.25
        )
        steps = [step for step in (keep, change, reduce, adjust) if step]
        pipeline = Pipeline(
            element=element,
            keep=keep,
            change=change,
            change_first=first,
            reduce=reduce,
            adjust=adjust,
            constants={step.key: _constant(rng, step, element) for step in steps},
        )
        if split_of(pipeline.composition) == split:
            return pipeline


def _fill(pipeline: Pipeline, step: Step, template: str, **names: str) -> str:
    return template.format(k=pipeline.constants[step.key], **names)


def describe(rng: Random, pipeline: Pipeline, parameter: str) -> str:
    """One or two sentences that say what the function does."""
    ordered = (
        [pipeline.change, pipeline.keep]
        if pipeline.change_first
        else [pipeline.keep, pipeline.change]
    )
    middle = [step for step in ordered if step]
    noun = _NOUN[pipeline.element]
    tail = [step for step in (pipeline.reduce, pipeline.adjust) if step]
    if pipeline.change_first or rng.random() < 0.4:
        verbs = [_fill(pipeline, s, rng.choice(s.verbs), n=noun) for s in middle + tail]
        opening = rng.choice(
            (f"From {parameter}, ", f"Given {parameter}, ", f"Take {parameter}, ", "")
        )
        joined = rng.choice((", then ", ", ")).join(verbs[:-1]) + ", and " + verbs[-1]
        text = opening + joined
        return text[0].upper() + text[1:] + "."
    phrase = noun
    for step in middle:
        phrase = _fill(pipeline, step, rng.choice(step.nouns), n=phrase, s=phrase)
    phrase = f"{phrase} in {parameter}" if rng.random() < 0.8 else phrase
    for step in tail:
        phrase = _fill(pipeline, step, rng.choice(step.nouns), s=phrase)
    return rng.choice(("Return ", "Compute ", "Find ", "Get ", "Calculate ")) + phrase + "."


def plan_in_words(pipeline: Pipeline) -> list[str]:
    """The steps as numbered-list sentences, always in the same wording."""
    ordered = (
        [pipeline.change, pipeline.keep]
        if pipeline.change_first
        else [pipeline.keep, pipeline.change]
    )
    steps = [s for s in (*ordered, pipeline.reduce, pipeline.adjust) if s]
    lines = [_fill(pipeline, s, s.verbs[0], n=_NOUN[pipeline.element]) for s in steps]
    return [line[0].upper() + line[1:] + "." for line in lines]


def _final(pipeline: Pipeline, sequence: str) -> str:
    value = _fill(pipeline, pipeline.reduce, pipeline.reduce.code, seq=sequence)
    return (
        _fill(pipeline, pipeline.adjust, pipeline.adjust.code, v=value)
        if pipeline.adjust
        else value
    )


def _comprehension(pipeline: Pipeline, parameter: str, item: str) -> str:
    keep, change = pipeline.keep, pipeline.change
    shown = (
        _fill(pipeline, change, change.code, x=item)
        if change and not pipeline.change_first
        else item
    )
    source = parameter
    if change and pipeline.change_first:
        source = f"[{_fill(pipeline, change, change.code, x=item)} for {item} in {parameter}]"
    condition = f" if {_fill(pipeline, keep, keep.code, x=item)}" if keep else ""
    return f"[{shown} for {item} in {source}{condition}]"


def _loop(pipeline: Pipeline, parameter: str, item: str) -> list[str]:
    keep, change = pipeline.keep, pipeline.change
    lines = ["result = []", f"for {item} in {parameter}:"]
    changed = _fill(pipeline, change, change.code, x=item) if change else item
    if change and pipeline.change_first:
        lines.append(f"    {item} = {changed}")
        changed = item
    if keep:
        lines.append(f"    if {_fill(pipeline, keep, keep.code, x=item)}:")
        lines.append(f"        result.append({changed})")
    else:
        lines.append(f"    result.append({changed})")
    return lines


def body(rng: Random, pipeline: Pipeline, parameter: str) -> list[str]:
    """Lines of a function body without indentation: one expression, two steps, or a loop."""
    item = _ITEM[parameter]
    style = rng.random()
    if style < 0.45:
        return [f"return {_final(pipeline, _comprehension(pipeline, parameter, item))}"]
    if style < 0.7:
        return [
            f"result = {_comprehension(pipeline, parameter, item)}",
            f"return {_final(pipeline, 'result')}",
        ]
    return [*_loop(pipeline, parameter, item), f"return {_final(pipeline, 'result')}"]


def _argument(rng: Random, element: Element, length: int) -> list[int] | list[str] | str:
    if element == "number":
        return [
            rng.randint(-12, 40) if rng.random() < 0.8 else rng.randint(-5, 5)
            for _ in range(length)
        ]
    words = [rng.choice(WORDS) for _ in range(length)]
    if element == "word":
        return words
    text = " ".join(words[: max(1, length // 2)])
    return text + str(rng.randint(0, 99)) if rng.random() < 0.4 else text


def _function(source: str, name: str) -> Callable[[object], object]:
    """The function that the generator itself has just written."""
    scope: dict[str, object] = {}
    exec(compile(source, "<reference task>", "exec"), scope)  # noqa: S102 - our own generated source
    function = scope[name]
    assert callable(function)
    return function


def _name(rng: Random, pipeline: Pipeline) -> str:
    if rng.random() < 0.35:
        return rng.choice(_PLAIN_NAMES)
    parts = [s.slug for s in (pipeline.reduce, pipeline.keep, pipeline.change) if s]
    return "_".join(parts) if rng.random() < 0.7 else "_of_".join((parts[0], "_".join(parts[1:])))


def _examples(
    rng: Random, pipeline: Pipeline, function: Callable[[object], object], count: int, longest: int
) -> list[tuple[object, object]]:
    """Arguments and results, with an example that keeps something first."""
    drawn: list[tuple[object, object]] = []
    for attempt in range(count * 8):
        argument = _argument(rng, pipeline.element, rng.randint(2, longest))
        result = function(argument)
        if any(argument == seen for seen, _ in drawn):
            continue
        if not drawn and attempt < count * 4 and result in ([], 0, ""):
            continue
        drawn.append((argument, result))
        if len(drawn) == count:
            break
    return drawn


def make_task(rng: Random, split: Split, kind: TaskKind, task_id: str, num_hidden: int = 7) -> Task:
    """One task of `kind` whose composition belongs to `split`, with `num_hidden` hidden test
    cases.
    """
    pipeline = draw_pipeline(rng, split)
    parameter = rng.choice(_PARAMETERS[pipeline.element])
    lines = body(rng, pipeline, parameter)
    if kind == "output_prediction":
        return _output_prediction(rng, pipeline, parameter, lines, task_id)
    name = _name(rng, pipeline)
    argument_type = {"number": "list[int]", "word": "list[str]", "character": "str"}[
        pipeline.element
    ]
    gives = _VALUE_TYPE[(pipeline.adjust or pipeline.reduce).gives]
    head = (
        f"def {name}({parameter}: {argument_type}) -> {gives}:"
        if rng.random() < 0.7
        else f"def {name}({parameter}):"
    )
    code = "".join(f"\n    {line}" for line in lines) + "\n"
    function = _function(head + code, name)
    num_shown = 1 if rng.random() < 0.8 else 2
    shown = _examples(rng, pipeline, function, num_shown, 4)
    doctests = "".join(
        f"\n    >>> {name}({argument!r})\n    {result!r}" for argument, result in shown
    )
    prompt = f'{head}\n    """{describe(rng, pipeline, parameter)}\n{doctests}\n    """'
    if kind == "chain_of_thought":
        prompt += "\n    # Plan:"
        code = (
            "".join(f"\n    # {n}. {line}" for n, line in enumerate(plan_in_words(pipeline), 1))
            + code
        )
    empty: object = "" if pipeline.element == "character" else []
    hidden = [*shown, *_examples(rng, pipeline, function, num_hidden, 6), (empty, function(empty))]
    asserts = "".join(
        f"    assert candidate({argument!r}) == {result!r}\n" for argument, result in hidden
    )
    return Task(
        task_id=task_id,
        kind=kind,
        prompt=prompt,
        canonical_solution=code,
        test=f"def check(candidate):\n{asserts}",
        entry_point=name,
        composition=pipeline.composition,
    )


def _output_prediction(
    rng: Random, pipeline: Pipeline, parameter: str, lines: list[str], task_id: str
) -> Task:
    source = f"def f({parameter}):\n" + "".join(f"    {line}\n" for line in lines)
    argument, result = _examples(rng, pipeline, _function(source, "f"), 1, 4)[0]
    return Task(
        task_id=task_id,
        kind="output_prediction",
        prompt=f"{source}\nassert f({argument!r}) ==",
        canonical_solution=f" {result!r}\n",
        test=repr(result),
        entry_point="f",
        composition=pipeline.composition,
    )


def _num_results(test: str) -> int:
    """How many different results a test expects; few would let a constant pass."""
    return len({line.rpartition(" == ")[2] for line in test.splitlines()[1:]})


def make_tasks(split: Split, kind: TaskKind, count: int, seed: int = 0) -> list[Task]:
    """`count` different tasks of one kind and split; the same arguments give the same tasks."""
    tasks: list[Task] = []
    seen: set[str] = set()
    index = 0
    while len(tasks) < count:
        rng = Random(f"{split}|{kind}|{seed}|{index}")
        task = make_task(rng, split, kind, f"{split}/{kind}/{index}")
        index += 1
        if task.prompt not in seen and (
            kind == "output_prediction" or _num_results(task.test) >= 3
        ):
            seen.add(task.prompt)
            tasks.append(task)
    return tasks


def stream_instructions(
    seed: str, split: Split = "train", shares: tuple[int, int, int] = (70, 12, 18)
) -> Iterator[Instruction]:
    """Endless training examples; `shares` weigh function synthesis, output prediction and chain of
    thought.
    """
    rng = Random(seed)
    while True:
        kind = rng.choices(TASK_KINDS, shares)[0]
        task = make_task(rng, split, kind, "", num_hidden=0)
        yield Instruction(prompt=task.prompt, completion=task.canonical_solution)
