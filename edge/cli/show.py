"""edge show: what a file holds, from its header alone, and whether it fits on this device."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from . import opening, quantities, show_graph

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
        rows = show_graph.rows if file.document["kind"] == "graph" else _rows
        for name, value in rows(file, document):
            print(f"  {name:15}{value}")
    return 0


def describe(file: EdgeFile) -> dict[str, Any]:
    """The document of `edge show --json`."""
    if file.document["kind"] == "graph":
        return show_graph.describe(file)
    from edge.runtime.footprint import footprint

    memory, parameters = footprint(file), file.document["parameters"]
    return {
        "kind": file.document["kind"],
        "architecture": file.config.architecture,
        "parameters": parameters,
        "bytes": file.size,
        "bits_per_weight": round(8 * memory.weights / max(parameters, 1), 4),
        "formats": formats(file),
        "context_length": file.config.context,
        "recipe": file.document["recipe"],
        "source": file.document["source"],
        "chat": None if _is_encoder(file) else _chat(file),
        "memory": asdict(memory),
    }


def _chat(file: EdgeFile) -> str:
    """What renders a chat: the file's "pattern", "jinja2", or "plain" words without a template."""
    from edge.format.chat_pattern import PATTERN
    from edge.format.chat_template import TEMPLATE

    if TEMPLATE not in file:
        return "plain"
    return "pattern" if PATTERN in file else "jinja2"


def formats(file: EdgeFile) -> dict[str, int]:
    """Bytes by format, most first."""
    totals: dict[str, int] = {}
    for info in file.tensors.values():
        totals[info.format] = totals.get(info.format, 0) + info.nbytes
    return dict(sorted(totals.items(), key=lambda item: -item[1]))


def _rows(file: EdgeFile, document: dict[str, Any]) -> list[tuple[str, str]]:
    """The document for people."""
    c, memory = file.config, document["memory"]
    bits = f"{document['bits_per_weight']:.2f} bits each"
    formats = ", ".join(f"{f} {quantities.size(n)}" for f, n in document["formats"].items())
    return [
        ("architecture", f"{c.architecture}, {c.layers} layers of {c.hidden}, {_heads(file)}"),
        ("vocabulary", f"{c.vocabulary} tokens"),
        ("context", f"{c.context} tokens"),
        ("parameters", f"{quantities.count(document['parameters'])}, {bits}"),
        ("size", quantities.size(file.size)),
        ("formats", formats),
        ("recipe", f"{document['recipe']}, from {document['source'].get('name', 'unknown')}"),
        _use(file, document),
        ("memory", _memory_line(memory)),
        ("on this device", _fit(memory, c.context)),
    ]


def _is_encoder(file: EdgeFile) -> bool:
    return bool(file.document["kind"] == "encoder")


def _heads(file: EdgeFile) -> str:
    c = file.config
    return f"{c.heads} heads" + ("" if _is_encoder(file) else f" ({c.kv_heads} of keys and values)")


def _use(file: EdgeFile, document: dict[str, Any]) -> tuple[str, str]:
    """What the model is for."""
    if not _is_encoder(file):
        return "chat", CHATS[document["chat"]]
    length = ", of unit length" if file.config.normalize else ""
    return (
        "embeddings",
        f"{file.config.hidden} numbers a text, {file.config.pooling} of tokens{length}",
    )


def _memory_line(memory: dict[str, int]) -> str:
    weights, token, arena = (
        quantities.size(memory[k]) for k in ("weights", "kv_per_token", "arena")
    )
    cache = f"{token} a token of context, " if memory["kv_per_token"] else ""
    return f"{weights} of weights, {cache}{arena} of buffers"


def _fit(memory: dict[str, int], context: int) -> str:
    from edge.runtime.model import available_memory

    available = available_memory()
    if available is None:
        return "the system does not say how much memory is available"
    needed, there = memory["weights"] + memory["arena"], quantities.size(available)
    if needed > available:
        return f"does not fit: needs {quantities.size(needed)}, {there} are available"
    if not memory["kv_per_token"]:
        return f"fits: {quantities.size(needed)} of {there}"
    tokens = min(context, (available - needed) // memory["kv_per_token"])
    needed += tokens * memory["kv_per_token"]
    return f"fits with {tokens} tokens of context: {quantities.size(needed)} of {there}"
