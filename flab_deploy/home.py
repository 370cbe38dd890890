"""Where the program keeps its own things: `$FLAB_HOME`, or the user's cache directory."""

import os
from pathlib import Path

from platformdirs import user_cache_path


def flab_home() -> Path:
    """The directory for engines, caches and local run records; created on first use."""
    chosen = os.environ.get("FLAB_HOME")
    home = Path(chosen).expanduser() if chosen else user_cache_path("flab-deploy")
    home.mkdir(parents=True, exist_ok=True)
    return home
