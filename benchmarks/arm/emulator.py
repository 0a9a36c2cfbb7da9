"""Count the instructions that an aarch64 program executes under QEMU's user mode."""

import os
import shutil
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
CHECKOUT = HERE.parent.parent
CLASSES = "simd", "memory", "branch", "other"
WHEELS = ["numpy", "tokenizers"]  # all that edge needs on a device


class Emulator:
    """QEMU with the counting plugin and an aarch64 root with Python, in a folder.

    Debian 12's QEMU 7.2 is the last of Debian's qemu-user that is built with plugins.  Building
    needs apt, dpkg-deb, pip and a C compiler; one minute, 500 MB.  A second run does nothing.
    """

    def __init__(self, folder: Path):
        self.folder = folder.resolve()
        self.root = self.folder / "root"
        self._qemu, self._plugin = self.folder / "qemu", self.folder / "libcount.so"
        subprocess.run([CHECKOUT / "tests/arm64/root.sh", self.folder, *WHEELS], check=True)
        if not self._qemu.exists():
            self._fetch_qemu()
        compile_plugin = ["cc", "-O2", "-shared", "-fPIC", "-o", self._plugin, HERE / "count.c"]
        subprocess.run(compile_plugin, check=True)

    def count(
        self, cpu: str, command: list[str | Path], environment: dict[str, str] | None = None
    ) -> tuple[str, dict[int, Counter[tuple[int, str]]]]:
        """What a program printed, and by region its instructions by (address, class)."""
        loader = self._qemu / "ld-linux-x86-64.so.2"
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch, "counts")
            qemu = [loader, "--library-path", self._qemu, self._qemu / "qemu-aarch64"]
            options = ["-seed", "1", "-plugin", f"{self._plugin},out={out}", "-cpu", cpu]
            done = subprocess.run(
                [*qemu, *options, "-L", self.root, *command],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
                env={"PATH": os.environ["PATH"], "ARM64_CPU": cpu, **(environment or {})},
            )
            return done.stdout, _regions(out)

    def python(self) -> list[str | Path]:
        """The command of the root's Python."""
        return [next((self.root / "usr/bin").glob("python3.??"))]

    def _fetch_qemu(self) -> None:
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            unpacked = Path(scratch, "unpacked")
            for deb in _download("bookworm", "qemu-user", Path(scratch)):
                subprocess.run(["dpkg-deb", "-x", deb, unpacked], check=True)
            new = Path(scratch, "qemu")
            new.mkdir()
            shutil.copy(unpacked / "usr/bin/qemu-aarch64", new)
            for pattern in ("lib/**/*.so*", "usr/lib/**/*.so*"):
                for library in unpacked.glob(pattern):
                    shutil.copy(library, new)
            new.rename(self._qemu)


def _download(suite: str, package: str, folder: Path) -> list[Path]:
    """The package and what it depends on, by an apt with a state of its own."""
    for name in ("lists/partial", "debs/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    mirror = os.environ.get("ARM64_MIRROR") or _mirror()
    key = "/usr/share/keyrings/debian-archive-keyring.gpg"
    source = folder / "sources.list"
    source.write_text(f"deb [arch=amd64 signed-by={key}] {mirror} {suite} main\n")
    settings = {
        "APT::Architecture": "amd64", "APT::Architectures": "amd64",
        "APT::Install-Recommends": "0", "APT::Sandbox::User": "",
        "Dir::Etc::SourceList": source, "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::Preferences": "/dev/null", "Dir::Etc::PreferencesParts": "/dev/null",
        "Dir::State": folder, "Dir::State::Status": folder / "status",
        "Dir::Cache": folder, "Dir::Cache::Archives": folder / "debs",
    }  # fmt: skip
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in settings.items())]
    subprocess.run([*apt, "update"], check=True)
    command = [*apt, "-y", "--download-only", "install", package]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return list((folder / "debs").glob("*.deb"))


def _mirror() -> str:
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    known = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return next(uri for uri in known if uri.rstrip("/").endswith("/debian"))


def _regions(path: Path) -> dict[int, Counter[tuple[int, str]]]:
    regions: dict[int, Counter[tuple[int, str]]] = {}
    for line in path.read_text().splitlines():
        kind, first, *rest = line.split()
        if kind == "region":
            counts = regions.setdefault(int(first), Counter())
        else:
            for name, count in zip(CLASSES, rest, strict=True):
                counts[int(first, 16), name] += int(count)
    return regions
