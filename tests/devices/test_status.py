"""What edge processes tell each other, and what they do when they cannot."""

import json
import os
import subprocess
import sys

import pytest

from edge.devices import status
from edge.devices.activity import IDLE, Activity
from edge.devices.ledger import Ledger
from edge.devices.sample import Power, Sample
from edge.devices.status import Publisher, process_start, statuses


def sample(t, watts=5.0, **values):
    return Sample(t, 1000.0 + t, values, (Power("pmic", "board-rails", watts=watts),))


def decoding(tokens, **fields):
    return Activity(threads=2, duty=1.0, phase="decode", decode_tokens=tokens, **fields)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "edge"


def test_what_is_told_is_read(folder):
    publisher = Publisher("smollm2", folder)
    for second in range(40):
        publisher.observe(sample(float(second), throttle_reason="throttled"), decoding(10 * second))
    (told,) = statuses(1040.0, folder)
    assert (told.pid, told.model, told.activity.threads) == (os.getpid(), "smollm2", 2)
    assert (told.tok_s, told.sustained_tok_s, told.first_tok_s) == (10, 10, 10)
    assert told.joules_per_token == pytest.approx(0.5)
    assert told.joules == (("pmic", "board-rails", "decode", pytest.approx(39 * 5)),)
    assert told.throttled_s == {"throttled": 39}
    publisher.close()
    assert statuses(1040.0, folder) == [] and list(folder.iterdir()) == []


def test_it_is_told_twice_a_second_at_most(folder):
    publisher, told = Publisher("m", folder), set()
    for tenth in range(31):
        publisher.observe(sample(tenth / 10), decoding(tenth))
        told |= {round(status.unix - 1000, 1) for status in statuses(1003.0, folder)}
    assert sorted(told) == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    publisher.close()


def test_a_process_at_work_comes_before_one_that_is_idle(folder):
    idle, busy = Publisher("idle", folder), Publisher("busy", folder)
    busy.tell(sample(0.0), decoding(1))
    idle.tell(sample(1.0), Activity(threads=1))
    assert [told.model for told in statuses(1001.0, folder)] == ["busy", "idle"]


def test_a_process_that_tells_no_more_is_idle(folder):
    publisher = Publisher("m", folder)
    publisher.tell(sample(0.0), decoding(1))
    (told,) = statuses(1010.0, folder)
    assert told.activity.phase == "idle" and told.tok_s is None
    publisher.close()


TELLS = """
import os, sys
from pathlib import Path
from edge.devices.status import Publisher
from edge.devices.sample import Sample
from edge.devices.activity import Activity
publisher = Publisher("killed", Path(sys.argv[1]))
publisher.tell(Sample(0.0, 0.0), Activity(threads=1))
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_process_left_is_taken_away(folder):
    done = subprocess.run([sys.executable, "-c", TELLS, folder], check=False)
    assert done.returncode == -9 and len(list(folder.iterdir())) == 1
    assert statuses(0.0, folder) == [] and list(folder.iterdir()) == []


def test_a_later_process_of_the_same_number_is_another(folder):
    publisher = Publisher("m", folder)
    publisher.tell(sample(0.0), decoding(1))
    (path,) = folder.iterdir()
    path.write_text(json.dumps(json.loads(path.read_text()) | {"started": "1"}))
    assert process_start(os.getpid()) != "1"
    assert statuses(1000.0, folder) == [] and not path.exists()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '"x"', "{}", '{"schema": 1}', '{"schema": 1, "pid": []}', "\xff"],
)
def test_what_is_no_status_is_passed_over(folder, text):
    folder.mkdir(mode=0o700)
    (folder / "1-1.json").write_bytes(text.encode("latin-1"))
    assert statuses(0.0, folder) == []


@pytest.mark.parametrize("field", ["pid", "unix", "activity", "joules", "throttled_s", "tok_s"])
def test_a_field_of_another_kind_is_passed_over(folder, field):
    publisher = Publisher("m", folder)
    publisher.tell(sample(0.0), decoding(1))
    (path,) = folder.iterdir()
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: "x"}))
    assert statuses(1000.0, folder) == []
    publisher.close()


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    publisher = Publisher("m", tmp_path / "file" / "edge")
    for second in range(3):
        publisher.observe(sample(float(second)), decoding(second))
    publisher.close()
    assert statuses(0.0, tmp_path / "file" / "edge") == []


def test_a_full_disk_ends_the_telling_and_leaves_nothing(folder, monkeypatch):
    publisher = Publisher("m", folder)
    publisher.tell(sample(0.0), decoding(1))

    def full(path, text):
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(status.Path, "write_text", full)
    publisher.tell(sample(1.0), decoding(2))
    publisher.tell(sample(2.0), decoding(3))
    assert list(folder.iterdir()) == []


def test_a_folder_that_others_may_write_is_not_used(folder):
    folder.mkdir()
    folder.chmod(0o777)
    Publisher("m", folder).tell(sample(0.0), decoding(1))
    assert list(folder.iterdir()) == []


def test_the_folder_is_the_users_own(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1")
    assert str(status.folder()) == "/run/user/1/edge"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert status.folder().name == f"edge-{os.getuid()}"


def test_the_ledger_gives_each_phase_its_joules_and_leaves_gaps_out():
    ledger, t = Ledger(), 0.0
    for phase, seconds, watts in (("prefill", 4, 8.0), ("decode", 20, 6.0), ("idle", 6, 2.0)):
        for _ in range(seconds):
            t += 1.0
            ledger.take(sample(t, watts), Activity(phase=phase, decode_tokens=int(2 * t)))
    assert ledger.joules["pmic", "board-rails", "prefill"] == 3 * 8
    assert ledger.joules["pmic", "board-rails", "decode"] == 7 + 19 * 6
    assert ledger.joules["pmic", "board-rails", "idle"] == 4 + 5 * 2
    before = dict(ledger.joules)
    ledger.pause()
    ledger.take(sample(t + 1), IDLE)
    assert ledger.joules == before


def test_rates_want_some_time_and_joules_a_source():
    ledger = Ledger()
    ledger.take(sample(0.0), decoding(0))
    assert ledger.tok_s is None
    for second in range(1, 9):
        ledger.take(Sample(float(second), 0.0), decoding(4 * second))
    assert ledger.tok_s == 4 and ledger.sustained_tok_s is None
    for second in range(9, 20):
        ledger.take(Sample(float(second), 0.0), decoding(4 * second))
    assert ledger.sustained_tok_s == 4 and ledger.joules_per_token is None


def test_the_sustained_rate_is_of_the_last_minute():
    ledger = Ledger()
    for second in range(200):
        ledger.take(
            sample(float(second)), decoding(10 * min(second, 100) + 5 * max(0, second - 100))
        )
    assert (ledger.first_tok_s, ledger.sustained_tok_s) == (10, 5)
