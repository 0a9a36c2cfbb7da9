"""What only a Raspberry Pi has: its firmware's word on clock, throttling and supply; the Pi 5's PMIC."""

from __future__ import annotations

import re

from ..attribute import Attribute
from ..device import Device
from ..reading import Absent, Readings
from ..root import Root
from . import hwmon
from .mailbox import Mailbox

# get_throttled, bits 0-3: now.  Bits 16-19 say the same since boot, and the kernel clears its own.
REASONS = {1: "under-voltage", 2: "clock capped", 4: "throttled", 8: "soft temperature limit"}
NOW = 0xF
RAIL = re.compile(r"^\s*(\S+)_([AV])\s+(?:current|volt)\(\d+\)=([\d.]+)[AV]\s*$", re.MULTILINE)
LEAST_RAILS = 6  # of twelve; fewer is not a reply of this command


class Firmware:
    """Real clock, throttling and, where sysfs has none, the temperature."""

    source, scope = "firmware", None

    def __init__(self, mailbox: Mailbox):
        self.name = "firmware (Raspberry Pi)"
        self._mailbox = mailbox

    def read(self, now: float) -> Readings:
        bits = _hexadecimal(self._mailbox.value("get_throttled"))
        values: dict[str, float | str] = {"throttle_bits": float(bits)}
        values["throttle_reason"] = in_words(bits)
        try:
            values["measured_hz"] = float(self._mailbox.value("measure_clock arm"))
        except (Absent, ValueError):
            pass
        return values


class FirmwareTemperature:
    """For kernels without a thermal zone."""

    source, scope = "firmware", None

    def __init__(self, mailbox: Mailbox):
        self.name = "temperature (firmware)"
        self._mailbox = mailbox

    def read(self, now: float) -> Readings:
        text = self._mailbox.value("measure_temp")
        try:
            celsius = float(text.split("'")[0])
        except ValueError:
            raise Absent(f"measure_temp: {text!r:.40}") from None
        return {"temperature_c": celsius, "temperature_sensor": "firmware"}


class Pmic:
    """Watts of the twelve rails of a Pi 5, and the 5 V that come in.

    They miss what hangs on the 5 V directly (USB, fan, NVMe) and the converters' losses.  Single
    readings jump: 5 to 10 s of them make a figure.
    """

    source, scope = "pmic", "board-rails"

    def __init__(self, mailbox: Mailbox):
        self.name = "power PMIC"
        self._mailbox = mailbox

    def read(self, now: float) -> Readings:
        return parse_rails(self._mailbox.ask("pmic_read_adc"))


class UnderVoltage:
    """The kernel's alarm: the supply was below 4.63 V within the last 2 s."""

    source, scope = "rpi_volt", None

    def __init__(self, root: Root, folder: str):
        self.name = "under-voltage"
        self._alarm = Attribute(root, f"{folder}/in0_lcrit_alarm", "rpi_volt")

    def read(self, now: float) -> Readings:
        return {"under_voltage": self._alarm.number()}


def parse_rails(reply: str) -> Readings:
    """Watts of all rails that have both figures; EXT5V has volts alone.  Raises Absent."""
    rails: dict[str, dict[str, float]] = {"A": {}, "V": {}}
    for name, unit, value in RAIL.findall(reply):
        rails[unit][name] = float(value)
    both = rails["A"].keys() & rails["V"].keys()
    if len(both) < LEAST_RAILS:
        raise Absent(f"pmic_read_adc: {len(both)} rails in {reply!r:.40}")
    values = {"power_w": sum(rails["A"][name] * rails["V"][name] for name in both)}
    if "EXT5V" in rails["V"]:
        values["supply_v"] = rails["V"]["EXT5V"]
    return values


def in_words(bits: int) -> str:
    """What the bits of now say; bit 2 can mean either, so under-voltage beside it explains it."""
    words = [reason for bit, reason in REASONS.items() if bits & NOW & bit]
    return ", ".join(words) or "not throttled"


def since_boot(bits: int) -> str | None:
    """What has slowed the device down at any time since it was started; None if nothing has."""
    return ", ".join(reason for bit, reason in REASONS.items() if bits >> 16 & bit) or None


def firmware(root: Root, device: Device) -> list[Firmware]:
    _wants_a_pi(device)
    return [Firmware(Mailbox(root))]


def temperature(root: Root, device: Device) -> list[FirmwareTemperature]:
    _wants_a_pi(device)
    if root.folders("sys/class/thermal", "thermal_zone"):
        raise Absent("not needed, the kernel has a thermal zone")
    return [FirmwareTemperature(Mailbox(root))]


def pmic(root: Root, device: Device) -> list[Pmic]:
    _wants_a_pi(device)
    if device.profile.key not in ("pi-5", "pi-500"):
        raise Absent(f"a {device.profile.name} cannot measure its current")
    return [Pmic(Mailbox(root))]


def under_voltage(root: Root, device: Device) -> list[UnderVoltage]:
    folder, _ = hwmon.named(root, "rpi_volt")[0]
    return [UnderVoltage(root, folder)]


def _wants_a_pi(device: Device) -> None:
    if not device.profile.key.startswith("pi-"):
        raise Absent("not a Raspberry Pi")


def _hexadecimal(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        raise Absent(f"get_throttled: {text!r:.40}") from None
