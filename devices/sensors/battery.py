"""Batteries of the machine itself: charge, and watts while they discharge."""

from __future__ import annotations

from ..attribute import Attribute
from ..device import Device
from ..reading import Absent, Readings
from ..root import Root

FOLDER = "sys/class/power_supply"
FILES = "capacity", "power_now", "voltage_now", "current_now", "temp"  # a battery has some of them


class Battery:
    """One battery: micro-units of the power_supply class, tenths of a degree."""

    def __init__(self, root: Root, folder: str):
        there = [name for name in FILES if root.number_or_none(f"{folder}/{name}") is not None]
        self._files = {name: Attribute(root, f"{folder}/{name}") for name in ("status", *there)}

    def status(self) -> str:
        return self._files["status"].text().strip()

    def number(self, name: str) -> float | None:
        try:
            return self._files[name].number() if name in self._files else None
        except Absent:
            return None

    def watts(self) -> float:
        """Without a sign: negative should mean discharging, but many firmwares never are.

        Raises Absent.
        """
        power = self.number("power_now")
        if power is None:
            volts, amperes = self.number("voltage_now"), self.number("current_now")
            if volts is None or amperes is None:
                raise Absent("neither power_now nor voltage_now and current_now")
            power = volts * amperes / 1e6
        return abs(power) / 1e6

    def electric(self) -> dict[str, float | str]:
        """Volts, and amperes without a sign: firmwares do not agree on it."""
        volts, amperes = self.number("voltage_now"), self.number("current_now")
        known = {"battery_v": volts, "battery_a": None if amperes is None else abs(amperes)}
        return {name: micro / 1e6 for name, micro in known.items() if micro is not None}


class Batteries:
    """All of them together: one machine may drain two, one after the other."""

    source, scope = "battery", "battery"

    def __init__(self, names: list[str], batteries: list[Battery]):
        self.name = f"battery {', '.join(names)}"
        self._batteries = batteries

    def read(self, now: float) -> Readings:
        states = [battery.status() for battery in self._batteries]
        values: dict[str, float | str] = {"battery_status": _together(states)}
        charges = [b.number("capacity") for b in self._batteries]
        known = [charge for charge in charges if charge is not None]
        if known:
            values["battery_percent"] = sum(known) / len(known)
        warmest = max((b.number("temp") or 0 for b in self._batteries), default=0)
        if warmest:
            values["battery_c"] = warmest / 10
        if len(self._batteries) == 1:  # of several the one is not the other's
            values |= self._batteries[0].electric()
        if values["battery_status"] == "Discharging":  # otherwise the charger feeds the machine
            draining = zip(self._batteries, states, strict=True)
            try:
                watts = sum(battery.watts() for battery, s in draining if s == "Discharging")
                values["power_w"] = watts
            except Absent:
                pass
        return values


def _together(states: list[str]) -> str:
    """Discharging only if one is and none is being charged."""
    for state in ("Charging", "Discharging"):
        if state in states:
            return state
    return states[0]


def find(root: Root, device: Device) -> list[Batteries]:
    names = [
        name
        for name in root.names(FOLDER)
        if root.text_or(f"{FOLDER}/{name}/type") == "Battery"
        and root.text_or(f"{FOLDER}/{name}/scope") != "Device"  # a mouse, a headset
        and root.text_or(f"{FOLDER}/{name}/present", "1") != "0"
    ]
    if not names:
        raise Absent(f"no battery in /{FOLDER}")
    return [Batteries(names, [Battery(root, f"{FOLDER}/{name}") for name in names])]
