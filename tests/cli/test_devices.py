"""What the commands say of a device: made-up ones, and the machine without any sensor."""

import csv
import io
import json
import os
import sys
import time
from collections import deque

import pytest

import edge
from edge.cli import monitor as monitor_verb
from edge.cli.screen import Screen, sparkline
from edge.devices.activity import IDLE, Activity
from edge.devices.device import detect
from edge.devices.root import Root
from edge.devices.rows import COLUMNS, Rows
from edge.devices.sample import Power, Sample, Sensors
from edge.devices.status import Publisher, statuses
from tests.devices import trees


@pytest.fixture
def on(tmp_path, monkeypatch):
    """Run the commands on a made-up device; its root folder."""

    def become(name):
        folder = trees.write(tmp_path / name, trees.TREES[name]())
        monkeypatch.setenv("EDGE_SYSROOT", str(folder))
        return folder

    return become


@pytest.fixture
def impatient(monkeypatch):
    """No waiting between samples; Ctrl-C after three of them."""
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(monitor_verb.time, "sleep", sleep)


def test_doctor_lists_what_a_board_feels_with(cli_json, on):
    on("pi4")
    sensors = {s["name"]: s for s in cli_json("doctor")["sensors"]}
    assert sensors["temperature cpu-thermal"] == {
        "name": "temperature cpu-thermal", "present": True, "reason": None,
    }  # fmt: skip
    assert sensors["power (PMIC)"]["reason"] == "a Raspberry Pi 4 cannot measure its current"
    assert all(s["present"] == (s["reason"] is None) for s in sensors.values())


def test_doctor_tells_what_has_throttled_since_the_device_was_started(cli, on, monkeypatch):
    on("pi4")
    monkeypatch.setattr(Root, "ioctl", trees.FakeRoot.ioctl)
    monkeypatch.setattr(Root, "asked", [], raising=False)
    monkeypatch.setattr(Root, "firmware", trees.firmware(throttled=0x10004), raising=False)
    assert "throttled; since the device was started: under-voltage" in cli("doctor")[1]


def test_doctor_reads_well_without_sensors(cli, on):
    on("virtual_machine")
    code, out, _ = cli("doctor")
    assert code == 0 and "no thermal zones" in out


def test_run_tells_the_temperature(cli, cli_json, model, on):
    on("pi4")
    assert cli_json("run", model, "hi", "-n", "5")["temperature_c"] == 58.4
    err = cli("run", model, "hi", "-n", "5")[2]
    assert "58 °C" in err and "throttled" not in err  # there is no firmware to ask here


def test_run_tells_that_nothing_throttled_where_the_firmware_says_so(cli, model, on, monkeypatch):
    on("pi4")
    monkeypatch.setattr(Root, "ioctl", trees.FakeRoot.ioctl)
    monkeypatch.setattr(Root, "asked", [], raising=False)
    monkeypatch.setattr(Root, "firmware", trees.firmware(), raising=False)
    assert "58 °C · not throttled" in cli("run", model, "hi", "-n", "5")[2]


def test_run_tells_joules_with_their_source_when_it_lasts(cli_json, model, on, monkeypatch):
    monkeypatch.setattr("edge.devices.energy.LEAST_COUNTER_SECONDS", 0.0)
    on("pi4")
    energy = cli_json("run", model, "hi", "-n", "50", "--temp", "0")["energy"]
    assert list(energy) == ["joules", "joules_per_token", "source", "scope"]
    assert (energy["source"], energy["scope"]) == ("estimate", "model") and energy["joules"] > 0


def test_run_works_without_any_sensor(cli, cli_json, model, on):
    on("virtual_machine")
    document = cli_json("run", model, "hi", "-n", "5")
    assert document["energy"] is None and document["temperature_c"] is None
    code, _, err = cli("run", model, "hi", "-n", "5")
    assert code == 0 and "°C" not in err and "J/tok" not in err


@pytest.mark.parametrize("flag", ["--max-temp=60", "--max-watts=5", "--battery-floor=10"])
def test_a_limit_on_what_nothing_measures_is_one_line(fails, model, on, flag):
    on("virtual_machine")
    assert flag.split("=")[0] in fails("run", model, "hi", flag)


@pytest.mark.parametrize("flag", ["--max-temp=5", "--max-watts=0", "--battery-floor=x"])
def test_a_limit_that_makes_no_sense_is_wrong_usage(fails, model, flag):
    fails("run", model, "hi", flag, code=2)


def test_eco_and_limits_leave_the_answer_as_it_is(cli_json, model, on):
    on("pi4")
    plain = cli_json("run", model, "hi", "-n", "60", "--temp", "0")
    bound = cli_json("run", model, "hi", "-n", "60", "--temp", "0", "--eco", "--max-temp", "75")
    assert plain["tokens"] == bound["tokens"]


def test_an_empty_battery_begins_nothing_new(fails, model, on):
    folder = on("laptop")
    trees.write(folder, {"sys/class/power_supply/BAT0/capacity": "9\n"})
    assert "battery is at 9 %" in fails("run", model, "hi", "--battery-floor", "10")


def test_monitor_writes_rows_where_there_is_no_terminal(cli, on, impatient):
    on("pi4")
    code, out, err = cli("monitor")
    assert (code, err) == (0, "")
    heading, *table = out.splitlines()
    rows = list(csv.DictReader(table))
    assert "Raspberry Pi 4" in heading and len(rows) == 3 and rows[0]["temp_c"] == "58.4"


def test_monitor_writes_files(cli, on, impatient, tmp_path):
    on("jetson")
    code, out, _ = cli("monitor", "--csv", tmp_path / "a.csv", "--jsonl", tmp_path / "a.jsonl")
    assert (code, out) == (0, "")
    table = (tmp_path / "a.csv").read_text().splitlines()[1:]
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert len(list(csv.DictReader(table))) == len(lines) - 1 == 3
    assert lines[1]["power_w"] == pytest.approx(7.68) and tuple(lines[1]) == COLUMNS


def test_monitor_cannot_write_where_there_is_no_folder(fails, on, tmp_path):
    on("pi4")
    assert "no/a.csv" in fails("monitor", "--csv", tmp_path / "no" / "a.csv")


def test_monitor_gives_metrics(cli, on, impatient):
    on("laptop")
    code, out, _ = cli("monitor", "--prometheus")
    assert code == 0 and 'edge_temperature_celsius{sensor="x86_pkg_temp"} 54' in out


def test_monitor_gives_one_document(cli_json, on, impatient):
    on("jetson")
    document = cli_json("monitor")
    assert document["profile"] == "jetson" and document["now"]["power_scope"] == "input"
    assert document["absent"]["power (PMIC)"] == "not a Raspberry Pi"


def test_monitor_on_a_machine_without_sensors_says_so_and_is_content(cli, cli_json, on):
    on("virtual_machine")
    assert cli("monitor")[0] == 0 and "source: none" in cli("monitor")[2]
    assert 'edge_sensor_up{sensor="temperature"} 0' in cli("monitor", "--prometheus")[1]
    assert cli_json("monitor")["now"]["temp_c"] is None


@pytest.fixture
def at_work():
    """Another process's telling, as this one's: it decodes with two threads."""
    publisher = Publisher("smollm2")
    power = (Power("pmic", "board-rails", watts=6.0),)
    changes = {"threads": 1}
    start = time.time() - 40
    for second in range(41):
        activity = Activity(
            2, 0.9, "decode", 5, 10 * second, 4.0 * second, changes, "2 threads: hot"
        )
        publisher.observe(Sample(float(second), start + second, {}, power), activity)
    yield publisher
    publisher.close()


def test_monitor_tells_what_a_process_at_work_does(cli_json, cli, on, impatient, at_work):
    on("pi4")
    document = cli_json("monitor")
    (process,) = document["processes"]
    assert process["model"] == "smollm2" and process["joules_per_token"] == pytest.approx(0.6)
    now = document["now"]
    assert (now["tok_s"], now["threads"], now["duty"], now["phase"]) == (10, 2, 0.9, "decode")
    assert now["gov_action"] == "2 threads: hot" and now["tokens"] == 405
    metrics = cli("monitor", "--prometheus")[1]
    assert f'edge_tokens_total{{pid="{os.getpid()}",model="smollm2",phase="decode"}} 400' in metrics
    table = cli("monitor")[1].splitlines()[1:]
    assert next(csv.DictReader(table))["tok_s"] == "10.0"


def test_monitor_draws_what_a_process_at_work_does(on, impatient, monkeypatch, cli, at_work):
    on("pi4")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    assert cli("monitor")[0] == 0
    drawn = terminal.getvalue()
    assert "smollm2: decode, 2 threads, pausing 10% of the time" in drawn
    assert "10.0 tok/s now, 10.0 tok/s in the last minute" in drawn
    assert "0.6 J/tok (pmic, of board-rails)" in drawn and "governor     2 threads: hot" in drawn


def test_monitor_tells_of_a_process_also_where_nothing_can_be_felt(cli_json, on, at_work):
    on("virtual_machine")
    document = cli_json("monitor")
    assert document["now"]["tok_s"] == 10 and document["now"]["temp_c"] is None


def told_while_answering(model):
    """What is told of this process in mid-answer."""
    with edge.load(model, threads=1) as session:
        for _ in range(1000):
            for _piece in session.stream("Once", max_tokens=50):
                if found := statuses(time.time()):
                    return found
    raise AssertionError("a process at work told nothing")


def test_a_process_tells_what_it_does_until_it_is_closed(model, on):
    on("virtual_machine")
    (told,) = told_while_answering(model)
    assert (told.pid, told.model, told.activity.threads) == (os.getpid(), "tiny", 1)
    assert told.activity.decode_tokens > 0 and statuses(time.time()) == []


def test_an_answer_is_the_same_where_nothing_can_be_told(
    cli_json, model, on, tmp_path, monkeypatch
):
    on("pi4")
    flags = "run", model, "hi", "-n", "60", "--temp", "0"
    plain = cli_json(*flags)["tokens"]
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "file"))
    assert cli_json(*flags)["tokens"] == plain


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_monitor_draws_on_a_terminal(cli, on, impatient, monkeypatch):
    on("pi4")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    assert cli("monitor")[0] == 0
    drawn = terminal.getvalue().split("\x1b[H\x1b[J")[-1]
    assert "58.4 °C (cpu-thermal), peak 58.4; slows down at 80, 21.6 K away" in drawn


def screen_of(tmp_path, name, **firmware):
    root = trees.FakeRoot(trees.write(tmp_path, trees.TREES[name]()), firmware=firmware)
    device = detect(root, {}, "x86_64")
    sensors = Sensors.of(device, root)
    return Screen(device, sensors), Rows().row(sensors.sample(0.0), IDLE)


def test_the_screen_of_a_pi_5_in_trouble(tmp_path):
    low = trees.firmware(throttled=5, hertz=1000000000)
    low["pmic_read_adc"] = low["pmic_read_adc"].replace("5.13245", "4.61000")
    screen, row = screen_of(tmp_path, "pi5", **low)
    text = screen.draw(row, columns=200)
    assert "1000 MHz measured, 2400 MHz requested" in text
    assert "throttling   under-voltage, throttled" in text
    assert "4.61 V: too low, use the official power supply" in text
    assert "W (pmic, of board-rails), about" in text and "2919 rpm" in text


@pytest.mark.parametrize("name", ["pi5", "jetson", "laptop", "zero2w"])
def test_no_line_is_wider_than_the_terminal(tmp_path, name):
    screen, row = screen_of(tmp_path, name, **trees.firmware())
    for _ in range(3):
        assert all(len(line) <= 40 for line in screen.draw(row, columns=40).splitlines())


def test_the_limit_of_a_machine_without_a_profile_is_its_passive_trip(tmp_path):
    screen, _ = screen_of(tmp_path, "laptop")
    assert screen.limit_c() == 95


@pytest.mark.parametrize(
    "values, bars",
    [([1, 2, 3, 4, 5, 6, 7, 8], "▁▂▃▄▅▆▇█"), ([5, 5], "▁▁"), ([1, None, 8], "▁ █"), ([1], None)],
)
def test_sparklines(values, bars):
    assert sparkline(deque(values), 20) == bars
    assert sparkline(deque([*range(100)]), 3) == "▁▅█"
