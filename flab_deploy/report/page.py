"""The report as one HTML page that needs nothing beside itself."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from flab_deploy.artifacts import Json
from flab_deploy.corpus import TASK_LABELS
from flab_deploy.report.charts.all import CHARTS
from flab_deploy.report.charts.style import Chart
from flab_deploy.report.checks import text, words
from flab_deploy.report.rows import NOT_RUN
from flab_deploy.report.run import as_number, mapping, objects
from flab_deploy.wording.numbers import count, probability, signed_percent, significant

TEMPLATES = Path(__file__).parent / "templates"
_ASIDES = ("Health of the judging", "Not run")
_CELLS = ("original", "slimmed")
_SECTIONS = (
    ("quality", "What was kept, what was lost", ("retention", "robustness")),
    (
        "cut",
        "What was cut, and why",
        ("cut", "candidates", "layers", "channels", "tokens", "recovery"),
    ),
    ("serving", "Serving", ("latency-ttft", "latency-tpot", "latency-e2el")),
)


def render_page(document: Mapping[str, Json], charts: Mapping[str, Chart | None]) -> str:
    """The whole page as HTML text."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=count,
        probability=probability,
        pretty=_pretty,
        told=text,
        words=words,
        seconds=_seconds,
    )
    environment.tests["aside"] = lambda sentence: str(sentence).startswith(_ASIDES)
    template = environment.get_template("page.html.j2")
    drawings = {key: Markup(chart.svg) for key, chart in charts.items() if chart is not None}
    titles = {key: title for key, (title, _, _) in CHARTS.items()}
    page = template.render(
        report=document,
        drawings=drawings,
        chart_titles=titles,
        chart_absence=_absence(document),
        sections=_SECTIONS,
        groups_not_run=groups_not_run(document),
        judged=_judged(document),
        tiles=tiles(document),
        task_labels=TASK_LABELS,
    )
    return _together(page.rstrip()) + "\n"


def _together(page: str) -> str:
    """The page with the parts of a figure kept on one line: a number and its sign, a p-value, an
    interval.
    """
    page = re.sub(r"\bp (=|&lt;) (?=0\.)", r"p&nbsp;\1&nbsp;", page.replace(" %", "&nbsp;%"))
    return re.sub(r"\[([−+][\d.]+) to ([−+][\d.]+)\]", r"[\1&nbsp;to&nbsp;\2]", page)


def groups_not_run(document: Mapping[str, Json]) -> list[str]:
    """Groups of the before/after table of which nothing was run."""
    rows = objects(document["before_after"])
    ran = {row["group"] for row in rows for name in _CELLS if mapping(row[name])["text"] != NOT_RUN}
    return [str(group) for group in dict.fromkeys(row["group"] for row in rows) if group not in ran]


def _judged(document: Mapping[str, Json]) -> list[str]:
    """The models after the original that the quality table has columns for."""
    final = str(document["final"])
    return ["pruned", "recovered"] if final == "recovered" else [final]


def _absence(document: Mapping[str, Json]) -> dict[str, str]:
    """Why each chart is not there: its stage was not run, or left too little to draw."""
    stages = mapping(mapping(document["provenance"])["stages"])
    done = {name for name, stage in stages.items() if mapping(stage)["status"] == "finished"}
    missing = {
        key: [stage for stage in needed if stage not in done]
        for key, (_, needed, _) in CHARTS.items()
    }
    return {
        key: "not run" if names else "unavailable: too few figures to draw"
        for key, names in missing.items()
    }


def tiles(document: Mapping[str, Json]) -> list[dict[str, str]]:
    """The four figures at the top of the page: the main ones, others in place of what was not
    run.
    """
    rows = {str(row["key"]): row for row in objects(document["before_after"])}
    sets = {
        str(row["key"]): mapping(row[str(document["final"])])
        for row in objects(document["quality"])
    }
    main = [
        _change_tile(rows["num_parameters"], "parameters"),
        _kept_tile(sets["overall"], "of pass@1 kept"),
        _change_tile(rows["burst_output_throughput"], "output tokens per second, at most"),
        _change_tile(rows["energy_per_output_token_joules"], "energy per output token"),
    ]
    kind, weakest = _weakest(document, sets)
    others = [
        _kept_tile(sets["robustness"], "of robust pass@1 kept"),
        _kept_tile(weakest, f"of pass@1 kept in {kind}, the weakest part"),
        _loss_tile(sets["overall"]),
    ]
    shown = [tile for tile in [*main, *others] if tile["value"] != NOT_RUN]
    return [*shown, *(tile for tile in main if tile["value"] == NOT_RUN)][:4]


def _weakest(
    document: Mapping[str, Json], sets: Mapping[str, Mapping[str, Json]]
) -> tuple[str, Mapping[str, Json]]:
    """Name and figures of the task kind of which the least was kept; those of all tasks if none was
    compared.
    """
    shares = {
        str(row["key"]): (
            as_number(mapping(sets[str(row["key"])]["kept"])["value"]),
            str(row["label"]),
        )
        for row in objects(document["quality"])
        if row["key"] not in ("overall", "robustness", "worst_case")
    }
    known = {key: share for key, (share, _) in shares.items() if share is not None}
    key = min(known, key=lambda name: known[name], default="overall")
    return shares.get(key, (None, "all tasks"))[1], sets[key]


def _kept_tile(found: Mapping[str, Json], label: str) -> dict[str, str]:
    kept = mapping(found["kept"])
    note = f"interval {told}" if (told := kept["interval_text"]) else ""
    return {
        "value": str(kept["text"]),
        "label": label,
        "note": note,
        "verdict": str(found["verdict"]),
    }


def _loss_tile(found: Mapping[str, Json]) -> dict[str, str]:
    lost, gained = (as_number(found[f"num_only_{model}"]) for model in ("original", "candidate"))
    if lost is None or gained is None:
        return {"value": NOT_RUN, "label": "problems lost and gained", "note": "", "verdict": ""}
    label = "problems lost and gained"
    return {
        "value": f"{count(lost)} / {count(gained)}",
        "label": label,
        "note": "same problems",
        "verdict": "",
    }


def _change_tile(row: Mapping[str, Json], label: str) -> dict[str, str]:
    ratio = mapping(row["ratio"])
    value = as_number(ratio["value"])
    if value is None:
        return {
            "value": str(ratio["text"]),
            "label": label,
            "note": str(ratio["reason"] or ""),
            "verdict": "",
        }
    original, slimmed = (mapping(row[name])["text"] for name in ("original", "slimmed"))
    estimated = ", estimated" if ratio["status"] == "estimated" else ""
    spread = f", {ratio['interval_text']}" if ratio["interval_text"] else ""
    return {
        "value": signed_percent(value - 1),
        "label": label,
        "note": f"{original} → {slimmed}{estimated}{spread}",
        "verdict": "",
    }


def _pretty(value: Json) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _seconds(value: Json) -> str:
    number = as_number(value)
    return "–" if number is None else f"{significant(number)} s"
