"""Rows and metrics: their columns, and that absent stays absent."""

import csv
import io
import json
import re

import pytest

from edge.devices.activity import IDLE, Activity
from edge.devices.device import detect
from edge.devices.exposition import exposition
from edge.devices.rows import COLUMNS, CsvFile, JsonLines, Rows
from edge.devices.sample import Sensors
from edge.devices.status import Status
from tests.devices import trees

BUSY = Activity(
    threads=3, duty=0.9, phase="decode", prefill_tokens=7, decode_tokens=30, decode_s=2.5,
    changes_by={"threads": 2},
)  # fmt: skip
TOLD = Status(
    pid=7, started="1", model='a "model"', unix=0.0, activity=BUSY, tok_s=12.0,
    joules=(("pmic", "board-rails", "decode", 8.5),), throttled_s={"throttled": 4.0},
)  # fmt: skip
WHO = r'pid="7",model="a \"model\""'


@pytest.fixture
def seen(fake):
    """Two samples of a device, a second apart: (device, sensors, samples)."""

    def see(tree):
        root = fake(tree, firmware=trees.firmware(throttled=4))
        device = detect(root, {}, "x86_64")
        sensors = Sensors.of(device, root)
        return device, sensors, [sensors.sample(0.0), sensors.sample(1.0)]

    return see


def test_a_row_has_all_columns(seen):
    _, _, samples = seen("pi5")
    rows = Rows()
    first = rows.row(samples[0], Activity(3, 1.0, "decode", 7, 20))
    row = rows.row(samples[1], BUSY)
    assert tuple(row) == COLUMNS and first["tok_s"] is None
    assert (row["temp_c"], row["freq_meas_hz"], row["throttle_reason"]) == (
        61.2,
        2.4e9,
        "throttled",
    )
    assert row["power_w"] == pytest.approx(trees.RAIL_WATTS) and row["power_scope"] == "board-rails"
    assert (row["tokens"], row["tok_s"], row["threads"]) == (37, 10.0, 3)


def test_a_counters_watts_are_the_difference_to_the_row_before(seen):
    _, _, (first, second) = seen("laptop")
    rows = Rows()
    assert rows.row(first, IDLE)["power_w"] is None  # not 0
    assert rows.row(second, IDLE)["power_w"] == 0  # the counter stood still


def test_an_empty_machine_has_empty_rows(seen):
    _, _, (sample, _) = seen("virtual_machine")
    row = Rows().row(sample, IDLE)
    given = {name for name, value in row.items() if value is not None}
    assert given == {"ts_unix_s", "t_mono_s", "phase", "tokens"}


def test_csv_has_a_heading_and_reads_back(seen):
    device, _, samples = seen("pi5")
    file, rows = io.StringIO(), Rows()
    out = CsvFile(file, device)
    for sample in samples:
        out.write(rows.row(sample, BUSY))
    heading, *table = file.getvalue().splitlines()
    assert heading.startswith("# edge monitor; schema=1; board=Raspberry Pi 5 Model B Rev 1.0;")
    first, second = csv.DictReader(table)
    assert second["temp_c"] == "61.2" and first["batt_pct"] == ""


def test_json_lines_have_the_same_columns(seen):
    device, _, samples = seen("jetson")
    file = io.StringIO()
    JsonLines(file, device).write(Rows().row(samples[0], IDLE))
    heading, row = map(json.loads, file.getvalue().splitlines())
    assert heading["profile"] == "jetson" and tuple(row) == COLUMNS and row["batt_pct"] is None


LABEL = r'[a-z]+="(?:[^"\\\n]|\\["\\n])*"'
SERIES = re.compile(rf"^edge_[a-z_]+(\{{{LABEL}(,{LABEL})*\}})? -?[0-9.e+-]+$")


@pytest.mark.parametrize("tree", ["pi5", "pi4", "jetson", "laptop", "virtual_machine"])
def test_metrics_are_well_formed(seen, tree):
    _, sensors, samples = seen(tree)
    text = exposition(samples[1], sensors, None, [TOLD])
    kinds = {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name not in kinds, "a family must be in one piece"
            kinds[name] = kind
        elif not line.startswith("# HELP "):
            assert SERIES.match(line), line
            assert re.split(r"[{ ]", line)[0] == list(kinds)[-1]
    assert all((kind == "counter") == name.endswith("_total") for name, kind in kinds.items())


def test_watts_of_a_counter_are_a_metric_where_two_rows_knew_them(seen):
    _, sensors, (sample, _) = seen("laptop")
    assert 'edge_power_watts{source="rapl"' not in exposition(sample, sensors, None)
    line = 'edge_power_watts{source="rapl",scope="package"} 6.5'
    assert line in exposition(sample, sensors, 6.5).splitlines()


def test_a_row_may_be_of_another_process(seen):
    _, _, (sample, _) = seen("pi5")
    row = Rows().row(sample, status=TOLD)
    assert (row["tokens"], row["tok_s"], row["threads"], row["phase"]) == (37, 12.0, 3, "decode")


def test_an_absent_sensor_has_no_series_but_a_zero_in_sensor_up(seen):
    _, sensors, (sample, _) = seen("virtual_machine")
    text = exposition(sample, sensors, None)
    assert 'edge_sensor_up{sensor="temperature"} 0' in text
    assert {line.split("{")[0] for line in text.splitlines() if line[0] != "#"} == {
        "edge_sensor_up"
    }


def test_metrics_of_a_pi_that_throttles(seen):
    _, sensors, (sample, _) = seen("pi5")
    lines = exposition(sample, sensors, None, [TOLD]).splitlines()
    for line in (
        'edge_temperature_celsius{sensor="cpu-thermal"} 61.2',
        'edge_cpu_frequency_hertz{kind="measured"} 2400000000',
        'edge_throttled{reason="throttled"} 1',
        'edge_throttled{reason="under-voltage"} 0',
        f'edge_tokens_total{{{WHO},phase="decode"}} 30',
        f"edge_decode_seconds_total{{{WHO}}} 2.5",
        f'edge_energy_joules_total{{{WHO},source="pmic",scope="board-rails",phase="decode"}} 8.5',
        f'edge_throttle_seconds_total{{{WHO},reason="throttled"}} 4',
        f"edge_governor_threads{{{WHO}}} 3",
        f"edge_governor_duty_ratio{{{WHO}}} 0.9",
        f'edge_governor_changes_total{{{WHO},action="threads"}} 2',
        'edge_sensor_up{sensor="power PMIC"} 1',
    ):
        assert line in lines
