"""Liveness of a vLLM server: exit code 0 while it is healthy or idle, 1 when it is down or hung.

/health keeps answering while the engine hangs, and a slow answer may only mean a busy server. So
the server counts as hung when requests are running and no engine step ended for STALL_S seconds. It
uses the standard library alone and keeps what it saw last in a file, because every probe is a new
process.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

SERVER = os.environ.get("FLAB_HEARTBEAT_URL", "http://127.0.0.1:8000")
STATE = Path(os.environ.get("FLAB_HEARTBEAT_STATE", "/tmp/heartbeat.json"))
STALL_S = float(os.environ.get("FLAB_HEARTBEAT_STALL_S", "120"))
TIMEOUT_S = 3.0
RUNNING = "vllm:num_requests_running"
STEPS = "vllm:iteration_tokens_total_count"


def fetch(path: str) -> str:
    """The body of a page of the server."""
    request = urllib.request.Request(SERVER + path)
    if key := os.environ.get("VLLM_API_KEY"):
        request.add_header("Authorization", f"Bearer {key}")
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        body: str = answer.read().decode()
    return body


def total(metrics: str, name: str) -> float | None:
    """Sum of a metric over its label sets; None if the page does not have it."""
    values = [
        float(line.rsplit(" ", 1)[1])
        for line in metrics.splitlines()
        if line.startswith((f"{name}{{", f"{name} "))
    ]
    return sum(values) if values else None


def last_progress(steps: float, now: float) -> float:
    """When the step count last changed, in seconds since the epoch; this moment if it just did."""
    try:
        seen = json.loads(STATE.read_text())
    except (OSError, ValueError):
        seen = {}
    since = float(seen["since"]) if seen.get("steps") == steps else now
    STATE.write_text(json.dumps({"steps": steps, "since": since}))
    return since


def problem() -> str | None:
    """What is wrong, or None."""
    try:
        fetch("/health")
        metrics = fetch("/metrics")
    except urllib.error.HTTPError as error:
        return f"{error.url} answered {error.code}"
    except OSError as error:
        return f"no answer: {error}"
    running, steps = total(metrics, RUNNING), total(metrics, STEPS)
    if running is None or steps is None:
        return None  # another vLLM version renamed a metric: never kill a server over that
    now = time.time()
    stalled_s = now - (last_progress(steps, now) if running else now)
    if not running:
        STATE.unlink(missing_ok=True)
    return (
        f"{running:.0f} requests running, no engine step for {stalled_s:.0f} s"
        if stalled_s >= STALL_S
        else None
    )


if __name__ == "__main__":
    found = problem()
    if found:
        sys.stderr.write(found + "\n")
    sys.exit(1 if found else 0)
