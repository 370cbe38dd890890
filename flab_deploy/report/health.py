"""Health of the judging: whether the scores can be trusted, printed with every report."""

from __future__ import annotations

from collections.abc import Iterator

from flab_deploy.artifacts import Json
from flab_deploy.report.run import MODELS, Run, as_number, mapping, objects, pick
from flab_deploy.wording.numbers import count, listed, percent

_DASH = "–"
_COUNTS = {
    "num_excluded": "problems left out because their known answer fails here",
    "num_infrastructure_errors": "answers the judge could not run",
    "num_truncated": "answers cut off at the length limit",
    "num_unparsable": "answers that are not valid Python",
}
_FEWEST_SOUND = 0.98


def health_lines(run: Run) -> list[tuple[str, ...]]:
    """A line per fact about the judging, a cell per evaluated model; empty if nothing was
    evaluated.
    """
    models = judged_models(run)
    if not models:
        return []
    blocks = [mapping(run.get(f"evaluate-{model}", "health")) for model in models]
    lines = [
        (
            "known right answers that pass the judge",
            *(_share(block.get("canonical_pass_rate")) for block in blocks),
        )
    ]
    lines.append(("problems judged, of all that were asked", *(_of_all(block) for block in blocks)))
    lines += [
        (label, *(_count(block.get(name)) for block in blocks)) for name, label in _COUNTS.items()
    ]
    lines.append(("answers stopped for time", *(count(_timeouts(block)) for block in blocks)))
    for name, label in (
        ("num_unchanged", "perturbations that changed nothing, left out"),
        ("num_rejected", "perturbations that broke their promise, left out"),
    ):
        lines.append((label, *(_count(_perturbed(run, model, name)) for model in models)))
    if any(
        (run.number(f"evaluate-{model}", "robustness", "num_seeds") or 1) > 1 for model in models
    ):
        label = "perturbed forms alike under several seeds, counted each"
        lines.append((label, *(_count(_perturbed(run, model, "num_repeated")) for model in models)))
    verdicts = dict.fromkeys(name for block in blocks for name in mapping(block.get("verdicts")))
    lines += [
        (
            f"verdict: {name.replace('_', ' ')}",
            *(_count(pick(block, "verdicts", name) or 0) for block in blocks),
        )
        for name in verdicts
    ]
    lines.append(("problem suite", *(_suite(run, model) for model in models)))
    return lines


def judged_models(run: Run) -> list[str]:
    """Models of the run that were evaluated."""
    return [model for model in MODELS if run.has(f"evaluate-{model}")]


def health_sentence(run: Run) -> str:
    """The health of the judging in one sentence; empty if nothing was evaluated."""
    models = judged_models(run)
    if not models:
        return ""
    last = f"evaluate-{models[-1]}"
    sound = run.number(last, "health", "canonical_pass_rate")
    facts = (
        [f"{percent(sound)} of the known right answers pass the judge"] if sound is not None else []
    )
    for name, words in (
        ("num_excluded", "problems left out"),
        ("num_infrastructure_errors", "answers not judged"),
        ("num_truncated", "answers cut off"),
    ):
        number = run.number(last, "health", name)
        facts += [f"{count(number)} {words}"] if number is not None else []
    return f"Health of the judging: {listed(facts)}." if facts else ""


def health_warnings(run: Run) -> Iterator[str]:
    """What about the judging makes scores doubtful."""
    for model in judged_models(run):
        health = run.get(f"evaluate-{model}", "health")
        sound, excluded = (
            as_number(pick(health, "canonical_pass_rate")),
            objects(pick(health, "excluded")),
        )
        if sound is not None and sound < _FEWEST_SOUND:
            names = ", ".join(str(entry.get("task_id")) for entry in excluded[:3])
            yield (
                f"{percent(1 - sound)} of the problems were left out of evaluate-{model} because "
                f"their own known answer fails here{f' ({names}, …)' if names else ''}"
            )
        if number := as_number(pick(health, "num_infrastructure_errors")):
            yield (
                f"evaluate-{model} could not judge {count(number)} answers, which count neither way"
            )


def excluded_lines(run: Run) -> list[tuple[str, ...]]:
    """Each problem that was left out because its known answer fails here: its id, how that ends,
    and for whom.
    """
    models: dict[tuple[str, ...], list[str]] = {}
    for model in judged_models(run):
        for entry in objects(run.get(f"evaluate-{model}", "health", "excluded")):
            facts = (
                str(entry.get("task_id")),
                str(entry.get("verdict")).replace("_", " "),
                str(entry.get("detail")),
            )
            models.setdefault(facts, []).append(model)
    return [(*facts, listed(names)) for facts, names in models.items()]


def _of_all(block: dict[str, Json]) -> str:
    return f"{_count(block.get('num_judged'))} of {_count(block.get('num_problems'))}"


def _timeouts(block: dict[str, Json]) -> float:
    return sum(
        as_number(number) or 0
        for name, number in mapping(block.get("verdicts")).items()
        if "timeout" in name
    )


def _perturbed(run: Run, model: str, name: str) -> float | None:
    methods = mapping(run.get(f"evaluate-{model}", "robustness", "perturbations"))
    found = [as_number(pick(entry, name)) for entry in methods.values()]
    return sum(number or 0 for number in found) if methods else None


def _suite(run: Run, model: str) -> str:
    name, digest = (run.get(f"evaluate-{model}", "suite", key) for key in ("name", "digest"))
    return f"{name or _DASH} ({str(digest or '')[:12]})"


def _share(value: Json) -> str:
    number = as_number(value)
    return _DASH if number is None else percent(number)


def _count(value: Json) -> str:
    number = as_number(value)
    return _DASH if number is None else count(number)
