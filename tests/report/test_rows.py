"""The before/after table: content, provenance of every cell, and what a partial run says."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from flab_deploy.errors import ArtifactError
from flab_deploy.records.document import as_json
from flab_deploy.report.rows import BeforeAfterRow, as_markdown, as_text, before_after_rows
from tests.report import synthetic_run
from tests.report.synthetic_run import edit

SIZE = ("num_parameters", "bytes_on_disk", "peak_memory_bytes", "forward_flops_per_token")
QUALITY = (
    "pass_at_1_function_synthesis",
    "pass_at_1_output_prediction",
    "pass_at_1_chain_of_thought",
    "robust_pass_at_1",
)
LIKELIHOOD = ("bits_per_byte", "top_1_agreement", "kl_nats")
SERVED = (
    "p50_ttft_ms",
    "p99_ttft_ms",
    "p50_tpot_ms",
    "p99_tpot_ms",
    "burst_output_throughput",
    "output_throughput",
    "energy_per_output_token_joules",
    "gco2e_per_million_tokens",
)
KEYS = [*SIZE, *QUALITY, *LIKELIHOOD, *SERVED]
"""The rows of the table, by what feeds them."""


def by_key(run: Path) -> dict[str, BeforeAfterRow]:
    return {row.key: row for row in before_after_rows(run)}


def test_the_rows_are_always_the_same(complete_run, partial_run):
    assert [row.key for row in before_after_rows(complete_run)] == KEYS
    assert [row.key for row in before_after_rows(partial_run)] == KEYS


def test_sizes_are_computed_or_measured(complete_run):
    rows = by_key(complete_run)
    parameters, memory = rows["num_parameters"], rows["peak_memory_bytes"]
    assert (parameters.original.text, parameters.slimmed.text) == ("6,782,016", "5,263,104")
    assert parameters.original.status == "computed"
    assert parameters.ratio.value == pytest.approx(5_263_104 / 6_782_016)
    assert memory.original.status == "measured"
    assert "8 × 256 tokens" in memory.provenance


def test_quality_carries_interval_and_verdict(complete_run):
    row = by_key(complete_run)["pass_at_1_output_prediction"]
    assert row.verdict == "underpowered"
    assert row.ratio.interval is not None
    assert row.ratio.text == "100.7 %"
    assert row.original.interval_text == "67.7–75.0 %"
    assert row.provenance == "measured: 600 held-out problems"


def test_bits_per_byte_carry_interval_verdict_and_claim(complete_run):
    row = by_key(complete_run)["bits_per_byte"]
    assert (row.original.text, row.slimmed.text) == ("0.1234 bits", "0.1242 bits")
    assert (row.ratio.text, row.ratio.interval_text) == ("1.0065×", "1.0031–1.0099×")
    assert row.verdict == "shown"
    assert row.provenance.endswith("212,400 bytes; the claim: at most 5 % more")
    line = next(x for x in as_text([row]).splitlines() if x.startswith("bits per byte"))
    assert "1.0065× [1.0031–1.0099×] shown" in line


def test_closeness_is_of_the_tokens_that_begin_at_the_same_character(complete_run):
    rows = by_key(complete_run)
    top, divergence = rows["top_1_agreement"], rows["kl_nats"]
    assert (top.original.text, top.slimmed.shown) == ("100.0 %", "95.7 % [94.9–96.5 %]")
    assert (divergence.original.text, divergence.slimmed.text) == ("0 nats", "0.0421 nats")
    assert divergence.ratio.value is None
    for row in (top, divergence):
        assert row.provenance.startswith("original computed (by definition); slimmed measured (")
        assert "52,300 tokens, the 98.1 % that begin where both do" in row.provenance


def test_closeness_that_was_not_measured_says_why(complete_run):
    found = replace(
        synthetic_run.bits(10, 0.5, 1.01, "shown"),
        agreement=None,
        agreement_reason="the models have other tokens",
    )
    document = complete_run / "likelihood-recovered" / "likelihood.json"
    edit(document, "sets", "problems", value=as_json(found))
    row = by_key(complete_run)["kl_nats"]
    assert row.slimmed.value is None
    assert row.provenance == "unavailable: the models have other tokens"


def test_latencies_carry_their_intervals(complete_run):
    rows = by_key(complete_run)
    assert rows["p50_ttft_ms"].original.interval_text == "35.1–41.2 ms"
    assert rows["p99_tpot_ms"].original.interval is None  # open above
    assert rows["p99_tpot_ms"].original.interval_text == "at least 18.0 ms"


def test_ratios_of_speed_carry_their_spread_over_rounds(complete_run):
    rows = by_key(complete_run)
    assert rows["p50_ttft_ms"].ratio.interval == (0.79, 0.84)
    assert rows["burst_output_throughput"].ratio.interval_text == "1.21–1.26× by round"
    assert rows["p50_tpot_ms"].ratio.interval is None


def test_a_refused_percentile_says_why(complete_run):
    row = by_key(complete_run)["p99_ttft_ms"]
    assert row.original.value is None
    assert row.original.status == "unavailable"
    assert (
        row.provenance
        == "unavailable: 400 requests are too few for a 99th percentile (1,000 needed)"
    )


def test_missing_sensors_are_unavailable_with_the_reason(complete_run):
    row = by_key(complete_run)["energy_per_output_token_joules"]
    assert row.ratio.text == "unavailable"
    assert "no readable power sensor" in row.provenance


def test_an_estimate_makes_the_ratio_an_estimate(complete_run):
    document = complete_run / "bench" / "bench.json"
    edit(document, "models", "original", "energy", "status", value="measured")
    edit(document, "models", "original", "energy", "energy_per_output_token_joules", value=0.5)
    edit(document, "models", "slimmed", "energy", "status", value="estimated")
    edit(document, "models", "slimmed", "energy", "energy_per_output_token_joules", value=0.4)
    row = by_key(complete_run)["energy_per_output_token_joules"]
    assert (row.original.status, row.slimmed.status, row.ratio.status) == (
        "measured",
        "estimated",
        "estimated",
    )
    assert row.ratio.value == pytest.approx(0.8)
    assert row.provenance.startswith("original measured")


def test_a_figure_marked_unavailable_is_not_shown_even_if_there_is_one(complete_run):
    edit(
        complete_run / "bench" / "bench.json",
        "models",
        "slimmed",
        "energy",
        "energy_per_output_token_joules",
        value=0.4,
    )
    assert by_key(complete_run)["energy_per_output_token_joules"].slimmed.value is None


def test_an_invalid_load_test_is_named_in_every_row_it_made(complete_run):
    edit(
        complete_run / "bench" / "bench.json",
        "models",
        "slimmed",
        "validity",
        "verdict",
        value="generator_limited",
    )
    assert (
        "load test judged generator_limited" in by_key(complete_run)["output_throughput"].provenance
    )


def test_a_partial_run_has_no_zeros(partial_run):
    for row in before_after_rows(partial_run):
        cells = (
            [row.slimmed, row.ratio]
            if row.group == "Quality"
            else [row.original, row.slimmed, row.ratio]
        )
        for cell in cells:
            assert cell.value is None
            assert cell.text == "not run"
            assert cell.status == "unavailable"
    assert not re.search(r"(?<![\d.,])0(?:\.0)?(?![\d.,])", as_text(before_after_rows(partial_run)))


def test_without_a_comparison_the_ratio_has_no_interval_and_says_so(complete_run):
    (complete_run / "compare-recovered").rename(complete_run / "elsewhere")
    row = by_key(complete_run)["pass_at_1_function_synthesis"]
    assert row.verdict is None
    assert row.ratio.interval is None
    assert "not run: compare-recovered" in row.provenance


def test_text_is_aligned_and_markdown_is_a_table(complete_run):
    rows = before_after_rows(complete_run)
    lines = as_text(rows).splitlines()
    assert len(lines) == len(KEYS) + 1
    column = lines[0].index("provenance")
    assert all(line[column - 2 : column] == "  " and line[column] != " " for line in lines)
    table = as_markdown(rows).splitlines()
    assert len(table) == len(KEYS) + 2
    assert {line.replace("\\|", "").count("|") for line in table} == {6}


def test_pipes_in_reasons_do_not_break_the_markdown(complete_run):
    edit(
        complete_run / "bench" / "bench.json",
        "models",
        "slimmed",
        "energy",
        "reason",
        value="a | b",
    )
    assert "a \\| b" in as_markdown(before_after_rows(complete_run))


def test_no_run_is_an_error_that_says_what_to_do(tmp_path):
    with pytest.raises(ArtifactError, match="no run at .*nowhere; give the --out directory"):
        before_after_rows(tmp_path / "nowhere")
    with pytest.raises(ArtifactError, match="holds no finished stage"):
        before_after_rows(tmp_path)


def test_a_changed_document_is_refused(complete_run):
    document = complete_run / "compare-recovered" / "comparison.json"
    document.write_text(
        document.read_text(encoding="utf-8").replace('"underpowered"', '"shown"'), encoding="utf-8"
    )
    with pytest.raises(ArtifactError, match="was changed after it was made"):
        before_after_rows(complete_run)
