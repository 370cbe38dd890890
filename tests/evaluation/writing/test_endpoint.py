"""A server that speaks the completions API, dies and comes back: a clear error, and nothing is
asked twice.
"""

import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flab_deploy.decoder import load_tokenizer
from flab_deploy.errors import ConfigError, ServingError
from flab_deploy.evaluation.writing.attempt import Attempt
from flab_deploy.evaluation.writing.completion import Completion, GenerateConfig
from flab_deploy.evaluation.writing.journal import forget, journal
from flab_deploy.evaluation.writing.writers import AnswerSource, run_key, write_answers
from flab_deploy.reference.tasks import make_tasks


class Server(http.server.ThreadingHTTPServer):
    """Answers each prompt with its own length; refuses after `lives` completions."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lives = 10**9
        self.comment = ""
        self.asked: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.lock = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        del format, args

    def do_GET(self) -> None:
        self._reply(200, {"data": [{"id": "tiny"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.keys.add(str(self.headers.get("Authorization")))
            alive = self.server.lives > 0
            self.server.lives -= 1
            if alive:
                self.server.asked.append(body)
        if not alive:
            self.connection.close()
            return
        text = f"\n    return {len(body['prompt'])}{self.server.comment}\n"
        self._reply(
            200,
            {
                "choices": [{"text": text, "finish_reason": "stop"}],
                "usage": {"completion_tokens": 5},
            },
        )

    def _reply(self, status: int, document: object) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on loopback."""
    with Server() as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home for journals."""
    monkeypatch.setenv("FLAB_HOME", str(tmp_path / "home"))


def _attempts() -> list[Attempt]:
    kinds = [
        *make_tasks("test", "function_synthesis", 20),
        *make_tasks("test", "output_prediction", 6),
    ]
    return [Attempt(task=task, perturbation=None) for task in kinds]


def _place(checkpoint: Path, server: Server) -> AnswerSource:
    return AnswerSource(path=checkpoint, endpoint=f"http://127.0.0.1:{server.server_port}/v1")


SETTINGS = GenerateConfig(batch_size=3, max_new_tokens=9)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_server_is_a_clear_error_and_the_run_resumes(
    tiny_checkpoint: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLAB_API_KEY", "sesame")
    place, attempts = _place(tiny_checkpoint, server), _attempts()
    run = run_key(attempts, SETTINGS, place, "digest")
    server.lives = 11
    with pytest.raises(
        ServingError, match=r"does not answer .* goes on where it stopped"
    ) as caught:
        write_answers(attempts, SETTINGS, place, run)
    assert "\n" not in str(caught.value) and len(server.asked) == 11
    server.lives = 10**9
    again = _attempts()
    write_answers(again, SETTINGS, place, run)
    asked = [(tuple(body["prompt"]), body["max_tokens"]) for body in server.asked]
    assert len(asked) == len(set(asked)) == len(again)
    tokenizer = load_tokenizer(tiny_checkpoint)
    for attempt in again:
        ids = tokenizer(attempt.task.prompt, add_special_tokens=False).input_ids
        assert attempt.completion == f"\n    return {len(ids)}\n" and attempt.num_tokens == 5
    assert server.keys == {"Bearer sesame"}
    assert {tuple(body["stop"]) for body in server.asked if body["stop"] == ["\n"]} == {("\n",)}
    write_answers(_attempts(), SETTINGS, place, run)
    assert len(server.asked) == len(asked)
    forget(run)
    write_answers(_attempts(), SETTINGS, place, run)
    assert len(server.asked) == 2 * len(asked)


def test_half_a_character_is_replaced(tiny_checkpoint: Path, server: Server) -> None:
    server.comment = "  # \ud83d"
    attempts = _attempts()[:1]
    write_answers(attempts, SETTINGS, _place(tiny_checkpoint, server), "run")
    assert attempts[0].completion.endswith("  # ?\n")


def test_a_server_that_was_never_there(tiny_checkpoint: Path, closed_port: int) -> None:
    place = AnswerSource(path=tiny_checkpoint, endpoint=f"http://127.0.0.1:{closed_port}/v1")
    with pytest.raises(ServingError, match=f"127.0.0.1:{closed_port}/v1 does not answer"):
        write_answers(_attempts(), SETTINGS, place, "run")
    with pytest.raises(ConfigError, match="is no URL"):
        write_answers(_attempts(), SETTINGS, replace(place, endpoint="localhost:80"), "run")
    with pytest.raises(ConfigError, match="not both"):
        replace(place, onnx="somewhere")


def test_a_torn_journal_keeps_its_whole_lines(tmp_path: Path) -> None:
    written = [Completion(text=str(i), ids=(i,), truncated=False, num_tokens=1) for i in range(3)]
    with journal("run") as first:
        first.add(["a", "b"], written[:2])
        with journal("run") as second:  # another process would see the same
            second.add(["c"], written[2:])
            assert second.known == {}
    path = tmp_path / "home" / "completions" / "run.jsonl"
    with path.open("ab") as stream:
        stream.write(b'{"key": "c", "te')
    with journal("run") as kept:
        assert kept.known == {"a": written[0], "b": written[1]}
        kept.add(["c"], written[2:])
    with journal("run") as kept:
        assert list(kept.known) == ["a", "b", "c"]


def test_the_run_key_depends_on_everything_that_is_written(tiny_checkpoint: Path) -> None:
    attempts, place = _attempts(), AnswerSource(path=tiny_checkpoint)
    keys = {
        run_key(attempts, SETTINGS, place, "a"),
        run_key(attempts, SETTINGS, place, "b"),
        run_key(attempts[1:], SETTINGS, place, "a"),
        run_key(attempts, replace(SETTINGS, seed=1), place, "a"),
        run_key(attempts, SETTINGS, replace(place, dtype="float32"), "a"),
    }
    assert len(keys) == 5
    assert run_key(_attempts(), SETTINGS, place, "a") in keys
