"""Windows, the thread, and what a report says."""

import json
import threading

import pytest

import edge
from edge.devices.monitor import Monitor
from edge.devices.sample import Sensors
from tests.devices.scripted import Clock, Scripted, monitor, watch


def heat(clock, says=lambda t: 40.0 + t):
    return Scripted(
        clock, lambda t: {"temperature_c": says(t), "temperature_sensor": "cpu-thermal"},
        scope=None, name="temperature",
    )  # fmt: skip


def firmware(clock, says):
    return Scripted(clock, says, "firmware", None, "firmware")


def test_windows_have_joules_of_their_own():
    clock = Clock()
    power = Scripted(clock, lambda t: {"power_w": 8.0 if t < 20 else 4.0})
    watched = monitor(clock, power, heat(clock))
    watched.begin("answer")
    prefill = watch(watched, clock, 19, name="prefill")
    clock.now += 1
    decode = watch(watched, clock, 40, name="decode")
    answer = watched.end("answer")
    assert prefill.watts == pytest.approx(8) and decode.watts == pytest.approx(4)
    between = 6.0  # the line from 8 to 4 W in the second between the two
    parts = prefill.energy.joules + decode.energy.joules + between
    assert answer.energy.joules == pytest.approx(parts)
    assert (prefill.peak_c, answer.peak_c) == (59, 100)


def test_throttling_is_told_in_seconds_and_words():
    clock = Clock()

    def says(t):
        bits = 4 if 10 < t <= 30 else 0
        reason = "throttled" if bits else "not throttled"
        return {"throttle_bits": float(bits), "throttle_reason": reason, "measured_hz": 1.2e9}

    requested = Scripted(clock, lambda t: {"requested_hz": 2.4e9}, scope=None, name="clock")
    report = watch(monitor(clock, firmware(clock, says), requested), clock, 60)
    assert report.throttled_s == {"throttled": pytest.approx(20)}
    assert report.throttling == "throttled 20 s" and report.clock_share == 0.5


@pytest.mark.parametrize(
    "says, words",
    [
        ({"throttle_reason": "not throttled"}, "not throttled"),
        ({"under_voltage": 1.0}, "under-voltage 30 s"),
        ({"thermal_status": "severe"}, "thermal status severe 30 s"),
        ({"thermal_status": "none"}, "not throttled"),
        ({"under_voltage": 0.0}, "throttling unknown"),  # it says nothing of heat
        ({"temperature_c": 40.0}, "throttling unknown"),
    ],
)
def test_throttling_is_read_from_whatever_tells(says, words):
    clock = Clock()
    assert watch(monitor(clock, firmware(clock, lambda t: says)), clock, 30).throttling == words


def test_the_report_is_a_json_document_with_a_source_for_each_figure():
    clock = Clock()
    power = Scripted(clock, lambda t: {"power_w": 5.0, "supply_v": 5.1 - t / 100})
    document = watch(monitor(clock, power, heat(clock)), clock, 20).to_json()
    assert json.loads(json.dumps(document)) == document
    assert document["energy"]["source"] == "pmic" and document["energy"]["joules"] == 100
    assert document["temperature"] == {"peak_c": 60, "mean_c": 50, "source": "cpu-thermal"}
    assert document["lowest_supply_v"] == pytest.approx(4.9)
    assert document["throttling"]["reason"].startswith("nothing on this device")


def test_a_machine_without_sensors_has_a_report_all_the_same():
    clock = Clock()
    report = watch(monitor(clock), clock, 20)
    assert report.energy.source == "none" and report.peak_c is None
    assert report.throttled_s is None and report.duration_s == 20


def test_a_sensor_that_vanishes_in_mid_run_leaves_what_was_seen():
    clock = Clock()
    watched = monitor(clock, Scripted(clock, lambda t: None if t > 30 else {"temperature_c": 50.0}))
    report = watch(watched, clock, 60)
    assert report.peak_c == 50 and "power pmic" in watched.latest.absent


def test_the_monitor_is_a_public_name_and_samples_from_its_thread():
    clock, enough = Clock(), threading.Event()
    with edge.Monitor(0.05, sensors=Sensors([heat(clock, lambda t: 42.0)])) as watched:
        watched.observers.append(lambda sample: len(watched.history) > 3 and enough.set())
        assert enough.wait(10)
        assert watched.report().peak_c == 42  # while it runs
    assert watched.report().samples > 4
    assert not any(thread.name == "edge-monitor" for thread in threading.enumerate())
    assert watched.report() == watched.report()


def test_the_monitor_stops_when_the_work_fails():
    with pytest.raises(ZeroDivisionError), Monitor(0.05, sensors=Sensors([])) as watched:
        1 / 0  # noqa: B018
    assert watched.report().samples >= 2


@pytest.mark.parametrize("interval", [0, -1, 0.01, 1000, float("nan")])
def test_an_interval_that_makes_no_sense_is_refused(interval):
    with pytest.raises(edge.DeviceError, match="interval"):
        Monitor(interval, sensors=Sensors([]))


def test_asking_for_what_was_not_begun_is_an_error():
    watched = Monitor(sensors=Sensors([]))
    with pytest.raises(edge.DeviceError, match="not started"):
        watched.report()
    with pytest.raises(edge.DeviceError, match="decode"):
        watched.end("decode")


def test_history_does_not_grow_for_ever():
    clock = Clock()
    watched = monitor(clock, heat(clock))
    for _ in range(7300):
        clock.now += 0.5
        watched.sample()
    assert len(watched.history) == 7200
