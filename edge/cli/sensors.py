"""What this device feels with, and what was learned of it, as `edge doctor` lists it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edge.devices.root import Root

if TYPE_CHECKING:
    from edge.devices.profile import Profile
    from edge.devices.sample import Sample, Sensors


def survey(root: Root | None = None) -> dict[str, Any]:
    """Every sensor, present or the reason why not; throttling; thread knees; the cooler."""
    from edge.devices.device import detect
    from edge.devices.sample import Sensors

    root = root or Root()
    device = detect(root)
    found = Sensors.of(device, root)
    sample = found.sample(0.0)
    return {
        "sensors": _listing(found, sample),
        "throttling": _throttling(sample),
        "thread_knees": _knees(device.profile),
        "cooling": _cooling(device.profile),
    }


def _listing(found: Sensors, sample: Sample) -> list[dict[str, Any]]:
    listed = [_entry(sensor.name, sample.absent.get(sensor.name)) for sensor in found.found]
    return listed + [_entry(missing.name, missing.reason) for missing in found.missing]


def _entry(name: str, reason: str | None) -> dict[str, Any]:
    return {"name": name, "present": reason is None, "reason": reason}


def _throttling(sample: Sample) -> dict[str, Any]:
    """Reasons now and since the device was started; None where nothing tells."""
    from edge.devices.sensors.raspberry_pi import since_boot
    from edge.devices.window import throttle_reasons

    bits = sample.number("throttle_bits")
    before = None if bits is None else since_boot(int(bits)) or "none"
    return {"now": throttle_reasons(sample), "since_boot": before}


def _knees(profile: Profile) -> list[dict[str, Any]]:
    """Of models that ran here with a limit or --eco."""
    from edge.devices.knees import Knees
    from edge.runtime.libraries.cache import folder
    from edge.watch import KNEES

    return [
        {"model": one.model, "threads": one.most, "knee": one.threads, "tok_s": one.speeds}
        for one in Knees(folder() / KNEES).of(profile.key)
    ]


def _cooling(profile: Profile) -> dict[str, Any]:
    """The verdict, and the last long run that it rests on."""
    from edge.devices.cooling import UNKNOWN, Coolings
    from edge.runtime.libraries.cache import folder
    from edge.watch import COOLING

    found = Coolings(folder() / COOLING).recall(profile.key)
    if found is None:
        return {"verdict": UNKNOWN, "run": None}
    return {"verdict": found.verdict(profile), "run": asdict(found)}
