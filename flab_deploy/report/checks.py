"""The small print as tables: judging, sandbox, load test, energy, export parity, lineage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flab_deploy.artifacts import Json
from flab_deploy.report.health import excluded_lines, health_lines, health_sentence, judged_models
from flab_deploy.report.run import MODELS, Run, mapping, pick
from flab_deploy.report.verdict import engine
from flab_deploy.wording.numbers import bytes_, count, percent
from flab_deploy.wording.table import Table

_SERVED = ("original", "slimmed")
_DASH = "–"


def check_tables(run: Run) -> list[Table]:
    """All tables of the small print, in the order of the page; a table of a stage that was not run
    has no lines.
    """
    judging = [_health(run), *_excluded(run), _sandbox(run)]
    return [_cut(run), *judging, _load_test(run), _agreement(run), _energy(run), *_parity(run)]


def _table(
    key: str, title: str, head: Sequence[str], lines: list[tuple[str, ...]], note: str = ""
) -> Table:
    return Table(
        key=key,
        title=title,
        head=tuple(head),
        lines=tuple(lines),
        note=note if lines else "not run",
    )


def _cut(run: Run) -> Table:
    """What was found of the pruned checkpoint itself, before any training."""
    lines: list[tuple[str, ...]] = [
        (label, text(run.get("pruned", *keys)))
        for label, keys in (
            (
                "KL divergence that the plan predicted, nats per calibration token",
                ("predicted", "kl_nats"),
            ),
            ("KL divergence of the finished cut, nats per held-out token", ("realised", "kl_nats")),
            ("held-out tokens that it is a mean over", ("realised", "num_tokens")),
        )
    ]
    lines += [
        (f"{prefix}: {words(key)}", value)
        for prefix in ("reopened", "tokenizer")
        for key, value in flat(run.get("pruned", prefix))
    ]
    note = (
        "The checkpoint was opened in a fresh process; its tokenizer read the whole corpus "
        "beside the original's."
    )
    return _table(
        "cut-checks", "The cut itself", ("", "found"), lines if run.has("pruned") else [], note
    )


def _health(run: Run) -> Table:
    why = "A judge that fails known right answers would make every score too low."
    note = f"{health_sentence(run)} {why}".strip()
    return _table(
        "health", "Health of the judging", ("", *judged_models(run)), health_lines(run), note
    )


_MOST_EXCLUDED = 100


def _excluded(run: Run) -> list[Table]:
    """The problems that were left out, if there are any."""
    lines = excluded_lines(run)
    if not lines:
        return []
    more = (
        f" The first {_MOST_EXCLUDED} of {count(len(lines))}."
        if len(lines) > _MOST_EXCLUDED
        else ""
    )
    note = (
        "Their own known answer does not pass their test on this machine, so nobody was "
        f"asked.{more}"
    )
    head = ("", "verdict on the known answer", "detail", "left out for")
    title = f"Problems left out: {count(len(lines))}"
    return [_table("excluded", title, head, lines[:_MOST_EXCLUDED], note)]


def _sandbox(run: Run) -> Table:
    models = judged_models(run)
    blocks = [dict(flat(run.get(f"evaluate-{model}", "sandbox"))) for model in models]
    names = dict.fromkeys(name for block in blocks for name in block)
    lines = [(words(name), *(block.get(name, _DASH) for block in blocks)) for name in names]
    note = "Generated code ran in a separate process behind these limits."
    return _table("sandbox", "Sandbox of the generated code", ("", *models), lines, note)


_LOAD = {
    "completed": "requests completed",
    "failed": "requests failed",
    "request_throughput": "requests per second",
    "total_output_tokens": "output tokens received",
    "output_throughput": "output tokens per second",
    "startup_s": "seconds until the server answered",
}


def _load_test(run: Run) -> Table:
    if not run.has("bench"):
        return _table("load", "Load test", ("", *_SERVED), [])
    blocks = [mapping(run.get("bench", "models", model)) for model in _SERVED]
    lines: list[tuple[str, ...]] = [("engine", *(engine(run) for _ in _SERVED))]
    lines.append(
        (
            "verdict on the test itself",
            *(text(pick(block, "validity", "verdict")) for block in blocks),
        )
    )
    lines.append(("reasons", *(text(pick(block, "validity", "reasons")) for block in blocks)))
    lines += [
        (label, *(text(block.get(name), name) for block in blocks)) for name, label in _LOAD.items()
    ]
    counters = [mapping(block.get("server_metrics")) for block in blocks]
    lines.append(
        (
            "requests sent, with warm-up and burst",
            *(text(block.get("requests_sent")) for block in counters),
        )
    )
    lines += _pairs(
        "server counted: ",
        [{k: v for k, v in block.items() if k != "requests_sent"} for block in counters],
    )
    lines += _pairs(
        "sending was late by, ms: ", [block.get("schedule_delay_ms") for block in blocks]
    )
    lines += _pairs("load plan: ", [run.get("bench", "plan")] * 2)
    note = (
        "What the client saw beside what the server's own counters say; a sender that lags "
        "makes a test invalid."
    )
    return _table("load", "Load test", ("", *_SERVED), lines, note)


def _agreement(run: Run) -> Table:
    """Counts per model that was served: the original, the pruned and the slimmed one."""
    found = mapping(run.get("bench", "agreement"))
    note = (
        "Whether the engine generates the very tokens that transformers does, always "
        "taking the most probable one."
    )
    return _table(
        "agreement",
        "Greedy tokens: engine against transformers",
        ("", *found),
        _pairs("", [*found.values()]),
        note,
    )


def _pairs(prefix: str, blocks: Sequence[Json]) -> list[tuple[str, ...]]:
    found = [dict(flat(block)) for block in blocks]
    names = dict.fromkeys(name for block in found for name in block)
    return [(prefix + words(name), *(block.get(name, _DASH) for block in found)) for name in names]


def _energy(run: Run) -> Table:
    lines: list[tuple[str, ...]] = []
    for block, label in (("energy", "energy: "), ("carbon", "carbon: ")):
        lines += _pairs(label, [run.get("bench", "models", model, block) for model in _SERVED])
    note = (
        "Energy is measured only where the machine has readable sensors; an estimate never "
        "counts as one."
    )
    return _table("energy", "Energy and carbon", ("", *_SERVED), lines, note)


def _parity(run: Run) -> Iterator[Table]:
    titles = {"vllm": "vLLM directory against PyTorch", "onnx": "ONNX against PyTorch"}
    for name in dict.fromkeys([*titles, *mapping(run.documents.get("export"))]):
        lines: list[tuple[str, ...]] = [
            (words(key), value) for key, value in flat(run.get("export", name))
        ]
        if name in titles or lines:
            title = titles.get(name, words(name))
            yield _table(
                f"parity-{name}",
                title,
                ("", "found"),
                lines,
                "The exported model on the same prompts.",
            )


def lineage_warnings(run: Run) -> list[str]:
    """Places where figures of one run speak of different models or problems; empty if all fits
    together.
    """
    found: list[str] = []
    for model in MODELS[1:]:
        stage = f"compare-{model}"
        for role, evaluated in (
            ("original", "evaluate-original"),
            ("candidate", f"evaluate-{model}"),
        ):
            digest, expected = run.get(stage, role), run.get(evaluated, "model", "digest")
            if digest and expected and digest != expected:
                found.append(f"{stage} compared another {role} model than {evaluated} judged")
    source, judged = run.get("plan", "source"), run.get("evaluate-original", "model", "digest")
    if source and judged and source != judged:
        found.append("the plan was made for another model than evaluate-original judged")
    suites = {
        str(run.get(f"evaluate-{model}", "suite", "digest"))
        for model in MODELS
        if run.has(f"evaluate-{model}")
    }
    if len(suites) > 1:
        found.append("the models were judged on different problems")
    served = [run.get("bench", "models", model, "model_digest") for model in _SERVED]
    if served[0] and served[0] == served[1]:
        found.append("the load test served the same model under both names")
    if served[0] and judged and served[0] != judged:
        found.append("the load test served another original than evaluate-original judged")
    return found


def flat(value: Json, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(name, text) of every leaf below a value; nested names are joined by a dot."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from flat(item, f"{prefix}.{key}" if prefix else key)
    elif prefix:
        yield prefix, text(value, prefix)


def words(name: str) -> str:
    """A JSON name in words: `num_greedy_equal` is `greedy equal (count)`."""
    parts = name.replace(".", ": ").split("_")
    if parts[0].startswith("num") and len(parts) > 1:
        parts = [*parts[1:], "(count)"]
    units = {"s": "(s)", "ms": "(ms)", "bytes": "", "joules": "(J)"}
    last = [units.get(parts[-1], parts[-1])] if len(parts) > 1 else parts[-1:]
    return " ".join([*parts[:-1], *last]).strip()


def text(value: Json, name: str = "") -> str:
    """A JSON value as a reader sees it; a dash for nothing."""
    if value is None or value == [] or value == "":
        return _DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return "; ".join(text(item) for item in value)
    if isinstance(value, dict):
        return "; ".join(f"{words(key)} {text(item)}" for key, item in value.items())
    if isinstance(value, int | float):
        return _number(value, name)
    return value[:12] if name.endswith("digest") else value


def _number(value: float, name: str) -> str:
    if name == "canonical_pass_rate":
        return percent(value)
    if name.endswith("_bytes"):
        return bytes_(value)
    if "seed" in name or "rank" in name:
        return f"{value:g}"
    if float(value).is_integer() and abs(value) < 1e15:
        return count(value)
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"
