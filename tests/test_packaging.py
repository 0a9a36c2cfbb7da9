"""The wheel: `edge` and nothing else, whole, and at work far from the checkout."""

import importlib.util
import os
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ("exporter", "runtime", "devices")

pytestmark = pytest.mark.skipif(
    not (importlib.util.find_spec("hatchling") and importlib.util.find_spec("build")),
    reason="building a wheel needs the packages hatchling and build",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Path of a wheel built from the checkout, without the network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(folder)]
    result = subprocess.run(
        [*command, str(ROOT)], capture_output=True, text=True, check=False, cwd=folder
    )
    assert result.returncode == 0, result.stdout + result.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory):
    """A folder with the wheel's content, as pip would install it."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def files(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def run(code: str, site: Path, cwd: Path) -> str:
    """What a program prints that finds the wheel's content, and no checkout."""
    environment = os.environ | {"PYTHONPATH": str(site)}
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=environment,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_wheel_installs_one_name(wheel):
    tops = {name.split("/")[0] for name in files(wheel)}
    assert len(tops) == 2 and "edge" in tops
    assert next(iter(tops - {"edge"})).startswith("edge-")
    assert all(top == "edge" or top.endswith(".dist-info") for top in tops)


def test_the_wheel_holds_every_module_of_the_checkout_and_no_other(wheel):
    def relative(path: Path) -> str:
        return path.relative_to(ROOT).as_posix()

    expected = {relative(path) for path in (ROOT / "edge").rglob("*.py")}
    for part in PARTS:
        expected |= {f"edge/{relative(path)}" for path in (ROOT / part).rglob("*.py")}
    assert {name for name in files(wheel) if name.endswith(".py")} == expected
    assert "edge/devices/profiles/pi-5.json" in files(wheel)
    assert {"edge/format/reader.py", "edge/runtime/model.py", "edge/devices/__init__.py"} < expected


def test_the_wheel_holds_the_tables_that_modules_read(wheel):
    assert "edge/runtime/pytokenizers/classes.txt" in files(wheel)


def test_the_wheel_holds_nothing_that_was_compiled_or_tested(wheel):
    odd = [name for name in files(wheel) if "__pycache__" in name or "/tests/" in name]
    assert odd == []


def test_a_device_needs_numpy_and_tokenizers_alone(site):
    (info,) = site.glob("*.dist-info")
    required = metadata.PathDistribution(info).requires
    always = sorted(r for r in required if "extra ==" not in r)
    assert always == ["numpy", "tokenizers; sys_platform != 'android'"]


def test_the_wheel_is_for_every_machine(wheel):
    assert wheel.name.endswith("-py3-none-any.whl")


def test_the_wheel_brings_the_command_and_its_licence(site):
    (info,) = site.glob("*.dist-info")
    assert "edge = edge.cli:main" in (info / "entry_points.txt").read_text()
    assert list(info.rglob("LICENSE"))


@pytest.mark.parametrize(
    "module",
    [
        "edge",
        "edge.format.reader",
        "edge.runtime.model",
        "edge.exporter",
        "edge.devices",
        "edge.cli",
    ],
)
def test_a_module_of_the_wheel_is_imported_from_it(site, tmp_path, module):
    code = f"import {module} as module; print(module.__file__)"
    assert Path(run(code, site, tmp_path).strip()).is_relative_to(site)


def test_a_hostile_working_folder_does_not_stand_in_for_a_part(site, tmp_path):
    for part in (*PARTS, "format"):
        (tmp_path / f"{part}.py").write_text("raise SystemExit('not this one')")
    assert run("import edge.runtime.plan, edge.exporter, edge.devices", site, tmp_path) == ""


def test_a_model_is_exported_and_read_with_the_wheel_alone(site, tmp_path):
    golden = ROOT / "tests" / "golden" / "smollm2"
    code = f"""
import edge
report = edge.export({str(golden)!r}, "tiny.edge", quant="int8")
from edge.format.reader import EdgeFile
file = EdgeFile("tiny.edge")
assert file.verify() == []
print(edge.__file__, len(file.tensors) == len(report.tensors))
"""
    path, same = run(code, site, tmp_path).split()
    assert Path(path).is_relative_to(site) and same == "True"
