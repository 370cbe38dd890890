"""A Prefect server that lives exactly as long as one run: `python -m flows.server FD`.

It is Prefect's own application in its ephemeral mode, started by us for three reasons: it can start
while the run still imports its libraries, it listens on a port that nobody else can take in
between, and it ends with its parent however that ended, because its standard input ends then.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import httpx

from flab_deploy.errors import ServingError

if TYPE_CHECKING:
    import uvicorn

STARTUP_LIMIT_S = 120.0
"""How long a server may take to answer; the first start creates the database."""
_STOP_LIMIT_S = 10.0


class PrivateServer:
    """A Prefect server on a free port of 127.0.0.1 that only this process can talk to."""

    def __init__(self, home: Path) -> None:
        """Start the server without waiting for it; `home` keeps its database and its log."""
        self.log = home / "server.log"
        self.secret = f"flab:{secrets.token_urlsafe(24)}"
        self._lock = _startup_lock(home)
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(64)
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
            self._process = self._spawn(listener.fileno(), home)

    def _spawn(self, descriptor: int, home: Path) -> subprocess.Popen[bytes]:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")
        } | {
            "PREFECT_HOME": str(home),
            "PREFECT_SERVER_API_AUTH_STRING": self.secret,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_UI_ENABLED": "false",
        }
        with self.log.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "flows.server", str(descriptor)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=[descriptor],
                env=environment,
                cwd=Path(__file__).parents[1],
                start_new_session=True,
            )

    def wait(self) -> None:
        """Return when the server answers. Raises ServingError if it ends or takes too long."""
        try:
            httpx.get(
                f"{self.url}/health", timeout=STARTUP_LIMIT_S, trust_env=False
            ).raise_for_status()
        except httpx.HTTPError as error:
            last = self.log.read_text(errors="replace").strip().splitlines()[-1:] or [str(error)]
            raise ServingError(
                f"the private Prefect server did not start: {last[0]}; see {self.log}"
            ) from None
        finally:
            self._lock.close()

    def stop(self) -> None:
        """End the server: politely first, by force after ten seconds."""
        self._lock.close()
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def private_server(home: Path) -> Iterator[PrivateServer]:
    """A server that starts in the background on entry and is gone on exit."""
    server = PrivateServer(home)
    try:
        yield server
    finally:
        server.stop()


def _startup_lock(home: Path) -> IO[bytes]:
    """Two first starts at once would both create the database; the second waits here for the
    first.
    """
    home.mkdir(parents=True, exist_ok=True)
    lock = (home / "server.lock").open("wb")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def main(descriptor: int) -> None:
    """Serve Prefect's ephemeral application on an open listening socket until standard input
    ends.
    """
    import uvicorn
    from prefect.server.api.server import create_app

    application = create_app(ephemeral=True, final=True)
    server = uvicorn.Server(
        uvicorn.Config(application, log_level="error", lifespan="on", timeout_graceful_shutdown=2)
    )
    threading.Thread(target=_stop_with_parent, args=(server,), daemon=True).start()
    server.run(sockets=[socket.socket(fileno=descriptor)])


def _stop_with_parent(server: uvicorn.Server) -> None:
    sys.stdin.buffer.read()
    server.should_exit = True
    time.sleep(_STOP_LIMIT_S)
    os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
