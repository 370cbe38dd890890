"""How a model is served, and how two are measured under load."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le

from flab_deploy.errors import ConfigError
from flab_deploy.settings.shared.bounds import Seed, check_bounds


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


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """How two models are measured."""

    request_rate: Annotated[float, Gt(0)] = 4.0
    """Mean arrivals per second (Poisson)."""
    num_requests: Annotated[int, Ge(1)] = 220
    """Counted requests per model, over all rounds."""
    rounds: Annotated[int, Ge(1)] = 2
    """How often the load alternates between the models."""
    warmup_requests: Annotated[int, Ge(0)] = 8
    """Uncounted requests before the counted ones of each round."""
    min_output_tokens: Annotated[int, Ge(1)] = 24
    """Shortest completion; lengths are drawn evenly and forced."""
    max_output_tokens: Annotated[int, Ge(1)] = 64
    """Longest completion."""
    burst_requests: Annotated[int, Ge(0)] = 32
    """Requests sent at once after each round, for capacity; 0 leaves it out."""
    agreement_prompts: Annotated[int, Ge(0)] = 50
    """Prompts on which each model's greedy tokens are compared with transformers'; 0 leaves it out.
    """
    prompts: str = ""
    """JSON-lines file of tasks whose prompts make the load; empty takes the reference tasks'
    validation split.
    """
    seed: Seed = 0
    """Of arrivals, prompts and lengths."""
    request_timeout_s: Annotated[float, Gt(0)] = 60.0
    """A request that takes longer has failed."""
    min_samples_p99: Annotated[int, Ge(1)] = 200
    """Samples from which a 99th percentile is shown."""
    compiled: bool = False
    """Compile the models: decodes nearly twice as fast, and takes up to a minute more per model to
    start.
    """
    kv_cache_gib: Annotated[int, Ge(1)] = 1
    """Memory for each server's key-value cache on CPU, in GiB."""
    carbon_intensity_g_per_kwh: Annotated[float, Ge(0)] | None = None
    """Grams of CO2 equivalent per kWh of this machine's electricity; there is no default."""
    carbon_source: str = ""
    """Where that intensity is from, with year and zone."""

    def __post_init__(self) -> None:
        """Refuse loads that cannot be drawn."""
        check_bounds(self)
        if self.rounds > self.num_requests:
            raise ConfigError(
                f"rounds is {self.rounds}; it must lie between 1 and num_requests "
                f"({self.num_requests})"
            )
        if self.min_output_tokens > self.max_output_tokens:
            raise ConfigError(
                f"output tokens are {self.min_output_tokens} to {self.max_output_tokens}; give "
                "1 <= min_output_tokens <= max_output_tokens"
            )
