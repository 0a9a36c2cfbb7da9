"""The live screen of `edge monitor`: what is known, one thing a line."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edge.devices.sensors.raspberry_pi import since_boot
from edge.devices.window import Mean

if TYPE_CHECKING:
    from edge.devices.device import Device
    from edge.devices.sample import Sensors
    from edge.devices.status import Status

BARS = "▁▂▃▄▅▆▇█"
LABEL = 13  # columns
LONGEST = 240  # samples of a sparkline
SHOWN = 2  # processes


class Screen:
    """Draws rows of edge.devices.rows; remembers the last minutes of them."""

    def __init__(self, device: Device, sensors: Sensors):
        self._device, self._sensors = device, sensors
        self._celsius: deque[float | None] = deque(maxlen=LONGEST)
        self._watts: deque[float | None] = deque(maxlen=LONGEST)
        self._tok_s: deque[float | None] = deque(maxlen=LONGEST)
        self._idle_w = Mean()  # while no edge process was at work

    def draw(
        self, row: dict[str, Any], processes: Sequence[Status] = (), columns: int | None = None
    ) -> str:
        """All lines, each ended, none longer than the terminal is wide."""
        columns = columns or shutil.get_terminal_size().columns
        self._celsius.append(row["temp_c"])
        self._watts.append(row["power_w"])
        self._tok_s.append(row["tok_s"])
        if row["phase"] == "idle":
            self._idle_w.add(row["power_w"])
        lines = [
            ("device", self._device.model or self._device.profile.name),
            ("temperature", self._temperature(row)),
            ("", sparkline(self._celsius, columns - LABEL)),
            ("clock", _clock(row)),
            ("throttling", _throttling(row)),
            ("power", self._power(row)),
            ("", sparkline(self._watts, columns - LABEL)),
            *(line for status in processes[:SHOWN] for line in self._process(status)),
            ("", sparkline(self._tok_s, columns - LABEL)),
            ("", _more(len(processes) - SHOWN)),
            ("supply", self._supply(row)),
            ("fan", row["fan_rpm"] and f"{row['fan_rpm']:.0f} rpm"),
            ("battery", _battery(row)),
            ("phone", _phone(row)),
            ("absent", ", ".join(missing.name for missing in self._sensors.missing)),
            ("", "Ctrl-C leaves; edge doctor says why a sensor is absent"),
        ]
        return "".join(f"{name:{LABEL}}{text}"[:columns] + "\n" for name, text in lines if text)

    def limit_c(self) -> float | None:
        """Where the device begins to slow down, as far as anybody knows."""
        limits = self._device.profile.limits
        known = limits.soft_c if limits.soft_c is not None else limits.throttle_c
        if known is not None:
            return known
        trips = (getattr(sensor, "passive_c", None) for sensor in self._sensors.found)
        return min((trip for trip in trips if trip is not None), default=None)

    def _temperature(self, row: dict[str, Any]) -> str | None:
        celsius, limit = row["temp_c"], self.limit_c()
        if celsius is None:
            return None
        peak = max(c for c in self._celsius if c is not None)
        text = f"{celsius:.1f} °C ({row['temp_sensor']}), peak {peak:.1f}"
        if limit is None or self._device.profile.key == "android":  # that limit is the body's
            return text
        return f"{text}; slows down at {limit:.0f}, {limit - celsius:.1f} K away"

    def _power(self, row: dict[str, Any]) -> str | None:
        watts, scope = row["power_w"], row["power_scope"]
        if watts is None:
            return None
        text = f"{watts:.2f} W ({row['power_source']}, of {scope})"
        wall = self._device.profile.wall
        if wall is None or scope != "board-rails":
            return text
        plug = wall.slope * watts + wall.offset
        return f"{text}, about {plug:.1f} W at the plug ± {wall.error:.0%}"

    def _process(self, status: Status) -> list[tuple[str, str | None]]:
        """What one model does, how fast, with how many joules, and what the governor did to it."""
        activity = status.activity
        threads = f"{activity.threads} thread{'' if activity.threads == 1 else 's'}"
        paused = 1 - (1.0 if activity.duty is None else activity.duty)
        pausing = f", pausing {paused:.0%} of the time" if paused else ""
        return [
            (
                "model",
                f"{status.model}: {activity.phase}, {threads}{pausing} (process {status.pid})",
            ),
            ("speed", _speed(status)),
            ("energy", self._energy(status)),
            ("governor", activity.action or "has changed nothing"),
        ]

    def _energy(self, status: Status) -> str | None:
        """Of the last minute of decoding; net of what the device took while this screen saw it idle."""
        joules, idle_w = status.joules_per_token, self._idle_w.value
        if joules is None or not status.joules:
            return None
        source, scope, _, _ = status.joules[-1]
        text = f"{joules:.2g} J/tok ({source}, of {scope})"
        if idle_w is None or not status.sustained_tok_s:
            return text
        return f"{text}, {joules - idle_w / status.sustained_tok_s:.2g} net of the idle device"

    def _supply(self, row: dict[str, Any]) -> str | None:
        volts, profile = row["supply_v"], self._device.profile
        if volts is None:
            return None
        if profile.supply_bad_v is not None and volts < profile.supply_bad_v:
            return f"{volts:.2f} V: too low, use the official power supply and a short cable"
        if profile.supply_warn_v is not None and volts < profile.supply_warn_v:
            return f"{volts:.2f} V: low"
        return f"{volts:.2f} V"


def _speed(status: Status) -> str | None:
    rates = (
        (status.tok_s, "now"),
        (status.sustained_tok_s, "in the last minute"),
        (status.first_tok_s, "in the first half minute"),
    )
    return ", ".join(f"{r:.1f} tok/s {when}" for r, when in rates if r is not None) or None


def _more(count: int) -> str | None:
    return f"and {count} more edge processes; --json tells of all" if count > 0 else None


def sparkline(values: deque[float | None], width: int) -> str | None:
    """The last values as bars between their least and their most; a gap where one is absent."""
    shown = list(values)[-max(1, width) :]
    known = [value for value in shown if value is not None]
    if len(known) < 2:
        return None
    low, high = min(known), max(known)
    step = (high - low) / (len(BARS) - 1) or 1.0
    return "".join(" " if v is None else BARS[round((v - low) / step)] for v in shown)


def _clock(row: dict[str, Any]) -> str | None:
    kinds = ("measured", "freq_meas_hz"), ("requested", "freq_req_hz"), ("at most", "freq_max_hz")
    known = [f"{row[key] / 1e6:.0f} MHz {kind}" for kind, key in kinds if row[key] is not None]
    return ", ".join(known) or None


def _throttling(row: dict[str, Any]) -> str | None:
    bits = row["throttle_bits"]
    before = None if bits is None else since_boot(int(bits))
    now: str | None = row["throttle_reason"]
    return f"{now}; since boot: {before}" if before else now


def _battery(row: dict[str, Any]) -> str | None:
    parts = [] if row["batt_pct"] is None else [f"{row['batt_pct']:.0f} %"]
    parts += [] if row["batt_status"] is None else [row["batt_status"].lower()]
    parts += [] if row["batt_temp_c"] is None else [f"{row['batt_temp_c']:.1f} °C"]
    return ", ".join(parts) or None


def _phone(row: dict[str, Any]) -> str | None:
    parts = [] if row["thermal_status"] is None else [f"thermal status {row['thermal_status']}"]
    parts += [] if row["headroom"] is None else [f"headroom used {row['headroom']:.0%}"]
    return ", ".join(parts) or None
