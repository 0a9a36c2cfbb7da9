"""Ternary weights by additions, by products of int8 and by look-ups: a table of the three.

    python benchmarks/ternary_kernels.py [--arm WORK] [--rounds 41] > benchmarks/TERNARY.md

One token (decode), one thread, the same weights of 2 bits, each kernel in the layout it likes.  All
sums are compared with NumPy's integers before anything is timed.  Needs AVX-512; --arm counts the
instructions on an emulated Cortex-A76 as well (arm/emulator.py builds what that needs, under WORK).
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import llvmlite.binding as llvm
from arm.emulator import CHECKOUT, Emulator
from ternary import kernels, layouts
from ternary.work import ADD, C_FUNCTION, DOT, LOOK, Functions, Work

from edge.cli.machine import cpu_model
from edge.exporter.aot import linker
from edge.runtime.kernels import catalogue, compiler
from edge.runtime.kernels.target import TARGETS
from edge.runtime.libraries.cpu import runnable

NAMES = DOT, ADD, LOOK
SHAPES = {"1024 x 2048 (0.5 MB)": (1024, 2048), "4096 x 4096 (4 MB)": (4096, 4096)}
ARM_SHAPE, ARM_TARGETS = (1024, 2048), {"cortex-a72": "aarch64", "cortex-a76": "aarch64-dotprod"}


def sources(columns: int) -> dict[str, compiler.Kernel]:
    return {
        "dot": catalogue.build("matmul-ternary"),
        "add": kernels.additions(columns),
        "tables": kernels.tables(columns),
        "look": kernels.look_ups(columns),
    }


def engine_for(columns: int) -> llvm.ExecutionEngine:
    """The kernels for this machine, compiled as edge's own are."""
    target = next((t for t in runnable() if t.isa == "avx512vnni"), None)
    if target is None:
        raise SystemExit("this machine has no AVX-512 with VNNI; nothing was measured")
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    code = compiler.compile_object(sources(columns), target)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine


def microseconds(rows: int, columns: int, rounds: int) -> list[float]:
    """Medians of calls that alternate, in the order of NAMES."""
    engine, work = engine_for(columns), Work(rows, columns, layouts.masks)
    functions = {name: C_FUNCTION(engine.get_function_address(name)) for name in sources(columns)}
    work.check(functions)
    taken = [[_timed(work, functions, name) for name in NAMES] for _ in range(rounds)]
    return [1e6 * statistics.median(times) for times in zip(*taken, strict=True)]


def _timed(work: Work, functions: Functions, name: str) -> float:
    started = time.perf_counter()
    work.run(functions, name)
    return time.perf_counter() - started


# --- counted --------------------------------------------------------------------------------------


def counts(emulator: Emulator, cpu: str) -> list[float]:
    """Instructions of 64 multiply-adds, tables included; the guest has checked the sums."""
    rows, columns = ARM_SHAPE
    paths = os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "benchmarks")])
    environment = {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
    with tempfile.TemporaryDirectory() as folder:
        code, library = Path(folder, "kernels.o"), Path(folder, "kernels.so")
        code.write_bytes(compiler.compile_object(sources(columns), TARGETS[ARM_TARGETS[cpu]]))
        linker.link("aarch64", [code], library)
        guest = [CHECKOUT / "benchmarks/ternary/guest.py", library, str(rows), str(columns)]
        command = [*emulator.python(), "-P", *guest, *NAMES]
        printed, regions = emulator.count(cpu, command, environment)
    first, end = map(int, printed.split())
    return [64 * _within(regions[i], first, end) / (rows * columns) for i in range(1, 4)]


def _within(counts: Counter[tuple[int, str]], first: int, end: int) -> int:
    """Without Python's."""
    return sum(n for (address, _), n in counts.items() if first <= address < end)


# --- the table ------------------------------------------------------------------------------------

HEAD = """# Ternary: additions, products, look-ups

Made by `python benchmarks/ternary_kernels.py --arm WORK`. {machine}, one of {cores} cores of
a shared host, Python {python}, NumPy {numpy}, Numba {numba}, llvmlite {llvmlite}; {rounds} alternating calls each,
medians: compare within a row.

A matrix of -1, 0, 1 in 2 bits times one token's int8 codes: int32 sums, exactly NumPy's in every kernel.

- **Products of int8** are edge's own kernel: codes 0, 1, 2 are unpacked and multiplied four at a time
  (`vpdpbusd`, `sdot`, on ARMv8.0 `smlal`).
- **Additions**: a bit says where a weight is 1, one where it is -1; what they choose of x and -x is
  added up (`vpsadbw`, `sadalp`). Nothing is multiplied.
- **Look-ups**, as T-MAC and bitnet.cpp have them: the 16 sums of 4 neighbouring codes are a table;
  which of them are 1, and which -1, looks two sums up (`vpshufb`, `tbl`). Sums have 16 bits, so
  low and high bytes are looked up apart: nothing is rounded. Making the tables is counted.

## Microseconds

| matrix | {names} |
|---|---|---|---|
"""
ARM_HEAD = """
## Instructions of 64 multiply-adds

On emulated CPUs (QEMU 7.2), {shape}; exact, and no seconds ([ARM.md](ARM.md)).

| CPU | {names} |
|---|---|---|---|
"""
END = """
Against products, additions take {add} times the instructions (A72, A76), look-ups {look}. Where one
instruction multiplies and adds four codes (VNNI, dotprod), not to multiply saves nothing. ARMv8.0 has
none: look-ups are the shorter code there in decode; whether they are the faster one only a board can say.
Prefill they would not serve: edge unpacks a weight once for 8 tokens, 14.0 and 6.3 instructions
([ARM.md](ARM.md)), where tables serve one token. So the runtime has products alone.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arm", type=Path, metavar="WORK")
    parser.add_argument("--rounds", type=int, default=41)
    arguments = parser.parse_args()
    head = {
        "machine": cpu_model() or platform.machine(), "cores": os.cpu_count(),
        "python": platform.python_version(), "rounds": arguments.rounds,
        **{name: version(name) for name in ("numpy", "numba", "llvmlite")},
    }  # fmt: skip
    columns = " | ".join(NAMES)
    print(HEAD.format(names=columns, **head), end="")
    for title, shape in SHAPES.items():
        print(
            f"| {title} |",
            " | ".join(f"{t:,.0f}" for t in microseconds(*shape, arguments.rounds)),
            "|",
        )
    if arguments.arm is None:
        return
    emulator = Emulator(arguments.arm.resolve())
    print(ARM_HEAD.format(shape=" x ".join(map(str, ARM_SHAPE)), names=columns), end="")
    found = {cpu: counts(emulator, cpu) for cpu in ARM_TARGETS}
    for cpu, numbers in found.items():
        print(f"| {cpu} |", " | ".join(f"{n:.1f}" for n in numbers), "|")
    ratios = [" and ".join(f"{n[i] / n[0]:.2f}" for n in found.values()) for i in (1, 2)]
    print(END.format(add=ratios[0], look=ratios[1]), end="")


if __name__ == "__main__":
    main()
