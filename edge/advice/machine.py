"""What a device offers a model: memory that is left, and how fast it is read."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edge.errors import DeviceError

if TYPE_CHECKING:
    from edge.devices.profile import Profile

GIB = 2**30
RESERVED_SHARE = 0.06  # that firmware, tables of pages and the kernel hold
PROBE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Machine:
    """memory     bytes that a model's process may use
    read_gb_s  10**9 bytes a second that all cores read, or None where nobody knows
    source     where that figure comes from
    """

    name: str
    memory: int
    read_gb_s: float | None
    source: str

    def with_memory(self, nbytes: int) -> Machine:
        return replace(self, memory=nbytes)


def named(text: str) -> Machine:
    """ "pi5-8gb", "zero2w", "phone-6gb"; without a size, the usual one.

    Raises DeviceError with the names there are.
    """
    from edge.devices.profile import profiles

    match = re.fullmatch(r"([a-z0-9-]+?)(?:-([0-9]{1,3}(?:\.[0-9])?)gb)?", text.lower(), re.ASCII)
    known = [profile for profile in profiles().values() if profile.short]
    for profile in known:
        if match and match[1] in (*profile.short, profile.key):
            return _of(profile, float(match[2]) if match[2] else profile.memory_gb[0])
    names = ", ".join(f"{p.short[0]}-{_shown(p.memory_gb[0])}" for p in known)
    raise DeviceError(f"no device {text!r:.40}; choose from {names} (or another size)")


def _shown(gigabytes: float) -> str:
    return f"{gigabytes:g}gb"


def _of(profile: Profile, gigabytes: float) -> Machine:
    reserved = (profile.reserved_gb or 0.0) + RESERVED_SHARE * gigabytes
    return Machine(
        name=f"{profile.name}, {gigabytes:g} GB",
        memory=max(0, int((gigabytes - reserved) * GIB)),
        read_gb_s=profile.read_gb_s,
        source=profile.sources.get("memory", ""),
    )


def this() -> Machine:
    """The machine this runs on: what is available now; its profile's bandwidth, or a probe's."""
    from edge.devices.device import detect
    from edge.runtime.model import available_memory, usable_cores

    available = available_memory()
    if available is None:
        raise DeviceError(
            "this system does not say how much memory is available; give --ram BYTES or --device"
        )
    device = detect()
    bandwidth, source = device.profile.read_gb_s, device.profile.sources.get("memory", "")
    if bandwidth is None:
        bandwidth, source = _probe(usable_cores()), "measured now, by a short read with NumPy"
    return Machine(
        f"this machine ({device.model or device.profile.name})", available, bandwidth, source
    )


def _probe(threads: int) -> float:
    """GB/s of `threads` that sum up memory side by side; the best of three."""
    import numpy as np

    parts = [np.ones(PROBE_BYTES // 8) for _ in range(threads)]
    best = float("inf")
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(3):
            started = time.perf_counter()
            list(pool.map(np.max, parts))
            best = min(best, time.perf_counter() - started)
    return float(threads * PROBE_BYTES / best / 1e9)
