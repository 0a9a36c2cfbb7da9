"""The text format of Prometheus: base units, no series for what is absent."""

from __future__ import annotations

from collections.abc import Mapping

from .activity import Activity
from .sample import Sample, Sensors
from .sensors.raspberry_pi import REASONS

Labels = Mapping[str, str]
GAUGES = {  # name: (field, factor, help)
    "edge_fan_rpm": ("fan_rpm", 1.0, "Fan speed in revolutions a minute."),
    "edge_supply_volts": ("supply_v", 1.0, "Voltage that comes in."),
    "edge_thermal_headroom_ratio": ("headroom", 1.0, "1 is where the system throttles severely."),
    "edge_battery_charge_ratio": ("battery_percent", 0.01, "Charge of the batteries."),
    "edge_battery_temperature_celsius": ("battery_c", 1.0, "Temperature of the battery."),
}
CLOCKS = {"requested": "requested_hz", "measured": "measured_hz", "max": "max_hz"}


class Page:
    """Families of metrics in the order in which they were first given."""

    def __init__(self) -> None:
        self._families: dict[str, list[str]] = {}

    def add(
        self, name: str, kind: str, about: str, value: float | None, labels: Labels | None = None
    ) -> None:
        """A series, unless it is absent."""
        if value is None:
            return
        family = self._families.setdefault(
            name, [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
        )
        family.append(f"{name}{_braces(labels or {})} {value:.10g}")

    def text(self) -> str:
        return "".join(f"{line}\n" for family in self._families.values() for line in family)


def exposition(sample: Sample, sensors: Sensors, activity: Activity) -> str:
    """All metrics of a sample."""
    page = Page()
    sensor = {"sensor": sample.text("temperature_sensor") or ""}
    about = "Temperature of the processor."
    page.add("edge_temperature_celsius", "gauge", about, sample.number("temperature_c"), sensor)
    for kind, field in CLOCKS.items():
        name, about = "edge_cpu_frequency_hertz", "Clock of the fastest cores."
        page.add(name, "gauge", about, sample.number(field), {"kind": kind})
    for name, (field, factor, about) in GAUGES.items():
        value = sample.number(field)
        page.add(name, "gauge", about, None if value is None else value * factor)
    _throttling(page, sample)
    _power(page, sample)
    _sensors(page, sample, sensors)
    _activity(page, activity)
    return page.text()


def _throttling(page: Page, sample: Sample) -> None:
    bits = sample.number("throttle_bits")
    for bit, reason in REASONS.items():
        value = None if bits is None else float(bool(int(bits) & bit))
        about = "1 while the firmware slows the processor down for this reason."
        page.add("edge_throttled", "gauge", about, value, {"reason": reason})


def _power(page: Page, sample: Sample) -> None:
    for power in sample.power:
        labels = {"source": power.source, "scope": power.scope}
        page.add("edge_power_watts", "gauge", "Power now.", power.watts, labels)
        about = "Energy since the counter was first read."
        page.add("edge_energy_joules_total", "counter", about, power.joules, labels)


def _sensors(page: Page, sample: Sample, sensors: Sensors) -> None:
    up = {found.name: float(found.name not in sample.absent) for found in sensors.found}
    up |= {missing.name: 0.0 for missing in sensors.missing}
    for name, value in up.items():
        page.add("edge_sensor_up", "gauge", "1 if it was read.", value, {"sensor": name})


def _activity(page: Page, activity: Activity) -> None:
    if activity.threads is None:  # nothing is running in this process
        return
    for phase, tokens in (("prefill", activity.prefill_tokens), ("decode", activity.decode_tokens)):
        page.add("edge_tokens_total", "counter", "Tokens computed.", tokens, {"phase": phase})
    about = "Time spent in steps of one token."
    page.add("edge_decode_seconds_total", "counter", about, activity.decode_s)
    page.add("edge_governor_threads", "gauge", "Threads of the next step.", activity.threads)
    page.add("edge_governor_duty_ratio", "gauge", "Share of time not paused.", activity.duty)
    page.add("edge_governor_changes_total", "counter", "Changes made.", activity.changes)


def _braces(labels: Labels) -> str:
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
