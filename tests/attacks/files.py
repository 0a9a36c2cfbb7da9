"""Malformed .edge files; README.md says what each of them tries.

    python -m tests.attacks.files FOLDER     writes them all, to try them on another program

MALFORMED files break a rule of the format; MISFITS are whole files whose tensors are not what
their configuration needs, and HARMLESS ones look odd and must simply work.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.format import small_file
from tests.format.small_file import CONFIG, LAYER, TENSORS, Pieces, framed

KEY = LAYER + "attention.key.weight"
NORM = LAYER + "attention_norm.weight"
DOWN = LAYER + "feed_forward.down.weight"
FAR = 2**47

MALFORMED: dict[str, Callable[[Pieces], bytes]] = {}
MISFITS: dict[str, dict[str, Any]] = {}
HARMLESS: dict[str, Callable[[Pieces], bytes]] = {}


def attack(function: Callable[[Pieces], bytes]) -> Callable[[Pieces], bytes]:
    MALFORMED[function.__name__] = function
    return function


def harmless(function: Callable[[Pieces], bytes]) -> Callable[[Pieces], bytes]:
    HARMLESS[function.__name__] = function
    return function


@attack
def header_bomb(pieces: Pieces) -> bytes:
    return (2**63 - 8).to_bytes(8, "little") + pieces.data


@attack
def nested_json(pieces: Pieces) -> bytes:
    return framed(b'{"a":' * 200_000, b"")


@attack
def long_integer(pieces: Pieces) -> bytes:
    return framed(pieces.header_text().replace("[0, 64]", f"[0, {'9' * 100_000}]").encode(), b"")


@attack
def two_faces(pieces: Pieces) -> bytes:
    text = pieces.header_text()
    benign = json.dumps({KEY: pieces.header[KEY]})[1:-1]
    return framed(f"{text[:-1]}, {benign}}}".encode(), pieces.data)


@attack
def hidden_payload(pieces: Pieces) -> bytes:
    return pieces.bytes() + b"PK\x03\x04 a zip archive begins here".ljust(64)


@attack
def hole_with_payload(pieces: Pieces) -> bytes:
    last = list(pieces.header)[-1]
    begin, end = pieces.header[last]["data_offsets"]
    pieces.header[last]["data_offsets"] = [begin + 64, end + 64]
    return replace(pieces, data=pieces.data + bytes(64)).bytes()


@attack
def address_beyond_the_mapping(pieces: Pieces) -> bytes:
    pieces.header[KEY]["data_offsets"] = [FAR, FAR + 576]
    return pieces.bytes()


@attack
def address_before_the_mapping(pieces: Pieces) -> bytes:
    pieces.header[KEY]["data_offsets"] = [-576, 0]
    return pieces.bytes()


@attack
def shared_weights(pieces: Pieces) -> bytes:
    pieces.header[KEY]["data_offsets"] = [0, 576]
    return pieces.bytes()


@attack
def product_that_overflows(pieces: Pieces) -> bytes:
    pieces.document["tensors"][KEY]["shape"] = [2**32 + 16, 2**32]
    return pieces.bytes()


@attack
def matrix_larger_than_its_bytes(pieces: Pieces) -> bytes:
    pieces.document["tensors"][DOWN]["shape"] = [32, 4800]
    return pieces.bytes()


@attack
def rope_beyond_the_head(pieces: Pieces) -> bytes:
    rope = pieces.document["config"]["ropes"][0]
    pieces.document["config"]["ropes"] = [rope | {"dims": 4096}, rope]
    return pieces.bytes()


@attack
def rope_table_too_short(pieces: Pieces) -> bytes:
    factors = {"kind": "longrope", "original_context": 1, "short_factors": [1.0] * 4096}
    pieces.document["config"]["ropes"][0] |= factors
    return pieces.bytes()


@attack
def rope_of_the_future(pieces: Pieces) -> bytes:
    pieces.document["config"]["layer_rope"] = [2**30]
    return pieces.bytes()


@attack
def gigantic_arena(pieces: Pieces) -> bytes:
    pieces.document["config"] |= {"feed_forward": 2**31 - 1}
    return pieces.bytes()


@attack
def gigantic_logits(pieces: Pieces) -> bytes:
    pieces.document["config"] |= {"vocabulary": 2**31 - 1}
    return pieces.bytes()


@attack
def fractional_heads(pieces: Pieces) -> bytes:
    pieces.document["config"] |= {"heads": 3, "kv_heads": 2}
    return pieces.bytes()


@attack
def terminal_escape(pieces: Pieces) -> bytes:
    pieces.document["source"]["name"] = "model\x1b]0;owned\x07\x1b[2J"
    return pieces.bytes()


@attack
def newer_version(pieces: Pieces) -> bytes:
    pieces.document["version"] = 99
    return pieces.bytes()


@attack
def half_a_pair(pieces: Pieces) -> bytes:
    for names in (pieces.header, pieces.document["tensors"]):
        names[f"{LAYER}attention.query.outlier_weight"] = names.pop(
            f"{LAYER}feed_forward.up.weight"
        )
    return pieces.bytes()


def misfit(name: str, config: dict[str, Any] | None = None, **tensors: Any) -> None:
    """A small model with another configuration, or with tensors replaced, or left out (None)."""
    changed = TENSORS | {full.replace("__", "."): t for full, t in tensors.items()}
    kept = {n: t for n, t in changed.items() if t is not None}
    MISFITS[name] = {"document": {"config": replace(CONFIG, **(config or {}))}, "tensors": kept}


ATTENTION = "layers__0__attention__"
misfit("missing_matrix", **{ATTENTION + "key__weight": None})
misfit("missing_norm", output_norm__weight=None)
misfit("missing_head", {"tied_embedding": False})
misfit("missing_head_norms", {"qk_norm": True})
misfit("missing_post_norms", {"post_norms": True})
misfit("missing_sub_norms", {"sub_norms": True})
layers = {"layers": 1024, "layer_rope": (0,) * 1024, "layer_window": (0,) * 1024}
misfit("missing_layers", layers)
misfit("short_matrix", **{ATTENTION + "key__weight": ("int4-g32", (1, 32))})
misfit("narrow_matrix", **{ATTENTION + "output__weight": ("ternary", (32, 16))})
misfit("turned_matrix", layers__0__feed_forward__down__weight=("float32", (48, 32)))
misfit("vector_for_a_matrix", **{ATTENTION + "key__weight": ("vector", (512,))})
misfit("bytes_for_a_matrix", **{ATTENTION + "key__weight": ("bytes", (512,))})
misfit("matrix_for_a_norm", output_norm__weight=("float32", (1, 32)))
misfit("bytes_for_a_norm", output_norm__weight=("bytes", (128,)))
misfit("short_norm", output_norm__weight=("vector", (1,)))
misfit("short_bias", **{ATTENTION + "key__bias": ("vector", (1,))})
misfit("larger_vocabulary", {"vocabulary": 2**24})
misfit("smaller_vocabulary", {"vocabulary": 39})
misfit("more_heads", {"heads": 4096})
misfit("wider_model", {"hidden": 65536})


def wrong_indices(name: str, part: str, values: list[int]) -> None:
    """A matrix with three outlier columns, three sparse entries, an order and more, one list wrong."""
    query = LAYER + "attention.query"
    tensors = small_file.with_order(small_file.with_addends(TENSORS, query), query)
    MISFITS[name] = {"tensors": tensors, "contents": {f"{query}.{part}": np.array(values)}}


wrong_indices("falling_columns", "outlier_columns", [5, 4, 6])
wrong_indices("column_before_the_row", "outlier_columns", [-1, 4, 5])
wrong_indices("column_beyond_the_row", "outlier_columns", [1, 4, 32])
wrong_indices("entry_beyond_the_row", "sparse_entries", [1, 65535, 2])
wrong_indices("rows_beyond_the_entries", "sparse_rows", [0, *[2**30] * 32])
wrong_indices("rows_before_the_entries", "sparse_rows", [-(2**20), *[3] * 32])
wrong_indices("falling_rows", "sparse_rows", [0, 3, 0, *[3] * 30])
wrong_indices("order_before_the_row", "in_order", [-1, *range(1, 32)])
wrong_indices("order_beyond_the_row", "in_order", [*range(31), 2**31 - 1])
wrong_indices("order_with_a_column_twice", "in_order", [0, *range(31)])


@attack
def order_of_another_length(pieces: Pieces) -> bytes:
    """A vector of the file becomes the order, half of its numbers being padding."""
    name = f"{LAYER}attention.query.in_order"
    pieces.header[name] = pieces.header.pop("output_norm.weight") | {"dtype": "I32"}
    declared = pieces.document["tensors"].pop("output_norm.weight")
    pieces.document["tensors"][name] = declared | {"format": "indices", "shape": [17]}
    return pieces.bytes()


@harmless
def window_beyond_all(pieces: Pieces) -> bytes:
    pieces.document["config"]["layer_window"] = [2**31 - 1]
    return pieces.bytes()


@harmless
def endless_context(pieces: Pieces) -> bytes:
    pieces.document["config"]["context"] = 2**31 - 1
    return pieces.bytes()


@harmless
def not_a_number(pieces: Pieces) -> bytes:
    return replace(pieces, data=np.full(len(pieces.data) // 4, np.nan, "<f4").tobytes()).bytes()


@harmless
def all_ones(pieces: Pieces) -> bytes:
    return replace(pieces, data=b"\xff" * len(pieces.data)).bytes()


@harmless
def unknown_tensor(pieces: Pieces) -> bytes:
    size = len(pieces.data)
    pieces.header["extra"] = {"dtype": "F32", "shape": [16], "data_offsets": [size, size + 64]}
    declared = {"format": "vector", "shape": [16], "sha256": "0" * 64, "error": None}
    pieces.document["tensors"]["extra"] = declared
    return replace(pieces, data=pieces.data + bytes(64)).bytes()


@harmless
def many_end_tokens(pieces: Pieces) -> bytes:
    pieces.document["tokenizer"]["eos"] = [2**31 - 1] * 10_000
    return pieces.bytes()


def write(path: Path, name: str) -> None:
    """The attack of this name."""
    if name in MISFITS:
        small_file.write(path, **MISFITS[name])
        return
    small_file.write(path)
    path.write_bytes((MALFORMED | HARMLESS)[name](Pieces.of(path)))


def main(folder: str) -> None:
    for name in (*MALFORMED, *MISFITS, *HARMLESS):
        write(Path(folder) / f"{name}.edge", name)


if __name__ == "__main__":
    main(*sys.argv[1:])
