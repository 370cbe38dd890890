"""Energy from the machine's own counters, per component: measured, or unavailable and why.

CPU and memory: RAPL counters under `/sys/class/powercap` (Intel and AMD). GPU: NVML's total
energy counter. There is no model of power here: what has no counter has no figure.
"""

from __future__ import annotations

import ctypes
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from flab_deploy.records.bench import CarbonRecord, ComponentEnergy, EnergyRecord

logger = logging.getLogger(__name__)

POWERCAP = Path("/sys/class/powercap")
JOULES_PER_KWH = 3.6e6
_MAX_WATTS = 5_000.0
_GPU = "gpu"


class Counter(Protocol):
    """A counter of energy that only grows, but for wrapping."""

    @property
    def component(self) -> str:
        """`cpu_package`, `dram` or `gpu`."""

    @property
    def range_joules(self) -> float:
        """Where it wraps to zero; infinite if it does not."""

    def read_joules(self) -> float:
        """The counter now. Raises OSError if it cannot be read."""


@dataclass(frozen=True, kw_only=True)
class RaplCounter:
    """One RAPL domain."""

    path: Path
    """Directory with `energy_uj`."""
    component: str
    """`cpu_package` or `dram`."""
    range_joules: float
    """From `max_energy_range_uj`."""

    def read_joules(self) -> float:
        """The counter now. Raises OSError if it cannot be read."""
        return int((self.path / "energy_uj").read_text(encoding="ascii")) / 1e6


@dataclass(frozen=True, kw_only=True)
class NvmlCounter:
    """One NVIDIA GPU, since its driver was loaded."""

    library: ctypes.CDLL
    """NVML, initialised."""
    handle: ctypes.c_void_p
    """The device."""
    component: str = _GPU
    """Always `gpu`."""
    range_joules: float = float("inf")
    """It does not wrap."""

    def read_joules(self) -> float:
        """The counter now. Raises OSError if it cannot be read."""
        millijoules = ctypes.c_ulonglong()
        code = self.library.nvmlDeviceGetTotalEnergyConsumption(
            self.handle, ctypes.byref(millijoules)
        )
        if code:
            raise OSError(f"NVML returned {code} for the energy counter")
        return millijoules.value / 1e3


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The counters of a machine, and why components have none."""

    counters: tuple[Counter, ...]
    """Readable now."""
    missing: Mapping[str, str]
    """Component to the reason it cannot be measured."""


def find_sources(powercap: Path = POWERCAP) -> Sources:
    """Every readable counter. psys, and parts of a package other than DRAM, would count twice and
    are left out.
    """
    counters: list[Counter] = []
    missing: dict[str, str] = {}
    for folder in sorted(powercap.glob("*:*")):
        component = _component(folder)
        if component is None:
            continue
        try:
            limit = int((folder / "max_energy_range_uj").read_text(encoding="ascii")) / 1e6
            counter = RaplCounter(path=folder, component=component, range_joules=limit)
            counter.read_joules()
            counters.append(counter)
        except PermissionError:
            missing[component] = (
                f"only root may read {folder / 'energy_uj'}; ask the administrator for access"
            )
        except (OSError, ValueError) as error:
            missing[component] = f"{folder / 'energy_uj'} cannot be read ({error})"
    found = {counter.component for counter in counters}
    if "cpu_package" not in found | missing.keys():
        missing["cpu_package"] = (
            f"no RAPL package counter under {powercap} (usual in virtual machines)"
        )
    if "dram" not in found | missing.keys():
        missing["dram"] = f"no RAPL memory counter under {powercap}"
    gpus, reason = _find_gpus()
    if not gpus:
        missing[_GPU] = reason
    # A component of which only some counters can be read would be reported too low.
    whole = tuple(counter for counter in (*counters, *gpus) if counter.component not in missing)
    return Sources(counters=whole, missing=missing)


def _component(folder: Path) -> str | None:
    try:
        name = (folder / "name").read_text(encoding="ascii").strip()
    except OSError:
        return None
    if folder.name.startswith("intel-rapl-mmio"):
        return None
    return "cpu_package" if name.startswith("package-") else "dram" if name == "dram" else None


def _find_gpus() -> tuple[list[Counter], str]:
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return [], "no NVIDIA driver library on this machine"
    if library.nvmlInit_v2():
        return [], "the NVIDIA driver library is there, but does not start"
    count = ctypes.c_uint()
    library.nvmlDeviceGetCount_v2(ctypes.byref(count))
    gpus: list[Counter] = []
    for index in range(count.value):
        handle = ctypes.c_void_p()
        if library.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)):
            return [], f"NVML gives no access to GPU {index}"
        gpu = NvmlCounter(library=library, handle=handle)
        try:
            gpu.read_joules()
        except OSError as error:
            return [], f"GPU {index}: {error}"
        gpus.append(gpu)
    return gpus, "" if gpus else "the NVIDIA driver shows no GPU"


@dataclass(kw_only=True)
class EnergyMeter:
    """Adds up energy over one or several windows: `with meter.window(): ...`."""

    sources: Sources
    """What to read."""
    interval_s: float = 5.0
    """Time between readings; each counter must be read at least twice per wrap (minutes at full
    power).
    """
    window_s: float = 0.0
    """Length of all windows together."""
    joules: dict[str, float] = field(default_factory=dict)
    """Energy of all windows together, by component."""
    faults: dict[str, str] = field(default_factory=dict)
    """Components whose counter failed on the way."""

    @contextmanager
    def window(self) -> Iterator[None]:
        """Measure what happens inside the block."""
        done = threading.Event()
        started = time.monotonic()
        last = [(started, self._read(counter)) for counter in self.sources.counters]

        def watch() -> None:
            while not done.wait(self.interval_s):
                self._advance(last)

        thread = threading.Thread(target=watch, name="energy", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            self._advance(last)
            self.window_s += time.monotonic() - started

    def _read(self, counter: Counter) -> float | None:
        try:
            return counter.read_joules()
        except (OSError, ValueError) as error:
            self.faults[counter.component] = f"the counter stopped being readable ({error})"
            return None

    def _advance(self, last: list[tuple[float, float | None]]) -> None:
        for place, counter in enumerate(self.sources.counters):
            now, (before_s, before) = time.monotonic(), last[place]
            after = self._read(counter)
            last[place] = (now, after)
            if before is None or after is None:
                continue
            grown = after - before if after >= before else after - before + counter.range_joules
            if not 0 <= grown <= _MAX_WATTS * max(now - before_s, 0.01):
                self.faults[counter.component] = (
                    f"the counter was reset: from {before:.1f} to {after:.1f} J"
                )
                continue
            self.joules[counter.component] = self.joules.get(counter.component, 0.0) + grown


def energy_record(
    meter: EnergyMeter, output_tokens: int, required: tuple[str, ...] = ("cpu_package",)
) -> EnergyRecord:
    """The meter's figures: `measured` if every required component was, otherwise `unavailable` with
    the reason.

    `joules` is the sum of the measured components for the whole machine, idle power included.
    """
    reasons = {**meter.sources.missing, **meter.faults}
    measured = {name: joules for name, joules in meter.joules.items() if name not in reasons}
    components = {
        name: ComponentEnergy(status="unavailable", reason=why, joules=None)
        for name, why in reasons.items()
    } | {
        name: ComponentEnergy(status="measured", reason="", joules=round(joules, 3))
        for name, joules in measured.items()
    }
    lacking = [name for name in required if name not in measured]
    if lacking:
        why = "; ".join(f"{name}: {reasons.get(name, 'nothing was measured')}" for name in lacking)
        return EnergyRecord(
            status="unavailable",
            reason=why,
            joules=None,
            energy_per_output_token_joules=None,
            window_s=round(meter.window_s, 3),
            components=components,
        )
    total = sum(measured.values())
    return EnergyRecord(
        status="measured",
        reason=f"sum of {', '.join(sorted(measured))}, idle power included",
        joules=round(total, 3),
        energy_per_output_token_joules=round(total / output_tokens, 6) if output_tokens else None,
        window_s=round(meter.window_s, 3),
        components=components,
    )


def carbon_record(
    energy: EnergyRecord, intensity_g_per_kwh: float | None, source: str
) -> CarbonRecord:
    """Grams of CO2 equivalent per million output tokens; unavailable without measured energy or an
    intensity.
    """
    grams: float | None = None
    per_token = energy.energy_per_output_token_joules
    if energy.status != "measured" or per_token is None:
        reason = f"no measured energy: {energy.reason}"
    elif intensity_g_per_kwh is None:
        reason = "no carbon intensity was given"
    else:
        reason = "measured energy times the given intensity"
        grams = round(1e6 * per_token / JOULES_PER_KWH * intensity_g_per_kwh, 4)
    return CarbonRecord(
        status="measured" if grams is not None else "unavailable",
        reason=reason,
        intensity_g_per_kwh=intensity_g_per_kwh,
        source=source,
        gco2e_per_million_tokens=grams,
    )
