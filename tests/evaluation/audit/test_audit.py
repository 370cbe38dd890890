"""The audit finds every kind of planted defect, and nothing in sound data."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from flab_deploy.cli.program import main
from flab_deploy.corpus import Task, save_records
from flab_deploy.errors import ArtifactError, ConfigError
from flab_deploy.evaluation.audit.data_set import as_text, audit
from flab_deploy.evaluation.audit.defects import DEFECT_KINDS, examples_of
from flab_deploy.evaluation.perturb.catalogue import METHODS
from flab_deploy.evaluation.perturb.draw import draw
from flab_deploy.records.document import parse_record
from flab_deploy.records.printed.audit import AuditRecord

PROMPT = '''from typing import List


def total_even(numbers: List[int]) -> int:
    """ Return the sum of the even numbers.
    >>> total_even([1, 2])
    2
    """
'''
SOLUTION = "    kept = [n for n in numbers if n % 2 == 0]\n    return sum(kept, start=0)\n"
TEST = (
    "METADATA = {}\n\n\ndef check(candidate):\n"
    "    assert candidate([1, 2]) == 2\n    assert candidate([4, 4, 3]) == 8\n    assert "
    "candidate([]) == 0\n"
)
ORIGINAL = {
    "task_id": "T/0",
    "prompt": PROMPT,
    "canonical_solution": SOLUTION,
    "test": TEST,
    "entry_point": "total_even",
}


def _changed(**fields: object) -> dict[str, object]:
    return {**ORIGINAL, "prompt": PROMPT.replace("Return", "Give back"), **fields}


def _renamed(test: str) -> dict[str, object]:
    return _changed(
        prompt=PROMPT.replace("total_even", "totalEven"),
        entry_point="totalEven",
        test=test,
        task_id="T/0",
    )


DIRECT_TEST = TEST.replace(
    "def check(candidate):\n", "def check(candidate):\n    assert total_even([2]) == 2\n"
)
PLANTED: dict[str, list[dict[str, object]]] = {
    "missing_field": [{k: v for k, v in _changed().items() if k != "test"}],
    "duplicate": [_changed(), _changed()],
    "unparsable": [_changed(prompt=PROMPT.replace('""" Return', '" " Return'))],
    "undefined_entry_point": [_changed(entry_point="total_odd")],
    "stale_name": [_renamed(DIRECT_TEST)],
    "changed_test": [_changed(test=TEST.replace("== 8", "== 9 - 1"))],
    "changed_doctest": [_changed(prompt=PROMPT.replace("    2\n", "    3\n"))],
    "leaked_answer": [
        _changed(prompt=PROMPT.replace("numbers.", "numbers.\n    Hint: sum(kept, start=0)"))
    ],
    "canonical_fails": [_changed(canonical_solution=SOLUTION.replace("== 0", "== 1"))],
    "no_op": [dict(ORIGINAL)],
}


def _write(path: Path, rows: list[Mapping[str, object]] | list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _audit(
    tmp_path: Path, rows: list[dict[str, object]], original: Mapping[str, object] = ORIGINAL
) -> AuditRecord:
    return audit(
        _write(tmp_path / "rows.jsonl", rows), _write(tmp_path / "original.jsonl", [original])
    )


def test_every_kind_is_planted() -> None:
    assert set(PLANTED) == set(DEFECT_KINDS)


@pytest.mark.parametrize("kind", sorted(PLANTED))
def test_a_planted_defect_is_found(kind: str, tmp_path: Path) -> None:
    original = {**ORIGINAL, "test": DIRECT_TEST} if kind == "stale_name" else ORIGINAL
    found = _audit(tmp_path, PLANTED[kind], original)
    assert kind in found.items[-1].kinds, as_text(found)
    assert found.num_defective == 1
    assert found.defects[kind] == 1 and found.items[-1].defects
    assert kind in as_text(found)


def test_sound_items_have_no_defects(tmp_path: Path) -> None:
    rows = [
        _changed(),
        _renamed(TEST),
        _changed(
            seed=1,
            prompt=PROMPT.replace("    ", "\t"),
            canonical_solution=SOLUTION.replace("    ", "\t"),
        ),
        _changed(seed=2, prompt=PROMPT.replace("    >>> total_even([1, 2])\n    2\n", "")),
        _changed(seed=3, prompt=PROMPT.replace('"""', "'''")),
        _changed(
            seed=4,
            prompt=PROMPT + SOLUTION[: SOLUTION.index("    return")],
            canonical_solution=SOLUTION[SOLUTION.index("    return") :],
        ),
    ]
    rows[1]["seed"] = 5
    found = _audit(tmp_path, rows)
    assert found.num_defective == 0, as_text(found)
    assert [item.change for item in found.items] == [
        "docstring",
        "names",
        "white space",
        "docstring",
        "docstring",
        "prompt end",
    ]


def test_a_case_of_the_hidden_test_is_a_leak(tmp_path: Path) -> None:
    more = PROMPT.replace("    2\n", "    2\n    >>> total_even([4,  4, 3])\n    8\n")
    assert _audit(tmp_path, [_changed(prompt=more)]).items[0].kinds == ("leaked_answer",)


def test_a_description_that_shows_the_solution_under_another_name_is_no_new_leak(
    tmp_path: Path,
) -> None:
    answer = "numbers[0] * (numbers[0] % 2 == 0) + total_even(numbers[1:]) if numbers else 0"
    original = {
        **ORIGINAL,
        "prompt": PROMPT.replace("numbers.", f"numbers: {answer}"),
        "canonical_solution": f"    return {answer}\n",
    }
    made = {key: text.replace("total_even", "totalEven") for key, text in original.items()}
    assert _audit(tmp_path, [{**made}], original).num_defective == 0


def test_dead_code_that_holds_the_hidden_half_is_a_leak(tmp_path: Path) -> None:
    cut = SOLUTION.index("    return")
    hidden = SOLUTION[cut:]
    shown = PROMPT + "    if False:\n    " + hidden + SOLUTION[:cut]
    kinds = (
        _audit(tmp_path, [_changed(prompt=shown, canonical_solution="    # the rest\n" + hidden)])
        .items[0]
        .kinds
    )
    assert kinds == ("leaked_answer",)


def test_originals_in_the_items_themselves(tmp_path: Path) -> None:
    partial = PROMPT + SOLUTION.replace(
        "    return", "    # print('@@this is the line to split##')\n    return"
    )
    cut = SOLUTION.index("    return")
    recode = {
        **ORIGINAL,
        "prompt": PROMPT + SOLUTION[:cut].replace("n % 2 == 0", "0 == n % 2"),
        "partial": partial,
        "canonical_solution": "    # print('@@this is the line to split##')\n" + SOLUTION[cut:],
    }
    rows: list[dict[str, object]] = [
        recode,
        {**recode, "task_id": "same", "prompt": PROMPT + SOLUTION[:cut]},
        _changed(task_id="a", original=ORIGINAL),
        _changed(task_id="b", original=PROMPT, prompt=PROMPT),
        _changed(
            task_id="c",
            original_test=TEST.replace("8", "9"),
            original_prompt=PROMPT,
            prompt=PROMPT + "\n",
        ),
        _changed(task_id="d", prompt=PROMPT + "\n\n"),
    ]
    found = audit(_write(tmp_path / "rows.jsonl", rows))
    assert [item.kinds for item in found.items] == [
        (),
        ("no_op",),
        (),
        ("no_op",),
        ("changed_test",),
        (),
    ]
    assert [item.change for item in found.items] == [
        "code",
        "nothing",
        "docstring",
        "nothing",
        "white space",
        "unknown",
    ]


def test_a_failing_original_is_told_apart(tmp_path: Path) -> None:
    wrong = {**ORIGINAL, "canonical_solution": "    return 2\n"}
    found = _audit(tmp_path, [_changed(canonical_solution="    return 2\n")], wrong)
    assert found.items[0].original_verdict == "fail_assert"
    assert "so does the original's" in found.items[0].defects[0].detail


def test_what_our_methods_make_passes_the_audit(functions: list[Task], tmp_path: Path) -> None:
    items = [
        m
        for name in ("doc2comments", "func_rename_affix", "operand_swap", "chat_fenced")
        for m in draw(METHODS[name], functions[:12]).items
    ]
    rows = [
        {
            **{k: getattr(i.task, k) for k in ORIGINAL},
            "original": {k: getattr(i.original, k) for k in ORIGINAL},
            "method": i.method,
        }
        for i in items
    ]
    found = audit(_write(tmp_path / "items.jsonl", rows))
    assert {item.change for item in found.items} >= {"docstring", "names", "wrapper"}
    assert len(found.items) >= 36 and found.num_defective == 0, as_text(found)


def test_examples_are_read_from_docstrings_and_comments() -> None:
    text = '''def f(x):
    """Add.

    >>> f(1)
    2
    >>> f(
    ...     2)
    3
    """
    # >>> f(3)
    # 4
    # Plan: none
'''
    assert examples_of(text) == [("f(1)", "2"), ("f(\n    2)", "3"), ("f(3)", "4 Plan: none")]
    assert examples_of("    # >>> f(1)\n    # 2\n    return x\n") == [("f(1)", "2")]
    assert examples_of('    """>>> f(1)\n    2"""') == []
    assert examples_of("    # >>> f(1)\n    # 2\n") == [("f(1)", "2")]


def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound, broken = (
        _write(tmp_path / "sound.jsonl", [_changed()]),
        _write(tmp_path / "b.jsonl", PLANTED["unparsable"]),
    )
    original = ["--original", str(_write(tmp_path / "original.jsonl", [ORIGINAL]))]
    with pytest.raises(SystemExit) as ended:
        main(["audit", str(sound), *original, "--json"])
    assert ended.value.code in (0, None)
    document = parse_record(AuditRecord, capsys.readouterr().out, "stdout")
    assert (document.num_items, document.num_defective) == (1, 0)
    with pytest.raises(SystemExit) as ended:
        main(["audit", str(broken), *original])
    assert ended.value.code == 1
    told = capsys.readouterr()
    assert "unparsable" in told.out and "1 items have defects" in told.err
    with pytest.raises(SystemExit) as ended:
        main(["audit"])
    assert ended.value.code == 2


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no data set"):
        audit(tmp_path / "none.jsonl")
    for text, message in (
        ("", "no records"),
        ("{", "not valid JSON"),
        ("[1]", "expected a JSON object"),
    ):
        path = tmp_path / "bad.jsonl"
        path.write_text(text)
        with pytest.raises(ConfigError, match=message):
            audit(path)


def test_a_saved_suite_can_be_audited(functions: list[Task], tmp_path: Path) -> None:
    items = draw(METHODS["synonym_substitution"], functions[:6]).items
    save_records(tmp_path / "items.jsonl", [item.task for item in items])
    save_records(tmp_path / "tasks.jsonl", functions[:6])
    found = audit(tmp_path / "items.jsonl", tmp_path / "tasks.jsonl")
    assert found.num_defective == 0 and {item.change for item in found.items} == {"docstring"}
