"""How two models are measured under load."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """How two models are measured."""

    request_rate: float = 4.0
    """Mean arrivals per second (Poisson)."""
    num_requests: int = 220
    """Counted requests per model, over all rounds."""
    rounds: int = 2
    """How often the load alternates between the models."""
    warmup_requests: int = 8
    """Uncounted requests before the counted ones of each round."""
    min_output_tokens: int = 24
    """Shortest completion; lengths are drawn evenly and forced."""
    max_output_tokens: int = 64
    """Longest completion."""
    burst_requests: int = 32
    """Requests sent at once after each round, for capacity; 0 leaves it out."""
    agreement_prompts: int = 50
    """Prompts on which each model's greedy tokens are compared with transformers'; 0 leaves it out.
    """
    prompts: str = ""
    """JSON-lines file of tasks whose prompts make the load; empty takes the reference tasks'
    validation split.
    """
    seed: int = 0
    """Of arrivals, prompts and lengths."""
    request_timeout_s: float = 60.0
    """A request that takes longer has failed."""
    min_samples_p99: int = 200
    """Samples from which a 99th percentile is told."""
    compiled: bool = False
    """Compile the models: decodes nearly twice as fast, and takes up to a minute more per model to
    start.
    """
    kv_cache_gib: int = 1
    """Memory for each server's key-value cache on CPU, in GiB."""
    carbon_intensity_g_per_kwh: float | None = None
    """Grams of CO2 equivalent per kWh of this machine's electricity; there is no default."""
    carbon_source: str = ""
    """Where that intensity is from, with year and zone."""
