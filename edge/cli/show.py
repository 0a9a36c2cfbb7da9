"""edge show: what a file holds, from its header alone, and whether it fits on this device."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from . import opening, quantities

if TYPE_CHECKING:
    from edge.format.reader import EdgeFile

CHATS = {
    "pattern": "by the file's pattern, without jinja2",
    "jinja2": "needs jinja2: pip install jinja2",
    "plain": "in plain words: the model has no template",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    opening.add_model(parser)
    parser.add_argument("--json", action="store_true", help="one JSON document")


def command(args: argparse.Namespace) -> int:
    from edge.format.reader import EdgeFile

    file = EdgeFile(args.model)
    document = describe(file)
    if args.json:
        print(json.dumps(document))
    else:
        print(args.model)
        for name, value in _rows(file, document):
            print(f"  {name:15}{value}")
    return 0


def describe(file: EdgeFile) -> dict[str, Any]:
    """The document of `edge show --json`."""
    from edge.runtime.footprint import footprint

    memory, parameters = footprint(file), file.document["parameters"]
    return {
        "kind": file.document["kind"],
        "architecture": file.config.architecture,
        "parameters": parameters,
        "bytes": file.size,
        "bits_per_weight": round(8 * memory.weights / max(parameters, 1), 4),
        "formats": _formats(file),
        "context_length": file.config.context,
        "recipe": file.document["recipe"],
        "source": file.document["source"],
        "chat": _chat(file),
        "memory": asdict(memory),
    }


def _chat(file: EdgeFile) -> str:
    """What renders a chat: the file's "pattern", "jinja2", or "plain" words without a template."""
    from edge.format.chat_pattern import PATTERN
    from edge.format.chat_template import TEMPLATE

    if TEMPLATE not in file:
        return "plain"
    return "pattern" if PATTERN in file else "jinja2"


def _formats(file: EdgeFile) -> dict[str, int]:
    """Bytes by format, most first."""
    totals: dict[str, int] = {}
    for info in file.tensors.values():
        totals[info.format] = totals.get(info.format, 0) + info.nbytes
    return dict(sorted(totals.items(), key=lambda item: -item[1]))


def _rows(file: EdgeFile, document: dict[str, Any]) -> list[tuple[str, str]]:
    """The document for people."""
    c, memory = file.config, document["memory"]
    heads = f"{c.heads} heads ({c.kv_heads} of keys and values)"
    bits = f"{document['bits_per_weight']:.2f} bits each"
    formats = ", ".join(f"{f} {quantities.size(n)}" for f, n in document["formats"].items())
    return [
        ("architecture", f"{c.architecture}, {c.layers} layers of {c.hidden}, {heads}"),
        ("vocabulary", f"{c.vocabulary} tokens"),
        ("context", f"{c.context} tokens"),
        ("parameters", f"{quantities.count(document['parameters'])}, {bits}"),
        ("size", quantities.size(file.size)),
        ("formats", formats),
        ("recipe", f"{document['recipe']}, from {document['source'].get('name', 'unknown')}"),
        ("chat", CHATS[document["chat"]]),
        ("memory", _memory_line(memory)),
        ("on this device", _fit(memory, c.context)),
    ]


def _memory_line(memory: dict[str, int]) -> str:
    weights, token, arena = (
        quantities.size(memory[k]) for k in ("weights", "kv_per_token", "arena")
    )
    return f"{weights} of weights, {token} a token of context, {arena} of buffers"


def _fit(memory: dict[str, int], context: int) -> str:
    from edge.runtime.model import available_memory

    available = available_memory()
    if available is None:
        return "the system does not say how much memory is available"
    room = available - memory["weights"] - memory["arena"]
    if room < 0:
        needed = quantities.size(memory["weights"] + memory["arena"])
        return f"does not fit: needs {needed}, {quantities.size(available)} are available"
    tokens = min(context, room // max(memory["kv_per_token"], 1))
    needed = quantities.size(memory["weights"] + memory["arena"] + tokens * memory["kv_per_token"])
    return f"fits with {tokens} tokens of context: {needed} of {quantities.size(available)}"
