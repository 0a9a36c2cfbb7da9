"""This device, as far as the system says: unknown is None."""

import os
import platform
from pathlib import Path
from typing import Any

ROOT = Path("/")


def description(root: Path = ROOT) -> dict[str, Any]:
    """For reports: what figures were measured on."""
    from edge.runtime.model import usable_cores

    return {
        "cpu": cpu_model(root),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "usable_cores": usable_cores(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "memory_bytes": memory(root)["total"],
    }


def cpu_model(root: Path = ROOT) -> str | None:
    """The board's name where there is one ("Raspberry Pi 5 Model B"), or the processor's."""
    board = _text(root / "proc/device-tree/model")
    if board:
        return board.rstrip("\0")
    for line in (_text(root / "proc/cpuinfo") or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Hardware"):
            return value.strip()
    return platform.processor() or None


def memory(root: Path = ROOT) -> dict[str, int | None]:
    """Bytes in all and available, and of a page."""
    kilobytes = {}
    for line in (_text(root / "proc/meminfo") or "").splitlines():
        name, _, value = line.partition(":")
        if value.split()[1:] == ["kB"]:
            kilobytes[name] = int(value.split()[0])
    total, available = kilobytes.get("MemTotal"), kilobytes.get("MemAvailable")
    return {
        "total": None if total is None else total * 1024,
        "available": None if available is None else available * 1024,
        "page_size": os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else None,
    }


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return None
