"""Termux's battery and the NDK's thermal status, with made-up answers."""

import json
import math

import pytest

from edge.devices.reading import Absent
from edge.devices.sensors.android import TermuxBattery, ThermalStatus, parse_battery

BATTERY = {
    "present": True, "technology": "Li-ion", "health": "GOOD", "plugged": "UNPLUGGED",
    "status": "DISCHARGING", "temperature": 31.4, "voltage": 4012, "current": -612345,
    "percentage": 78, "charge_counter": 3120000,
}  # fmt: skip


@pytest.mark.parametrize("sign", [1, -1])
def test_a_phones_watts_have_no_sign(sign):
    values = parse_battery(json.dumps(BATTERY | {"current": sign * 612345}))
    assert values == {
        "battery_status": "Discharging", "battery_percent": 78, "battery_c": 31.4,
        "battery_v": 4.012, "battery_a": pytest.approx(0.612345),
        "power_w": pytest.approx(4.012 * 0.612345),
    }  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [{"status": "CHARGING"}, {"plugged": "PLUGGED_USB"}, {"current": None}, {"voltage": 0},
     {"current": "NaN"}, {"current": math.nan}],
)  # fmt: skip
def test_watts_are_unknown_on_a_charger_or_without_figures(change):
    values = parse_battery(json.dumps(BATTERY | change))
    assert "power_w" not in values and values["battery_percent"] == 78


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", "Termux:API not installed", '{"a": 1'])
def test_another_answer_is_absent(text):
    with pytest.raises(Absent, match="termux-battery-status"):
        parse_battery(text)


def test_the_battery_is_asked_rarely_and_never_waited_for():
    asked, started = [], []

    def ask():
        asked.append(1)
        return json.dumps(BATTERY)

    sensor = TermuxBattery(ask, started.append)
    with pytest.raises(Absent, match="not asked yet"):
        sensor.read(0.0)
    assert not asked and len(started) == 1
    started[0]()
    for second in range(59):
        assert sensor.read(float(second))["battery_percent"] == 78
    assert len(started) == 1
    sensor.read(60.0)
    assert len(started) == 2


def test_a_battery_that_does_not_answer_has_a_reason():
    def hang():
        raise Absent("termux-battery-status: no answer in 10 s")

    sensor = TermuxBattery(hang, lambda work: work())
    with pytest.raises(Absent, match="no answer in 10 s"):
        sensor.read(0.0)


@pytest.mark.parametrize(
    "answer, values",
    [
        ((0, 0.42), {"thermal_status": "none", "headroom": 0.42}),
        ((3, math.nan), {"thermal_status": "severe"}),
        ((-1, 0.9), {"headroom": 0.9}),
    ],
)
def test_a_thermal_status_is_named(answer, values):
    assert ThermalStatus(lambda: answer).read(0.0) == values


def test_a_phone_that_knows_neither_is_absent():
    with pytest.raises(Absent, match="neither"):
        ThermalStatus(lambda: (-1, math.nan)).read(0.0)


def test_the_status_is_asked_every_few_seconds_only():
    asked = []
    sensor = ThermalStatus(lambda: asked.append(1) or (0, 0.5))
    for tick in range(20):
        sensor.read(tick / 2)
    assert len(asked) == 2
