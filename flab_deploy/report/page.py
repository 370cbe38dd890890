"""The report as one HTML page that needs nothing beside itself."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from flab_deploy.artifacts import Json
from flab_deploy.records.document import as_json
from flab_deploy.records.report import BeforeAfterRow, KeptShare, ReportRecord, RunProvenance
from flab_deploy.report.cells import NOT_RUN
from flab_deploy.report.charts.all import CHARTS
from flab_deploy.report.tables import text, words
from flab_deploy.wording.numbers import count, probability, signed_percent, significant

TEMPLATES = Path(__file__).parent / "templates"
_ASIDES = ("Health of the judging", "Not run")
_SECTIONS = (
    ("quality", "What was kept, what was lost"),
    ("cut", "What was cut, and why"),
    ("serving", "Serving"),
)
_SETS_OVER_KINDS = ("overall", "robustness", "worst_case")


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One of the main figures at the top of the page."""

    value: str
    label: str
    note: str = ""
    verdict: str = ""


def render_page(report: ReportRecord, drawings: Mapping[str, str]) -> str:
    """The whole page as HTML text, with the charts' drawings in it."""
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
        pretty=lambda value: json.dumps(value, indent=2, ensure_ascii=False),
        told=text,
        words=words,
        seconds=lambda value: f"{significant(value)} s",
    )
    environment.tests["aside"] = lambda sentence: sentence.startswith(_ASIDES)
    page = environment.get_template("page.html.j2").render(
        report=report,
        drawings={key: Markup(svg) for key, svg in drawings.items()},
        charts=CHARTS,
        chart_absence=_absence(report),
        sections=[
            (key, title, [name for name, kind in CHARTS.items() if kind.section == key])
            for key, title in _SECTIONS
        ],
        groups_not_run=groups_not_run(report),
        judged=["pruned", "recovered"] if report.final == "recovered" else [report.final],
        tiles=tiles(report),
        machine=_machine(report.provenance),
    )
    return _together(page.rstrip()) + "\n"


def _together(page: str) -> str:
    """The page with the parts of a figure kept on one line: a number and its sign, a p-value, an
    interval.
    """
    page = re.sub(r"\bp (=|&lt;) (?=0\.)", r"p&nbsp;\1&nbsp;", page.replace(" %", "&nbsp;%"))
    return re.sub(r"\[([−+][\d.]+) to ([−+][\d.]+)\]", r"[\1&nbsp;to&nbsp;\2]", page)


def groups_not_run(report: ReportRecord) -> list[str]:
    """Groups of the before/after table of which nothing was run."""
    rows = report.before_after
    ran = {row.group for row in rows if {row.original.text, row.slimmed.text} != {NOT_RUN}}
    return [group for group in dict.fromkeys(row.group for row in rows) if group not in ran]


def _absence(report: ReportRecord) -> dict[str, str]:
    """Why each chart is not there: its stage was not run, or left too little to draw."""
    done = {name for name, stage in report.provenance.stages.items() if stage.status == "finished"}
    return {
        key: "unavailable: too few figures to draw" if done.issuperset(kind.stages) else NOT_RUN
        for key, kind in CHARTS.items()
    }


def _machine(provenance: RunProvenance) -> dict[str, Json]:
    """What is known of the machine of the load test and of the run, by name."""
    blocks = (provenance.bench_machine, provenance.machine)
    return {name: value for one in blocks if one for name, value in as_json(one).items()}


def tiles(report: ReportRecord) -> list[Tile]:
    """The four figures at the top of the page: the main ones, others in place of what was not
    run.
    """
    rows = {row.key: row for row in report.before_after}
    sets = {
        row.key: row.pruned if report.final == "pruned" else row.recovered for row in report.quality
    }
    labels = {row.key: row.label for row in report.quality}
    main = [
        _change_tile(rows["num_parameters"], "parameters"),
        _kept_tile(sets["overall"], "of pass@1 kept"),
        _change_tile(rows["burst_output_throughput"], "output tokens per second, at most"),
        _change_tile(rows["energy_per_output_token_joules"], "energy per output token"),
    ]
    weakest = _weakest(sets)
    others = [
        _kept_tile(sets["robustness"], "of robust pass@1 kept"),
        _kept_tile(sets[weakest], f"of pass@1 kept in {labels[weakest]}, the weakest part"),
        _loss_tile(sets["overall"]),
    ]
    shown = [tile for tile in [*main, *others] if tile.value != NOT_RUN]
    return [*shown, *(tile for tile in main if tile.value == NOT_RUN)][:4]


def _weakest(sets: Mapping[str, KeptShare]) -> str:
    """The task kind of which the least was kept; `overall` if none was compared."""
    shares = {key: found.kept.value for key, found in sets.items() if key not in _SETS_OVER_KINDS}
    known = {key: share for key, share in shares.items() if share is not None}
    return min(known, key=lambda key: known[key], default="overall")


def _kept_tile(found: KeptShare, label: str) -> Tile:
    note = f"interval {found.kept.interval_text}" if found.kept.interval_text else ""
    return Tile(value=found.kept.text, label=label, note=note, verdict=found.verdict)


def _loss_tile(found: KeptShare) -> Tile:
    label, lost, gained = (
        "problems lost and gained",
        found.num_only_original,
        found.num_only_candidate,
    )
    if lost is None or gained is None:
        return Tile(value=NOT_RUN, label=label)
    return Tile(value=f"{count(lost)} / {count(gained)}", label=label, note="same problems")


def _change_tile(row: BeforeAfterRow, label: str) -> Tile:
    ratio = row.ratio
    if ratio.value is None:
        return Tile(value=ratio.text, label=label, note=ratio.reason or "")
    estimated = ", estimated" if ratio.status == "estimated" else ""
    spread = f", {ratio.interval_text}" if ratio.interval_text else ""
    note = f"{row.original.text} → {row.slimmed.text}{estimated}{spread}"
    return Tile(value=signed_percent(ratio.value - 1), label=label, note=note)
