"""What every device shows, and what becomes of sensors that are denied, broken or gone."""

import errno

import pytest

from edge.devices.device import detect
from edge.devices.reading import Absent
from edge.devices.sample import Sensors
from tests.devices import trees

NOWHERE = {}


def sensors(root):
    return Sensors.of(detect(root, NOWHERE, "x86_64"), root)


def watts(sample):
    """Of what is measured."""
    measured = [power for power in sample.power if power.scope != "model"]
    return {power.source: (power.scope, power.watts) for power in measured}


def test_a_pi_5_shows_everything(fake):
    root = fake("pi5", firmware=trees.firmware(throttled=0x50005))
    sample = sensors(root).sample(0.0)
    assert sample.absent == {}
    assert sample.values == {
        "temperature_c": 61.2, "temperature_sensor": "cpu-thermal", "requested_hz": 2.4e9,
        "max_hz": 2.4e9, "measured_hz": 2.4e9, "throttle_bits": 0x50005,
        "throttle_reason": "under-voltage, throttled", "under_voltage": 0, "fan_rpm": 2919,
        "supply_v": pytest.approx(5.13245),
    }  # fmt: skip
    assert watts(sample) == {"pmic": ("board-rails", pytest.approx(trees.RAIL_WATTS))}


def test_a_pi_4_has_no_watts_but_the_estimate(fake):
    found = sensors(fake("pi4", firmware=trees.firmware(hertz=1500000000)))
    found.sample(0.0)
    sample = found.sample(1.0)
    (power,) = sample.power
    assert (power.source, power.scope) == ("estimate", "model") and power.joules > 3.0 * 0.99
    assert sample.number("measured_hz") == 1.5e9
    (pmic,) = (m for m in found.missing if m.name == "power (PMIC)")
    assert pmic.reason == "a Raspberry Pi 4 cannot measure its current"


@pytest.mark.parametrize("tree, celsius", [("pi3b_plus", 59.1), ("zero2w", 52.6)])
def test_older_boards_show_temperature_and_firmware(fake, tree, celsius):
    sample = sensors(fake(tree, firmware=trees.firmware(throttled=8))).sample(0.0)
    assert sample.number("temperature_c") == celsius
    assert sample.text("throttle_reason") == "soft temperature limit"
    assert sample.number("under_voltage") == (1 if tree == "pi3b_plus" else None)


def test_a_pi_whose_mailbox_is_closed_to_us_says_what_to_do(fake):
    found = sensors(fake("pi5", denied="^dev/vcio"))
    reasons = {missing.name: missing.reason for missing in found.missing}
    assert "usermod -aG video" in reasons["firmware (Raspberry Pi)"]
    sample = found.sample(0.0)
    assert sample.number("temperature_c") == 61.2 and sample.number("measured_hz") is None


def test_the_node_for_users_is_tried_before_the_one_for_root(fake):
    root = fake("pi5", firmware=trees.firmware(), denied="^dev/vcio$")
    assert sensors(root).sample(0.0).number("measured_hz") == 2.4e9


def test_the_firmwares_temperature_serves_where_the_kernel_has_none(fake):
    tree = {p: t for p, t in trees.pi4().items() if "thermal_zone" not in p and "hwmon" not in p}
    sample = sensors(fake(tree, firmware=trees.firmware(celsius=48.3))).sample(0.0)
    assert (sample.number("temperature_c"), sample.text("temperature_sensor")) == (48.3, "firmware")


@pytest.mark.parametrize(
    "command, reply",
    [
        ("get_throttled", "error=1 error_msg=\"Command not registered\""),
        ("get_throttled", ""),
        ("pmic_read_adc", "VDD_CORE_A current(7)=4.0A\nVDD_CORE_V volt(15)=0.9V"),
        ("pmic_read_adc", ""),
    ],
)  # fmt: skip
def test_a_firmware_that_answers_otherwise_is_absent(fake, command, reply):
    sample = sensors(fake("pi5", firmware=trees.firmware() | {command: reply})).sample(0.0)
    assert any(reason.startswith(command) for reason in sample.absent.values())


def test_a_firmware_that_refuses_is_absent(fake):
    sample = sensors(fake("pi5", firmware={})).sample(0.0)
    assert "the firmware refused" in sample.absent["power PMIC"]


def test_a_jetsons_watts_are_those_of_the_rail_that_feeds_all(fake):
    sample = sensors(fake("jetson")).sample(0.0)
    assert watts(sample) == {"ina": ("input", pytest.approx(7.68))}
    assert sample.text("temperature_sensor") == "cpu-thermal"


def test_a_jetson_without_that_rail_gives_the_sum_of_its_rails(fake):
    tree = trees.jetson() | {"sys/class/hwmon/hwmon4/in1_label": "GPU\n"}
    assert watts(sensors(fake(tree)).sample(0.0)) == {
        "ina": ("board-rails", pytest.approx(19.2 * 0.59))
    }


def test_an_old_jetson_gives_milliwatts(fake):
    folder = "sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0"
    tree = {k: v for k, v in trees.jetson().items() if "hwmon4" not in k}
    tree |= {f"{folder}/rail_name_0": "VDD_IN\n", f"{folder}/in_power0_input": "5120\n"}
    assert watts(sensors(fake(tree)).sample(0.0)) == {"ina": ("input", 5.12)}


def test_an_ina219_on_a_pi_is_believed_before_the_pmic(fake):
    tree = trees.pi5() | trees.hwmon(9, "ina219", in1_input=5080, power1_input=7440000)
    sample = sensors(fake(tree, firmware=trees.firmware())).sample(0.0)
    assert [power.source for power in sample.power] == ["ina", "pmic", "estimate"]
    assert sample.power[0].watts == 7.44 and sample.number("supply_v") == 5.08


def test_a_laptop_counts_one_package_and_no_mouse(fake):
    root = fake("laptop")
    found = sensors(root)
    sample = found.sample(0.0)
    assert sample.number("temperature_c") == 54 and sample.text("battery_status") == "Discharging"
    assert [(p.source, p.scope, p.watts, p.joules) for p in sample.power] == [
        ("rapl", "package", None, 0.0),
        ("battery", "battery", 9.876, None),
    ]
    counter = "sys/class/powercap/intel-rapl:0/energy_uj"
    trees.write(root.folder, {counter: "1671150\n"})  # beyond the range: 328850 uJ, then from 0
    assert found.sample(1.0).power[0].joules == pytest.approx(2.0)


def test_two_packages_are_summed_each_with_its_own_range(fake):
    other = "sys/class/powercap/intel-rapl:2"
    tree = trees.laptop() | {f"{other}/name": "package-1\n", f"{other}/energy_uj": "1000000\n"}
    tree |= {f"{other}/max_energy_range_uj": "65532610987\n"}
    root = fake(tree)
    found = sensors(root)
    found.sample(0.0)
    trees.write(
        root.folder,
        {
            f"{other}/energy_uj": "3000000\n",
            "sys/class/powercap/intel-rapl:0/energy_uj": "262143328850\n",
        },
    )
    assert found.sample(1.0).power[0].joules == pytest.approx(2.32885)


def test_a_counter_without_a_range_that_starts_again_leaves_a_gap(fake):
    tree = {k: v for k, v in trees.laptop().items() if "max_energy" not in k}
    root = fake(tree)
    found = sensors(root)
    found.sample(0.0)
    trees.write(root.folder, {"sys/class/powercap/intel-rapl:0/energy_uj": "5\n"})
    assert "started again" in found.sample(1.0).absent["power RAPL"]


def test_rapl_for_root_only_says_so(fake):
    found = sensors(fake("laptop", denied="energy_uj$"))
    (rapl,) = (m for m in found.missing if m.name == "power (RAPL)")
    assert "Permission denied (root only since Linux 5.10" in rapl.reason


BAT = "sys/class/power_supply/BAT"


@pytest.mark.parametrize(
    "files, expected",
    [
        ({"power_now": "-9876000"}, 9.876),  # the ABI's sign
        ({"power_now": None, "voltage_now": "12000000", "current_now": "-500000"}, 6.0),
        ({"power_now": "garbage", "voltage_now": "12000000", "current_now": "500000"}, 6.0),
        ({"status": "Charging"}, None),
        ({"status": "Full"}, None),
        ({"status": "Not charging"}, None),
        ({"status": "Unknown"}, None),
        ({"power_now": None}, None),
    ],
)
def test_a_batterys_watts_are_known_only_while_it_drains(fake, files, expected):
    tree = {k: v for k, v in trees.laptop().items() if "rapl" not in k}
    for name, text in files.items():
        tree.pop(f"{BAT}0/{name}", None)
        if text is not None:
            tree[f"{BAT}0/{name}"] = f"{text}\n"
    sample = sensors(fake(tree)).sample(0.0)
    assert watts(sample) == ({} if expected is None else {"battery": ("battery", expected)})
    assert sample.number("battery_percent") == 73


@pytest.mark.parametrize(
    "status, together, expected",
    [("Not charging", "Discharging", 9.876), ("Discharging", "Discharging", 12.876),
     ("Charging", "Charging", None)],
)  # fmt: skip
def test_several_batteries_are_one_machine(fake, status, together, expected):
    tree = {k: v for k, v in trees.laptop().items() if "rapl" not in k}
    second = {"type": "Battery", "status": status, "capacity": "27", "power_now": "3000000",
              "temp": "312"}  # fmt: skip
    tree |= {f"{BAT}1/{name}": f"{text}\n" for name, text in second.items()}
    sample = sensors(fake(tree)).sample(0.0)
    assert sample.text("battery_status") == together
    assert sample.number("battery_percent") == 50 and sample.number("battery_c") == 31.2
    assert watts(sample).get("battery", (None, None))[1] == expected


def test_a_phone_that_denies_everything_has_reasons(fake, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    found = sensors(fake("phone", denied=trees.PHONE_DENIES))
    reasons = {missing.name: missing.reason for missing in found.missing}
    assert reasons["temperature"] == "/sys/class/thermal: Permission denied"
    assert reasons["battery"] == "/sys/class/power_supply: Permission denied"
    assert "termux-api" in reasons["battery (Termux)"]
    assert "trial process" in reasons["thermal status (Android)"]  # no libandroid here
    sample = found.sample(0.0)
    assert sample.number("requested_hz") == 3.0e9 and sample.number("max_hz") == 3.0e9


def test_a_phone_whose_vendor_is_open_gives_its_hottest_core(fake, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    sample = sensors(fake("phone", denied="zone0/temp")).sample(0.0)
    assert sample.number("temperature_c") == 49.8


def test_a_machine_without_sensors_has_nothing_and_a_reason_for_all(fake):
    found = sensors(fake("virtual_machine"))
    sample = found.sample(0.0)
    assert (found.found, sample.values, sample.power) == ([], {}, ())
    assert all(missing.reason for missing in found.missing)


@pytest.mark.parametrize("text", ["", "\n", "N/A", "61.2", "0x20", "1" * 400, "\xff\x00"])
@pytest.mark.parametrize(
    "path", ["sys/class/thermal/thermal_zone0/temp", "sys/class/hwmon/hwmon2/fan1_input"]
)
def test_a_malformed_file_is_absent_and_never_zero(fake, path, text):
    tree = {k: v for k, v in trees.pi5().items() if "hwmon0" not in k} | {path: text}
    root = fake("virtual_machine")  # fan1_input must be there when it is looked for
    trees.write(root.folder, tree | {path: "1000\n"})
    found = sensors(root)
    trees.write(root.folder, {path: text})
    sample = found.sample(0.0)
    field = "temperature_c" if "temp" in path else "fan_rpm"
    assert field not in sample.values
    (reason,) = (r for name, r in sample.absent.items() if name.split()[0] in field)
    assert f"/{path}: holds" in reason


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EIO, errno.ENODATA, errno.ENODEV])
def test_a_sensor_that_fails_in_mid_run_comes_back(fake, number):
    tree = {k: v for k, v in trees.pi4().items() if "hwmon" not in k}
    root = fake(tree, firmware=trees.firmware())
    found = sensors(root)
    assert found.sample(0.0).number("temperature_c") == 58.4
    root.failing = {"thermal_zone0/temp": number}
    sample = found.sample(1.0)
    assert sample.number("temperature_c") is None
    assert errno.errorcode[number] in sample.absent["temperature cpu-thermal"]
    root.failing = {}
    assert found.sample(2.0).number("temperature_c") == 58.4


@pytest.mark.parametrize("millidegrees", [-273150, 255000, 2147483647])
def test_degrees_that_cannot_be_are_absent(fake, millidegrees):
    tree = {k: v for k, v in trees.pi4().items() if "hwmon" not in k}
    sample = sensors(fake(tree | trees.zone(0, "cpu-thermal", millidegrees))).sample(0.0)
    assert sample.number("temperature_c") is None


def test_a_lost_sensor_is_asked_ever_less_often(fake):
    root = fake({k: v for k, v in trees.pi4().items() if "hwmon" not in k})
    found = sensors(root)
    found.sample(0.0)
    root.failing = {"thermal_zone0/temp": errno.EIO}
    root.opened.clear()
    for second in range(300):
        found.sample(float(second))
    opened = root.opened.count("sys/class/thermal/thermal_zone0/temp")
    assert 30 < opened < 50


def test_a_hwmon_that_changed_its_number_is_found_and_not_mistaken(fake):
    root = fake({k: v for k, v in trees.pi5().items() if "thermal_zone" not in k})
    found = sensors(root)
    assert found.sample(0.0).number("fan_rpm") == 2919
    # The drivers were loaded again: hwmon2 is another device now, and the fan is hwmon7.
    (root.folder / "sys/class/hwmon/hwmon2").rename(root.folder / "sys/class/hwmon/hwmon7")
    trees.write(root.folder, trees.hwmon(2, "other", fan1_input=1))
    root.failing = {"hwmon2/fan1_input": errno.ENODEV}  # of the descriptor that was kept
    found.sample(1.0)
    root.failing = {}
    seen = [found.sample(float(second)).number("fan_rpm") for second in range(2, 200)]
    assert set(seen) == {None, 2919} and seen[-1] == 2919


def test_a_source_can_be_left_out(fake):
    sample = sensors(fake("laptop")).without("battery").sample(0.0)
    assert [power.source for power in sample.power] == ["rapl"]
    assert sample.text("battery_status") is None


def test_files_are_opened_once(fake):
    root = fake("laptop")
    found = sensors(root)
    found.sample(0.0)
    root.opened.clear()
    for second in range(10):
        found.sample(float(second))
    assert root.opened in ([], ["sys/class/power_supply/BAT0/temp"] * 10)  # that one is not there


@pytest.mark.parametrize("name", [name for name in trees.TREES if name != "phone"])
def test_no_sensor_raises_anything_but_absent(fake, name):
    """Every file of a tree, one after the other, with content that no driver writes."""
    root = fake(name, firmware=trees.firmware())
    for path, text in trees.TREES[name]().items():
        trees.write(root.folder, {path: b"\xff\xfe\n-"})
        sensors(root).sample(0.0)
        trees.write(root.folder, {path: text})


def test_absent_is_not_an_error_of_the_user():
    assert not issubclass(Absent, OSError)
