import math

import pytest

from flab_deploy.errors import ConfigError
from flab_deploy.records.bench import Outcome
from serving.latency import (
    Bounds,
    e2el_ms,
    judge,
    order_statistic,
    quantile_interval,
    summarise,
    tpot_ms,
    ttft_ms,
)
from serving.load import LoadPlan, draw_plan, run_load

from .virtual_time import Server, loaded

PROMPTS = ["def f(", "def g(", "def h("]


def plan(
    num_requests: int = 100, rate: float = 100.0, seed: int = 0, tokens: tuple[int, int] = (1, 5)
) -> LoadPlan:
    return draw_plan(
        PROMPTS, request_rate=rate, num_requests=num_requests, output_tokens=tokens, seed=seed
    )


def outcome(
    index: int = 0, *, late_s: float = 0.0, latency_s: float = 0.1, error: str = ""
) -> Outcome:
    first, last = (None, None) if error else (index + latency_s / 2, index + latency_s)
    return Outcome(
        index=index,
        scheduled_s=index,
        sent_s=index + late_s,
        first_s=first,
        last_s=last,
        prompt_tokens=3,
        output_tokens=0 if error else 11,
        error=error,
    )


def test_the_same_seed_draws_the_same_plan():
    assert plan() == plan()
    assert plan().digest == plan().digest
    assert plan().digest != plan(seed=1).digest


def test_a_longer_plan_begins_with_the_shorter_one():
    assert plan(200).requests[:100] == plan(100).requests


def test_arrivals_are_poisson_and_prompts_unique():
    drawn = plan(4_000, rate=50.0)
    gaps = [b.at_s - a.at_s for a, b in zip(drawn.requests, drawn.requests[1:], strict=False)]
    mean = sum(gaps) / len(gaps)
    deviation = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert mean == pytest.approx(0.02, rel=0.05)
    assert deviation == pytest.approx(mean, rel=0.08)  # of an exponential distribution
    assert len({request.prompt for request in drawn.requests}) == 4_000
    assert {request.output_tokens for request in drawn.requests} == {1, 2, 3, 4, 5}


def test_an_infinite_rate_sends_all_at_once():
    assert {request.at_s for request in plan(rate=math.inf).requests} == {0.0}


@pytest.mark.parametrize(
    "change", [{"request_rate": 0}, {"num_requests": 0}, {"output_tokens": (5, 4)}, {"prompts": []}]
)
def test_an_impossible_load_is_refused(change):
    settings = {
        "prompts": PROMPTS,
        "request_rate": 1.0,
        "num_requests": 1,
        "output_tokens": (1, 1),
        "seed": 0,
    } | change
    with pytest.raises(ConfigError, match="at least 1"):
        draw_plan(settings.pop("prompts"), **settings)


def latencies(outcomes: list[Outcome]) -> list[tuple[float, float, float]]:
    return [(ttft_ms(item), tpot_ms(item), e2el_ms(item)) for item in outcomes]


def test_known_delays_are_measured_exactly():
    requests = plan(60, tokens=(6, 6)).requests
    outcomes = loaded(Server(first_token_s=0.05, token_interval_s=0.01), requests)
    assert [item.sent_s for item in outcomes] == pytest.approx([one.at_s for one in requests])
    assert all(item.ok and item.output_tokens == 6 for item in outcomes)
    for found in latencies(outcomes):
        assert found == pytest.approx((50.0, 10.0, 100.0))


def test_a_stall_is_charged_to_everyone_due_meanwhile():
    drawn = plan(240, rate=80.0, tokens=(1, 1))
    begin, end, lead = 0.5, 1.5, 0.1
    arrivals = [request.at_s + lead for request in drawn.requests]
    expected = [1e3 * ((end - at if begin <= at < end else 0.0) + 0.02) for at in arrivals]
    outcomes = loaded(Server(first_token_s=0.02, stall=(begin, end)), drawn.requests)
    assert [ttft_ms(item) for item in outcomes] == pytest.approx(expected)
    figures = summarise(outcomes, 3.0, Bounds())
    assert figures.validity.verdict == "valid"
    assert figures.ttft.p99.ms is not None and figures.ttft.p99.ms > 900
    assert figures.ttft.p99.ms == pytest.approx(order_statistic(expected, 0.99), abs=1e-3)
    assert figures.ttft.p90.ms == pytest.approx(order_statistic(expected, 0.90), abs=1e-3)


def test_a_client_that_halts_is_charged_for_it_and_named():
    requests = plan(200, rate=100.0, tokens=(1, 1)).requests
    halted_s, lead = 0.4, 0.1
    until = 0.6 + halted_s - lead  # by the plan's clock
    outcomes = loaded(Server(first_token_s=0.02), requests, halt=(0.6, halted_s))
    late = [item for item in outcomes if 0.6 - lead < item.scheduled_s < until]
    assert len(late) > 20
    for item in late:
        assert item.sent_s == pytest.approx(until)
        assert ttft_ms(item) == pytest.approx(1e3 * (until + 0.02 - item.scheduled_s))
    assert summarise(outcomes, 3.0, Bounds()).validity.verdict == "generator_limited"


def test_over_real_sockets_nothing_is_faster_than_the_server(endpoint):
    requests = plan(60, tokens=(6, 6)).requests
    with endpoint(first_token_s=0.05, token_interval_s=0.01, empty_first=True) as server:
        outcomes = run_load(server.url, "m", {}, requests)
    assert [item.index for item in outcomes] == [one.index for one in requests]
    assert all(item.ok and (item.prompt_tokens, item.output_tokens) == (7, 6) for item in outcomes)
    assert all(item.sent_s > one.at_s - 1e-3 for item, one in zip(outcomes, requests, strict=True))
    for first, _, whole in latencies(outcomes):
        assert first > 49 and whole > 99
    assert server.behaviour.seen[0]["ignore_eos"] is True


def test_nobody_waits_for_anybody(endpoint):
    """The server answers nobody until it has got every request, more than clients keep open."""
    with endpoint(hold_until=150) as server:
        outcomes = run_load(server.url, "m", {}, plan(150, rate=1_000.0).requests)
    assert all(item.ok for item in outcomes)
    assert min(item.first_s for item in outcomes) > max(item.sent_s for item in outcomes)


def test_refused_and_cut_requests_fail_and_invalidate(endpoint):
    with endpoint(refuse_every=5, cut_every=7) as server:
        outcomes = run_load(server.url, "m", {}, plan(70, tokens=(3, 3)).requests)
    assert {item.error for item in outcomes} == {"", "status 503", "cut off"}
    figures = summarise(outcomes, 1.0, Bounds(min_samples_p99=50))
    assert figures.validity.verdict == "invalid"
    assert figures.completed + figures.failed == 70
    assert figures.e2el.p99.ms is None and "failed" in figures.e2el.p99.reason
    assert figures.ttft.mean.ms is None and "failed" in figures.ttft.mean.reason
    assert figures.ttft.p50.ms > 0 and figures.ttft.p50.reason is None


def test_a_dead_server_and_a_slow_one_are_failures(endpoint):
    requests = plan(3, tokens=(50, 50)).requests
    assert {item.error for item in run_load("http://127.0.0.1:9", "m", {}, requests)} == {
        "ConnectError"
    }
    with endpoint(token_interval_s=0.02) as server:
        slow = run_load(server.url, "m", {}, requests, timeout_s=0.3)
    assert {item.error for item in slow} == {"not done after 0.3 s"}


def test_a_lagging_generator_is_named():
    late = [outcome(index, late_s=0.02) for index in range(100)]
    assert judge(late, Bounds()).verdict == "generator_limited"
    rarely = [outcome(index, late_s=0.06 if index % 50 == 0 else 0.0) for index in range(100)]
    assert judge(rarely, Bounds()).verdict == "generator_limited"
    assert (
        judge([outcome(index, late_s=0.002) for index in range(100)], Bounds()).verdict == "valid"
    )


def test_a_lag_counts_as_latency():
    assert ttft_ms(outcome(late_s=0.04)) == ttft_ms(outcome())
    assert tpot_ms(outcome()) == pytest.approx(5.0)


def test_percentiles_need_samples():
    figures = summarise([outcome(index) for index in range(199)], 10.0, Bounds())
    assert figures.ttft.p99.ms is None and figures.ttft.p99.interval_ms is None
    assert figures.ttft.p99.reason == "insufficient samples: 199, at least 200 are asked for"
    assert figures.ttft.p90.ms == pytest.approx(50.0)
    assert figures.ttft.curve == () and figures.ttft.num_samples == 199
    enough = summarise([outcome(index) for index in range(200)], 10.0, Bounds())
    assert enough.ttft.p99.ms == pytest.approx(50.0) and len(enough.ttft.curve) > 10


def test_quantile_interval_is_open_where_no_sample_bounds_it():
    values = [float(value) for value in range(200)]
    low, high = quantile_interval(values, 0.5)
    assert low < 100 < high and high - low < 32
    assert quantile_interval(values, 0.99)[1] is None
    assert quantile_interval([float(value) for value in range(2_000)], 0.99)[1] is not None


def test_quantile_interval_covers():
    from random import Random

    rng, covered = Random(0), 0
    for _ in range(400):
        low, high = quantile_interval([rng.random() for _ in range(100)], 0.5)
        covered += low <= 0.5 <= high
    assert covered >= 370
