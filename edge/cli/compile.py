"""edge compile: the kernels of a target as a shared library, for devices without a compiler."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .progress import Progress
from .quantities import size
from .usage import UsageError

if TYPE_CHECKING:
    from edge.runtime.kernels.target import Target

ALL = "all"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--target", required=True, metavar="NAME",
        help="native (this CPU), a name, all (those the wheel carries), or list",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", metavar="DIR", type=Path,
        help="folder for TARGET.so; where edge looks for it, if not given",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="one JSON document")


def command(args: argparse.Namespace) -> int:
    if args.target == "list":
        return _list(args.json)
    targets = _targets(args.target)
    libraries = [_build(target, args.output) for target in targets]
    if args.json:
        print(json.dumps({"libraries": libraries}))
    else:
        for library in libraries:
            print(f"{library['path']}  {size(library['bytes'])}")
    return 0


def _build(target: Target, folder: Path | None) -> dict[str, Any]:
    from edge.exporter.aot.library import build
    from edge.runtime.libraries import cache

    with Progress(f"compiling for {target.name}:") as progress:
        path = build(target, folder or cache.private_folder(), progress)
    return {"target": target.name, "path": str(path), "bytes": path.stat().st_size}


def _targets(name: str) -> list[Target]:
    from edge.runtime.kernels.target import SHIPPED, named
    from edge.runtime.libraries.cpu import host

    if name == ALL:
        return [named(shipped) for shipped in SHIPPED]
    try:
        return [host() if name == "native" else named(name)]
    except ValueError as error:
        raise UsageError(str(error)) from None


def _list(as_json: bool) -> int:
    from edge.runtime.kernels.target import SHIPPED, TARGETS
    from edge.runtime.libraries.cpu import host

    native = host().name
    rows = [
        {"name": t.name, "isa": t.isa, "native": t.name == native, "shipped": t.name in SHIPPED}
        for t in TARGETS.values()
    ]
    if as_json:
        print(json.dumps({"targets": rows}))
        return 0
    for row in rows:
        marks = [mark for mark in ("native", "shipped") if row[mark]]
        note = {"native": "this machine", "shipped": "in the wheel"}
        print(f"{row['name']:18}{row['isa']:14}{', '.join(note[m] for m in marks)}".rstrip())
    return 0
