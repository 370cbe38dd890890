"""Ten thousand programs, right and wrong, through one judge: nothing grows and nothing is the
judge's fault.
"""

from __future__ import annotations

import time

import pytest

from tests.benchmarks.sandbox.endurance import Holding, endure, spread

NUM_PROGRAMS = 10_000


@pytest.mark.benchmark
@pytest.mark.timeout(3600)
def test_nothing_grows_over_ten_thousand_programs() -> None:
    started = time.perf_counter()
    seen, counts, odd = endure(NUM_PROGRAMS, every=100)
    seconds = time.perf_counter() - started
    print(
        f"\n{NUM_PROGRAMS} programs in {seconds:.0f} s; verdicts {dict(counts)}; unexpected "
        f"{len(odd)}"
    )
    for name in Holding.__dataclass_fields__:
        low, high = spread(seen, name)
        print(
            f"  {name}: {low:,} to {high:,}; first {getattr(seen[2], name):,}, last "
            f"{getattr(seen[-2], name):,}"
        )
    assert odd == []
    assert spread(seen, "own_descriptors")[0] == spread(seen, "own_descriptors")[1]
    assert spread(seen, "worker_descriptors")[1] <= 2 * 16
    assert spread(seen, "processes")[1] <= 2 * 3
    assert spread(seen, "temporary_files")[1] <= 2 * 16
    low, high = spread(seen, "worker_rss_bytes")
    assert high - low < 4 << 20
