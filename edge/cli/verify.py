"""edge verify: every byte of a file against its checksums."""

import argparse
import json

from edge.errors import FormatError

from . import opening, quantities
from .progress import Progress

NAMED = 8  # broken tensors that the error names


def add_arguments(parser: argparse.ArgumentParser) -> None:
    opening.add_model(parser)
    parser.add_argument("--json", action="store_true", help="one JSON document")


def command(args: argparse.Namespace) -> int:
    from edge.format.reader import EdgeFile

    file = EdgeFile(args.model)
    with Progress("verifying", quantities.size) as progress:
        broken = file.verify(lambda done: progress(done, file.size))
    if args.json:
        print(json.dumps({"path": args.model, "tensors": len(file.tensors), "broken": broken}))
    elif not broken:
        print(f"{args.model}: {len(file.tensors)} tensors, {quantities.size(file.size)}: all good")
    if broken:
        raise FormatError(_message(args.model, broken, len(file.tensors)))
    return 0


def _message(path: str, broken: list[str], count: int) -> str:
    names = ", ".join(broken[:NAMED]) + (", ..." if len(broken) > NAMED else "")
    return (
        f"{len(broken)} of {count} tensors do not match their checksums ({path}: {names}); "
        "copy or export the file again"
    )
