"""The ladder of settings, and the knee."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.devices.profile import profiles
from edge.devices.setting import LEAST_DUTY, Setting, knee, ladder, usual_speeds

POWER = profiles()["pi-5"].power
SPEEDS = st.integers(1, 8).flatmap(
    lambda n: st.fixed_dictionaries({i: st.floats(0.1, 100) for i in range(1, n + 1)})
)


@given(SPEEDS, st.sampled_from([(1.0,), (0.625, 0.8, 1.0)]))
def test_every_step_down_costs_speed_and_saves_power(speeds, clocks):
    steps = ladder(speeds, POWER, clocks)
    assert steps[0].speed == pytest.approx(1)
    for faster, slower in pairwise(steps):
        assert slower.speed <= faster.speed and slower.watts < faster.watts
    assert all(LEAST_DUTY <= step.setting.duty <= 1 for step in steps)


def test_where_memory_is_the_limit_threads_go_before_pauses():
    steps = ladder({1: 6.0, 2: 9.8, 3: 10.0, 4: 10.0}, POWER)
    assert [step.setting for step in steps[:2]] == [Setting(3), Setting(2)]
    assert 4 not in {step.setting.threads for step in steps}


def test_where_arithmetic_is_the_limit_all_threads_pause():
    steps = ladder({1: 2.5, 2: 5.0, 3: 7.5, 4: 10.0}, POWER)
    assert steps[0].setting == Setting(4) and steps[1].setting.threads == 4


def test_a_lower_clock_goes_before_pauses():
    steps = ladder({4: 10.0}, POWER, (0.625, 0.75, 0.875, 1.0))
    clocks = [step.setting.clock for step in steps if step.setting.duty == 1]
    assert clocks == [1.0, 0.875, 0.75, 0.625]
    assert min(step.setting.clock for step in steps if step.setting.duty < 0.8) == 0.625


def test_all_threads_stay_first_where_nothing_may_be_lost():
    speeds = {1: 5.0, 2: 10.0, 3: 10.1, 4: 10.0}
    assert ladder(speeds, POWER)[0].setting == Setting(3)
    assert ladder(speeds, POWER, keep_threads=True)[0].setting == Setting(4)


@pytest.mark.parametrize(
    "speeds, threads",
    [({1: 5, 2: 9.6, 3: 10, 4: 10}, 2), ({1: 2, 2: 4, 3: 6, 4: 8}, 4), ({1: 3}, 1)],
)
def test_the_knee_is_the_fewest_threads_that_are_nearly_as_fast(speeds, threads):
    assert knee(speeds) == threads


def test_usual_speeds_rise_with_threads():
    assert list(usual_speeds(4)) == [1, 2, 3, 4]
    assert sorted(usual_speeds(4).values()) == list(usual_speeds(4).values())


def test_a_setting_reads_well():
    assert str(Setting(1)) == "1 thread"
    assert str(Setting(3, 0.75, 0.9)) == "3 threads, clock 75%, pausing 10% of the time"
