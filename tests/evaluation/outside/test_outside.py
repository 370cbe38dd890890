"""Result files of other harnesses: compared as our own evaluations are, or refused in a line."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from flab_deploy.evaluation.claims.claim import claim_figures
from flab_deploy.evaluation.claims.compare import compare
from flab_deploy.evaluation.outside.harnesses import read_results
from flab_deploy.evaluation.statistics import Paired
from flab_deploy.records.compare import COMPARISON_FILE, ComparisonRecord
from flab_deploy.records.document import read_record, record_of
from flab_deploy.records.printed.outputs import CompareOutput
from flab_deploy.settings.compare import CompareConfig
from tests.evaluation.evaluations import write_evaluation
from tests.evaluation.outside.written import (
    FORMS,
    Samples,
    bigcode_log,
    evalplus_file,
    evalplus_older_file,
    json_file,
    json_lines,
    lm_eval_file,
    lm_eval_line,
    multiple_folder,
    once,
)
from tests.in_process import flab

EASY = CompareConfig(margin=0.8)
ORIGINAL = [i % 5 != 0 for i in range(120)]
CANDIDATE = [right and i not in (1, 2, 3) or i == 5 for i, right in enumerate(ORIGINAL)]


def compared(
    original: Path,
    candidate: Path,
    out: Path,
    config: CompareConfig = CompareConfig(),
    repeat: Path | None = None,
    metric: str | None = None,
) -> ComparisonRecord:
    found = compare(original, candidate, out, config, repeat=repeat, metric=metric)
    return read_record(ComparisonRecord, found.path / COMPARISON_FILE)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> ComparisonRecord:
    """The comparison of our own evaluations with the same verdicts."""
    folder = tmp_path_factory.mktemp("own")
    original = write_evaluation(folder / "a", ORIGINAL)
    candidate = write_evaluation(folder / "b", CANDIDATE, model="b")
    return compared(original, candidate, folder / "c", EASY)


@pytest.mark.parametrize("form", FORMS)
def test_the_verdict_is_that_of_our_own_evaluations(
    form: str, own: ComparisonRecord, tmp_path: Path
) -> None:
    write: Callable[[Path, Samples], Path] = FORMS[form]
    original = write(tmp_path / "a", once(ORIGINAL))
    candidate = write(tmp_path / "b", once(CANDIDATE))
    words = ("--out", str(tmp_path / "c"), "--margin", "0.8", "--json")
    done = flab("compare", str(original), str(candidate), *words)
    assert done.returncode == 0, done.stderr
    found = record_of(CompareOutput, json.loads(done.stdout), "stdout").figures
    assert found == read_record(ComparisonRecord, tmp_path / "c" / COMPARISON_FILE)
    assert found.overall == own.overall
    assert found.overall.num_only_original == 3 and found.overall.num_only_candidate == 1
    numbers = [int("".join(filter(str.isdigit, one.task_id))) for one in found.lost]
    assert sorted(numbers) == [1, 2, 3] and len(found.gained) == 1
    assert (found.answer[0], found.answer[2]) == (own.answer[0], own.answer[2])
    for unknown in (found.original, found.candidate, found.suite, found.health, found.robustness):
        assert unknown is None
    assert found.sources is not None and own.sources is None
    assert found.sources.original.num_problems == 120
    assert found.sources.original.most_samples == found.sources.candidate.fewest_samples == 1
    assert found.sources.original.sha256 != found.sources.candidate.sha256


@pytest.mark.parametrize("form", FORMS)
def test_the_verb_says_who_judged_and_ends_as_for_our_own(form: str, tmp_path: Path) -> None:
    original = str(FORMS[form](tmp_path / "a", once([i > 9 for i in range(60)])))
    candidate = str(FORMS[form](tmp_path / "b", once([0 < i < 50 for i in range(60)])))
    words = ("--out", str(tmp_path / "c"), "--require-shown", "--margin", "0.9")
    done = flab("compare", original, candidate, *words)
    assert done.returncode in (1, 3), done.stderr
    harness = {"lm": "lm-evaluation-harness", "bigcode": "bigcode-evaluation-harness"}
    judge = harness.get(form.replace(" ", "-").partition("-")[0], "EvalPlus")
    text = " ".join(done.stdout.split())
    assert f"Judged by {judge}" in text and "Health of the judging" not in text
    assert "1 sample per problem" in text and "identical" not in text
    planned = flab("power", "--like", str(tmp_path / "c"), "--num-problems", "60")
    assert planned.returncode == 0, planned.stderr
    itself = flab("compare", original, original, "--out", str(tmp_path / "d"))
    assert itself.returncode == 0, itself.stderr
    assert "The two files are identical, byte for byte." in itself.stdout


@pytest.mark.parametrize("write", [lm_eval_file, evalplus_file, bigcode_log, multiple_folder])
def test_several_samples_of_a_problem_count_by_their_share(
    write: Callable[[Path, Samples], Path], tmp_path: Path
) -> None:
    drawn = random.Random(0)
    chances = [drawn.random() for _ in range(40)]
    first, second = (
        [[drawn.random() < chance for _ in range(8)] for chance in chances] for _ in range(2)
    )
    original, candidate = write(tmp_path / "a", first), write(tmp_path / "b", second)
    found = compared(original, candidate, tmp_path / "c", EASY)
    shares = [[sum(right) / 8 for right in side] for side in (first, second)]
    assert found.overall == claim_figures(Paired.of(*shares), EASY)
    assert not Paired.of(*shares).binary
    assert len(found.lost) == found.overall.num_only_original
    assert found.sources is not None and found.sources.original.fewest_samples == 8
    assert "8 samples per problem" in " ".join(found.answer)


def test_a_metric_is_chosen_where_several_say_pass_or_fail(tmp_path: Path) -> None:
    right = once([True] * 30)
    plus = once([i > 4 for i in range(30)])
    original = evalplus_file(tmp_path / "a", right, plus=right)
    candidate = evalplus_file(tmp_path / "b", right, plus=plus)
    base = compared(original, candidate, tmp_path / "base", metric="base")
    more = compared(original, candidate, tmp_path / "plus", metric="plus")
    assert (base.overall.num_only_original, more.overall.num_only_original) == (0, 5)
    assert {one.verdict for one in more.lost} == {"timeout"}
    # The additional tests count only where the base tests pass.
    failing = evalplus_file(tmp_path / "d", once([False] * 30), plus=right)
    assert (
        compared(original, failing, tmp_path / "e", metric="plus").overall.candidate_pass_at_1 == 0
    )
    done = flab("compare", str(original), str(candidate), "--out", str(tmp_path / "f"))
    assert done.returncode == 2
    assert "choose --metric base or plus" in " ".join(done.stderr.split())
    # A file without the additional tests leaves one metric.
    alone = evalplus_file(tmp_path / "g", right)
    found = compared(original, alone, tmp_path / "h")
    assert found.sources is not None and found.sources.metric == "base"


def filtered(folder: Path, strict: list[bool], flexible: list[bool], **other: object) -> Path:
    """A sample log with a line per problem and filter, as for gsm8k."""
    both = {"strict-match": strict, "flexible-extract": flexible}
    lines = [
        lm_eval_line(number, {"exact_match": float(right), **other}, filter_=name)
        for name, solved in both.items()
        for number, right in enumerate(solved)
    ]
    return json_lines(folder / "samples_sums_2026-01-02T03-04-05.678901.jsonl", lines)


def test_metrics_are_named_with_their_filter_as_the_harness_prints_them(tmp_path: Path) -> None:
    right, half = [True] * 20, [i % 2 == 0 for i in range(20)]
    original, candidate = (
        filtered(tmp_path / name, strict, right, bleu=0.3)
        for name, strict in (("a", right), ("b", half))
    )
    strict = compared(original, candidate, tmp_path / "c", metric="exact_match,strict-match")
    loose = compared(original, candidate, tmp_path / "d", metric="exact_match,flexible-extract")
    assert (strict.overall.candidate_pass_at_1, loose.overall.candidate_pass_at_1) == (0.5, 1.0)
    done = flab(
        *("compare", str(original), str(candidate), "--out", str(tmp_path / "e")),
        *("--metric", "exact_match"),
    )
    text = " ".join(done.stderr.split())
    assert done.returncode == 2 and "exact_match,strict-match or exact_match,flexible" in text
    assert strict.sources is not None
    assert (strict.sources.task, strict.sources.same_problems) == ("sums", "texts")


def test_other_prompts_are_warned_of_and_other_problems_refused(tmp_path: Path) -> None:
    files = {
        name: json_lines(
            tmp_path / name / "samples_sums.jsonl",
            [lm_eval_line(number, {"acc": True}, prompt=prompt) for number in range(9)],
        )
        for name, prompt in (("plain", "Add: "), ("chat", "<user> Add: "))
    }
    found = compared(files["plain"], files["chat"], tmp_path / "c")
    assert found.sources is not None and found.sources.num_other_prompts == 9
    assert "Warning: 9 of 9 problems were put to the models in different" in found.answer[-1]
    same = compared(files["plain"], files["plain"], tmp_path / "d")
    assert same.sources is not None and same.sources.num_other_prompts == 0
    changed = [lm_eval_line(number, {"acc": True}) for number in range(9)]
    changed[4]["doc"] = {"question": "another one"}
    other = json_lines(tmp_path / "e" / "samples_sums.jsonl", changed)
    refused(
        files["plain"], other, "differ in the text of 1 of 9 problems (such as 4)", out=tmp_path
    )


def test_what_a_repeat_flips_is_the_noise_floor(tmp_path: Path) -> None:
    right = [i > 40 for i in range(400)]
    files = {
        name: bigcode_log(tmp_path / name, once([i not in wrong for i in range(400)]))
        for name, wrong in (("first", range(40)), ("again", range(4, 44)), ("worse", range(90)))
    }
    found = compared(files["first"], files["worse"], tmp_path / "c", repeat=files["again"])
    expected = compared(
        write_evaluation(tmp_path / "x", [i not in range(40) for i in range(400)]),
        write_evaluation(tmp_path / "y", [i not in range(90) for i in range(400)], model="b"),
        tmp_path / "z",
        repeat=write_evaluation(
            tmp_path / "w", [i not in range(4, 44) for i in range(400)], batch_size=64
        ),
    )
    assert len(right) == found.noise.num_problems and found.noise == expected.noise
    refused(
        *(files["first"], files["worse"], "make a second one"),
        out=tmp_path,
        words=("--repeat", str(files["first"])),
    )


def refused(
    original: Path, candidate: Path, *said: str, out: Path, words: tuple[str, ...] = ()
) -> None:
    """The verb ends with code 2 and an error of two lines at most that says this, and writes
    nothing.
    """
    target = out / "refused"
    done = flab("compare", str(original), str(candidate), "--out", str(target), *words)
    assert done.returncode == 2, (done.stdout, done.stderr)
    for part in said:
        assert part in done.stderr
    assert done.stderr.count("\n") <= 2 and "Traceback" not in done.stderr and done.stdout == ""
    assert not target.exists() and not list(out.glob(".refused*"))


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    right = once([True] * 9)
    plus, lm, logs = (
        evalplus_file(tmp_path / "a", right),
        lm_eval_file(tmp_path / "b", right),
        bigcode_log(tmp_path / "c", right),
    )
    refused(plus, lm, "is of EvalPlus", "of lm-evaluation-harness", out=tmp_path)
    refused(logs, plus, "compare two files of one harness", out=tmp_path)
    other = evalplus_file(tmp_path / "d", right, data_set="another")
    refused(plus, other, "different data sets", "another", out=tmp_path)
    renamed = lm.rename(tmp_path / "b" / "samples_sums_hard_2026-01-02T03-04-05.678901.jsonl")
    lm = lm_eval_file(tmp_path / "b", right)
    refused(lm, renamed, "different tasks", "of sums,", "of sums_hard", out=tmp_path)
    fewer = bigcode_log(tmp_path / "e", right[:6])
    refused(logs, fewer, "e/logs.json lacks 3 of the problems", "(such as 6)", out=tmp_path)
    refused(fewer, logs, "e/logs.json lacks 3 of the problems", out=tmp_path)
    moved = json.loads(fewer.read_text("utf-8"))
    moved["99"] = moved.pop("0")
    other = json_file(tmp_path / "moved.json", moved)
    both = ("moved.json lacks 1 of the problems", "logs.json lacks 1 of", "(such as 99)")
    refused(fewer, other, *both, out=tmp_path)
    evaluation = write_evaluation(tmp_path / "f", [True] * 9)
    refused(evaluation, plus, "is a directory", "two result files", out=tmp_path)
    refused(plus, tmp_path / "none", "there is no candidate at", out=tmp_path)
    refused(evaluation, evaluation, "leave it out", out=tmp_path, words=("--metric", "plus"))
    js = multiple_folder(tmp_path / "js", right)
    refused(js, multiple_folder(tmp_path / "lua", right, lang="lua"), "multiple-lua", out=tmp_path)
    multiple_folder(js, right[:1], text="product", lang="lua")
    refused(js, js, "stands twice", out=tmp_path)


def test_metrics_that_are_graded_or_mixed_are_refused(tmp_path: Path) -> None:
    graded = [
        json_lines(
            tmp_path / name / "samples_sums.jsonl",
            [lm_eval_line(i, {"bleu": share, "acc": 1, "acc_norm": "True"}) for i in range(5)],
        )
        for name, share in (("a", 0.31), ("b", 0.5))
    ]
    said = ("metric bleu,none of", "graded, not pass or fail (0.31 at", "jsonl:1)", "acc,none or")
    refused(*graded, *said, out=tmp_path, words=("--metric", "bleu"))
    unknown = "has no metric f1; choose --metric acc,none"
    refused(*graded, unknown, out=tmp_path, words=("--metric", "f1"))
    refused(*graded, "choose --metric acc,none or acc_norm,none", out=tmp_path)
    assert compared(*graded, tmp_path / "c", metric="acc_norm").overall.candidate_pass_at_1 == 1
    pairs = json_lines(tmp_path / "d" / "x.jsonl", [lm_eval_line(0, {"ppl": [-3.2, 7]})])
    refused(pairs, pairs, "ppl,none", "no metric of both is pass or fail", out=tmp_path)
    other = json_lines(tmp_path / "e" / "x.jsonl", [lm_eval_line(0, {"f1": 1})])
    alone = json_lines(tmp_path / "f" / "x.jsonl", [lm_eval_line(0, {"acc": 1})])
    refused(other, alone, "share no metric", "has f1,none", out=tmp_path)
    older = json_lines(tmp_path / "o" / "x.jsonl", [lm_eval_line(0, {"acc": 1}, filter_=None)])
    unlike = ("has acc,none", "x.jsonl acc;")
    refused(alone, older, *unlike, out=tmp_path, words=("--metric", "acc"))
    lines = [lm_eval_line(0, {"acc": 1}), lm_eval_line(1, {"f1": 1})]
    mixed = json_lines(tmp_path / "g" / "x.jsonl", lines)
    refused(mixed, mixed, "x.jsonl:2 mixes metrics: it has f1", out=tmp_path)
    document = json.loads(evalplus_file(tmp_path / "h", once([True] * 3)).read_text("utf-8"))
    document["eval"]["Sums/1"][0]["plus_status"] = "pass"
    part = json_file(tmp_path / "h" / "part.json", document)
    refused(part, part, "mixes metrics: Sums/0 has no verdict", out=tmp_path)


def test_a_problem_that_stands_twice_is_refused(tmp_path: Path) -> None:
    lines = [lm_eval_line(i % 3, {"acc": 1}) for i in range(4)]
    twice = json_lines(tmp_path / "a.jsonl", lines)
    refused(twice, twice, "a.jsonl:4: doc_id 0 stands twice, first at", "a.jsonl:1", out=tmp_path)
    older = [lm_eval_line(i % 3, {"acc": 1}, filter_=None) for i in range(6)]
    unnamed = json_lines(tmp_path / "b.jsonl", older)
    refused(unnamed, unnamed, "before 0.4.6 do not say their filter", out=tmp_path)
    text = '{"eval": {"Sums/0": [{"base_status": "pass"}], "Sums/0": [{"base_status": "fail"}]}}'
    (tmp_path / "c.json").write_text(text, encoding="utf-8")
    refused(tmp_path / "c.json", tmp_path / "c.json", "'Sums/0' stands twice", out=tmp_path)
    logs = {"0": [[0, {"passed": True}], [0, {"passed": False}]]}
    log = json_file(tmp_path / "logs.json", logs)
    refused(log, log, "problem 0: sample 0 stands twice", out=tmp_path)


AGGREGATES = {
    "bigcode": (
        {"humaneval": {"pass@1": 0.4}, "config": {"model": "m", "n_samples": 1}},
        ("holds only aggregates (humaneval)", "logs.json", "--load_generations_path"),
    ),
    "bigcode answers": ([["def f(): ..."], ["def g(): ..."]], ("answers without verdicts",)),
    "lm-eval": (
        {"results": {"gsm8k": {"exact_match,strict-match": 0.4}}, "versions": {}, "configs": {}},
        ("holds only aggregates", "--log_samples"),
    ),
    "EvalPlus answers": (
        {"task_id": "Sums/0", "solution": "def f(): ..."},
        ("answers without verdicts", "evalplus.evaluate --samples"),
    ),
    "EvalPlus without problems": ({"eval": {}}, ("holds no problem",)),
    "no samples": ({"eval": {"Sums/0": []}}, ("Sums/0 has no samples",)),
    "no samples of before": ({"eval": {"Sums/0": {"base": []}}}, ("no samples under 'base'",)),
    "uneven": (
        {"eval": {"Sums/0": {"base": [["success", []]] * 2, "plus": [["failed", []]]}}},
        ("2 samples under 'base' and 1 under 'plus'",),
    ),
    "no status": ({"eval": {"Sums/0": [{"solution": ""}]}}, ("Sums/0", "no 'base_status'")),
    "odd status": ({"eval": {"Sums/0": [{"base_status": 1}]}}, ("'base_status' is 1",)),
    "log without verdict": ({"0": [[0, {"result": "passed"}]]}, ("problem 0", "no 'passed'")),
    "log without samples": ({"0": []}, ("problem 0: there are no samples",)),
    "no metric": (lm_eval_line(0, {}), ("without --predict_only",)),
    "no value": ({**lm_eval_line(0, {}), "metrics": ["acc"]}, ("'acc' has no value",)),
    "odd id": ({**lm_eval_line(0, {"acc": 1}), "doc_id": None}, ("'doc_id' is None",)),
    "something else": ({"a": 1}, ("no result file that is known", "EvalPlus", "lm-evaluation")),
}


@pytest.mark.parametrize("name", AGGREGATES)
def test_what_holds_no_verdict_on_every_problem_is_refused(name: str, tmp_path: Path) -> None:
    value, said = AGGREGATES[name]
    path = json_file(tmp_path / "given.json", value)
    refused(path, path, "given.json", *said, out=tmp_path)


def test_damaged_files_are_refused_with_their_place(tmp_path: Path) -> None:
    whole = lm_eval_file(tmp_path / "a", once([True] * 5))
    text = whole.read_text(encoding="utf-8")
    cut = tmp_path / "cut.jsonl"
    cut.write_text(text[:-100], encoding="utf-8")
    refused(whole, cut, "cut.jsonl:5: not valid JSON", out=tmp_path)
    cut.write_text("x" + text, encoding="utf-8")
    refused(cut, whole, "cut.jsonl:1: not valid JSON", out=tmp_path)
    cut.write_text(text + "7\n", encoding="utf-8")
    refused(cut, whole, "cut.jsonl:6: not a JSON object", out=tmp_path)
    document = evalplus_older_file(tmp_path / "b", once([True] * 5)).read_text(encoding="utf-8")
    cut.write_text(document[: len(document) // 2], encoding="utf-8")
    line = document[: len(document) // 2].count("\n") + 1
    refused(cut, whole, f"cut.jsonl:{line}: not valid JSON", out=tmp_path)
    cut.write_text(" \n", encoding="utf-8")
    refused(cut, whole, "cut.jsonl is empty", out=tmp_path)
    cut.write_bytes(b"\xff\xfe{}")
    refused(cut, whole, "is not UTF-8", out=tmp_path)


def test_what_a_wrong_sample_died_of_is_kept(tmp_path: Path) -> None:
    results = read_results(bigcode_log(tmp_path, [[True, False], [True, True]]))
    endings = {name: outcome.ending for name, outcome in results.metrics["passed"].items()}
    assert endings == {"0": "failed", "1": "pass"}
    assert results.metrics["passed"]["0"].num_right == 1
