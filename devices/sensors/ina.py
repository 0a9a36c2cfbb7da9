"""Current monitors of Texas Instruments on the supply: INA2xx on a HAT or board, INA3221 on a Jetson.

Units of hwmon: mV, mA, uW.  Channels 4 and up of an INA3221 are shunt voltages.
"""

from __future__ import annotations

from ..attribute import Attribute
from ..device import Device
from ..reading import Absent, Readings
from ..root import Root
from . import hwmon

ONE_CHANNEL = "ina219", "ina220", "ina226", "ina230", "ina231", "ina237", "ina238"
TOTALS = "VDD_IN", "POM_5V_IN", "VIN_SYS_5V0", "VIN"  # rails that feed all others
OLD_JETSON = "sys/bus/i2c/drivers/ina3221x"  # L4T before hwmon: milliwatts


class Ina:
    """Watts of one chip with one channel; taken to lie in the board's supply."""

    source, scope = "ina", "input"

    def __init__(self, root: Root, folder: str, name: str):
        self.name = f"power {name}"
        self._power = Attribute(root, f"{folder}/power1_input", name)
        self._bus = Attribute(root, f"{folder}/in1_input", name)

    def read(self, now: float) -> Readings:
        values = {"power_w": self._power.number() / 1e6}
        try:
            values["supply_v"] = self._bus.number() / 1e3
        except Absent:
            pass
        return values


class Rails:
    """The sum of some rails, each a pair of millivolts and milliamperes."""

    source = "ina"

    def __init__(self, name: str, scope: str, pairs: list[tuple[Attribute, Attribute]]):
        self.name, self.scope = name, scope
        self._pairs = pairs

    def read(self, now: float) -> Readings:
        return {"power_w": sum(mv.number() * ma.number() for mv, ma in self._pairs) / 1e6}


class Milliwatts:
    """A rail of an old Jetson."""

    source, scope = "ina", "input"

    def __init__(self, name: str, power: Attribute):
        self.name, self._power = name, power

    def read(self, now: float) -> Readings:
        return {"power_w": self._power.number() / 1e3}


def find(root: Root, device: Device) -> list[Ina | Rails | Milliwatts]:
    try:
        found = hwmon.named(root, *ONE_CHANNEL, "ina3221")
    except Absent as absent:
        return _old_jetson(root, absent)
    three = [folder for folder, name in found if name == "ina3221"]
    if three:
        return [_rails(root, three)]
    return [Ina(root, *found[0])]


def _rails(root: Root, folders: list[str]) -> Rails:
    """The rail that feeds all others, or else all rails together."""
    labels = {
        (folder, i): root.text_or(f"{folder}/in{i}_label") for folder in folders for i in (1, 2, 3)
    }
    total = [place for place, label in labels.items() if label in TOTALS]
    chosen = total[:1] or [place for place, label in labels.items() if label]
    if not chosen:
        raise Absent(f"the ina3221 in /{folders[0]} has no labelled rails")
    pairs = [
        (
            Attribute(root, f"{folder}/in{i}_input", "ina3221"),
            Attribute(root, f"{folder}/curr{i}_input", "ina3221"),
        )
        for folder, i in chosen
    ]
    names = ", ".join(labels[place] for place in chosen)
    return Rails(f"power ina3221 {names}", "input" if total else "board-rails", pairs)


def _old_jetson(root: Root, absent: Absent) -> list[Ina | Rails | Milliwatts]:
    for chip in root.folders(OLD_JETSON, ""):
        for device in root.folders(chip, "iio"):
            for i in range(3):
                rail = root.text_or(f"{device}/rail_name_{i}")
                if rail in TOTALS:
                    power = Attribute(root, f"{device}/in_power{i}_input")
                    return [Milliwatts(f"power ina3221 {rail}", power)]
    raise absent
