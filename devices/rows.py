"""Samples as rows of CSV or lines of JSON, with one set of columns."""

from __future__ import annotations

import csv
import json
import platform
from typing import Any, TextIO

from .activity import IDLE, Activity
from .device import Device
from .sample import Power, Sample
from .status import Status
from .window import throttle_reasons

SCHEMA = 1
COLUMNS = (
    "ts_unix_s", "t_mono_s", "temp_c", "temp_sensor", "freq_meas_hz", "freq_req_hz", "freq_max_hz",
    "throttle_bits", "throttle_reason", "power_w", "power_source", "power_scope", "energy_j",
    "supply_v", "fan_rpm", "batt_pct", "batt_temp_c", "batt_status", "thermal_status", "headroom",
    "threads", "duty", "phase", "tokens", "tok_s", "gov_action",
)  # fmt: skip
FIELDS = {
    "temp_c": "temperature_c", "temp_sensor": "temperature_sensor", "freq_meas_hz": "measured_hz",
    "freq_req_hz": "requested_hz", "freq_max_hz": "max_hz", "throttle_bits": "throttle_bits",
    "supply_v": "supply_v", "fan_rpm": "fan_rpm", "batt_pct": "battery_percent",
    "batt_temp_c": "battery_c", "batt_status": "battery_status", "thermal_status": "thermal_status",
    "headroom": "headroom",
}  # fmt: skip


def heading(device: Device) -> dict[str, Any]:
    """What the rows were recorded on."""
    return {
        "schema": SCHEMA,
        "board": device.model or device.profile.name,
        "profile": device.profile.key,
        "kernel": f"{platform.system()} {platform.release()}",
    }


class Rows:
    """Turns samples into rows; watts of a counter and tokens/s are those since the row before."""

    def __init__(self) -> None:
        self._last: tuple[Sample, Activity] | None = None

    def row(
        self, sample: Sample, activity: Activity = IDLE, status: Status | None = None
    ) -> dict[str, Any]:
        """By column; None for what is absent.  `status`: what another process does."""
        activity = status.activity if status else activity
        last, self._last = self._last, (sample, activity)
        row: dict[str, Any] = dict.fromkeys(COLUMNS)
        row |= {"ts_unix_s": round(sample.unix, 3), "t_mono_s": round(sample.t, 3)}
        row |= {column: sample.values.get(field) for column, field in FIELDS.items()}
        reasons = throttle_reasons(sample)
        row["throttle_reason"] = None if reasons is None else ", ".join(reasons) or "none"
        if sample.power:
            power = sample.power[0]
            row["power_w"] = watts(last and last[0], sample, power.source)
            row |= {"power_source": power.source, "power_scope": power.scope}
            row["energy_j"] = power.joules
        row |= {"threads": activity.threads, "duty": activity.duty, "phase": activity.phase}
        row |= {"tokens": activity.tokens, "gov_action": activity.action or None}
        row["tok_s"] = status.tok_s if status else last and _rate(last, sample, activity)
        return row


def watts(last: Sample | None, sample: Sample, source: str) -> float | None:
    """A source's watts, or its counter's difference since the last sample over the time."""
    after = _of(sample, source)
    if after is None or after.watts is not None:
        return None if after is None else after.watts
    before = None if last is None else _of(last, source)
    if last is None or before is None or before.joules is None or after.joules is None:
        return None
    joules, seconds = after.joules - before.joules, sample.t - last.t
    return joules / seconds if seconds > 0 and joules >= 0 else None


def _of(sample: Sample, source: str) -> Power | None:
    return next((power for power in sample.power if power.source == source), None)


def _rate(last: tuple[Sample, Activity], sample: Sample, activity: Activity) -> float | None:
    seconds = sample.t - last[0].t
    tokens = activity.decode_tokens - last[1].decode_tokens
    return tokens / seconds if seconds > 0 and activity.phase == "decode" else None


class CsvFile:
    """A comment with the heading, the columns, then rows; absent is empty."""

    def __init__(self, file: TextIO, device: Device):
        about = "; ".join(f"{name}={value}" for name, value in heading(device).items())
        file.write(f"# edge monitor; {about}\n")
        self._file, self._writer = file, csv.DictWriter(file, COLUMNS, lineterminator="\n")
        self._writer.writeheader()

    def write(self, row: dict[str, Any]) -> None:
        self._writer.writerow(row)
        self._file.flush()


class JsonLines:
    """The heading, then rows, an object a line; absent is null."""

    def __init__(self, file: TextIO, device: Device):
        self._file = file
        self.write(heading(device))

    def write(self, row: dict[str, Any]) -> None:
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
