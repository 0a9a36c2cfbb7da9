"""Joules: their arithmetic, and when there are none."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.devices.scripted import Clock, Scripted, monitor, watch


def watts(says, source="pmic", scope="board-rails"):
    return lambda clock: Scripted(
        clock, lambda t: None if says(t) is None else {"power_w": says(t)}, source, scope
    )


def counter(says, source="rapl", scope="package"):
    return lambda clock: Scripted(
        clock, lambda t: None if says(t) is None else {"energy_j": says(t)}, source, scope
    )


def report(seconds, *sensors, every=1.0):
    clock = Clock()
    return watch(monitor(clock, *(make(clock) for make in sensors)), clock, seconds, every)


def test_watts_are_joined_by_lines():
    energy = report(20, watts(lambda t: 2.0 + t)).energy
    assert energy.joules == pytest.approx(20 * 2 + 20**2 / 2)  # exact for a straight line
    assert (energy.source, energy.scope, energy.samples) == ("pmic", "board-rails", 21)


def test_a_counter_is_exact_whatever_happens_between():
    assert report(4, counter(lambda t: 7 + 1.5 * t + math.sin(t))).energy.joules == pytest.approx(
        6 + math.sin(4)
    )


@pytest.mark.parametrize(
    "seconds, every, enough", [(4, 0.5, False), (4.5, 0.5, True), (12, 4, True), (8, 4, False)]
)
def test_watts_need_ten_samples_or_ten_seconds(seconds, every, enough):
    energy = report(seconds, watts(lambda t: 5.0), every=every).energy
    assert (energy.joules is not None) == enough
    assert enough or "too few for an average" in energy.reason


def test_a_counter_needs_half_a_second():
    assert "too short" in report(0.4, counter(lambda t: t), every=0.1).energy.reason
    assert report(0.6, counter(lambda t: t), every=0.1).energy.joules == pytest.approx(0.6)


def test_a_counter_that_was_away_has_missed_nothing():
    energy = report(60, counter(lambda t: None if 10 < t < 50 else 2 * t)).energy
    assert energy.joules == pytest.approx(120)


def test_watts_that_were_away_for_long_make_no_figure():
    energy = report(60, watts(lambda t: None if 10 < t < 50 else 3.0)).energy
    assert energy.joules is None and "was away for" in energy.reason


def test_watts_that_were_away_for_a_moment_are_bridged():
    energy = report(60, watts(lambda t: None if t == 10 else 3.0)).energy
    assert energy.joules == pytest.approx(180)


def test_a_counter_that_starts_again_does_not_run_backwards():
    energy = report(60, counter(lambda t: t if t < 2 else t - 2)).energy
    assert energy.joules == pytest.approx(60, rel=0.05)


def test_sources_are_not_added_and_the_better_one_is_believed():
    battery = watts(lambda t: 9.0, "battery", "battery")
    both = report(20, battery, counter(lambda t: 4 * t)).energy
    assert (both.source, both.scope, both.joules) == ("rapl", "package", pytest.approx(80))


def test_an_estimate_stands_in_for_a_sensor_that_says_nothing():
    estimate = counter(lambda t: 3 * t, "estimate", "model")
    energy = report(20, watts(lambda t: None), estimate).energy
    assert (energy.source, energy.scope, energy.measured) == ("estimate", "model", False)


def test_nothing_has_a_reason():
    energy = report(20).energy
    assert (energy.joules, energy.source, energy.scope) == (None, "none", "none")
    assert energy.reason == "nothing on this device measures power"


def test_what_the_idle_device_takes_is_told_apart():
    clock = Clock()
    watched = monitor(clock, watts(lambda t: 2.0 if t < 15 else 6.0)(clock))
    watched.know_idle(watch(watched, clock, 12, name="idle"))
    clock.now += 10
    energy = watch(watched, clock, 20).energy
    assert (energy.joules, energy.net_joules) == (pytest.approx(120), pytest.approx(80))
    assert energy.per(10) == pytest.approx(12) and energy.per(0) is None


@given(st.lists(st.floats(0, 50), min_size=12, max_size=40), st.floats(0.1, 4))
def test_joules_lie_between_least_and_most_power(levels, every):
    says = watts(lambda t: levels[min(round(t / every), len(levels) - 1)])
    seconds = every * (len(levels) - 1)
    joules = report(seconds, says, every=every).energy.joules
    assert min(levels) * seconds * 0.999 <= joules <= max(levels) * seconds * 1.001
