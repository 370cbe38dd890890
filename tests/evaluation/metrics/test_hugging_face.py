"""The `evaluate` classes load and compute with every socket blocked."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import socket

def refuse(*args, **kwargs):
    raise AssertionError("the network was used")

socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = socket.create_connection = refuse

import evaluate
from flab_deploy.evaluation.metrics.hugging_face import (
    METRIC_NAMES, PassAtK, Retention, RobustPassAtK, metric_folder
)

verdicts = [[True, False], [False, False]]
assert PassAtK().compute(verdicts=verdicts, k=[1, 2]) == {"pass@1": 0.25, "pass@2": 0.5}
nominal, perturbed = [[True], [True]], [[[True, True]], [[True, False]]]
robust = RobustPassAtK().compute(nominal=nominal, perturbed=perturbed)
assert robust == {"robust_pass@1": 0.5, "robust_drop@1": 0.5, "robust_relative@1": 0.5}, robust
same = [True] * 300 + [False] * 100
kept = Retention().compute(original=same, candidate=same, cluster=[""] * 400)
assert kept["retention"] == 1.0 and kept["retention_low"] < 1.0 < kept["retention_high"], kept
loaded = {name: evaluate.load(str(metric_folder(name))) for name in METRIC_NAMES}
assert loaded["pass_at_k"].compute(verdicts=verdicts) == {"pass@1": 0.25}
assert loaded["robust_pass_at_k"].compute(nominal=nominal, perturbed=perturbed) == robust
assert loaded["retention"].compute(original=same, candidate=same, cluster=[""] * 400) == kept
values = {"predictions": ["[1]", "True", "f(1)"], "references": ["[1]", "1", "1"]}
assert loaded["typed_match"].compute(**values) == {"typed_match": 1 / 3}
plans = {"predictions": ["# 1. Keep the even ones."], "references": ["# 1. Keep the even ones."]}
assert loaded["plan_bleu"].compute(**plans)["bleu_4"] == 1.0
print("computed")
"""


def test_metrics_compute_with_the_network_blocked(tmp_path: Path) -> None:
    (tmp_path / "pass_at_k").mkdir()
    (tmp_path / "pass_at_k" / "pass_at_k.py").write_text(
        "raise SystemExit('a file planted in the working directory ran')"
    )
    environment = {
        **os.environ,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_EVALUATE_OFFLINE": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == "computed"
