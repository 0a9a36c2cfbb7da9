"""What a long run says of a cooler, and what is remembered."""

import json
import math
import random

import pytest

from edge.devices.cooling import Coolings, learn
from edge.devices.knees import Knee, Knees
from edge.devices.profile import Node, profiles
from edge.devices.sample import Power, Sample
from edge.devices.thermal_model import TwoNode

PI_5 = profiles()["pi-5"]
COOLER = Node(1.7, 10.0), Node(6.0, 250.0)


def run(seconds, watts=lambda t: 6.0 if t > 60 else 2.0, temperature=True):
    """Samples of a Pi 5 in a room of 21 degrees, a second apart."""
    heat, rng = TwoNode(COOLER, 21.0), random.Random(1)
    for second in range(seconds):
        power = watts(second)
        heat.advance(power, 1.0)
        values = {"temperature_c": round(heat.celsius + rng.uniform(-0.3, 0.3), 2)}
        rails = (Power("pmic", "board-rails", watts=power),)
        yield Sample(float(second), 1e9 + second, values if temperature else {}, rails)


def learned(samples, minutes):
    return learn(samples, PI_5, "smollm2", minutes, (10.0, 9.5), 12.0)


def test_a_long_run_tells_the_coolers_figures():
    cooling = learned(run(2400, lambda t: 6.0 if t // 300 % 2 else 3.0), 40)
    assert cooling.kelvin_per_watt == pytest.approx(7.7, rel=0.1)
    assert cooling.room_c == pytest.approx(21, abs=3) and cooling.scope == "board-rails"
    verdict = cooling.verdict(PI_5)
    assert "sustains 9.5 tok/s, 95% of the first minute (smollm2, 40 min" in verdict
    most = (80 - cooling.room_c) / cooling.kelvin_per_watt
    assert f"{most:.1f} W for ever below 80 °C" in verdict and "settles in" in verdict


def test_a_short_run_without_watts_is_no_verdict_either():
    samples = (Sample(s.t, s.unix, s.values) for s in run(240))
    assert learned(samples, 4).verdict(PI_5).startswith("not known")


def test_a_run_that_ended_while_it_warmed_is_no_verdict():
    assert learned(run(240), 4).verdict(PI_5).startswith("not known; the run of")


@pytest.mark.parametrize(
    "samples", [[], list(run(1200, temperature=False)), list(run(1200, lambda t: 0.2))]
)
def test_without_a_temperature_that_moved_only_the_rate_is_told(samples):
    cooling = learned(samples, 20)
    assert cooling.kelvin_per_watt is cooling.scope is None
    assert cooling.verdict(PI_5).endswith(")") and "sustains 9.5 tok/s" in cooling.verdict(PI_5)


def test_a_cooling_is_remembered_by_device(tmp_path):
    coolings, cooling = Coolings(tmp_path / "cache" / "cooling.json"), learned(run(900), 15)
    coolings.remember("pi-5", cooling)
    assert coolings.recall("pi-5") == cooling and coolings.recall("pi-4") is None


@pytest.mark.parametrize(
    "text", ["", "[]", '{"pi-5": 1}', '{"pi-5": {}}', '{"pi-5": {"model": 1}}']
)
def test_a_broken_memory_of_coolings_is_an_empty_one(tmp_path, text):
    (tmp_path / "cooling.json").write_text(text)
    assert Coolings(tmp_path / "cooling.json").recall("pi-5") is None


def test_a_field_of_another_kind_is_no_cooling(tmp_path):
    coolings = Coolings(tmp_path / "cooling.json")
    coolings.remember("pi-5", learned(run(900), 15))
    document = json.loads((tmp_path / "cooling.json").read_text())
    document["pi-5"]["minutes"] = "long"
    (tmp_path / "cooling.json").write_text(json.dumps(document))
    assert coolings.recall("pi-5") is None


KNEE = Knee("smollm2", "pi-5", {1: 5.0, 2: 9.6, 3: 10.0})


def test_a_knee_is_remembered_by_model_device_and_threads(tmp_path):
    knees = Knees(tmp_path / "cache" / "knees.json")
    assert knees.recall("a", "pi-5", 3) is None
    knees.remember("a", KNEE)
    knees.remember("b", Knee("other", "pi-4", {1: 3.0}))
    again = Knees(tmp_path / "cache" / "knees.json")
    assert again.recall("a", "pi-5", 3) == KNEE.speeds and again.recall("a", "pi-5", 4) is None
    assert again.of("pi-5") == [KNEE] and again.of("pi-5")[0].threads == 2


@pytest.mark.parametrize(
    "speeds", [1, {}, {"1": "x"}, {"1": 0}, {"2": 3}, {"x": 1}, {"1": math.nan}]
)
def test_what_is_no_knee_is_passed_over(tmp_path, speeds):
    document = {"a pi-5 1": {"model": "m", "device": "pi-5", "speeds": speeds}}
    (tmp_path / "knees.json").write_text(json.dumps(document))
    knees = Knees(tmp_path / "knees.json")
    assert knees.recall("a", "pi-5", 1) is None and knees.of("pi-5") == []


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a pi-5 1": 1}', '{"a pi-5 1": {"1": 3}}'])
def test_a_broken_memory_is_an_empty_one(tmp_path, text):
    (tmp_path / "knees.json").write_text(text)
    assert Knees(tmp_path / "knees.json").recall("a", "pi-5", 1) is None


def test_a_memory_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    Knees(tmp_path / "file" / "knees.json").remember("a", KNEE)
