"""The mailbox through a real ioctl, on a system that umockdev emulates."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PYTHON = "/usr/bin/python3"  # it has the bindings, if any has
ASK = """
from edge.devices.reading import Absent
from edge.devices.root import Root
from edge.devices.sensors.mailbox import Mailbox
mailbox = Mailbox(Root())
print(mailbox.value("get_throttled"), mailbox.value("measure_clock arm"))
try:
    mailbox.ask("pmic_read_adc")
except Absent as absent:
    print(absent)
"""


@pytest.fixture
def emulated():
    """Run a program of ours where there is such a firmware; what it prints."""
    if shutil.which("umockdev-wrapper") is None:
        pytest.skip("umockdev is not installed (apt install umockdev)")
    bindings = [PYTHON, "-c", "import gi; gi.require_version('UMockdev', '1.0')"]
    if (
        not Path(PYTHON).exists()
        or subprocess.run(bindings, capture_output=True, check=False).returncode
    ):
        pytest.skip("no bindings (apt install gir1.2-umockdev-1.0 python3-gi)")

    def run(code):
        command = ["umockdev-wrapper", PYTHON, HERE / "emulated_firmware.py"]
        done = subprocess.run(
            [*command, sys.executable, "-c", code], capture_output=True, text=True, timeout=120,
            check=False, cwd=HERE.parents[2],
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_a_firmware_answers_and_refuses_through_the_kernels_interface(emulated):
    answers, refusal = emulated(ASK).splitlines()
    assert answers == "0x50005 1000000000"
    assert refusal == "pmic_read_adc: Operation not permitted"
