"""Which device this is: its name, its profile, its clusters of cores."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass

from .profile import Profile, profiles
from .reading import Absent
from .root import Root
from .topology import Cluster, clusters

PORTABLE_CHASSIS = {"8", "9", "10", "11", "14", "30", "31", "32"}  # SMBIOS 7.4.1


@dataclass(frozen=True)
class Device:
    """`model` is what the machine calls itself; None where it does not."""

    profile: Profile
    model: str | None
    clusters: tuple[Cluster, ...]

    @property
    def cores(self) -> int:
        return sum(len(cluster.cpus) for cluster in self.clusters) or os.cpu_count() or 1


def detect(
    root: Root | None = None,
    environment: Mapping[str, str] = os.environ,
    architecture: str | None = None,
) -> Device:
    """Device tree first, then Android's marks, then DMI, then the processor's architecture."""
    root = root or Root()
    known = profiles()
    key = (
        _from_device_tree(root, known)
        or _from_android(root, environment)
        or _from_dmi(root)
        or ("aarch64" if (architecture or platform.machine()) == "aarch64" else "desktop")
    )
    return Device(known[key], _model(root), clusters(root))


def _from_device_tree(root: Root, known: dict[str, Profile]) -> str | None:
    names = root.text_or("proc/device-tree/compatible").split("\0")
    for name in names:  # the most special name comes first
        for profile in known.values():
            if any(_matches(name, pattern) for pattern in profile.compatible):
                return profile.key
    return None


def _matches(name: str, pattern: str) -> bool:
    """Exactly, or a chip's family: nvidia,tegra234 is nvidia,tegra."""
    return name == pattern or (pattern == "nvidia,tegra" and name.startswith(pattern))


def _from_android(root: Root, environment: Mapping[str, str]) -> str | None:
    if "TERMUX_VERSION" in environment or "ANDROID_ROOT" in environment:
        return "android"
    try:
        root.text("system/build.prop")
    except Absent as absent:  # it is there, but not for us
        return "android" if "Permission denied" in str(absent) else None
    return "android"


def _from_dmi(root: Root) -> str | None:
    chassis = root.text_or("sys/class/dmi/id/chassis_type")
    if not chassis:
        return None
    return "laptop" if chassis in PORTABLE_CHASSIS else "desktop"


def _model(root: Root) -> str | None:
    model = root.text_or("proc/device-tree/model")
    if model:
        return model
    vendor = root.text_or("sys/class/dmi/id/sys_vendor").strip()
    product = root.text_or("sys/class/dmi/id/product_name").strip()
    return f"{vendor} {product}".strip() or None
