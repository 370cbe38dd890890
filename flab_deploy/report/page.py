"""The report as one HTML page that needs nothing beside itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from flab_deploy.artifacts import Json
from flab_deploy.report.charts.all import CHARTS
from flab_deploy.report.charts.style import Chart
from flab_deploy.report.checks import text, words
from flab_deploy.report.run import TASK_LABELS, as_number, mapping, objects
from flab_deploy.report.wording import count, probability, signed_percent, significant

TEMPLATES = Path(__file__).parent / "templates"
_SECTIONS = (
    ("quality", "Quality before and after recovery", ("retention", "robustness")),
    ("cut", "What was cut, and why", ("cut", "candidates", "layers", "channels", "tokens", "recovery")),
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
        count=count, probability=probability, pretty=_pretty, told=text, words=words, seconds=_seconds
    )
    template = environment.get_template("page.html.j2")
    drawings = {key: Markup(chart.svg) for key, chart in charts.items() if chart is not None}
    titles = {key: title for key, (title, _, _) in CHARTS.items()}
    return (
        template.render(
            report=document,
            drawings=drawings,
            chart_titles=titles,
            chart_absence=_absence(document),
            sections=_SECTIONS,
            tiles=tiles(document),
            task_labels=TASK_LABELS,
        )
        .rstrip()
        .replace(" %", "&nbsp;%")
        + "\n"
    )


def _absence(document: Mapping[str, Json]) -> dict[str, str]:
    """Why each chart is not there: its stage was not run, or left too little to draw."""
    stages = mapping(mapping(document["provenance"])["stages"])
    done = {name for name, stage in stages.items() if mapping(stage)["status"] == "finished"}
    missing = {key: [stage for stage in needed if stage not in done] for key, (_, needed, _) in CHARTS.items()}
    return {key: "not run" if names else "unavailable: too few figures to draw" for key, names in missing.items()}


def tiles(document: Mapping[str, Json]) -> list[dict[str, str]]:
    """The four figures at the top of the page."""
    rows = {str(row["key"]): row for row in objects(document["before_after"])}
    overall = next(row for row in objects(document["quality"]) if row["key"] == "overall")
    recovered = mapping(overall["recovered"])
    return [
        _change_tile(rows["num_parameters"], "parameters"),
        {
            "value": str(mapping(recovered["kept"])["text"]),
            "label": "of pass@1 kept",
            "note": f"interval {told}" if (told := mapping(recovered["kept"])["interval_text"]) else "",
            "verdict": str(recovered["verdict"]),
        },
        _change_tile(rows["burst_output_throughput"], "output tokens per second, at most"),
        _change_tile(rows["energy_per_output_token_joules"], "energy per output token"),
    ]


def _change_tile(row: Mapping[str, Json], label: str) -> dict[str, str]:
    ratio = mapping(row["ratio"])
    value = as_number(ratio["value"])
    if value is None:
        return {"value": str(ratio["text"]), "label": label, "note": str(ratio["reason"] or ""), "verdict": ""}
    original, slimmed = (mapping(row[name])["text"] for name in ("original", "slimmed"))
    estimated = ", estimated" if ratio["status"] == "estimated" else ""
    return {
        "value": signed_percent(value - 1),
        "label": label,
        "note": f"{original} → {slimmed}{estimated}",
        "verdict": "",
    }


def _pretty(value: Json) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _seconds(value: Json) -> str:
    number = as_number(value)
    return "–" if number is None else f"{significant(number)} s"
