"""The page and its JSON: the same figures, self-contained, the same bytes for the same run."""

import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from flab_deploy.artifacts import check_digest
from flab_deploy.errors import ArtifactError
from flab_deploy.records.likelihood import LIKELIHOOD_FILE
from flab_deploy.report.charts.all import CHARTS
from flab_deploy.report.report import report
from tests.report.synthetic_run import (
    SHOWN,
    comparison,
    edit,
    finished,
    likelihood,
    write_comparison,
    write_complete,
)

VOID = {"meta", "link", "br", "path", "use", "rect", "line", "circle"}


class Page(HTMLParser):
    """Elements with their attributes, the text of table cells by row id, and whether all tags
    close.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.rows: dict[str, list[str]] = {}
        self._open: list[str] = []
        self._row: str | None = None
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "tr":
            self._row = dict(attrs).get("id")
            self.rows.setdefault(self._row or "", [])
        if tag in ("td", "th") and self._row:
            self.rows[self._row].append("")

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data):
        if self._row and "tr" in self._open:
            self.rows[self._row][-1] += data.strip()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a complete run, for tests that only read it."""
    run = write_complete(tmp_path_factory.mktemp("written") / "run")
    return report(run, run / "report").path


def read(folder: Path) -> tuple[str, dict]:
    text = (folder / "report.html").read_text(encoding="utf-8")
    return text, json.loads((folder / "report.json").read_text(encoding="utf-8"))


def plain(text: str) -> str:
    return html.unescape(text).replace("\N{NO-BREAK SPACE}", " ")


def test_json_and_table_say_the_same(written):
    text, document = read(written)
    rows = Page(text).rows
    assert document["schema_version"] == 2
    for row in document["before_after"]:
        label, *cells, provenance = [plain(cell) for cell in rows[f"row-{row['key']}"]]
        assert label == row["label"]
        assert provenance == row["provenance"]
        for cell, name in zip(cells, ("original", "slimmed", "ratio"), strict=True):
            assert cell.startswith(row[name]["text"])
            assert row[name]["status"] in cell  # for readers who cannot see the mark
            assert row[name]["interval_text"] in cell
        assert (row["verdict"] or "") in cells[-1]


def test_quality_before_and_after_recovery(written):
    text, document = read(written)
    cells = [plain(cell) for cell in Page(text).rows["quality-overall"]]
    assert cells[:3] == ["all tasks together", "2,400", "79.4 %"]
    assert cells[4].startswith("88.4 %87.0–89.8 %")
    assert cells[5].startswith("61 / 74")
    assert cells[7].startswith("100.8 %")
    assert "shown" in cells[-1]
    worst = [plain(cell) for cell in Page(text).rows["quality-worst_case"]]
    assert worst[:3] == ["all rewordings of a task at once", "300", "31.0 %"]
    assert worst[4].startswith("88.4 %") and "underpowered" in worst[-1]
    overall = next(row for row in document["quality"] if row["key"] == "overall")
    assert overall["pruned"]["verdict"] == "not shown"
    assert overall["recovered"]["claim"]["num_only_candidate"] == 74


def test_the_verdict_is_in_words(written):
    text, document = read(written)
    words = " ".join(document["verdict"])
    assert "from 6.78 million to 5.26 million parameters (−22.4 %)" in words
    assert (
        "it keeps 100.8 % (95 % interval 99.4–102.2 %). That it keeps at least 97 % is shown "
        "(p < 0.001)." in words
    )
    assert "before any recovery, it kept 88.4 %" in words
    assert "vLLM 0.32.0 on CPU" in words
    assert "Energy is unavailable: no readable power sensor" in words
    assert all(sentence in plain(text) for sentence in document["verdict"])


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("not shown", "is not shown"),
        (
            "underpowered",
            "can be neither shown nor refuted with so few problems (underpowered); about 3,400",
        ),
    ],
)
def test_the_verdict_follows_the_comparison(complete_run, verdict, words):
    comparison = complete_run / "compare-recovered" / "comparison.json"
    edit(comparison, "overall", "verdict", value=verdict)
    edit(comparison, "overall", "num_problems_needed", value=3400)
    _, document = read(report(complete_run, complete_run / "report").path)
    assert any(words in sentence for sentence in document["verdict"])


def test_nothing_is_loaded_from_anywhere(written):
    text, _ = read(written)
    assert "http://" not in text
    assert "https://" not in text
    for tag, attributes in Page(text).elements:
        assert tag not in ("script", "iframe", "img", "object", "embed")
        for name in ("src", "href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:,")), (tag, value)
    assert not re.search(r"@import|url\((?!#)", text)


def test_ids_are_unique_and_references_lead_somewhere(written):
    elements = Page(read(written)[0]).elements
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"] for tag, attributes in elements if tag == "use"]
    assert links
    assert {link[1:] for link in links} <= set(ids)


def test_every_drawing_has_words_and_axes_with_units(written):
    text, document = read(written)
    drawings = [attributes for tag, attributes in Page(text).elements if tag == "svg"]
    assert (
        len(drawings)
        == len(CHARTS)
        == sum(chart is not None for chart in document["charts"].values())
    )
    assert all(
        attributes["role"] == "img" and len(attributes["aria-label"]) > 40
        for attributes in drawings
    )
    units = "millions|count|%|% of problems|ms|nats per token|index from the input|model units"
    for drawing in re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL):
        labelled = re.findall(rf">[^<]*\((?:{units})\)</", drawing)
        rows_by_name = (
            'aria-label="Bars' in drawing
            or 'aria-label="Intervals' in drawing
            or 'aria-label="Pass@1' in drawing
        )
        assert len(labelled) >= (1 if rows_by_name else 2), drawing[:200]


def test_drawings_follow_the_theme(written):
    text, _ = read(written)
    drawings = "".join(re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL))
    assert "var(--slimmed)" in drawings
    fixed = set(re.findall(r"#[0-9a-f]{6}\b", drawings))
    assert fixed <= {"#000000", "#ffffff"}, fixed  # clip paths and hidden backgrounds alone


def test_the_same_run_gives_the_same_bytes(written, tmp_path):
    again = report(written.parent, tmp_path / "again").path
    for name in ("report.html", "report.json", "lineage.json"):
        assert (again / name).read_bytes() == (written / name).read_bytes()


def test_timings_change_the_page_and_not_the_digest(complete_run):
    before = report(complete_run, complete_run / "report")
    bench = complete_run / "bench" / "bench.json"
    edit(bench, "models", "slimmed", "ttft", "p50", "ms", value=12.5)
    after = report(complete_run, before.path)
    assert "12.5 ms" in (after.path / "report.html").read_text(encoding="utf-8")
    assert after.digest == before.digest
    check_digest(after)


def test_an_unchanged_run_is_not_written_again(written):
    stamp = (written / "report.html").stat().st_mtime_ns
    report(written.parent, written)
    assert (written / "report.html").stat().st_mtime_ns == stamp


def test_a_partial_run_says_what_was_not_run(partial_run):
    text, document = read(report(partial_run, partial_run / "report").path)
    page = plain(text)
    assert document["headline"] == "22.4 % fewer parameters planned"
    assert "Not run: pruned, recovered," in " ".join(document["verdict"])
    assert document["charts"]["latency-ttft"] is None
    assert document["charts"]["layers"] is not None
    assert document["provenance"]["stages"]["bench"] is None
    assert "bench: not run" in page
    assert page.count(">not run<") > 5
    assert "Nothing to show for size, likelihood, speed, energy: not run." in page


def test_evaluations_and_their_comparison_are_a_report_of_their_own(tmp_path):
    run = write_comparison(tmp_path / "run")
    text, document = read(report(run, tmp_path / "page").path)
    page, words = plain(text), " ".join(document["verdict"])
    assert document["final"] == "pruned"
    assert document["headline"] == "94.0 % of pass@1 kept"
    assert "reference (the original) and my-small-model (the slimmed one)" in words
    assert "it keeps 94.0 % (95 % interval" in words
    assert "That it keeps at least 97 % is not shown" in words
    assert re.search(r"It lost 61 problems that the original solves.* and gained 74\.", words)
    assert "Health of the judging: 100.0 % of the known right answers pass the judge" in words
    rows = Page(text).rows
    assert "row-pass_at_1_function_synthesis" in rows
    assert "row-num_parameters" not in rows
    assert "Nothing to show for size, likelihood, speed, energy: not run." in page
    assert len(rows["quality-overall"]) == 7  # no columns of a recovered model
    assert rows["quality-overall"][-1].startswith("✗ not shown")
    tiles = re.findall(r'<div class="value[^>]*>([^<]*)<', text)
    assert [plain(tile) for tile in tiles] == ["94.0 %", "94.0 %", "93.9 %", "61 / 74"]
    assert "of pass@1 kept in" in page


def test_a_reading_of_the_same_texts_is_found_under_a_name_of_its_own(tmp_path):
    run, name = write_comparison(tmp_path / "run"), "bits"
    found = likelihood("p" * 64, 1.02, "shown")
    finished(run / name, "likelihood", {LIKELIHOOD_FILE: found})
    text, document = read(report(run, tmp_path / "page").path)
    assert "row-bits_per_byte" in Page(text).rows
    assert "That it needs at most 5 % more is shown (p < 0.001)." in " ".join(document["verdict"])
    shutil.copytree(run / name, run / "again")
    with pytest.raises(ArtifactError, match=r"several readings \(again, bits\); name them likelih"):
        report(run, tmp_path / "page")


def test_a_comparison_within_a_run_that_never_recovered_speaks_of_the_pruned_model(complete_run):
    for name in ("recovered", *(f"{s}-recovered" for s in ("evaluate", "compare", "likelihood"))):
        (complete_run / name).rename(complete_run.parent / name)
    _, document = read(report(complete_run, complete_run / "report").path)
    assert document["headline"] == "22.4 % fewer parameters, 88.4 % of pass@1 kept"
    assert "Right after the cut" not in " ".join(document["verdict"])


def test_several_comparisons_under_other_names_are_refused(tmp_path):
    run = write_comparison(tmp_path / "run")
    finished(run / "another", "comparison", {"comparison.json": comparison("p" * 64, 1.0, SHOWN)})
    with pytest.raises(ArtifactError, match=r"several comparisons \(another, verdict\)"):
        report(run, tmp_path / "page")
    assert not (tmp_path / "page").exists()


def test_what_was_lost_is_listed(written):
    text, document = read(written)
    tables = {table["key"]: table["lines"] for table in document["losses"]}
    assert tables["lost"][0] == [
        "writing functions",
        "61",
        "74",
        "wrong value (52) and too slow (9)",
        "test/function_synthesis/0, test/function_synthesis/1, test/function_synthesis/2",
    ]
    perturbed = {line[0]: line for line in tables["perturbations"]}
    assert perturbed["dead code"][-2] == "p = 0.020"
    assert perturbed["dead code"][-1] == "4 / 2"
    assert perturbed["syntax (family)"][-2] == "p = 0.610"
    assert tables["noise"] == [["one model judged twice", "2,400", "6", "0.2 %", "0.1–0.5 %"]]
    assert "test/function_synthesis/1" in text


def test_doubtful_judging_is_pointed_out(complete_run):
    health = complete_run / "evaluate-original" / "report.json"
    excluded = {"task_id": "test/7", "verdict": "fail_load", "detail": ""}
    edit(health, "health", "canonical_pass_rate", value=0.9)
    edit(health, "health", "excluded", value=[excluded])
    edit(health, "health", "num_infrastructure_errors", value=2)
    _, document = read(report(complete_run, complete_run / "report").path)
    warned = " ".join(document["warnings"])
    assert (
        "10.0 % of the problems were left out of evaluate-original because their own known "
        "answer fails" in warned
    )
    assert "(test/7, …)" in warned
    assert "evaluate-original could not judge 2 answers" in warned


def test_too_few_samples_for_a_curve_are_not_called_not_run(complete_run):
    for model in ("original", "slimmed"):
        edit(complete_run / "bench" / "bench.json", "models", model, "ttft", "curve", value=[])
    text, document = read(report(complete_run, complete_run / "report").path)
    assert document["charts"]["latency-ttft"] is None
    assert "unavailable: too few figures to draw" in text


def test_figures_of_another_model_are_pointed_out(complete_run):
    edit(complete_run / "compare-recovered" / "comparison.json", "candidate", value="z" * 64)
    text, document = read(report(complete_run, complete_run / "report").path)
    assert document["warnings"] == [
        "compare-recovered compared another candidate model than evaluate-recovered judged"
    ]
    assert document["warnings"][0] in plain(text)


def test_an_invalid_load_test_is_pointed_out(complete_run):
    document = complete_run / "bench" / "bench.json"
    edit(
        document,
        "models",
        "slimmed",
        "validity",
        value={"verdict": "invalid", "reasons": ["9 of 400 requests failed"]},
    )
    text, found = read(report(complete_run, complete_run / "report").path)
    assert "slimmed model: 9 of 400 requests failed" in found["warnings"][0]
    assert "so its times prove nothing" in plain(text)


def test_reasons_are_escaped(complete_run):
    reason = "<script>alert(1)</script>"
    edit(
        complete_run / "bench" / "bench.json", "models", "slimmed", "energy", "reason", value=reason
    )
    text, _ = read(report(complete_run, complete_run / "report").path)
    assert "<script" not in text
    assert html.escape(reason) in text


def test_the_small_print_is_there(written):
    text, document = read(written)
    tables = {
        table["key"]: {line[0]: line[1:] for line in table["lines"]} for table in document["checks"]
    }
    assert tables["load"]["server counted: request success total"] == ["400", "400"]
    assert tables["load"]["engine"] == ["vLLM 0.32.0 on CPU (compiled)"] * 2
    assert tables["agreement"]["equal (count)"] == ["49", "49", "49"]
    assert tables["parity-onnx"]["greedy equal (count)"] == ["50"]
    assert tables["cut-checks"]["KL divergence of the finished cut, nats per held-out token"] == [
        "0.0019"
    ]
    assert tables["cut-checks"]["tokenizer: identical (count)"] == ["20,000"]
    assert tables["sandbox"]["tier"] == ["namespaces"] * 3
    assert tables["health"]["known right answers that pass the judge"] == ["100.0 %"] * 3
    assert tables["health"]["answers stopped for time"] == ["60"] * 3
    assert tables["health"]["problems judged, of all that were asked"] == ["2,400 of 2,400"] * 3
    assert tables["health"]["perturbations that changed nothing, left out"] == ["28"] * 3
    assert tables["health"]["perturbed forms alike under several seeds, counted each"] == ["7"] * 3
    assert "3 answers cut off" in document["health"]
    assert "flab run --out slim" in text
    for stage in document["provenance"]["stages"].values():
        assert stage["digest"] in text


def test_chromium_shows_the_page_without_overflow(written, tmp_path):
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("chromium is not installed (apt-get install chromium)")
    picture = tmp_path / "page.png"
    probe = tmp_path / "probe.html"
    shutil.copy(written / "report.html", tmp_path / "report.html")
    # A frame as narrow as a telephone; its page must not be wider than the frame.
    probe.write_text(
        "<body><iframe src='report.html' "
        "style='width:390px;height:900px;border:0'></iframe><script>onload = () => {const page = "
        "frames[0].document.documentElement;document.title = page.scrollWidth + ' ' + "
        "page.clientWidth}</script>",
        encoding="utf-8",
    )
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        "--allow-file-access-from-files",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]

    def chromium(*arguments: str) -> str:
        done = subprocess.run(
            [browser, *flags, *arguments], capture_output=True, text=True, timeout=120, check=True
        )
        return done.stdout

    chromium(
        f"--screenshot={picture}", "--window-size=1200,3000", (written / "report.html").as_uri()
    )
    pixels = imread(picture)
    assert pixels.shape[:2] == (3000, 1200)
    assert float(np.std(pixels[..., :3])) > 0.05
    title = re.search(
        r"<title>(\d+) (\d+)</title>",
        chromium("--dump-dom", "--virtual-time-budget=4000", probe.as_uri()),
    )
    assert title is not None
    assert int(title[1]) <= int(title[2])


def test_plans_security_and_what_was_left_out_are_on_the_page(complete_run):
    health = complete_run / "evaluate-original" / "report.json"
    broken = {"task_id": "test/7", "verdict": "fail_assert", "detail": "1 is not 2"}
    edit(health, "health", "excluded", value=[broken])
    text, document = read(report(complete_run, complete_run / "report").path)
    tables = {
        table["key"]: {line[0]: line[1:] for line in table["lines"]} for table in document["losses"]
    }
    plans, risks = tables["chain-of-thought"], tables["security"]
    assert plans["gain from its own plan"] == ["+8.0 [+3.0 to +13.0], p = 0.004"] * 3
    assert plans["solved with the reference plan"][0] == "90.0 %"
    assert plans["BLEU-4 of its plans against the reference's"] == ["0.412"] * 3
    assert risks["programs with the finding: CWE-327 hashlib"] == ["1"] * 3
    assert risks["right, and free of findings"][0] == "80.0 %"
    excluded = next(table for table in document["checks"] if table["key"] == "excluded")
    assert excluded["lines"] == [["test/7", "fail assert", "1 is not 2", "original"]]
    for words in (
        "gain from its own plan",
        "CWE-327 hashlib",
        "Problems left out: 1",
        "1 is not 2",
    ):
        assert words in plain(text)


def test_what_rounds_disagree_about_is_no_claim_and_measured_energy_is_a_sentence(complete_run):
    file = complete_run / "bench" / "bench.json"
    edit(file, "ratios", "burst_output_throughput", value=[0.71, 2.41])
    for model, joules in (("original", 0.50), ("slimmed", 0.40)):
        for key, value in (("status", "measured"), ("energy_per_output_token_joules", joules)):
            edit(file, "models", model, "energy", key, value=value)
    _, document = read(report(complete_run, complete_run / "report").path)
    told = " ".join(document["verdict"])
    assert re.search(
        r"at most it put out [\d.]+ % more tokens per second \(0.710–2.41× by round, so no claim\)",
        told,
    )
    assert "shorter (" not in told
    assert "An output token cost 20.0 % less energy (measured)." in told
