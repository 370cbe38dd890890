"""How a model is served."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le

from flab_deploy.settings.bounds import check_bounds


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """How a model is served."""

    port: Annotated[int, Ge(0), Le(65535)] = 0
    """Port on 127.0.0.1; 0 takes a free one."""
    served_name: str = "flab"
    """The model's name in requests."""
    compiled: bool = True
    """Compile the model: about 40 s more on the first start, then decodes nearly twice as fast as
    eager.
    """
    max_model_len: Annotated[int, Ge(0)] = 0
    """Longest prompt and completion together, in tokens; 0 takes the checkpoint's own limit."""
    kv_cache_gib: Annotated[int, Ge(1)] = 1
    """Memory for the key-value cache on CPU, in GiB."""
    startup_timeout_s: Annotated[float, Gt(0)] = 600.0
    """How long the server may take until it answers."""
    drain_s: Annotated[int, Ge(0)] = 10
    """How long requests in flight may take to finish after SIGTERM."""
    niceness: Annotated[int, Ge(0), Le(19)] = 0
    """How far to lower the server's priority; a load test on the same machine must not wait for
    its server.
    """
    api_key_env: str = "FLAB_API_KEY"
    """Environment variable that holds the API key; if it is not set a key is generated."""

    def __post_init__(self) -> None:
        """Refuse what no server could be started with."""
        check_bounds(self)
