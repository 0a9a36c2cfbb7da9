"""Phones without root: the NDK's thermal status, and the battery through Termux:API.

Neither has been run on a phone by us; both are written after their documentation and say so.  The
NDK's calls are tried in a child process first, so that a crash in a vendor's library is not ours.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from ..device import Device
from ..reading import Absent, Readings
from ..root import Root

STATUS = "none", "light", "moderate", "severe", "critical", "emergency", "shutdown"
AHEAD_S = 10  # headroom is a forecast: 1.0 is where `severe` begins
THERMAL_PERIOD_S = 5.0  # asked more often than once a second it answers NaN
BATTERY_PERIOD_S = 60.0  # each question starts an app and costs energy itself
TIMEOUT_S = 10.0
TRIAL = "from edge.devices.sensors.android import Ndk; Ndk().read()"


class Ndk:
    """AThermal of libandroid.so: status since API 30, headroom since 31.  Raises OSError."""

    def __init__(self) -> None:
        library = ctypes.CDLL("libandroid.so")
        library.AThermal_acquireManager.restype = ctypes.c_void_p
        self._manager = ctypes.c_void_p(library.AThermal_acquireManager())
        self._status = library.AThermal_getCurrentThermalStatus
        self._status.argtypes = [ctypes.c_void_p]
        self._headroom = getattr(library, "AThermal_getThermalHeadroom", None)
        if self._headroom is not None:
            self._headroom.restype = ctypes.c_float
            self._headroom.argtypes = [ctypes.c_void_p, ctypes.c_int]

    def read(self) -> tuple[int, float]:
        """(status, headroom); -1 and NaN where it does not know."""
        headroom = self._headroom(self._manager, AHEAD_S) if self._headroom else math.nan
        return int(self._status(self._manager)), float(headroom)


class ThermalStatus:
    """How warm the system says the phone is, asked every few seconds."""

    source, scope = "ndk", None

    def __init__(self, ask: Callable[[], tuple[int, float]]):
        self.name = "thermal status (Android)"
        self._ask = ask
        self._asked: float | None = None
        self._known: tuple[int, float] = (-1, math.nan)

    def read(self, now: float) -> Readings:
        if self._asked is None or now - self._asked >= THERMAL_PERIOD_S:
            self._asked, self._known = now, self._ask()
        status, headroom = self._known
        values: dict[str, float | str] = {}
        if 0 <= status < len(STATUS):
            values["thermal_status"] = STATUS[status]
        if not math.isnan(headroom) and headroom >= 0:
            values["headroom"] = headroom
        if not values:
            raise Absent("the system answers neither status nor headroom")
        return values


class TermuxBattery:
    """Asked in a thread of its own: the command takes seconds, and may hang."""

    source, scope = "termux", "battery"

    def __init__(
        self,
        ask: Callable[[], str],
        start: Callable[[Callable[[], None]], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.name = "battery (Termux)"
        self._ask, self._start = ask, start or _in_background
        self._clock = clock
        self._asked: float | None = None
        self._values: Readings = {}
        self._why = "not asked yet"

    def read(self, now: float) -> Readings:
        if self._asked is None or now - self._asked >= BATTERY_PERIOD_S:
            self._asked = now
            self._start(self._update)
        if not self._values:
            raise Absent(self._why)
        return self._values

    def _update(self) -> None:
        try:
            self._values, self._why = parse_battery(self._ask()), ""
        except Absent as absent:
            self._values, self._why = {}, str(absent)


def parse_battery(text: str) -> Readings:
    """The JSON of termux-battery-status: degrees, millivolts, microamperes.  Raises Absent."""
    try:
        document = json.loads(text)
    except ValueError:
        raise Absent(f"termux-battery-status: {text!r:.40}") from None
    if not isinstance(document, dict) or "status" not in document:
        raise Absent(f"termux-battery-status: no status in {text!r:.40}")
    values: dict[str, float | str] = {"battery_status": str(document["status"]).capitalize()}
    for field, key in (("battery_percent", "percentage"), ("battery_c", "temperature")):
        if (value := _number(document, key)) is not None:
            values[field] = value
    # Current has no agreed sign, and on a charger it is not the phone's.
    unplugged = document["status"] == "DISCHARGING" and document.get("plugged") == "UNPLUGGED"
    millivolts, microamperes = _number(document, "voltage"), _number(document, "current")
    if millivolts:
        values["battery_v"] = millivolts / 1e3
    if microamperes:
        values["battery_a"] = abs(microamperes) / 1e6
    if unplugged and millivolts and microamperes:
        values["power_w"] = millivolts * abs(microamperes) * 1e-9
    return values


def _number(document: dict[str, Any], key: str) -> float | None:
    value = document.get(key)
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def thermal_status(root: Root, device: Device) -> list[ThermalStatus]:
    _wants_android(device)
    trial = _run([sys.executable, "-c", TRIAL])
    if trial.returncode != 0:
        last = (trial.stderr.strip().splitlines() or ["no message"])[-1]
        raise Absent(f"the NDK's thermal calls failed in a trial process: {last:.80}")
    return [ThermalStatus(Ndk().read)]


def termux_battery(root: Root, device: Device) -> list[TermuxBattery]:
    _wants_android(device)
    if shutil.which("termux-battery-status") is None:
        raise Absent("no termux-battery-status (pkg install termux-api, and the Termux:API app)")
    return [TermuxBattery(lambda: _run(["termux-battery-status"]).stdout)]


def _wants_android(device: Device) -> None:
    if device.profile.key != "android":
        raise Absent("not an Android phone")


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Raises Absent."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
            stdin=subprocess.DEVNULL, env=os.environ,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Absent(f"{command[0]}: no answer in {TIMEOUT_S:.0f} s") from None
    except OSError as error:
        raise Absent(f"{command[0]}: {error.strerror}") from None


def _in_background(work: Callable[[], None]) -> None:
    threading.Thread(target=work, daemon=True, name="edge-battery").start()
