"""Made-up systems: the files of real devices, after shared recordings and kernel documentation.

A tree is a dict from path to text, so that a test can change a line of it before it is written.
"""

import errno
import re
import struct
from pathlib import Path

from edge.devices.reading import Absent
from edge.devices.root import Root

CPUFREQ = "sys/devices/system/cpu/cpufreq"
RAILS = {  # name: (A, V), a reply of pmic_read_adc under load
    "3V7_WL_SW": (0.09, 3.70), "3V3_SYS": (0.08, 3.31), "1V8_SYS": (0.18, 1.80),
    "DDR_VDD2": (0.04, 1.10), "DDR_VDDQ": (0.01, 0.61), "1V1_SYS": (0.19, 1.11),
    "0V8_SW": (0.37, 0.80), "VDD_CORE": (4.0, 0.87), "3V3_DAC": (0.001, 3.31),
    "3V3_ADC": (0.002, 3.30), "0V8_AON": (0.003, 0.80), "HDMI": (0.02, 5.14),
}  # fmt: skip
RAIL_WATTS = sum(amperes * volts for amperes, volts in RAILS.values())


class FakeRoot(Root):
    """A tree with the refusals of a real system: tests may run as root, whom no mode stops."""

    def __init__(self, folder, denied="", failing=None, firmware=None):
        """`denied`, `failing`: patterns of paths; the latter open, and fail when read with an errno."""
        super().__init__(folder)
        self.denied, self.failing, self.firmware = denied, failing or {}, firmware or {}
        self.opened, self.asked = [], []
        self._paths = {}

    def names(self, folder):
        if self.denied and re.search(self.denied, folder):
            raise Absent(f"/{folder}: Permission denied")
        return super().names(folder)

    def open(self, path):
        self.opened.append(path)
        if self.denied and re.search(self.denied, path):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        descriptor = super().open(path)
        self._paths[descriptor] = path
        return descriptor

    def read(self, descriptor):
        for pattern, number in self.failing.items():
            if re.search(pattern, self._paths[descriptor]):
                raise OSError(number, errno.errorcode[number])
        return super().read(descriptor)

    def ioctl(self, descriptor, request, buffer):
        """The firmware of a Pi, as the kernel's vcio passes it on."""
        size, status, tag, room, _, _ = struct.unpack_from("<6I", buffer)
        assert (size, status, tag, room) == (len(buffer), 0, 0x00030080, 4096)
        command = bytes(buffer[24:-4]).split(b"\0", 1)[0].decode()
        self.asked.append(command)
        if command not in self.firmware:
            struct.pack_into("<I", buffer, 4, 0x80000000)
            struct.pack_into("<I", buffer, 20, 1)
            return
        reply = self.firmware[command].encode() + b"\0"
        struct.pack_into("<I", buffer, 4, 0x80000000)
        buffer[24 : 24 + len(reply)] = reply


def write(folder: Path, tree: dict) -> Path:
    for path, content in tree.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def policy(number, cpus, khz, most, current=None):
    folder = f"{CPUFREQ}/policy{number}"
    return {
        f"{folder}/related_cpus": f"{cpus}\n",
        f"{folder}/scaling_cur_freq": f"{current or khz[-1]}\n",
        f"{folder}/scaling_min_freq": f"{khz[0]}\n",
        f"{folder}/scaling_max_freq": f"{most}\n",
        f"{folder}/cpuinfo_min_freq": f"{khz[0]}\n",
        f"{folder}/cpuinfo_max_freq": f"{khz[-1]}\n",
        f"{folder}/scaling_available_frequencies": " ".join(map(str, khz)) + " \n",
    }


def zone(number, kind, millidegrees, trips=()):
    folder = f"sys/class/thermal/thermal_zone{number}"
    files = {f"{folder}/type": f"{kind}\n", f"{folder}/temp": f"{millidegrees}\n"}
    for i, (trip, at) in enumerate(trips):
        files |= {f"{folder}/trip_point_{i}_type": f"{trip}\n"}
        files |= {f"{folder}/trip_point_{i}_temp": f"{at}\n"}
    return files


def hwmon(number, name, **files):
    folder = f"sys/class/hwmon/hwmon{number}"
    return {f"{folder}/name": f"{name}\n"} | {f"{folder}/{k}": f"{v}\n" for k, v in files.items()}


def board(model, *compatible):
    return {
        "proc/device-tree/model": f"{model}\0",
        "proc/device-tree/compatible": "".join(f"{name}\0" for name in compatible),
        "sys/devices/system/cpu/present": "0-3\n",
    }


def firmware(throttled=0, hertz=2400000000, celsius=61.2, rails=RAILS):
    lines = [f"   {name}_A current({i})={a:.8f}A" for i, (name, (a, _)) in enumerate(rails.items())]
    lines += [
        f"   {name}_V volt({i + 8})={v:.8f}V" for i, (name, (_, v)) in enumerate(rails.items())
    ]
    lines += ["   EXT5V_V volt(24)=5.13245000V", "   BATT_V volt(25)=0.00488400V"]
    return {
        "get_throttled": f"throttled={throttled:#x}",
        "measure_clock arm": f"frequency(0)={hertz}",
        "measure_temp": f"temp={celsius}'C",
        "pmic_read_adc": "\n".join(lines) + "\n",
    }


def pi5():
    khz = list(range(1500000, 2400001, 100000))
    return (
        board("Raspberry Pi 5 Model B Rev 1.0", "raspberrypi,5-model-b", "brcm,bcm2712")
        | policy(0, "0 1 2 3", khz, 2400000)
        | zone(0, "cpu-thermal", 61200, [("critical", 110000)])
        | hwmon(0, "cpu_thermal", temp1_input=61200)
        | hwmon(1, "rp1_adc", in1_input=1487, temp1_input=48000)
        | hwmon(2, "pwmfan", fan1_input=2919, pwm1=125)
        | hwmon(3, "rpi_volt", in0_lcrit_alarm=0)
        | {"dev/vcio_gencmd": "", "dev/vcio": ""}
    )


def pi4():
    return (
        board("Raspberry Pi 4 Model B Rev 1.4", "raspberrypi,4-model-b", "brcm,bcm2711")
        | policy(0, "0 1 2 3", [600000, 750000, 1000000, 1500000], 1500000)
        | zone(0, "cpu-thermal", 58400)
        | hwmon(0, "cpu_thermal", temp1_input=58400)
        | hwmon(1, "rpi_volt", in0_lcrit_alarm=0)
        | {"dev/vcio": ""}
    )


def pi3b_plus():
    return (
        board("Raspberry Pi 3 Model B Plus Rev 1.3", "raspberrypi,3-model-b-plus", "brcm,bcm2837")
        | policy(0, "0 1 2 3", [600000, 1400000], 1400000)
        | zone(0, "cpu-thermal", 59100)
        | hwmon(0, "rpi_volt", in0_lcrit_alarm=1)
        | {"dev/vcio": ""}
    )


def zero2w():
    return (
        board("Raspberry Pi Zero 2 W Rev 1.0", "raspberrypi,model-zero-2-w", "brcm,bcm2837")
        | policy(0, "0 1 2 3", [600000, 1000000], 1000000)
        | zone(0, "cpu-thermal", 52600)
        | {"dev/vcio": ""}
    )


def phone():
    """A phone whose vendor labels one thermal zone readable; the rest is denied by PHONE_DENIES."""
    tree = (
        policy(0, "0 1 2 3", [300000, 1800000], 1800000)
        | policy(4, "4 5 6", [400000, 2600000], 2600000)
        | policy(7, "7", [500000, 3000000], 3000000)
        | zone(0, "cpu-0-0-usr", 47100)
        | zone(1, "cpu-1-3-usr", 49800)
        | zone(2, "battery", 33000)
        | {"system/build.prop": "ro.build.version.sdk=34\n"}
        | {"sys/class/power_supply/battery/type": "Battery\n"}
    )
    for cpu in range(8):
        capacity = 325 if cpu < 4 else 871 if cpu < 7 else 1024
        tree[f"sys/devices/system/cpu/cpu{cpu}/cpu_capacity"] = f"{capacity}\n"
    return tree


PHONE_DENIES = r"^sys/class/(thermal|power_supply)|^proc/stat|^system/build.prop|scaling_m"


def jetson():
    return (
        board("NVIDIA Jetson Orin Nano Developer Kit", "nvidia,p3768-0000+p3767-0005", "nvidia,tegra234")
        | policy(0, "0 1 2 3", [115200, 1510400], 1510400)
        | zone(0, "cpu-thermal", 49000, [("passive", 99000), ("critical", 104500)])
        | zone(8, "tj-thermal", 50500)
        | hwmon(0, "pwmfan", fan1_input=1800)
        | hwmon(
            4, "ina3221", in1_input=19200, curr1_input=400, in1_label="VDD_IN",
            in2_input=19200, curr2_input=100, in2_label="VDD_CPU_GPU_CV",
            in3_input=19200, curr3_input=90, in3_label="VDD_SOC", in4_input=2,
        )
    )  # fmt: skip


def laptop():
    rapl = "sys/class/powercap"
    battery = "sys/class/power_supply/BAT0"
    return (
        policy(0, "0", [400000, 4200000], 4200000, 1800000)
        | policy(1, "1", [400000, 4200000], 4200000, 1800000)
        | zone(0, "INT3400 Thermal", 20000)
        | zone(1, "acpitz", 27800, [("critical", 119000)])
        | zone(2, "x86_pkg_temp", 54000, [("passive", 0), ("passive", 95000)])
        | hwmon(5, "coretemp", temp1_input=54000)
        | {
            "sys/class/dmi/id/chassis_type": "10\n",
            "sys/class/dmi/id/sys_vendor": "LENOVO\n",
            "sys/class/dmi/id/product_name": "20XW\n",
            f"{rapl}/intel-rapl:0/name": "package-0\n",
            f"{rapl}/intel-rapl:0/energy_uj": "262143000000\n",
            f"{rapl}/intel-rapl:0/max_energy_range_uj": "262143328850\n",
            f"{rapl}/intel-rapl:0:0/name": "core\n",
            f"{rapl}/intel-rapl:0:0/energy_uj": "100\n",
            f"{rapl}/intel-rapl:1/name": "psys\n",
            f"{rapl}/intel-rapl:1/energy_uj": "100\n",
            f"{rapl}/intel-rapl-mmio:0/name": "package-0\n",
            f"{rapl}/intel-rapl-mmio:0/energy_uj": "100\n",
            "sys/class/power_supply/AC/type": "Mains\n",
            "sys/class/power_supply/hidpp_battery_0/type": "Battery\n",
            "sys/class/power_supply/hidpp_battery_0/scope": "Device\n",
            "sys/class/power_supply/hidpp_battery_0/status": "Discharging\n",
            f"{battery}/type": "Battery\n",
            f"{battery}/present": "1\n",
            f"{battery}/status": "Discharging\n",
            f"{battery}/capacity": "73\n",
            f"{battery}/power_now": "9876000\n",
        }
    )


def virtual_machine():
    """What a CI machine shows: folders that are empty or not there."""
    return {
        "sys/class/thermal/.keep": "",
        "sys/class/power_supply/.keep": "",
        "sys/devices/system/cpu/cpufreq/.keep": "",
        "sys/devices/system/cpu/cpu0/cpu_capacity": "1024\n",
        "sys/devices/system/cpu/present": "0-1\n",
    }


TREES = {
    "pi5": pi5, "pi4": pi4, "pi3b_plus": pi3b_plus, "zero2w": zero2w, "phone": phone,
    "jetson": jetson, "laptop": laptop, "virtual_machine": virtual_machine,
}  # fmt: skip
