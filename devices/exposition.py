"""The text format of Prometheus: base units, no series for what is absent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .sample import Sample, Sensors
from .sensors.raspberry_pi import REASONS
from .status import Status

Labels = Mapping[str, str]
GAUGES = {  # name: (field, factor, help)
    "edge_fan_rpm": ("fan_rpm", 1.0, "Fan speed in revolutions a minute."),
    "edge_supply_volts": ("supply_v", 1.0, "Voltage that comes in."),
    "edge_thermal_headroom_ratio": ("headroom", 1.0, "1 is where the system throttles severely."),
    "edge_battery_charge_ratio": ("battery_percent", 0.01, "Charge of the batteries."),
    "edge_battery_temperature_celsius": ("battery_c", 1.0, "Temperature of the battery."),
    "edge_battery_voltage_volts": ("battery_v", 1.0, "Voltage of the battery."),
    "edge_battery_current_amperes": ("battery_a", 1.0, "Current of the battery, without a sign."),
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


def exposition(
    sample: Sample, sensors: Sensors, watts: float | None, processes: Sequence[Status] = ()
) -> str:
    """All metrics of a sample.  `watts`: of the source believed most, which may be a counter."""
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
    _power(page, sample, watts)
    _sensors(page, sample, sensors)
    for status in processes:
        _process(page, status)
    return page.text()


def _throttling(page: Page, sample: Sample) -> None:
    bits = sample.number("throttle_bits")
    for bit, reason in REASONS.items():
        value = None if bits is None else float(bool(int(bits) & bit))
        about = "1 while the firmware slows the processor down for this reason."
        page.add("edge_throttled", "gauge", about, value, {"reason": reason})


def _power(page: Page, sample: Sample, first_watts: float | None) -> None:
    for i, power in enumerate(sample.power):
        labels = {"source": power.source, "scope": power.scope}
        watts = first_watts if i == 0 and power.watts is None else power.watts
        page.add("edge_power_watts", "gauge", "Power now.", watts, labels)


def _sensors(page: Page, sample: Sample, sensors: Sensors) -> None:
    up = {found.name: float(found.name not in sample.absent) for found in sensors.found}
    up |= {missing.name: 0.0 for missing in sensors.missing}
    for name, value in up.items():
        page.add("edge_sensor_up", "gauge", "1 if it was read.", value, {"sensor": name})


def _process(page: Page, status: Status) -> None:
    """One edge process and model; counters are those since it began."""
    activity, who = status.activity, {"pid": str(status.pid), "model": status.model}
    for phase, tokens in (("prefill", activity.prefill_tokens), ("decode", activity.decode_tokens)):
        labels = who | {"phase": phase}
        page.add("edge_tokens_total", "counter", "Tokens computed.", tokens, labels)
    about = "Time spent in steps of one token."
    page.add("edge_decode_seconds_total", "counter", about, activity.decode_s, who)
    for source, scope, phase, joules in status.joules:
        labels = who | {"source": source, "scope": scope, "phase": phase}
        about = "Energy that the device took while the process was in this phase."
        page.add("edge_energy_joules_total", "counter", about, joules, labels)
    for reason, seconds in status.throttled_s.items():
        about = "Time at work for which the device was slowed down."
        labels = who | {"reason": reason}
        page.add("edge_throttle_seconds_total", "counter", about, seconds, labels)
    page.add("edge_governor_threads", "gauge", "Threads of the next step.", activity.threads, who)
    page.add("edge_governor_duty_ratio", "gauge", "Share of time not paused.", activity.duty, who)
    for action, times in activity.changes_by.items():
        labels = who | {"action": action}
        page.add("edge_governor_changes_total", "counter", "Changes made.", times, labels)


def _braces(labels: Labels) -> str:
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
