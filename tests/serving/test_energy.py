from pathlib import Path

import pytest

from serving.energy import EnergyMeter, carbon_block, energy_block, find_sources

RANGE_UJ = 1_000_000_000


def domain(root: Path, name: str, label: str, energy_uj: int) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "name").write_text(label + "\n")
    (folder / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    return folder / "energy_uj"


@pytest.fixture
def tree(tmp_path: Path) -> dict[str, Path]:
    return {
        "package-0": domain(tmp_path, "intel-rapl:0", "package-0", 5_000_000),
        "core": domain(tmp_path, "intel-rapl:0:0", "core", 1),
        "dram": domain(tmp_path, "intel-rapl:0:1", "dram", 100),
        "package-1": domain(tmp_path, "intel-rapl:1", "package-1", RANGE_UJ - 2_000_000),
        "psys": domain(tmp_path, "intel-rapl:2", "psys", 7),
    }


def grow(counter: Path, joules: float) -> None:
    counter.write_text(str((int(counter.read_text()) + round(joules * 1e6)) % RANGE_UJ))


def test_packages_and_memory_are_summed_and_a_wrap_is_followed(tree, tmp_path):
    meter = EnergyMeter(sources=find_sources(tmp_path), interval_s=0.02)
    for _ in range(2):
        with meter.window():
            grow(tree["package-0"], 10.0)
            grow(tree["package-1"], 5.0)  # wraps in the first window
            grow(tree["dram"], 1.0)
            grow(tree["core"], 8.0)
            grow(tree["psys"], 50.0)
    block = energy_block(meter, output_tokens=64)
    assert block["status"] == "measured"
    assert block["components"]["cpu_package"]["joules"] == pytest.approx(30.0)
    assert block["components"]["dram"]["joules"] == pytest.approx(2.0)
    assert block["joules"] == pytest.approx(32.0)
    assert block["energy_per_output_token_joules"] == pytest.approx(0.5)


def test_a_reset_counter_is_no_wrap(tree, tmp_path):
    tree["package-0"].write_text(str(RANGE_UJ // 2))
    meter = EnergyMeter(sources=find_sources(tmp_path))
    meter.interval_s = 60
    with meter.window():
        tree["package-0"].write_text("0")  # 500 J in no time
    block = energy_block(meter, output_tokens=10)
    assert block["status"] == "unavailable" and "reset" in block["reason"]
    assert block["joules"] is None


def test_a_counter_that_vanishes_makes_the_figure_unavailable(tree, tmp_path):
    meter = EnergyMeter(sources=find_sources(tmp_path))
    with meter.window():
        tree["package-1"].unlink()
    assert energy_block(meter, output_tokens=10)["status"] == "unavailable"


def test_half_of_the_packages_is_not_the_whole(tree, tmp_path):
    tree["package-1"].unlink()
    sources = find_sources(tmp_path)
    assert {counter.component for counter in sources.counters} == {"dram"}
    assert "intel-rapl:1" in sources.missing["cpu_package"]


def test_a_machine_without_counters_says_so(tmp_path):
    meter = EnergyMeter(sources=find_sources(tmp_path / "nothing"))
    with meter.window():
        pass
    block = energy_block(meter, output_tokens=10)
    assert block["status"] == "unavailable"
    assert "no RAPL package counter" in block["reason"]
    assert block["components"]["cpu_package"]["status"] == "unavailable"
    assert block["energy_per_output_token_joules"] is None


def test_carbon_is_energy_times_a_given_intensity():
    energy = {"status": "measured", "energy_per_output_token_joules": 0.36}
    block = carbon_block(energy, 400.0, "grid operator, 2025")
    assert block["gco2e_per_million_tokens"] == pytest.approx(40.0)
    assert block["source"] == "grid operator, 2025"


def test_carbon_is_never_made_up():
    measured = {"status": "measured", "energy_per_output_token_joules": 0.36}
    assert carbon_block(measured, None, "")["status"] == "unavailable"
    missing = {
        "status": "unavailable",
        "reason": "no sensor",
        "energy_per_output_token_joules": None,
    }
    block = carbon_block(missing, 400.0, "x")
    assert block["status"] == "unavailable" and "no sensor" in block["reason"]
    assert block["gco2e_per_million_tokens"] is None
