"""edge doctor: what this device is, and whether its kernels compute what they should."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from edge.errors import KernelMismatch

from . import machine, opening, quantities, sensors

if TYPE_CHECKING:
    from edge.runtime.kernels.library import Library
    from edge.runtime.selftest import Check


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON document")


def command(args: argparse.Namespace) -> int:
    from edge.runtime.kernels.library import library
    from edge.runtime.selftest import selftest

    kernels = library()
    with opening.Compiling() as compiling, kernels.telling(compiling):
        checks = selftest(kernels)
    document = _document(kernels, checks)
    print(json.dumps(document) if args.json else _report(document))
    broken = [check.kernel for check in checks if not check.passed]
    if broken:
        raise KernelMismatch(
            f"{len(broken)} of {len(checks)} kernels compute something else than NumPy "
            f"(target {kernels.target.name}: {', '.join(broken)}); please report it"
        )
    return 0


def _document(kernels: Library, checks: list[Check]) -> dict[str, Any]:
    """The document of `edge doctor --json`."""
    return {
        "cpu": machine.description(),
        "kernels": {
            "source": "numba",
            "target": kernels.target.name,
            "instructions": kernels.target.isa,
            "self_test": {
                "passed": all(check.passed for check in checks),
                "kernels": len(checks),
            },
        },
        "memory": machine.memory(),
        "sensors": sensors.listing(),
    }


def _report(document: dict[str, Any]) -> str:
    """The document for people."""
    cpu, kernels, test = document["cpu"], document["kernels"], document["kernels"]["self_test"]
    rows = [
        ("processor", f"{cpu['cpu'] or 'unknown'} ({cpu['architecture']})"),
        ("cores", f"{cpu['cores']}, {cpu['usable_cores']} usable by this process"),
        ("kernels", f"{kernels['source']}, for {kernels['target']} ({kernels['instructions']})"),
        ("self-test", f"{test['kernels']} kernels, {'all good' if test['passed'] else 'FAILED'}"),
        ("memory", _memory(document["memory"])),
        *((sensor["name"], sensor["reason"] or "can be read") for sensor in document["sensors"]),
    ]
    width = max(len(name) for name, _ in rows) + 2
    return "\n".join(f"{name:{width}}{value}" for name, value in rows)


def _memory(memory: dict[str, int | None]) -> str:
    total, available, page = (memory[name] for name in ("total", "available", "page_size"))
    if total is None or available is None:
        return "unknown"
    pages = "" if page is None else f", pages of {page} bytes"
    return f"{quantities.size(available)} of {quantities.size(total)} available{pages}"
