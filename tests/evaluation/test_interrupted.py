"""An evaluation that is killed while it writes goes on where it stopped, and ends as if nothing had
happened.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flab_deploy.records.document import read_lines
from flab_deploy.records.evaluate import VERDICTS_FILE, VerdictLine
from tests.in_process import flab

WORDS = [
    "evaluate",
    "reference",
    "--num-function-synthesis",
    "24",
    "--num-output-prediction",
    "4",
    "--num-chain-of-thought",
    "0",
    "--num-robustness",
    "0",
    "--batch-size",
    "4",
    "--max-new-tokens",
    "48",
    "--out",
]


# `flab`, killed as soon as its journal has taken two batches.
_KILLED = """
import os, signal, sys
from flab_deploy.cli.program import main
from flab_deploy.evaluation.writing.journal import AnswerJournal
taken = []
def add(journal, keys, completions, add=AnswerJournal.add):
    add(journal, keys, completions)
    taken.extend(keys)
    if len(taken) >= 8:
        os.kill(os.getpid(), signal.SIGKILL)
AnswerJournal.add = add
main(sys.argv[1:])
"""


def test_killed_and_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLAB_HOME", str(tmp_path / "home"))
    journals, words = tmp_path / "home" / "completions", [*WORDS, str(tmp_path / "out")]
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    (journal,) = journals.glob("*.jsonl")
    before = {
        json.loads(line)["key"] for line in journal.read_bytes().splitlines() if line.endswith(b"}")
    }
    assert 8 <= len(before) < 28 and not (tmp_path / "out").exists()
    # The journal is the only thing that is looked at: a completion in it that the model would never
    # write stays.
    lines = [json.loads(line) for line in journal.read_text().splitlines() if line.endswith("}")]
    lines[0] = {**lines[0], "text": "\n    return 'from the journal'\n"}
    journal.write_text("".join(json.dumps({**line}) + "\n" for line in lines))
    again = flab(*words)
    assert again.returncode == 0, again.stderr[-2000:]
    rows = read_lines(VerdictLine, tmp_path / "out" / VERDICTS_FILE)
    assert len(rows) == 28
    assert [row.completion for row in rows if "from the journal" in row.completion] == [
        lines[0]["text"]
    ]
    assert list(journals.glob("*.jsonl")) == []
