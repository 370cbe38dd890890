import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from transformers import Qwen2Config, Qwen2ForCausalLM

from flab_deploy import engines
from flab_deploy.errors import ArtifactError, ConfigError, ServingError
from flab_deploy.records.bench import ServerMetrics
from flab_deploy.settings.bench import ServeConfig
from serving.agreement import agreement
from serving.load import draw_plan, run_load
from serving.scrape import counted, read_counters, scrape
from serving.vllm_server import PortBusyError, running, serve

_SERVE = """
import json, sys
from flab_deploy.settings.bench import ServeConfig
from serving.vllm_server import serve
def tell(end):
    print(json.dumps([end.url, end.api_key, end.version, end.pid, str(end.log)]), flush=True)
serve(sys.argv[1], ServeConfig(compiled=False, max_model_len=256), ready=tell)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLAB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_busy_port_is_seen_before_anything_is_done(tiny_checkpoint, home):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortBusyError, match=str(port)) as caught:
            serve(tiny_checkpoint, ServeConfig(port=port))
    assert caught.value.exit_code == 2
    assert not home.exists()


def test_bad_input_is_refused_before_anything_is_done(tiny_checkpoint, tmp_path, home):
    with pytest.raises(ArtifactError), running(tmp_path / "nothing"):
        pass
    with (
        pytest.raises(ConfigError, match="70000"),
        running(tiny_checkpoint, ServeConfig(port=70_000)),
    ):
        pass
    assert not home.exists()


def test_a_server_of_low_priority_is_so_for_its_whole_session(
    tiny_checkpoint, home, tmp_path, monkeypatch
):
    engine = tmp_path / "engine"
    engine.write_text("#!/bin/sh\necho niceness $(nice)\ncat /proc/self/autogroup\nexit 3\n")
    engine.chmod(0o755)
    monkeypatch.setenv("FLAB_ENGINE_VLLM", str(engine))
    asked = os.nice(0) + 5
    with pytest.raises(ServingError), running(tiny_checkpoint, ServeConfig(niceness=5)):
        pass
    (log,) = home.rglob("*.log")
    text = log.read_text()
    assert f"niceness {min(asked, 19)}" in text
    if Path("/proc/self/autogroup").exists():
        assert "nice 5" in text


def test_an_engine_that_dies_is_told_with_its_last_words(
    tiny_checkpoint, home, tmp_path, monkeypatch
):
    engine = tmp_path / "engine"
    engine.write_text("#!/bin/sh\necho 'ValueError: no such thing'\nexit 3\n")
    engine.chmod(0o755)
    monkeypatch.setenv("FLAB_ENGINE_VLLM", str(engine))
    with (
        pytest.raises(ServingError, match="code 3 at start: ValueError: no such thing"),
        running(tiny_checkpoint),
    ):
        pass


def test_an_engine_that_never_answers_is_stopped(tiny_checkpoint, home, tmp_path, monkeypatch):
    engine = tmp_path / "engine"
    engine.write_text("#!/bin/sh\nexec sleep 600\n")
    engine.chmod(0o755)
    monkeypatch.setenv("FLAB_ENGINE_VLLM", str(engine))
    with (
        pytest.raises(ServingError, match="within 1 s"),
        running(tiny_checkpoint, ServeConfig(startup_timeout_s=1)),
    ):
        pass
    assert started_for(engine) == []


def test_the_server_dies_with_a_starter_that_is_killed(
    tiny_checkpoint, home, tmp_path, monkeypatch
):
    engine = tmp_path / "engine"
    engine.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n")
    engine.chmod(0o755)
    monkeypatch.setenv("FLAB_ENGINE_VLLM", str(engine))
    starter = subprocess.Popen([sys.executable, "-c", _SERVE, str(tiny_checkpoint)])
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    pid = int((tmp_path / "pid").read_text())
    starter.kill()
    starter.wait()
    wait_for(lambda: has_ended(pid))


def has_ended(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_counters_are_read_and_summed_over_labels():
    page = (
        '# HELP x\nvllm:request_success_total{finished_reason="stop",model_name="m"} 2.0\n'
        'vllm:request_success_total{finished_reason="length",model_name="m"} 3.0\n'
        'vllm:request_success_created{model_name="m"} '
        '1.7e+09\nvllm:prompt_tokens_total{model_name="m"} 1e+02\n'
    )
    after = read_counters(page)
    assert after == {"request_success_total": 5.0, "prompt_tokens_total": 100.0}
    moved = counted({"request_success_total": 1.0}, after, requests_sent=4)
    assert moved == ServerMetrics(
        request_success_total=4,
        prompt_tokens_total=100,
        generation_tokens_total=None,
        requests_sent=4,
    )


def started_for(engine: Path) -> list[str]:
    """Processes that were started with this engine in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(engine).encode() in (process / "environ").read_bytes():
                found.append(process.name)
        except OSError:
            continue
    return found


def wait_for(condition, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


@contextmanager
def served(checkpoint: Path) -> Iterator[tuple[subprocess.Popen[str], list]]:
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE, str(checkpoint)], stdout=subprocess.PIPE, text=True
    )
    try:
        yield process, json.loads(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=200)


@pytest.fixture
def servable(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A random checkpoint with a head size that vLLM's CPU attention supports."""
    config = Qwen2Config.from_pretrained(tiny_checkpoint)
    config.hidden_size, config.num_attention_heads, config.num_key_value_heads, config.head_dim = (
        128,
        2,
        1,
        64,
    )
    shutil.copytree(tiny_checkpoint, tmp_path / "servable")
    Qwen2ForCausalLM(config).save_pretrained(tmp_path / "servable")
    return tmp_path / "servable"


@pytest.mark.engine
@pytest.mark.timeout(900)
def test_the_real_vllm_serves_counts_agrees_and_drains(servable):
    """Takes half a minute: one start of the real vLLM, used for everything."""
    if {entry.name: entry.state for entry in engines.status()}["vllm"] not in (
        "installed",
        "external",
    ):
        pytest.skip("the vllm engine is not installed (flab engines install vllm)")
    with served(servable) as (process, (url, key, version, pid, log)):
        headers = {"Authorization": f"Bearer {key}"}
        assert version.startswith("0.32")
        assert httpx.post(f"{url}/v1/completions", json={}, trust_env=False).status_code == 401

        before = scrape(url)
        plan = draw_plan(
            ["def f(", "x ="], request_rate=20.0, num_requests=20, output_tokens=(2, 6), seed=0
        )
        outcomes = run_load(url, "flab", headers, plan.requests)
        assert [item.output_tokens for item in outcomes] == [
            request.output_tokens for request in plan.requests
        ]
        moved = counted(before, scrape(url), requests_sent=20)
        assert moved.request_success_total == 20
        assert moved.generation_tokens_total == sum(item.output_tokens for item in outcomes)

        found = agreement(url, "flab", headers, servable, ["def f(", "import os"], max_new_tokens=8)
        assert found.num_prompts == found.num_same_encoding == 2
        assert found.num_tokens_equal >= 0.9 * found.num_tokens

        assert key not in Path(log).read_text()
        assert key not in Path(f"/proc/{pid}/cmdline").read_text()

        body = {
            "model": "flab",
            "prompt": "x",
            "max_tokens": 200,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        tokens, started = 0, False
        with (
            httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as client,
            client.stream("POST", "/v1/completions", json=body) as answer,
        ):
            for line in answer.iter_lines():
                chunk = (
                    json.loads(line.removeprefix("data: ")) if line.startswith("data: {") else {}
                )
                if chunk and not started:
                    started = True
                    process.send_signal(signal.SIGTERM)
                tokens = (chunk.get("usage") or {}).get("completion_tokens", tokens)
        assert tokens == 200
        assert process.wait(200) == 0
        assert not Path(f"/proc/{pid}").exists()
