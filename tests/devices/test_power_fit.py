"""Idle and core watts of a device, learned from what is measured."""

import random

import pytest

from edge.devices.power_fit import PowerFit
from edge.devices.setting import Setting, Step

ALL, TWO = (
    Step(Setting(n), 1.0, 2.0, float(n)) for n in (4, 2)
)  # watts of a profile: 2 + 1 a core


def fitted(idle, cores, steps, samples=100, noise=0.1, seed=1):
    """After readings of a device whose idle and core watts are so many times the profile's."""
    fit, rng = PowerFit(), random.Random(seed)
    for step in steps:
        for _ in range(samples):
            watts = idle * step.idle_w + cores * step.core_w
            fit.learn(step.idle_w, step.core_w, watts * rng.uniform(1 - noise, 1 + noise))
    return fit


def test_without_a_reading_the_profile_holds():
    assert PowerFit().watts(ALL) == 6


@pytest.mark.parametrize("idle, cores", [(1.3, 0.7), (0.7, 1.3), (1.0, 1.0)])
def test_two_settings_tell_idle_and_core_watts_apart(idle, cores):
    fit = fitted(idle, cores, [ALL, TWO])
    # 100 readings that are off by up to 10 % (6 % in the mean square) leave 0.6 %; thrice that.
    assert fit.watts(TWO) == pytest.approx(idle * 2 + cores * 2, rel=0.02)
    assert fit.watts(ALL) == pytest.approx(idle * 2 + cores * 4, rel=0.05)


def test_one_setting_is_known_well_however_the_parts_are_shared():
    fit = fitted(1.3, 0.7, [ALL])
    assert fit.watts(ALL) == pytest.approx(1.3 * 2 + 0.7 * 4, rel=0.02)


def test_a_meter_that_shows_nonsense_has_no_end_of_effect():
    fit = PowerFit()
    for _ in range(100):
        fit.learn(ALL.idle_w, ALL.core_w, 1e6)
    assert fit.watts(ALL) <= 5 * ALL.watts
