"""The highest clock is given back on every way out."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge.devices.clock_cap import ClockCap
from edge.devices.device import detect
from tests.devices import trees

CAP = "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq"
HOLDER = """
import sys, signal
from edge.devices.clock_cap import ClockCap
cap = ClockCap([(sys.argv[1], 2300000, 2400000)])
cap.set(0.75)
print("capped", flush=True)
{leave}
"""


@pytest.fixture
def cap(fake):
    """(the cap of a Pi 5 whose user had set 2.3 GHz, what its file says)"""
    root = fake(trees.pi5() | {CAP: "2300000\n"})
    found = ClockCap.find(root, detect(root, {}))
    yield found, lambda: int((root.folder / CAP).read_text())
    found.close()


def test_a_share_of_the_top_clock_is_set_and_given_back(cap):
    found, khz = cap
    assert found.set(0.75) is None and khz() == 1800000
    assert found.set(1.0) is None and khz() == 2300000  # what was set before us, not the top


def test_it_is_given_back_at_the_end_of_a_block(cap):
    found, khz = cap
    with pytest.raises(ZeroDivisionError), found:
        found.set(0.75)
        1 / 0  # noqa: B018
    assert khz() == 2300000


def test_a_users_own_limit_is_never_raised(cap):
    found, khz = cap
    found.set(0.99)
    assert khz() == 2300000


def test_a_guardian_that_was_let_go_writes_no_more(cap):
    found, khz = cap
    found.set(0.75)
    guardian = found._guardian
    found.close()
    assert guardian.returncode == 0 and khz() == 2300000


def test_there_is_none_where_the_system_does_not_let_us(fake, monkeypatch):
    root = fake("pi5")
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert ClockCap.find(root, detect(root, {})) is None


def test_there_is_none_without_cpufreq(fake):
    root = fake("virtual_machine")
    assert ClockCap.find(root, detect(root, {})) is None


def test_a_file_that_refuses_is_told(cap, monkeypatch):
    found, _ = cap
    found._files[0] = ("/nowhere/scaling_max_freq", 1, 1)
    assert "No such file" in found.set(0.5) and found.share == 1


@pytest.mark.parametrize(
    "leave",
    [
        "signal.raise_signal(signal.SIGKILL)",
        "signal.raise_signal(signal.SIGTERM)",
        "raise SystemExit(3)",
        "import ctypes; ctypes.string_at(0)",
        "raise RuntimeError",
        "pass",
    ],
)
def test_whoever_dies_with_a_cap_leaves_none_behind(tmp_path, leave):
    """The guardian shares the holder's stderr: it is at its end when both are gone."""
    file = tmp_path / "scaling_max_freq"
    file.write_text("2300000\n")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER.format(leave=leave), str(file)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    out, _ = holder.communicate(timeout=60)
    assert out == "capped\n" and file.read_text() == "2300000\n"
    if "SIGKILL" in leave:
        assert holder.returncode == -signal.SIGKILL
