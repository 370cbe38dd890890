"""The bytes of `plan.json`: they are a plan's digest, so a new version must write the old ones.

`golden_plan.json` is a plan of schema 2 with its long lists cut short. Whoever changes it on
purpose raises the schema version and replaces the file.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flab_deploy.errors import ArtifactError
from flab_deploy.importance import ScoreConfig, score
from flab_deploy.pruning import PlanConfig, load_plan, plan
from flab_deploy.pruning.plan_document import predicted_figures
from flab_deploy.records.document import read_record, write_record
from flab_deploy.records.plan import PLAN_FILE, PlanRecord
from flab_deploy.records.prune import PredictedRecord
from tests.architectures import save_tiny
from tests.pruning.plans import as_document, full_plan, write_plan

GOLDEN = Path(__file__).with_name("golden_plan.json")


def written(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=lambda pairs: pairs)


def form(value: Any) -> Any:
    """The keys of a document in their order, and the kind of number or text behind each."""
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        return [(name, form(inner)) for name, inner in value]
    return form(value[0]) if isinstance(value, list) and value else type(value).__name__


def test_a_plan_is_written_with_the_bytes_it_was_read_from(tmp_path: Path) -> None:
    found = read_record(PlanRecord, GOLDEN)
    write_record(tmp_path / PLAN_FILE, found)
    assert (tmp_path / PLAN_FILE).read_bytes() == GOLDEN.read_bytes()
    write_record(tmp_path / PLAN_FILE, replace(found, num_tokens_needed=1))
    assert (tmp_path / PLAN_FILE).read_bytes() != GOLDEN.read_bytes()


def test_the_planner_writes_the_fields_of_the_golden_plan_in_its_order(tmp_path: Path) -> None:
    source = save_tiny(tmp_path / "model", "starcoder2")
    score(
        source,
        tmp_path / "scores",
        ScoreConfig(
            corpus="reference",
            num_counted=40,
            num_calibration=8,
            held_out="",
            max_layers_searched=2,
        ),
    )
    config = PlanConfig(metric="bytes", reduction=0.45, channel_multiple=8)
    file = plan(source, tmp_path / "scores", tmp_path / "plan", config).path / PLAN_FILE
    assert form(written(file)) == form(written(GOLDEN))
    text = file.read_text(encoding="utf-8")
    assert text == json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"


def test_a_plan_by_hand_says_what_stays_and_predicts_nothing(tmp_path: Path) -> None:
    source = save_tiny(tmp_path / "model", "llama")
    by_hand = full_plan(source, tmp_path / "corpus.jsonl", keep_layers=(0, 2))
    folder = write_plan(tmp_path / "plan", as_document(by_hand))
    assert load_plan(folder) == by_hand
    assert predicted_figures(folder) == PredictedRecord(
        num_parameters=None, weight_bytes=None, kl_nats=None
    )
    with pytest.raises(ArtifactError, match=r"plan\.json: has no field 'budget'; make it again"):
        read_record(PlanRecord, folder / PLAN_FILE)


def test_an_edited_plan_keeps_what_was_predicted(tmp_path: Path) -> None:
    document = json.loads(GOLDEN.read_text(encoding="utf-8"))
    document |= {"keep_token_ids": [0, 1, 2], "comment": "fewer tokens"}
    folder = write_plan(tmp_path / "plan", document)
    assert load_plan(folder).keep_token_ids == (0, 1, 2)
    assert predicted_figures(folder) == PredictedRecord(
        num_parameters=document["figures"]["after"]["num_parameters"],
        weight_bytes=document["figures"]["after"]["weight_bytes"],
        kl_nats=document["predicted_kl_nats"],
    )
