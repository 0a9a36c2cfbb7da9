"""Random changes to a file's header that keep its structure: what a hostile file looks like."""

import json
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

from tests.format.small_file import Pieces, framed

NUMBERS = [
    -1,
    0,
    1,
    2,
    15,
    16,
    63,
    64,
    65,
    2**31 - 1,
    2**31,
    2**47,
    2**48,
    2**63,
    2**64,
    0.5,
    1e300,
]
TEXTS = [
    "",
    "vector",
    "bytes",
    "int8",
    "int4-g32",
    "ternary",
    "F32",
    "U8",
    "decoder",
    "yarn",
    "\ud800",
]
OTHERS = [
    None,
    True,
    False,
    [],
    {},
    [[]],
    [0],
    [16, 16],
    [0, 64],
    {"a": 1},
    json.loads("[" * 9 + "]" * 9),
]


def mutated(pieces: Pieces) -> st.SearchStrategy[bytes]:
    """Files with one to four changes; every now and then one in the bytes of the JSON."""
    changes = st.integers(1, 4).flatmap(lambda n: st.lists(st.randoms(), min_size=n, max_size=n))

    def build(randoms: list[Any], bytes_too: bool, random: Any) -> bytes:
        copy = pieces.copy()
        tree = {"header": copy.header, "document": copy.document}
        for each in randoms:
            _change(tree, each)
        text = copy.header_text().encode()
        return framed(_changed_bytes(text, random) if bytes_too else text, copy.data)

    return st.builds(build, changes, st.booleans(), st.randoms())


def _change(tree: dict[str, Any], random: Any) -> None:
    """Replace, delete, copy or add one thing somewhere in a tree of dicts and lists."""
    container, key = random.choice(list(_places(tree)))
    values = [container[key] for container, key in _places(tree)]
    action = random.randrange(4)
    if action == 0:
        container[key] = deepcopy(random.choice(NUMBERS + TEXTS + OTHERS))
    elif action == 1:
        del container[key]
    elif action == 2:
        container[key] = deepcopy(random.choice(values))
    elif isinstance(container, dict):
        container[random.choice(TEXTS)] = container[key]
    else:
        container.append(container[key])


def _places(tree: Any) -> Any:
    """(container, key) of everything below the two roots."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in items:
        if key not in ("header", "document"):
            yield tree, key
        if isinstance(value, dict | list):
            yield from _places(value)


def _changed_bytes(text: bytes, random: Any) -> bytes:
    at = random.randrange(len(text))
    piece = random.choice(
        [b"", b"}", b'"', b"\\", b"1e999", b"NaN", b"\xff", b"[" * 50, b"0", b"-"]
    )
    return text[:at] + piece + text[at + random.randrange(3) :]
