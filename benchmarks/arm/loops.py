"""Instructions of the products' inner loops on ARM, as compiled here: a table, or a listing.

    python benchmarks/arm/loops.py                        instructions per 64 multiply-adds
    python benchmarks/arm/loops.py int4-g32 aarch64-i8mm  that kernel's loops

A loop is a basic block with multiply-adds that ends in a branch to itself; the one for 8 tokens serves prefill, the one for
1 token decode.  Spills are loads and stores of the stack.
"""

import re
import sys
from collections import Counter

from edge.runtime.kernels import catalogue, compiler
from edge.runtime.kernels.target import TARGETS

FORMATS = (
    *("int4-g32", "int4-g32-offset", "int8-g32", "int8", "ternary", "ternary-g256"),
    *("int4-g256-offset", "int5-g256-offset", "int6-g256", "int3-g256", "int2-g256-offset"),
)
ARM = "aarch64", "aarch64-dotprod", "aarch64-i8mm"
MULTIPLY_ADDS = {"usmmla": 32, "sdot": 16, "usdot": 16} | dict.fromkeys(
    ("smull", "smull2", "smlal", "smlal2", "umull", "umull2", "umlal", "umlal2"), 8
)
Loop = list[str]


def loops(name: str, target: str) -> list[Loop]:
    """Of the many, four and one tokens' blocks, in this order."""
    kernel = f"matmul-{name}"
    text = compiler.compile_assembly(
        {catalogue.symbol(kernel): catalogue.build(kernel)}, TARGETS[target]
    )
    blocks = re.split(r"^(?=\.L\w+:)", text, flags=re.MULTILINE)
    return [loop for block in blocks if multiply_adds(loop := _loop(block)) >= 256]


def _loop(block: str) -> Loop:
    """A block's instructions, up to the branch that repeats it."""
    label, _, body = block.partition(":")
    lines = [line.split("//")[0].strip() for line in body.splitlines()]
    lines = [line for line in lines if re.match(r"[a-z]", line)]
    repeats = [i for i, line in enumerate(lines) if re.search(rf"{re.escape(label)}$", line)]
    return lines[: repeats[0] + 1] if repeats else lines


def multiply_adds(loop: Loop) -> int:
    return sum(MULTIPLY_ADDS.get(_mnemonic(line), 0) for line in loop)


def _mnemonic(line: str) -> str:
    return line.split()[0]


def _spills(loop: Loop) -> int:
    return sum("[sp" in line for line in loop)


def _row(name: str, target: str) -> str:
    cells = []
    found = loops(name, target)
    for loop in (found[0], found[-1]):
        rate = 64 * len(loop) / multiply_adds(loop)
        cells.append(f"{rate:.2f} ({len(loop)}, {_spills(loop)})")
    return f"| {name} | {target} | " + " | ".join(cells) + " |"


def main(arguments: list[str]) -> None:
    if not arguments:
        print("| format | target | 8 tokens (loop, spills) | 1 token |\n|---|---|---|---|")
        for name in FORMATS:
            for target in ARM:
                print(_row(name, target), flush=True)
        return
    for loop in loops(*arguments):
        kinds = Counter(map(_mnemonic, loop)).most_common()
        print(f"{len(loop)} instructions, {multiply_adds(loop)} multiply-adds:", end=" ")
        print(", ".join(f"{count} {kind}" for kind, count in kinds))
        print("\n".join("    " + line.expandtabs(8) for line in loop))


if __name__ == "__main__":
    main(sys.argv[1:])
