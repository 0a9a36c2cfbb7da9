"""edge doctor: what this device is, and whether its kernels compute what they should."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from edge.errors import KernelMismatch

from . import machine, opening, quantities, sensors

if TYPE_CHECKING:
    from edge.runtime.libraries.choice import Choice
    from edge.runtime.libraries.library import Library
    from edge.runtime.selftest import Check

BITS = {"int4": 4.75, "int8": 8.5}  # a weight, with scales and an int8 embedding
SHOWN = ("int8-g32", "int4-g32-offset", "int4-g256-offset", "ternary")  # of all weight formats
RESERVED = 150 * 2**20  # bytes for Python, a KV cache and buffers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON document")


def command(args: argparse.Namespace) -> int:
    from edge.runtime.libraries.choice import choice
    from edge.runtime.selftest import selftest

    chosen = choice()
    kernels = chosen.library
    with opening.Compiling() as compiling, kernels.telling(compiling):
        checks = selftest(kernels)
        document = _document(chosen, checks)
        document["products"] = _products(kernels)
    print(json.dumps(document) if args.json else _report(document))
    broken = [check.kernel for check in checks if not check.passed]
    if broken:
        raise KernelMismatch(
            f"{len(broken)} of {len(checks)} kernels compute something else than NumPy "
            f"(target {kernels.target.name}: {', '.join(broken)}); please report it"
        )
    return 0


def _document(chosen: Choice, checks: list[Check]) -> dict[str, Any]:
    """The document of `edge doctor --json`."""
    kernels = chosen.library
    return {
        "cpu": machine.description(),
        "kernels": {
            "source": kernels.source,
            "target": kernels.target.name,
            "instructions": kernels.target.isa,
            "why": chosen.reason,
            "not_used": [{"name": r.name, "reason": r.reason} for r in chosen.rejected],
            "self_test": {
                "passed": all(check.passed for check in checks),
                "kernels": len(checks),
            },
        },
        "memory": machine.memory(),
        "fits": _largest(machine.memory()["available"]),
        **sensors.survey(),
    }


def _products(kernels: Library) -> dict[str, Any] | None:
    """What `edge export --quant mixed:12ms --doctor FILE` reads; not of NumPy, which takes ages."""
    from edge.runtime.model import usable_cores
    from edge.runtime.product_rates import product_rates

    if kernels.source == "numpy":
        return None
    rates = product_rates(kernels, threads := usable_cores())
    return {"threads": threads, "gb_s": {name: round(rate, 3) for name, rate in rates.items()}}


def _rates(products: dict[str, Any] | None) -> str:
    if products is None:
        return "not measured: plain NumPy"
    rates = (f"{name} {products['gb_s'][name]:.1f}" for name in SHOWN)
    return f"{', '.join(rates)} GB/s of weights with {products['threads']} threads"


def _report(document: dict[str, Any]) -> str:
    """The document for people."""
    cpu, kernels, test = document["cpu"], document["kernels"], document["kernels"]["self_test"]
    rows = [
        ("processor", f"{cpu['cpu'] or 'unknown'} ({cpu['architecture']})"),
        ("cores", f"{cpu['cores']}, {cpu['usable_cores']} usable by this process"),
        ("kernels", f"{kernels['source']}, for {kernels['target']} ({kernels['instructions']})"),
        ("", kernels["why"]),
        *(("not used", f"{r['name']}: {r['reason']}") for r in kernels["not_used"]),
        ("self-test", f"{test['kernels']} kernels, {'all good' if test['passed'] else 'FAILED'}"),
        ("products", _rates(document["products"])),
        ("memory", _memory(document["memory"])),
        ("what fits", _fits(document["fits"])),
        *((sensor["name"], sensor["reason"] or "can be read") for sensor in document["sensors"]),
        ("throttling", _throttling(document["throttling"])),
        *_knees(document["thread_knees"]),
        ("cooling", document["cooling"]["verdict"]),
    ]
    width = max(len(name) for name, _ in rows) + 2
    return "\n".join(f"{name:{width}}{value}" for name, value in rows)


def _throttling(told: dict[str, Any]) -> str:
    now, before = told["now"], told["since_boot"]
    text = "nothing tells" if now is None else ", ".join(now) or "none now"
    return text if before is None else f"{text}; since the device was started: {before}"


def _knees(found: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """A row a model whose knee is remembered."""
    if not found:
        return [("thread knee", "not known; edge run MODEL PROMPT --eco finds it")]
    return [
        (
            "thread knee",
            f"{one['knee']} of {one['threads']} threads, {one['model']}: {_speeds(one)}",
        )
        for one in found
    ]


def _speeds(one: dict[str, Any]) -> str:
    return ", ".join(f"{threads}: {speed:.3g} tok/s" for threads, speed in one["tok_s"].items())


def _memory(memory: dict[str, int | None]) -> str:
    total, available, page = (memory[name] for name in ("total", "available", "page_size"))
    if total is None or available is None:
        return "unknown"
    pages = "" if page is None else f", pages of {page} bytes"
    return f"{quantities.size(available)} of {quantities.size(total)} available{pages}"


def _largest(available: int | None) -> dict[str, int] | None:
    """Parameters of the largest model that fits, by recipe; None where memory is unknown."""
    if available is None:
        return None
    room = max(available - RESERVED, 0)
    return {recipe: int(8 * room / bits) for recipe, bits in BITS.items()}


def _fits(largest: dict[str, int] | None) -> str:
    if largest is None:
        return "unknown"
    sizes = (f"{count / 1e9:.1f} billion in {recipe}" for recipe, count in largest.items())
    return f"models of up to about {' or '.join(sizes)} parameters"
