"""Tables of texts, names of fields and sentences of claims, as every report writes them."""

from typing import get_args

import pytest

from flab_deploy.report.charts.all import CHARTS
from flab_deploy.report.report import report_record
from flab_deploy.report.run import read_run
from flab_deploy.report.tables import PROSE
from flab_deploy.settings.export import Format
from flab_deploy.wording.claims import claim_sentence, untested_sentence
from flab_deploy.wording.fields import field_lines, text, words
from flab_deploy.wording.table import aligned, markdown
from tests.report.synthetic_run import edit

LINES = [
    ("", "before", "after", "note"),
    ("layers", "14", "9", "a | b"),
    ("tokens", "9,216", "", ""),
]


def test_columns_are_aligned_to_the_side_asked_for():
    assert aligned(LINES, "<>><") == [
        "        before  after  note",
        "layers      14      9  a | b",
        "tokens   9,216",
    ]


def test_the_last_side_holds_for_all_further_columns():
    assert aligned(LINES, "<>") == aligned(LINES, "<>>>")
    assert aligned(LINES, "<>")[1] == "layers      14      9  a | b"
    assert aligned([("a", "b"), ("long", "c")], "<") == ["a     b", "long  c"]


def test_markdown_has_a_rule_under_its_head_and_escapes_pipes():
    assert markdown(LINES, "<>").splitlines() == [
        "|  | before | after | note |",
        "| --- | ---: | ---: | ---: |",
        "| layers | 14 | 9 | a \\| b |",
        "| tokens | 9,216 |  |  |",
    ]


def test_fields_that_stand_side_by_side_are_named_in_words():
    one = {"num_equal": 49, "memory_bytes": 2_000_000, "parts": {"model_digest": "d" * 64}}
    assert field_lines("load: ", [one, {"num_equal": None}]) == [
        ("load: equal (count)", "49", "–"),
        ("load: memory", "2.00 MB", "–"),
        ("load: parts: model digest", "d" * 12, "–"),
    ]
    assert words("startup_s") == "startup (s)"
    assert text([True, 0.25, "x"]) == "yes; 0.25; x"


@pytest.mark.parametrize(
    ("verdict", "p", "interval", "needed", "words"),
    [
        ("shown", 0.0002, (0.98, 1.02), None, "is shown (p < 0.001)."),
        ("not shown", 0.2, (0.9, 0.99), None, "is not shown (p = 0.200)."),
        (
            "not shown",
            0.9,
            (0.8, 0.96),
            None,
            "is not shown (p = 0.900): even the upper end of the interval lies below.",
        ),
        (
            "underpowered",
            0.2,
            (0.9, 1.1),
            3400,
            "can be neither shown nor refuted with so few problems (underpowered); about 3,400 "
            "would be needed (p = 0.200).",
        ),
        ("not shown", None, None, None, "is not shown: the original solves nothing."),
    ],
)
def test_a_claim_is_said_with_its_reason(verdict, p, interval, needed, words):
    told = claim_sentence(0.975, verdict, p, interval, needed)
    assert told == f"That it keeps at least 97.5 % {words}"


def test_a_claim_that_was_not_tested_is_said_so():
    assert untested_sentence(0.97) == "Whether it keeps at least 97 % was not tested."


def test_every_table_and_chart_has_its_prose_and_no_prose_is_left_over(complete_run):
    broken = {"task_id": "test/7", "verdict": "fail_assert", "detail": "1 is not 2"}
    judged = complete_run / "evaluate-original" / "report.json"
    edit(judged, "health", "excluded", value=[broken])
    found = report_record(read_run(complete_run), {})
    keys = (table.key for table in (*found.losses, *found.checks))
    parities = {f"parity-{name}" for name in get_args(Format)}
    assert {"parity" if key in parities else key for key in keys} == set(PROSE.tables)
    assert set(CHARTS) == set(PROSE.charts)
