"""The two-pole model: exact, agreeing with recordings of real boards, and learned from temperature."""

import csv
import math
import random
import statistics

import pytest

from edge.devices.profile import Node
from edge.devices.thermal_model import Forecast, TwoNode

PI_5 = Node(1.7, 10.0), Node(7.45, 680.0)


def test_steps_of_any_length_give_the_same_temperature():
    coarse, fine = (TwoNode(PI_5, 20.0) for _ in range(2))
    coarse.advance(5.0, 600.0)
    for _ in range(6000):
        fine.advance(5.0, 0.1)
    assert coarse.celsius == pytest.approx(fine.celsius)
    fast, slow = PI_5
    exact = 20 + 5 * (fast.r * (1 - math.exp(-60)) + slow.r * (1 - math.exp(-600 / 680)))
    assert coarse.celsius == pytest.approx(exact)


def test_it_follows_a_recording_of_a_pi_5(test_data):
    """Ambient 17.1 degrees was measured; the fit's figures are those of profiles/pi-500.json."""
    with open(test_data("traces/pi5_2400.csv")) as file:
        rows = [row for row in csv.DictReader(file) if row["temp_c"] and row["pmic_w"]]
    model, last, off = TwoNode(PI_5, 17.1), None, []
    model.x2 = float(rows[0]["temp_c"]) - 17.1 - 1.7 * 2.6  # warm from what was done before
    model.x1 = 1.7 * 2.6
    for row in rows:
        t, watts = float(row["t_s"]), float(row["pmic_w"])
        model.advance(watts, 0.0 if last is None else t - last)
        last = t
        off.append(model.celsius - float(row["temp_c"]))
    assert statistics.pstdev(off) < 3  # watts of a moment stand for 10 s in this recording


def learned(seed, seconds=600, noise=0.3):
    """A forecast that has watched a device of unknown figures under changing load."""
    rng = random.Random(seed)
    true = TwoNode((Node(1.7 * rng.uniform(0.7, 1.3), 10), Node(9.5, 250)), rng.uniform(5, 35))
    forecast = Forecast((Node(1.7, 10.0), Node(6.0, 120.0)))
    for second in range(seconds):
        watts = 6.5 if second // 90 % 2 else 4.0
        true.advance(watts, 1.0)
        forecast.update(float(second), watts, true.celsius + rng.uniform(-noise, noise))
    return true, forecast


@pytest.mark.parametrize("seed", range(5))
def test_what_was_learned_foretells_the_next_minute(seed):
    true, forecast = learned(seed)
    assert forecast.trusted
    for watts in (2.6, 5.0, 7.0):
        after = TwoNode(true.nodes, true.ambient, true.x1, true.x2)
        after.advance(watts, 60.0)
        # 0.3 K of noise, another second pole than the true one for the most part
        assert forecast.ahead(watts, 60.0) == pytest.approx(after.celsius, abs=1.5)


def test_a_device_that_does_not_behave_is_not_trusted_and_its_slope_is_followed():
    forecast = Forecast()
    for second in range(300):
        forecast.update(float(second), 5.0, 40.0 + 10 * (second // 7 % 2) + second / 4)
    assert not forecast.trusted
    now = forecast.ahead(5.0, 0.0)
    assert forecast.ahead(1.0, 30.0) == forecast.ahead(9.0, 30.0) > now


def test_without_a_reading_the_most_anxious_model_speaks():
    _, forecast = learned(0)
    before = forecast.ahead(6.5, 60.0)
    for second in range(600, 610):
        forecast.update(float(second), 6.5, None)
    assert forecast.ahead(6.5, 60.0) > before


def test_what_a_stuck_sensor_said_is_forgotten_once_that_is_known():
    """As if the readings had ended when they stopped to change."""
    (true, stuck), (_, silent) = learned(0), learned(0)
    last = true.celsius
    for forecast in (stuck, silent):
        forecast.update(600.0, 1.0, last)
    for second in range(601, 625):  # cooling fast
        stuck.update(float(second), 1.0, last)
        silent.update(float(second), 1.0, None)
    assert abs(stuck.ahead(1.0, 0.0) - silent.ahead(1.0, 0.0)) > 1
    for second in range(625, 635):
        for forecast in (stuck, silent):
            forecast.update(float(second), 1.0, None)
    assert stuck.ahead(1.0, 0.0) == pytest.approx(silent.ahead(1.0, 0.0))


def test_a_firmware_that_throttles_raises_what_is_known_without_a_sensor():
    _, forecast = learned(0)
    for second in range(600, 700):
        forecast.update(float(second), 4.0, None)
    cold = forecast.ahead(4.0, 0.0)
    forecast.at_least(cold + 10)
    assert forecast.ahead(4.0, 0.0) >= cold + 10
    forecast.at_least(cold)  # tells nothing
    assert forecast.ahead(4.0, 0.0) >= cold + 10


@pytest.mark.parametrize("seed", range(5))
def test_without_a_reading_the_forecast_is_above_the_truth_but_not_far(seed):
    """Two standard deviations; 10 minutes of readings leave 3 K of them half an hour ahead."""
    true, forecast = learned(seed)
    for second in range(600, 2400):
        true.advance(5.0, 1.0)
        forecast.update(float(second), 5.0, None)
    assert -0.5 < forecast.ahead(5.0, 0.0) - true.celsius < 6


def test_before_the_first_reading_there_is_no_forecast():
    forecast = Forecast()
    forecast.update(0.0, 5.0, None)
    assert forecast.ahead(5.0, 30.0) is None and not forecast.trusted
