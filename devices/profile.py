"""What is known of a kind of device before anything is measured: a JSON file each."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "profiles"


@dataclass(frozen=True)
class Limits:
    """Degrees Celsius; None where the device has no such limit, or nobody knows it.

    soft      firmware gives up a little speed (Pi 3B+), or a phone's system a lot
    throttle  firmware lowers the clock step by step
    hard      everything is slowed down
    target    what the governor stays below when it has to act
    """

    soft_c: float | None = None
    throttle_c: float | None = None
    hard_c: float | None = None
    critical_c: float | None = None
    target_c: float | None = None


@dataclass(frozen=True)
class PowerModel:
    """Watts of `cores` busy cores at a share of the top clock; an estimate, not a measurement.

    watts = idle_w * clock**idle_exponent + cores * core_w * clock**core_exponent
    """

    idle_w: float
    core_w: float
    idle_exponent: float
    core_exponent: float
    scope: str  # which watts these are: board-rails, input or package

    def watts(self, cores: float, clock: float = 1.0) -> float:
        idle: float = self.idle_w * clock**self.idle_exponent
        busy: float = cores * self.core_w * clock**self.core_exponent
        return idle + busy


@dataclass(frozen=True)
class Node:
    """One pole of a thermal model: kelvin per watt, seconds."""

    r: float
    tau: float


@dataclass(frozen=True)
class WallEstimate:
    """Watts at the plug from watts on the rails: slope * w + offset, to `error`."""

    slope: float
    offset: float
    error: float


@dataclass(frozen=True)
class Profile:
    """A kind of device.  `sources` says for each part where its figures come from."""

    key: str
    name: str
    short: tuple[str, ...] = ()  # names to ask for it by: "pi5", with memory "pi5-8gb"
    memory_gb: tuple[float, ...] = ()  # it is sold with, in 2**30 bytes; the usual one first
    reserved_gb: float | None = None  # that the system and its services hold
    read_gb_s: float | None = None  # that all cores together read from memory, in 10**9 bytes
    compatible: tuple[str, ...] = ()  # of the device tree, any of them
    cores: int | None = None
    features: tuple[str, ...] = ()  # of /proc/cpuinfo, to be expected
    clocks_mhz: tuple[int, ...] = ()  # that the firmware or the governor may set, rising
    limits: Limits = Limits()
    power: PowerModel | None = None
    wall: WallEstimate | None = None
    cooling: dict[str, tuple[Node, Node]] = field(default_factory=dict)  # the likeliest first
    supply_warn_v: float | None = None
    supply_bad_v: float | None = None
    sources: dict[str, str] = field(default_factory=dict)

    @property
    def usual_cooling(self) -> tuple[Node, Node] | None:
        return next(iter(self.cooling.values()), None)


def load(path: Path) -> Profile:
    own: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for name in ("short", "memory_gb", "compatible", "features", "clocks_mhz"):
        own[name] = tuple(own.get(name, ()))
    own["limits"] = Limits(**own.get("limits", {}))
    own["power"] = PowerModel(**own["power"]) if own.get("power") else None
    own["wall"] = WallEstimate(**own["wall"]) if own.get("wall") else None
    own["cooling"] = {
        name: tuple(Node(*node) for node in nodes) for name, nodes in own.get("cooling", {}).items()
    }
    return Profile(key=path.stem, **own)


def profiles() -> dict[str, Profile]:
    """All of them by key, the most special first."""
    loaded = [load(path) for path in sorted(FOLDER.glob("*.json"))]
    loaded.sort(key=lambda profile: (not profile.compatible, profile.key))
    return {profile.key: profile for profile in loaded}
