"""What this device feels with, and what was learned of it, as `edge doctor` lists it."""

from __future__ import annotations

from dataclasses import asdict
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


def knees() -> list[dict[str, Any]]:
    """Of models that ran here with a limit or --eco."""
    from edge.devices.device import detect
    from edge.devices.knees import Knees
    from edge.runtime.libraries.cache import folder
    from edge.watch import KNEES

    return [
        {"model": one.model, "threads": one.most, "knee": one.threads, "tok_s": one.speeds}
        for one in Knees(folder() / KNEES).of(detect().profile.key)
    ]


def cooling() -> dict[str, Any]:
    """The verdict, and the last long run that it rests on."""
    from edge.devices.cooling import UNKNOWN, Coolings
    from edge.devices.device import detect
    from edge.runtime.libraries.cache import folder
    from edge.watch import COOLING

    profile = detect().profile
    found = Coolings(folder() / COOLING).recall(profile.key)
    if found is None:
        return {"verdict": UNKNOWN, "run": None}
    return {"verdict": found.verdict(profile), "run": asdict(found)}
