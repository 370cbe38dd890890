"""The `score` stage: what it writes, what it refuses, and that kills and processes do not change
it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from flab_deploy.corpus import Instruction, Task, load_records, save_records
from flab_deploy.errors import ArtifactError, ConfigError
from flab_deploy.importance import ScoreConfig, score
from flab_deploy.importance.examples import choose
from flab_deploy.importance.layers.stage import LayerMetric
from flab_deploy.records.document import read_record, record_of
from flab_deploy.records.scores import SCORES_FILE, ScoresFigures, ScoresRecord
from tests.conftest import MakeCheckpoint
from tests.killed import killed_before_writing

SMALL = ScoreConfig(
    corpus="reference",
    num_counted=20,
    num_calibration=6,
    batch_size=2,
    max_layers_searched=3,
    held_out="",
)


def summary(out: Path) -> ScoresRecord:
    return read_record(ScoresRecord, out / SCORES_FILE)


def test_an_artifact_holds_scores_search_and_calibration(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    artifact = score(tiny_checkpoint, tmp_path / "scores", SMALL)
    tensors = load_file(tmp_path / "scores" / "scores.safetensors")
    assert {name: tuple(t.shape) for name, t in tensors.items()} == {
        "token_counts": (702,),
        "layer_kl": (5,),
        "channel_scores": (5, 64),
        "head_scores": (5, 2),
    }
    found = summary(tmp_path / "scores")
    search = found.layer_search
    assert len(search.order) == len(set(search.order)) == len(search.kl_nats) == 3
    assert search.kl_nats[0] == min(search.first_scores)
    assert len(load_records(tmp_path / "scores" / "calibration.jsonl", Instruction)) == 6
    assert found.calibration.num_examples == 6
    assert len(found.calibration.digest) == 64
    assert found.channels is not None and len(found.channels.quantiles_by_layer) == 5
    figures = record_of(ScoresFigures, artifact.figures, "scores")
    assert figures.layers_first_to_drop == search.order
    assert figures.num_tokens_seen == int((tensors["token_counts"] > 0).sum())
    assert figures.least_layer_kl_nats == min(layer.kl_nats for layer in found.layers)


@pytest.mark.parametrize(
    "metric", ["perplexity", "token_accuracy", "block_influence", "cosine", "taylor"]
)
def test_other_metrics_choose_layers_and_the_kl_is_measured_all_the_same(
    tiny_checkpoint: Path, tmp_path: Path, metric: LayerMetric
) -> None:
    score(tiny_checkpoint, tmp_path / "other", replace(SMALL, layer_metric=metric))
    score(tiny_checkpoint, tmp_path / "kl", replace(SMALL, layer_search="one_shot"))
    other, kl = summary(tmp_path / "other"), summary(tmp_path / "kl")
    search = other.layer_search
    assert search.order[0] == min(range(5), key=search.first_scores.__getitem__)
    measured = [layer.kl_nats for layer in kl.layers]
    assert [layer.kl_nats for layer in other.layers] == pytest.approx(measured, abs=1e-7)
    assert search.kl_nats[0] == pytest.approx(measured[search.order[0]], abs=1e-6)


def test_a_model_answers_its_own_calibration_prompts(tiny_checkpoint: Path, tmp_path: Path) -> None:
    config = replace(SMALL, self_generated=True, max_tokens=150, max_layers_searched=1)
    score(tiny_checkpoint, tmp_path / "own", config)
    score(tiny_checkpoint, tmp_path / "corpus", replace(config, self_generated=False))
    own = load_records(tmp_path / "own" / "calibration.jsonl", Instruction)
    given = {
        e.prompt: e.completion
        for e in load_records(tmp_path / "corpus" / "calibration.jsonl", Instruction)
    }
    assert own
    assert all(
        example.prompt in given and example.completion != given[example.prompt] for example in own
    )


def test_examples_that_share_text_with_held_out_tasks_are_passed_over() -> None:
    task = Task(
        task_id="t",
        kind="function_synthesis",
        prompt="def  f(x):\n",
        canonical_solution="return x * 2 + 1",
        test="",
        entry_point="f",
    )
    examples = [
        Instruction(prompt="def f(x):", completion="pass"),
        Instruction(prompt="def g(x):", completion="return x * 2 + 1"),
        Instruction(prompt="while here:", completion="yield 3"),
    ]
    chosen = choose(examples, [task], 5, shared_words=6)
    assert [example.prompt for example in chosen.examples] == ["while here:"]
    assert chosen.num_contaminated == 2
    with pytest.raises(ConfigError, match="none of 2 examples can be calibrated on: 2 share text"):
        choose(examples[:2], [task], 5, shared_words=6)


def test_several_sources_are_mixed_in_turn(tiny_checkpoint: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        records = [
            Instruction(prompt=f"# {name}{index}", completion=f"{name} = {index}")
            for index in range(4)
        ]
        save_records(tmp_path / f"{name}.jsonl", records)
    config = replace(
        SMALL, corpus=f"{tmp_path / 'a.jsonl'},{tmp_path / 'b.jsonl'}", max_layers_searched=1
    )
    score(tiny_checkpoint, tmp_path / "scores", config)
    chosen = load_records(tmp_path / "scores" / "calibration.jsonl", Instruction)
    assert [example.prompt for example in chosen] == [
        "# a0",
        "# b0",
        "# a1",
        "# b1",
        "# a2",
        "# b2",
    ]


def test_a_weight_that_is_not_finite_is_named(
    make_checkpoint: MakeCheckpoint, tmp_path: Path
) -> None:
    path = make_checkpoint(tied=False)
    weights = load_file(path / "model.safetensors")
    weights["model.layers.3.mlp.up_proj.weight"][1, 2] = torch.nan
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        ArtifactError, match=r"tensor model\.layers\.3\.mlp\.up_proj\.weight holds values"
    ):
        score(path, tmp_path / "scores", SMALL)
    assert not (tmp_path / "scores").exists()


def test_a_beam_of_trunk_scores_is_refused() -> None:
    with pytest.raises(ConfigError, match="a beam needs a metric of whole models; cosine allows"):
        ScoreConfig(corpus="reference", layer_metric="cosine", layer_search="beam")


_SCORE = """
import sys
from flab_deploy.importance import ScoreConfig, score
if __name__ == "__main__":
    score(sys.argv[1], __import__("pathlib").Path(sys.argv[2]), ScoreConfig(corpus="reference", 
        num_counted=20, num_calibration=6, batch_size=2, max_layers_searched=3, held_out=""))
"""


def environment(home: Path) -> dict[str, str]:
    return {
        **os.environ,
        "FLAB_HOME": str(home),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }


@pytest.mark.slow
def test_a_killed_stage_goes_on_after_its_last_round(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Opened when the search begins, for its first round, and now for its second.
    script = killed_before_writing("journals", _SCORE, times=3)
    command = [sys.executable, "-c", script, str(tiny_checkpoint), str(tmp_path / "scores")]
    killed = subprocess.run(
        command, env=environment(tmp_path / "home"), stderr=subprocess.DEVNULL, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    journals = tmp_path / "home" / "journals"
    assert not (tmp_path / "scores").exists()
    (journal,) = journals.glob("*.jsonl")
    # Mark the finished round: a run that measured it again would overwrite the mark, one that goes
    # on keeps it.
    first, *others = journal.read_text().splitlines()
    record = json.loads(first)
    record["scores"][2] = 0.0
    journal.write_text("\n".join([json.dumps(record), *others]) + "\n")
    monkeypatch.setenv("FLAB_HOME", str(tmp_path / "home"))
    score(tiny_checkpoint, tmp_path / "scores", SMALL)
    assert summary(tmp_path / "scores").layers[2].kl_nats == 0.0
    assert list(journals.glob("*.jsonl")) == []
    assert not list(tmp_path.glob(".scores*"))


@pytest.mark.slow
def test_two_processes_find_what_one_finds(tiny_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(_SCORE)
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node=2",
        "--master-addr=127.0.0.1",
        "--master-port=0",
        "--rdzv-backend=c10d",
        "--rdzv-endpoint=127.0.0.1:0",
    ]
    command = [*torchrun, str(tmp_path / "work.py"), str(tiny_checkpoint), str(tmp_path / "two")]
    done = subprocess.run(
        command, env=environment(tmp_path / "home"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    score(tiny_checkpoint, tmp_path / "one", SMALL)
    one, two = summary(tmp_path / "one"), summary(tmp_path / "two")
    assert two.layer_search.order == one.layer_search.order
    assert two.layer_search.kl_nats == pytest.approx(one.layer_search.kl_nats, abs=1e-6)
    tensors = [load_file(tmp_path / name / "scores.safetensors") for name in ("one", "two")]
    for name, tensor in tensors[0].items():
        torch.testing.assert_close(tensors[1][name], tensor, atol=1e-6, rtol=1e-5)
