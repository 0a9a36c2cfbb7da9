"""Long runs and their charts, and benchmarks beside earlier ones."""

import json
import xml.etree.ElementTree as xml

import pytest

from edge.cli import chart, compare
from edge.devices.activity import Activity
from edge.devices.knees import Knee, Knees
from edge.devices.sample import Power, Sample
from edge.runtime import bandwidth
from edge.watch import KNEES
from tests.devices import trees


def test_a_sustained_run_has_a_document_and_a_chart(cli_json, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = trees.write(tmp_path / "root", trees.pi4())
    monkeypatch.setenv("EDGE_SYSROOT", str(folder))
    sustained = cli_json("bench", model, "--sustained", "0.02")["sustained"]
    assert sustained["kept"] == 1 and len(sustained["tok_s_by_minute"]) == 1
    assert sustained["report"]["temperature"]["peak_c"] == 58.4
    assert sustained["report"]["energy"]["scope"] == "model" and sustained["joules_per_token"] > 0
    drawing = xml.parse(tmp_path / sustained["chart"]).getroot()
    assert drawing.tag.endswith("svg") and "°C" in "".join(drawing.itertext())


def test_a_sustained_run_reads_well_without_sensors(cli, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGE_SYSROOT", str(trees.write(tmp_path / "r", trees.virtual_machine())))
    code, out, _ = cli("bench", model, "--sustained", "0.01")
    assert code == 0 and "source: none" in out and "peak          unknown" in out


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """Compiled kernels as everywhere, and nothing remembered of this device."""
    for module in ("edge.watch.cache_folder", "edge.runtime.libraries.cache.folder"):
        monkeypatch.setattr(module, lambda: tmp_path / "cache")


def test_doctor_tells_what_was_learned_and_what_is_not_known(
    cli, cli_json, model, tmp_path, monkeypatch, own_cache
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGE_SYSROOT", str(trees.write(tmp_path / "root", trees.pi4())))
    before = cli("doctor")[1]
    assert "not known; edge run MODEL PROMPT --eco finds it" in before
    assert "not known; edge bench MODEL --sustained 30 finds it" in before
    remembered = Knee("tiny", "pi-4", {1: 5.0, 2: 9.0, 3: 9.1})
    Knees(tmp_path / "cache" / KNEES).remember("digest", remembered)
    ran = cli_json("bench", model, "--sustained", "0.02")["sustained"]
    told = cli_json("doctor")
    assert told["cooling"]["verdict"] == ran["cooling"]
    assert told["cooling"]["run"]["model"] == "tiny"
    assert told["thread_knees"][0]["knee"] == 2
    after = cli("doctor")[1]
    assert "2 of 3 threads, tiny: 1: 5 tok/s, 2: 9 tok/s, 3: 9.1 tok/s" in after


def history(seconds):
    """Ten tokens a second, a sensor that is away for a while, throttling in the end."""
    for second in range(seconds):
        values = {} if 20 <= second < 25 else {"temperature_c": 40.0 + second}
        late = second > seconds - 5
        values |= {"throttle_reason": "throttled" if late else "not throttled"}
        power = (Power("pmic", "board-rails", watts=6.0),)
        yield Sample(float(second), 0.0, values, power), Activity(decode_tokens=10 * second)


def test_a_chart_has_gaps_where_a_sensor_was_away_and_marks_where_it_throttled():
    speed, heat, power = chart.series(history(60))
    assert speed.points[-1][1] == pytest.approx(10) and power.points[-1][1] == 6
    assert heat.marks == [56, 57, 58, 59] and [v for _, v in heat.points].count(None) == 5
    drawing = xml.fromstring(chart.svg([speed, heat, power], "a <model> & a board"))
    lines = [element for element in drawing.iter() if element.tag.endswith("polyline")]
    assert len(lines) == 1 + 2 + 1


def test_a_chart_of_nothing_is_a_drawing_all_the_same():
    assert chart.series([]) == []
    xml.fromstring(chart.svg([], "nothing"))


def document(speed, *, cpu="Pi", power=None, joules=None, test="tg8"):
    result = {
        "test": test, "threads": 2, "tok_s": [speed * 0.99, speed * 1.01], "median_tok_s": speed,
        "joules_per_token": joules,
    }  # fmt: skip
    return {"machine": {"cpu": cpu, "power": power}, "model": {"path": "m"}, "results": [result]}


PMIC = {"source": "pmic", "scope": "board-rails"}


@pytest.mark.parametrize(
    "before, now, speed, noise, joules",
    [
        (document(10), document(12), 1.2, False, None),
        (document(10), document(10.1), 1.01, True, None),
        (
            document(10, power=PMIC, joules=2.0),
            document(12, power=PMIC, joules=1.0),
            1.2,
            False,
            0.5,
        ),
        (
            document(10, power=PMIC, joules=2.0),
            document(12, power={}, joules=1.0),
            1.2,
            False,
            None,
        ),
    ],
)
def test_benchmarks_are_compared_test_by_test(before, now, speed, noise, joules):
    (row,) = compare.comparison(before, now)
    assert row["speed"] == pytest.approx(speed) and row["within_noise"] == noise
    assert row["joules_per_token"] == joules and row["same_machine"]


def test_another_machine_is_named_and_other_tests_are_left_out():
    (row,) = compare.comparison(document(10, cpu="other"), document(10))
    assert "ANOTHER machine" in compare.lines([row])[0]
    assert compare.comparison(document(10, test="pp8"), document(10)) == []


def test_bench_compares_with_a_file(cli, cli_json, model, tmp_path, monkeypatch):
    monkeypatch.setattr(bandwidth, "BYTES", 2**21)
    flags = "bench", model, "-p", "0", "-n", "4", "-t", "1", "-r", "1"
    (tmp_path / "before.json").write_text(json.dumps(cli_json(*flags)))
    again = cli_json(*flags, "--compare", tmp_path / "before.json")
    assert [row["test"] for row in again["comparison"]] == ["tg4"]
    assert "compared:" in cli(*flags, "--compare", tmp_path / "before.json")[1]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"results": [{}]}', '{"results": 1}'])
def test_a_file_that_is_no_benchmark_is_one_line(fails, model, tmp_path, text):
    (tmp_path / "before.json").write_text(text)
    line = fails("bench", model, "--compare", tmp_path / "before.json")
    assert "not a document of edge bench" in line
