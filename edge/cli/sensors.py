"""What this device feels with, as `edge doctor` lists it."""

from __future__ import annotations

from typing import Any

from edge.devices.root import Root


def listing(root: Root | None = None) -> list[dict[str, Any]]:
    """Every sensor: present, or the reason why not."""
    from edge.devices.device import detect
    from edge.devices.sample import Sensors

    root = root or Root()
    found = Sensors.of(detect(root), root)
    absent = found.sample(0.0).absent
    listed = [_entry(sensor.name, absent.get(sensor.name)) for sensor in found.found]
    return listed + [_entry(missing.name, missing.reason) for missing in found.missing]


def _entry(name: str, reason: str | None) -> dict[str, Any]:
    return {"name": name, "present": reason is None, "reason": reason}
