"""What the governor aims at: the user's limits, or none, and which temperature they are of."""

from __future__ import annotations

from dataclasses import dataclass

from edge.errors import DeviceError

from .profile import Node, Profile
from .sample import Sample

# Android: headroom 1 is where `severe` begins, and 0 is 30 K below (AOSP, ThermalManagerService).
HEADROOM_K = 30.0
HEADROOM_TARGET = 0.85
TRIP_MARGIN_K = 5.0  # below the lowest passive trip, where the profile knows no target


@dataclass(frozen=True)
class Targets:
    """The user's limits; None is no limit.  Without any the governor only helps the firmware.

    eco: as few threads as give 95 % of the speed.
    """

    max_temp_c: float | None = None
    max_watts: float | None = None
    battery_floor: float | None = None  # percent
    eco: bool = False

    @property
    def given(self) -> bool:
        return self.eco or self.max_temp_c is not None or self.max_watts is not None


def governed_celsius(sample: Sample, profile: Profile) -> float | None:
    """The temperature that limits this device: a phone's body, every other's processor."""
    if profile.key != "android":
        return sample.number("temperature_c")
    battery, headroom = sample.number("battery_c"), sample.number("headroom")
    if battery is None and headroom is not None and profile.limits.target_c is not None:
        return profile.limits.target_c + HEADROOM_K * (headroom - HEADROOM_TARGET)
    return battery


def governed_nodes(profile: Profile) -> tuple[Node, Node] | None:
    """Of the temperature above: a phone's body hardly knows the processor's fast pole."""
    nodes = profile.usual_cooling
    if nodes is None or profile.key != "android":
        return nodes
    return Node(0.1, nodes[0].tau), nodes[1]


def check_possible(targets: Targets, sample: Sample, profile: Profile) -> None:
    """Raises DeviceError for a limit on what nothing here measures.

    A phone's battery answers seconds later, so a phone is trusted to have one.
    """
    if profile.key == "android":
        return
    measured = [power for power in sample.power if power.scope != "model"]
    if targets.max_temp_c is not None and governed_celsius(sample, profile) is None:
        raise DeviceError(
            "--max-temp: nothing on this device tells its temperature; see edge doctor"
        )
    if targets.max_watts is not None and not measured:
        raise DeviceError("--max-watts: nothing on this device tells its power; see edge doctor")
    if targets.battery_floor is not None and sample.number("battery_percent") is None:
        raise DeviceError("--battery-floor: this device has no battery that can be read")


def refusal(targets: Targets, sample: Sample | None, profile: Profile) -> str | None:
    """Why no new work should be begun now."""
    if sample is None:
        return None
    charge, floor = sample.number("battery_percent"), targets.battery_floor
    draining = sample.text("battery_status") in (None, "Discharging")
    if charge is not None and floor is not None and charge <= floor and draining:
        return f"the battery is at {charge:.0f} %, the floor is {floor:.0f} %; plug the device in"
    celsius, critical = sample.number("temperature_c"), profile.limits.critical_c
    if celsius is not None and critical is not None and celsius >= critical - TRIP_MARGIN_K:
        return f"{celsius:.0f} °C, the device shuts down at {critical:.0f}; let it cool"
    return None
