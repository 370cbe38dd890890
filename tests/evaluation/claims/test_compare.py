"""Comparing two evaluations: the verdict, what was lost, perturbations, the noise floor, and
refused input.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from flab_deploy.artifacts import MANIFEST, Draft, open_artifact, run_stage
from flab_deploy.errors import ArtifactError, ConfigError
from flab_deploy.evaluation.claims.claim import claim_figures
from flab_deploy.evaluation.claims.compare import compare
from flab_deploy.evaluation.claims.power import expected_from, plan_claim, plan_text
from flab_deploy.evaluation.claims.sentences import comparison_text
from flab_deploy.evaluation.statistics import Paired
from flab_deploy.records.compare import COMPARISON_FILE, ComparisonRecord
from flab_deploy.records.document import as_json, parse_record, read_record
from flab_deploy.records.evaluate import REPORT_FILE, VERDICTS_FILE
from flab_deploy.records.printed.power import PowerRecord
from flab_deploy.settings.compare import CompareConfig, PowerConfig
from tests.evaluation.evaluations import write_evaluation
from tests.in_process import flab


def solved(number: int, wrong: range) -> list[bool]:
    return [i not in wrong for i in range(number)]


def comparison(
    original: Path,
    candidate: Path,
    out: Path,
    config: CompareConfig = CompareConfig(),
    repeat: Path | None = None,
) -> ComparisonRecord:
    """What `compare` wrote, which is also what its manifest shows."""
    artifact = compare(original, candidate, out, config, repeat=repeat)
    found = read_record(ComparisonRecord, artifact.path / COMPARISON_FILE)
    assert artifact.figures == as_json(found)
    return found


def compared(
    tmp_path: Path, first: list[bool], second: list[bool], margin: float = 0.97
) -> ComparisonRecord:
    original = write_evaluation(tmp_path / "original", first)
    candidate = write_evaluation(tmp_path / "candidate", second, model="b")
    return comparison(original, candidate, tmp_path / "comparison", CompareConfig(margin=margin))


def test_keeping_all_but_a_few_of_many_is_shown(tmp_path: Path) -> None:
    found = compared(tmp_path, solved(600, range(30)), solved(600, range(32)))
    whole = found.overall
    assert whole.verdict == "shown"
    assert (whole.num_only_original, whole.num_only_candidate) == (2, 0)
    assert whole.retention == pytest.approx(568 / 570)
    assert whole.retention_interval[0] < 568 / 570 < whole.retention_interval[1]
    assert [entry.task_id for entry in found.lost] == ["t/30", "t/31"]
    assert found.lost[0].verdict == "fail_assert" and found.gained == ()
    words = " ".join(found.answer)
    assert "That it keeps at least 97 % is shown (p < 0.001)." in words
    assert "Lost: 2 problems that only the original solves (2 fail assert); gained: 0." in words
    assert found.health.candidate.num_truncated == 2


def test_a_clear_loss_is_not_shown_and_said_to_be_ruled_out(tmp_path: Path) -> None:
    found = compared(tmp_path, solved(600, range(30)), solved(600, range(130)))
    assert found.overall.verdict == "not shown"
    assert "even the upper end of the interval lies below" in " ".join(found.answer)


def test_few_problems_are_underpowered_with_the_number_that_is_not(tmp_path: Path) -> None:
    found = compared(tmp_path, solved(60, range(10)), solved(60, range(1, 11)))
    assert found.overall.verdict == "underpowered"
    needed = found.overall.num_problems_needed
    assert needed > 300
    assert f"(underpowered); about {needed:,} would be needed" in " ".join(found.answer)
    assert f"underpowered: needs about {needed:,} problems" in comparison_text(found)


@pytest.mark.parametrize(
    ("kept", "lost", "gained", "verdict"),
    [
        (1900, 10, 10, "shown"),
        (1600, 300, 10, "not shown"),
        (15, 1, 1, "underpowered"),
        (0, 0, 5, "not shown"),
        (900, 40, 12, "not shown"),
    ],
)
def test_what_can_be_claimed(kept: int, lost: int, gained: int, verdict: str) -> None:
    original = [1.0] * (kept + lost) + [0.0] * gained
    candidate = [1.0] * kept + [0.0] * lost + [1.0] * gained
    found = claim_figures(Paired.of(original, candidate), CompareConfig())
    assert found.verdict == verdict
    assert (found.num_only_original, found.num_only_candidate) == (lost, gained)
    json.dumps(as_json(found), allow_nan=False)


def test_a_laxer_margin_is_easier_to_show(tmp_path: Path) -> None:
    found = compared(tmp_path, solved(120, range(10)), solved(120, range(1, 13)), margin=0.8)
    assert found.overall.verdict == "shown"


def test_an_original_that_solves_nothing_keeps_nothing(tmp_path: Path) -> None:
    found = compared(tmp_path, [False] * 20, [True] + [False] * 19)
    assert found.overall.verdict == "not shown" and found.overall.retention is None
    assert "the original solves nothing" in " ".join(found.answer)
    assert comparison_text(found)


def test_the_worst_perturbation_is_found_among_many(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    right = [True] * 80
    noisy = (rng.random(80) < 0.95).tolist()
    original = write_evaluation(
        tmp_path / "a",
        right,
        perturbed={"char_case": right, "synonyms": noisy, "last_character": right},
    )
    candidate = write_evaluation(
        tmp_path / "b",
        right,
        model="b",
        perturbed={
            "char_case": [i % 4 > 0 for i in range(80)],
            "synonyms": noisy[::-1],
            "last_character": [False] * 80,
        },
    )
    found = comparison(original, candidate, tmp_path / "c")
    robust = found.robustness
    assert set(robust.perturbations) == {"char_case", "synonyms"}  # a probe counts for nothing
    assert set(robust.families) == {"wording"}
    worst = robust.perturbations["char_case"]
    assert worst.mcnemar_p < worst.benjamini_hochberg_p < 0.001
    assert robust.perturbations["synonyms"].benjamini_hochberg_p > 0.05
    drop = robust.drop
    assert drop.difference == pytest.approx(drop.candidate - drop.original)
    assert drop.interval[0] < drop.difference < drop.interval[1]
    assert "worse under char_case (100.0 % to 75.0 %)" in " ".join(found.answer)
    assert "Under every one of its perturbed forms at once, the original solves" in " ".join(
        found.answer
    )


def test_a_perturbed_prompt_is_held_against_the_one_it_was_made_from(tmp_path: Path) -> None:
    right, half = [True] * 60, [i % 2 == 0 for i in range(60)]
    forms = {"code_prefix": half, "var_renamer": half}
    original = write_evaluation(tmp_path / "a", right, perturbed=forms)
    candidate = write_evaluation(tmp_path / "b", right, perturbed=forms, model="b")
    robust = comparison(original, candidate, tmp_path / "c").robustness
    assert set(robust.perturbations) == {"var_renamer"}
    assert robust.drop.original == 0.0  # half solved, as half of the code prefixes were


def test_several_forms_of_a_problem_are_one_cluster(tmp_path: Path) -> None:
    right, worse = [True] * 60, [i % 5 > 0 for i in range(60)]
    found = {}
    for number in (1, 4):
        forms = {"original": [right] * number, "candidate": [worse] * number}
        folders = [
            write_evaluation(
                tmp_path / f"{name}-{number}", right, perturbed={"synonyms": seeds}, model=name[0]
            )
            for name, seeds in forms.items()
        ]
        found[number] = comparison(*folders, tmp_path / f"c-{number}").robustness
    once, often = found[1], found[4]
    assert (once.num_problems, often.num_problems, often.num_clusters) == (60, 240, 60)
    assert often.perturbations["synonyms"].mcnemar_p == once.perturbations["synonyms"].mcnemar_p
    assert often.retention_interval == pytest.approx(once.retention_interval, abs=0.02)
    assert often.design_effect == pytest.approx(4, rel=0.05)
    worst = often.worst_case
    assert (worst.num_problems, worst.num_forms) == (60, 240)
    assert worst.retention == pytest.approx(0.8) and worst.retention_interval[0] > 0.6
    assert worst.retention_interval == once.worst_case.retention_interval
    assert often.drop.candidate == once.drop.candidate == pytest.approx(0.2)


def test_the_noise_floor_tells_a_finding_from_flips(tmp_path: Path) -> None:
    right = solved(400, range(40))
    original = write_evaluation(tmp_path / "a", right)
    again = write_evaluation(tmp_path / "again", solved(400, range(4, 44)), batch_size=64)
    alike = write_evaluation(tmp_path / "alike", solved(400, range(43)), model="b")
    worse = write_evaluation(tmp_path / "worse", solved(400, range(80)), model="b")
    floor = comparison(original, alike, tmp_path / "c", repeat=again)
    assert floor.noise.num_flips == 8 and floor.noise.flip_rate == 0.02
    assert floor.noise.more_disagreements_p > 0.5
    assert "not shown to differ more often than that" in " ".join(floor.answer)
    assert (
        comparison(original, worse, tmp_path / "d", repeat=again).noise.more_disagreements_p < 0.001
    )
    itself = comparison(original, again, tmp_path / "e")
    assert itself.noise.num_flips == 8
    assert comparison(original, original, tmp_path / "f").noise is None
    with pytest.raises(ConfigError, match="evaluates another model"):
        compare(original, again, tmp_path / "g", repeat=worse)
    with pytest.raises(ConfigError, match="make a second one"):
        compare(original, worse, tmp_path / "g", repeat=original)
    assert not (tmp_path / "g").exists()


def test_clusters_make_the_interval_wider(tmp_path: Path) -> None:
    first, second = solved(300, range(20)), solved(300, range(35))
    alone = compared(tmp_path / "alone", first, second, margin=0.9).overall
    original = write_evaluation(tmp_path / "a", first, cluster_size=5)
    candidate = write_evaluation(tmp_path / "b", second, cluster_size=5, model="b")
    together = comparison(original, candidate, tmp_path / "c", CompareConfig(margin=0.9)).overall
    assert together.num_clusters == 60 and together.design_effect > 3
    assert together.retention_interval[0] < alone.retention_interval[0]
    assert together.non_inferiority_p > alone.non_inferiority_p


def test_different_suites_are_refused(tmp_path: Path) -> None:
    original = write_evaluation(tmp_path / "a", [True] * 5)
    with pytest.raises(ConfigError, match="different suites"):
        compare(original, write_evaluation(tmp_path / "b", [True] * 5, suite="t"), tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_changed_or_foreign_evaluations_are_refused(tmp_path: Path) -> None:
    original = write_evaluation(tmp_path / "a", [True] * 5)
    damaged = write_evaluation(tmp_path / "b", [True] * 5)
    (damaged / "verdicts.jsonl").write_text("{}\n", encoding="utf-8")
    with pytest.raises(ArtifactError, match="changed after it was made"):
        compare(original, damaged, tmp_path / "c")
    with pytest.raises(ArtifactError, match="no finished artifact"):
        compare(original, tmp_path / "none", tmp_path / "c")
    with pytest.raises(ConfigError, match="margin is 0; give a share above 0"):
        CompareConfig(margin=0)


def rewritten(folder: Path, out: Path, files: dict[str, str]) -> Path:
    """A whole artifact like the one in `folder`, with other text in some files."""
    before = open_artifact(folder)

    def work(draft: Draft) -> None:
        for file in folder.iterdir():
            if file.name != MANIFEST:
                text = files.get(file.name, file.read_text(encoding="utf-8"))
                (draft.path / file.name).write_text(text, encoding="utf-8")

    module = "flab_deploy.artifacts"
    run_stage(out, kind=before.kind, module=module, parents={}, config={}, work=work)
    return out


def test_what_an_earlier_version_wrote_is_refused_by_name(tmp_path: Path) -> None:
    original = write_evaluation(tmp_path / "a", [True] * 5)
    report = json.loads((original / REPORT_FILE).read_text(encoding="utf-8"))
    lines = (original / VERDICTS_FILE).read_text(encoding="utf-8").splitlines(keepends=True)
    before = json.dumps({k: v for k, v in report.items() if k != "schema_version"})
    old = rewritten(original, tmp_path / "before", {REPORT_FILE: before})
    with pytest.raises(ArtifactError, match="report.json has no schema_version: it was written by"):
        compare(original, old, tmp_path / "c")
    after = json.dumps({**report, "schema_version": 2})
    newer = rewritten(original, tmp_path / "after", {REPORT_FILE: after})
    with pytest.raises(ArtifactError, match="schema_version 2, this version reads 1"):
        compare(original, newer, tmp_path / "c")
    short = json.dumps({k: v for k, v in json.loads(lines[2]).items() if k != "variant"}) + "\n"
    old = rewritten(original, tmp_path / "d", {VERDICTS_FILE: "".join([*lines[:2], short])})
    with pytest.raises(ArtifactError, match=r"verdicts.jsonl:3: has no field 'variant'"):
        compare(original, old, tmp_path / "c")
    assert not (tmp_path / "c").exists()
    made = compare(original, original, tmp_path / "made").path
    figures = json.loads((made / COMPARISON_FILE).read_text(encoding="utf-8"))
    del figures["schema_version"]
    old = rewritten(made, tmp_path / "e", {COMPARISON_FILE: json.dumps(figures)})
    with pytest.raises(ArtifactError, match="comparison.json has no schema_version"):
        expected_from(old, PowerConfig())


def test_a_plan_takes_its_expectations_from_a_comparison(tmp_path: Path) -> None:
    original = write_evaluation(tmp_path / "a", solved(200, range(40)))
    candidate = write_evaluation(tmp_path / "b", solved(200, range(5, 45)), model="b")
    folder = compare(original, candidate, tmp_path / "c").path
    config = expected_from(folder, PowerConfig(margin=0.95, num_problems=500))
    assert (config.pass_rate, config.discordance) == (0.8, 0.05)
    found = plan_claim(config)
    # The published table has 193 for 0.8 and 0.05.
    assert found.num_problems_needed == pytest.approx(200, rel=0.25)
    (size,) = found.sizes
    assert size.num_problems == 500 and size.power > 0.95
    assert size.strictest_margin is not None and 0.95 < size.strictest_margin < 0.98
    assert f"needs about {found.num_problems_needed:,} problems" in plan_text(found)
    hopeless = plan_claim(PowerConfig(margin=1.0, num_problems=100))
    assert "No number of problems" in plan_text(hopeless)


def test_the_verbs_answer_in_words_and_exit_codes(tmp_path: Path) -> None:
    original = str(write_evaluation(tmp_path / "a", solved(60, range(10))))
    candidate = str(write_evaluation(tmp_path / "b", solved(60, range(1, 11)), model="b"))
    done = flab("compare", original, candidate, "--out", str(tmp_path / "c"), "--require-shown")
    assert done.returncode == 3, done.stderr
    assert (
        "can be neither shown nor refuted with so few problems (underpowered); about" in done.stdout
    )
    assert "Health of the judging" in done.stdout
    planned = flab("power", "--like", str(tmp_path / "c"), "--num-problems", "60", "--json")
    assert planned.returncode == 0, planned.stderr
    found = parse_record(PowerRecord, planned.stdout, "stdout")
    assert found.pass_rate == pytest.approx(50 / 60) and found.sizes[0].power < 0.5
    refused = flab("power", "--pass-rate", "0.9", "--discordance", "0.5")
    assert refused.returncode == 2
    assert "give one from 0 to 0.2" in refused.stderr and "Traceback" not in refused.stderr
