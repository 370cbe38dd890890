"""The before/after table as Prefect artifacts, with keys that stay the same so that the UI shows
their history.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

PAGE_KEY = "before-after"
TABLE_KEY = "before-after-table"


@task(
    name="present",
    task_run_name="present",
    timeout_seconds=120,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def present(run: Path, page: Path) -> None:
    """Show the before/after table of a finished run, and where its report lies."""
    from flab_deploy.report.rows import as_markdown, before_after_rows

    rows = before_after_rows(run)
    title = f"# {flow_run.name}: before and after\n\nReport: `{page}` on {_host()}\n\n"
    create_markdown_artifact(
        title + as_markdown(rows), key=PAGE_KEY, description="What slimming changed"
    )
    table = [
        {
            "figure": row.label,
            "unit": row.unit,
            "original": row.original.value,
            "slimmed": row.slimmed.value,
            "ratio": row.ratio.value,
            "shown": f"{row.original.shown} → {row.slimmed.shown}",
            "verdict": row.verdict or "",
        }
        for row in rows
    ]
    create_table_artifact(
        finite(table), key=TABLE_KEY, description="The same figures, for machines"
    )


def finite(rows: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """The rows with None in place of NaN and infinity, which JSON does not have."""
    return [{key: None if _broken(value) else value for key, value in row.items()} for row in rows]


def _broken(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _host() -> str:
    import platform

    return platform.node() or "this machine"
