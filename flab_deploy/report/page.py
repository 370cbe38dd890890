"""The report as one HTML page that needs nothing beside itself."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from flab_deploy.artifacts import Json
from flab_deploy.records.compare import ClaimFigures
from flab_deploy.records.document import as_json
from flab_deploy.records.report import BeforeAfterRow, KeptShare, ReportRecord, RunProvenance
from flab_deploy.report.cells import NOT_RUN
from flab_deploy.report.charts.all import CHARTS
from flab_deploy.report.quality import final_share
from flab_deploy.report.tables import PROSE, TEMPLATES
from flab_deploy.wording.fields import text, words
from flab_deploy.wording.numbers import count, probability, signed_percent, significant

_ASIDES = ("Health of the judging", "Not run")
_SETS_OVER_KINDS = ("overall", "robustness", "worst_case")


class Tile(NamedTuple):
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
        in_words=text,
        words=words,
        seconds=lambda value: f"{significant(value)} s",
    )
    environment.tests["aside"] = lambda sentence: sentence.startswith(_ASIDES)
    page = environment.get_template("page.html.j2").render(
        report=report,
        drawings={key: Markup(svg) for key, svg in drawings.items()},
        prose=PROSE.charts,
        kinds=CHARTS,
        groups_not_run=groups_not_run(report),
        tiles=tiles(report),
        machine=_machine(report.provenance),
    )
    return _together(page.rstrip()) + "\n"


def _together(page: str) -> str:
    """The page with figures kept on one line: a number and its sign, a p-value, an interval."""
    page = re.sub(r"\bp (=|&lt;) (?=0\.)", r"p&nbsp;\1&nbsp;", page.replace(" %", "&nbsp;%"))
    return re.sub(r"\[([−+][\d.]+) to ([−+][\d.]+)\]", r"[\1&nbsp;to&nbsp;\2]", page)


def groups_not_run(report: ReportRecord) -> list[str]:
    """Groups of the before/after table of which nothing was run."""
    rows = report.before_after
    ran = {row.group for row in rows if {row.original.text, row.slimmed.text} != {NOT_RUN}}
    return [group for group in dict.fromkeys(row.group for row in rows) if group not in ran]


def _machine(found: RunProvenance) -> dict[str, Json]:
    """What is known of the machine of the load test and of the run, by name."""
    blocks = (found.bench_machine, found.run.machine if found.run else None)
    return {name: value for one in blocks if one for name, value in as_json(one).items()}


def tiles(report: ReportRecord) -> list[Tile]:
    """The four figures at the top: the main ones, others in place of what was not run."""
    rows = {row.key: row for row in report.before_after}
    sets = {row.key: final_share(report.final, row) for row in report.quality}
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
        _loss_tile(sets["overall"].claim),
    ]
    shown = [tile for tile in [*main, *others] if tile.value != NOT_RUN]
    return [*shown, *(tile for tile in main if tile.value == NOT_RUN)][:4]


def _weakest(sets: Mapping[str, KeptShare]) -> str:
    """The task kind of which the least was kept; `overall` if none was compared."""
    shares = {key: found.kept.value for key, found in sets.items() if key not in _SETS_OVER_KINDS}
    known = {key: share for key, share in shares.items() if share is not None}
    return min(known, key=lambda key: known[key], default="overall")


def _kept_tile(found: KeptShare, label: str) -> Tile:
    said = found.kept.interval_text
    return Tile(found.kept.text, label, f"interval {said}" if said else "", found.verdict)


def _loss_tile(claim: ClaimFigures | None) -> Tile:
    label = "problems lost and gained"
    if claim is None:
        return Tile(NOT_RUN, label)
    said = f"{count(claim.num_only_original)} / {count(claim.num_only_candidate)}"
    return Tile(said, label, "same problems")


def _change_tile(row: BeforeAfterRow, label: str) -> Tile:
    ratio = row.ratio
    if ratio.value is None:
        return Tile(ratio.text, label, ratio.reason or "")
    estimated = ", estimated" if ratio.status == "estimated" else ""
    spread = f", {ratio.interval_text}" if ratio.interval_text else ""
    note = f"{row.original.text} → {row.slimmed.text}{estimated}{spread}"
    return Tile(signed_percent(ratio.value - 1), label, note)
