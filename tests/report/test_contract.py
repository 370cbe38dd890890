"""What the report relies on: every field of every record of a run, and nothing else.

A field that a stage no longer writes, or writes under another name, must stop the report with the
name of the file and the field. `not run` is for stages that were not run, and for nothing else.
"""

import copy
import json
import shutil
from collections.abc import Iterator
from dataclasses import is_dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, NotRequired, Union, get_args, get_origin, get_type_hints

import pytest
from typing_extensions import is_typeddict

from flab_deploy.artifacts import MANIFEST, write_json
from flab_deploy.errors import ArtifactError
from flab_deploy.records.document import as_json, parse_record, read_record
from flab_deploy.records.evaluate import ExcludedProblem
from flab_deploy.records.plan import Contribution, PaperBudget
from flab_deploy.records.report import REPORT_FILE, ReportRecord
from flab_deploy.records.run import RUN_FILE, ManifestRecord
from flab_deploy.report.charts.all import CHARTS
from flab_deploy.report.report import report, report_record
from flab_deploy.report.run import STAGES, RunContents, read_run
from tests.report import synthetic_run
from tests.report.synthetic_run import edit, write_complete
from tests.report.test_rows import LIKELIHOOD, SERVED, SIZE

Place = tuple[str | int, ...]


def documents() -> dict[str, object]:
    """A record of every kind that a run leaves, by name."""
    plan = synthetic_run.plan()
    found = {
        "scores": synthetic_run.scores(),
        "plan": plan,
        "plan of a paper": replace(plan, budget=PaperBudget(metric="paper")),
        "plan of heads": replace(
            plan, contribution={**plan.contribution, "heads": 1, "experts": 1}
        ),
        "pruned": synthetic_run.pruned(),
        "recovered": synthetic_run.recovered(),
        "evaluation": synthetic_run.evaluation("a" * 64, 1.0),
        "comparison": synthetic_run.comparison("p" * 64, 1.0, synthetic_run.SHOWN),
        "likelihood": synthetic_run.likelihood("p" * 64, 1.01, "shown"),
        "footprint": synthetic_run.footprint(),
        "export": synthetic_run.parity(),
        "bench": synthetic_run.bench(),
        "run": synthetic_run.asked(),
    }
    health = replace(
        found["evaluation"].health,
        excluded=(ExcludedProblem(task_id="test/7", verdict="fail_load", detail="none"),),
    )
    found["evaluation"] = replace(found["evaluation"], health=health)
    found["comparison of files"] = replace(found["comparison"], sources=synthetic_run.sources())
    return found


DOCUMENTS = documents()


def fields_of(kind: Any, value: Any, place: Place = ()) -> Iterator[tuple[type, Place, bool]]:
    """(record, place in the JSON, whether it may be left out) of every field below a value: of
    lists below the first element, of mappings from data below the first entry.
    """
    if get_origin(kind) in (Union, UnionType):
        kinds = [one for one in get_args(kind) if one is not NoneType]
        if len(kinds) > 1 and isinstance(value, dict):
            kinds = [one for one in kinds if set(value) == set(get_type_hints(one))]
        if value is not None:
            yield from fields_of(kinds[0], value, place)
    elif get_origin(kind) is tuple and value and get_args(kind)[-1] is ...:
        yield from fields_of(get_args(kind)[0], value[0], (*place, 0))
    elif get_origin(kind) is dict and value:
        key = next(iter(value))
        yield from fields_of(get_args(kind)[1], value[key], (*place, key))
    elif is_dataclass(kind) or is_typeddict(kind):
        for name, hint in get_type_hints(kind, include_extras=is_typeddict(kind)).items():
            optional = get_origin(hint) is NotRequired
            if name in value:
                yield kind, (*place, name), optional
                yield from fields_of(hint, value[name], (*place, name))


def changed(document: Any, place: Place, name: str | None) -> str:
    """The document as JSON with one field renamed, or left out."""
    found = copy.copy(document)
    holder = found
    for step in place[:-1]:
        holder[step] = copy.copy(holder[step])
        holder = holder[step]
    value = holder.pop(place[-1])
    if name is not None:
        holder[name] = value
    return json.dumps(found)


def refused(cls: type, text: str, name: str) -> bool:
    try:
        parse_record(cls, text, "run/stage/some.json")
    except ArtifactError as error:
        return "run/stage/some.json" in str(error) and name in str(error)
    return False


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_field_that_is_missing_or_misspelt_is_refused_by_name(name):
    cls, document = type(DOCUMENTS[name]), as_json(DOCUMENTS[name])
    places = [(place, optional) for _, place, optional in fields_of(cls, document)]
    assert len(places) == len(set(places)) >= 5
    accepted = [
        (place, "left out" if other is None else "renamed")
        for place, optional in places
        for other in (None, f"{place[-1]}_", str(place[-1])[:-1])
        if not (optional and other is None)
        # Only what is misspelt can be named where the field may be left out.
        and not refused(cls, changed(document, place, other), other if optional else place[-1])
    ]
    assert accepted == []


def records_below(kind: Any) -> Iterator[type]:
    if is_dataclass(kind):
        yield kind
        for hint in get_type_hints(kind).values():
            yield from records_below(hint)
    for one in get_args(kind):
        yield from records_below(one)


def test_every_record_of_a_run_is_among_them():
    tried = {
        record
        for found in DOCUMENTS.values()
        for record, _, _ in fields_of(type(found), as_json(found))
    }
    known = {record for cls, _ in STAGES.values() for record in records_below(cls)}
    assert known <= tried
    assert Contribution in tried


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run, for tests that only read it."""
    return write_complete(tmp_path_factory.mktemp("whole") / "run")


@pytest.mark.parametrize("stage", STAGES)
def test_the_report_refuses_a_stage_that_says_less_than_it_reads(whole, tmp_path, stage):
    run = shutil.copytree(whole, tmp_path / "run")
    cls, file = STAGES[stage]
    path = run / stage / (file or MANIFEST)
    document = json.loads(path.read_text(encoding="utf-8"))
    holder = document if file else document["figures"]
    name = [name for name in get_type_hints(cls) if name in holder][-1]
    del holder[name]
    if file is None:
        write_json(path, document)
    else:
        edit(path, "schema_version", value=document["schema_version"])
        del_field(path, name)
    with pytest.raises(ArtifactError, match=rf"{stage}/{path.name}: .*'{name}'"):
        read_run(run)


def del_field(path: Path, name: str) -> None:
    """Take a field out of a document, and renew the stage's digest."""
    document = json.loads(path.read_text(encoding="utf-8"))
    del document[name]
    write_json(path, document)
    renewed = json.loads((path.parent / MANIFEST).read_text(encoding="utf-8"))
    edit(path.parent / MANIFEST, "seconds", value=renewed["seconds"])


@pytest.mark.parametrize(
    ("file", "name"), [(RUN_FILE, "changed"), (f"scores/{MANIFEST}", "seconds")]
)
def test_so_it_does_with_the_run_and_with_manifests(whole, tmp_path, file, name):
    run = shutil.copytree(whole, tmp_path / "run")
    document = json.loads((run / file).read_text(encoding="utf-8"))
    del document[name]
    write_json(run / file, document)
    with pytest.raises(ArtifactError, match=rf"{file}: has no field '{name}'"):
        read_run(run)


def test_the_manifests_of_a_run_are_read_strictly(whole):
    for path in whole.glob(f"*/{MANIFEST}"):
        document = json.loads(path.read_text(encoding="utf-8"))
        assert as_json(read_record(ManifestRecord, path)) == document
        places = [place for _, place, _ in fields_of(ManifestRecord, document)]
        assert all(refused(ManifestRecord, changed(document, at, None), at[-1]) for at in places)


def test_the_report_can_be_read_back(whole, tmp_path):
    written = report(whole, tmp_path / "report").path / REPORT_FILE
    found = read_record(ReportRecord, written)
    assert as_json(found) == json.loads(written.read_text(encoding="utf-8"))
    assert found.provenance.run.changed == {"plan.reduction": 0.3}
    page = (written.parent / "report.html").read_text(encoding="utf-8")
    assert "<code>plan.reduction</code> 0.3" in page


KINDS = tuple(synthetic_run.KINDS)
ROWS = (*(f"pass_at_1_{kind}" for kind in KINDS), "robust_pass_at_1")
SETS = (*KINDS, "robustness", "worst_case")
CELLS = ("original", "slimmed", "ratio")
FEEDS = {
    "scores": {f"charts.{key}" for key in ("layers", "channels", "tokens")},
    "plan": {"charts.cut", "charts.candidates"},
    "pruned": {"checks.cut-checks.note"},
    "recovered": {"charts.recovery"},
    "evaluate-original": {f"before_after.{key}.original" for key in ROWS}
    | {f"quality.{key}.original" for key in SETS},
    "evaluate-pruned": {f"quality.{key}.pruned.solved" for key in SETS},
    "evaluate-recovered": {f"before_after.{key}.slimmed" for key in ROWS}
    | {f"quality.{key}.recovered.solved" for key in SETS},
    "compare-pruned": {f"quality.{key}.pruned.verdict" for key in (*SETS, "overall")},
    "compare-recovered": {f"quality.{key}.recovered.verdict" for key in (*SETS, "overall")}
    | {f"losses.{key}.note" for key in ("lost", "perturbations", "noise")},
    "likelihood-pruned": set(),  # a column of a table that the other one still fills
    "likelihood-recovered": {f"before_after.{key}.{cell}" for key in LIKELIHOOD for cell in CELLS},
    "footprint": {f"before_after.{key}.{cell}" for key in SIZE for cell in CELLS},
    "export": {"checks.parity-vllm.note", "checks.parity-onnx.note"},
    "bench": {f"before_after.{key}.{cell}" for key in SERVED for cell in CELLS}
    | {f"checks.{key}.note" for key in ("load", "agreement", "energy")}
    | {f"charts.latency-{stamp}" for stamp in ("ttft", "tpot", "e2el")}
    | {"provenance.engine", "provenance.bench_machine"},
}
"""What of the report each stage feeds, and nobody else."""


def not_run(run: RunContents) -> set[str]:
    """Places of the report that say `not run`, or where a chart or a fact is missing."""
    document = as_json(report_record(run, {}))
    charts = {f"charts.{key}" for key, kind in CHARTS.items() if kind.draw(run) is None}
    facts = {**document["provenance"]}
    facts |= {f"stages.{name}": found for name, found in facts.pop("stages").items()}
    missing = {f"provenance.{name}" for name, value in facts.items() if value is None}
    return charts | missing | set(_not_run(document, ""))


def _not_run(value: object, place: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            told = place if name in ("text", "shown") else f"{place}.{name}".lstrip(".")
            yield from _not_run(item, told)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            key = item.get("key", number) if isinstance(item, dict) else number
            yield from _not_run(item, f"{place}.{key}")
    elif str(value).startswith("not run") and not place.endswith((".reason", ".provenance")):
        yield place


def test_a_complete_run_says_nowhere_that_something_was_not_run(whole):
    assert not_run(read_run(whole)) == set()


@pytest.mark.parametrize("stage", STAGES)
def test_not_run_stands_for_exactly_what_the_stage_feeds(whole, tmp_path, stage):
    run = shutil.copytree(whole, tmp_path / "run")
    shutil.rmtree(run / stage)
    found = read_run(run)
    assert not_run(found) == FEEDS[stage] | {f"provenance.stages.{stage}"}
    assert report_record(found, {}).verdict[-1] == f"Not run: {stage}."


def test_the_table_above_knows_every_stage():
    assert set(FEEDS) == set(STAGES)
