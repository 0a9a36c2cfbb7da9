"""edge advise: which recipe for a model on a device, and why."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from . import quantities
from .usage import number, whole

if TYPE_CHECKING:
    from edge.advice.candidate import Candidate
    from edge.advice.decision import Advice
    from edge.advice.machine import Machine

UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", metavar="MODEL", help="a source model, as export takes it, or an .edge file")
    add(
        "--device",
        metavar="NAME",
        help="pi5-8gb, pi4-4gb, zero2w, phone-6gb; this one if not given",
    )
    add("--ram", type=nbytes, metavar="BYTES", help="what a model may use: 400mb, 2gb")
    add(
        "--min-tok-s",
        type=number(0, above=True),
        metavar="X",
        help="tokens a second that are wanted",
    )
    add(
        "--ctx",
        type=whole(16),
        default=4096,
        metavar="N",
        help="tokens of context; 4096 if not given",
    )
    data = parser.add_mutually_exclusive_group()
    data.add_argument("--calib", metavar="PATH", help="there is a text to calibrate on")
    data.add_argument("--no-data", action="store_true", help="there is none")
    add("--json", action="store_true", help="one JSON document")


def nbytes(text: str) -> int:
    """2gb -> 2000000000"""
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*([kmg]?)b?", text.lower(), re.ASCII)
    if match is None or not float(match[1]):
        raise argparse.ArgumentTypeError(f"expected bytes like 400mb or 2gb, got {text!r:.40}")
    return int(float(match[1]) * UNITS[match[2]])


def command(args: argparse.Namespace) -> int:
    from edge.advice.decision import advise
    from edge.advice.subject import open_subject

    data = True if args.calib else False if args.no_data else None
    found = advise(
        open_subject(args.model),
        _machine(args),
        data=data,
        min_tok_s=args.min_tok_s,
        context=args.ctx,
    )
    print(json.dumps(_document(found)) if args.json else _answer(args, found))
    return 0


def _machine(args: argparse.Namespace) -> Machine:
    from edge.advice import machine

    found = machine.named(args.device) if args.device else machine.this()
    return found if args.ram is None else found.with_memory(args.ram)


def _document(found: Advice) -> dict[str, Any]:
    subject, best = found.subject, found.recommended
    return {
        "model": {
            "name": subject.name,
            "architecture": subject.config.architecture,
            "parameters": subject.parameters,
            "stored": subject.stored,
        },
        "device": asdict(found.machine),
        "recommended": None if best is None else asdict(best),
        "alternatives": [asdict(c) for c in found.alternatives],
        "because": list(found.because),
    }


def _answer(args: argparse.Namespace, found: Advice) -> str:
    subject, best = found.subject, found.recommended
    memory = quantities.size(found.machine.memory)
    weights = f"{quantities.count(subject.parameters)} weights, {subject.stored}"
    lines = [f"{subject.name}: {weights}, on {found.machine.name} with {memory} for it"]
    if best is None:
        lines.append("recommended: nothing")
    elif subject.file is not None:
        lines += [f"recommended: as it is, {best.recipe}", f"  {_facts(best)}"]
    else:
        lines += [f"recommended: {best.recipe}", f"  {_facts(best)}", f"  {_command(args, best)}"]
    lines += [f"why: {reason}" for reason in found.because]
    lines += [f"or {c.recipe}: {_facts(c)}" for c in found.alternatives]
    if best is not None and best.tok_s is not None:
        lines.append(
            f"Figures are estimates; tok/s from {found.machine.read_gb_s:.1f} GB/s of memory "
            f"({found.machine.source})."
        )
    return "\n".join(lines)


def _facts(c: Candidate) -> str:
    fit = "" if c.fits else "does not fit: "
    speed = "" if c.tok_s is None else f"about {c.tok_s:.1f} tok/s, "
    return (
        f"{fit}{quantities.size(c.bytes)} of file, {quantities.size(c.memory)} of memory with "
        f"{c.context} tokens ({c.kv} cache), {speed}{c.quality.word} ({c.quality.evidence})"
    )


def _command(args: argparse.Namespace, best: Candidate) -> str:
    calib = f" --calib {args.calib or 'TEXT'}" if best.needs_data else ""
    kv = " (and run it with --kv int8)" if best.kv == "int8" else ""
    return f"edge export {args.model} -o OUT.edge --quant {best.recipe}{calib}{kv}"
