"""Atomics, waiting, and calls through addresses."""

from llvmlite import ir
from numba import types

from . import emit
from .emit import ADDRESS, I32, I64, block_op, op


@op(types.int64(ADDRESS))
def load_acquire(builder, address):
    return builder.load_atomic(emit.pointer(builder, address, I64), "seq_cst", 8)


@op(types.void(ADDRESS, types.int64))
def store_release(builder, address, value):
    builder.store_atomic(value, emit.pointer(builder, address, I64), "seq_cst", 8)


@op(types.int64(ADDRESS, types.int64))
def fetch_add(builder, address, value):
    """Add to the integer at `address`; what was there before."""
    return builder.atomic_rmw("add", emit.pointer(builder, address, I64), value, "seq_cst")


@op(types.boolean(ADDRESS, types.int64, types.int64))
def compare_and_swap(builder, address, expected, value):
    """Replace `expected` by `value`; whether it was there."""
    pointer = emit.pointer(builder, address, I64)
    pair = builder.cmpxchg(pointer, expected, value, "seq_cst", "seq_cst")
    return builder.extract_value(pair, 1)


@block_op(lambda: types.void())
def pause(isa, builder, values, args):
    """Tell the core that this is a waiting loop."""
    if isa in ("avx512vnni", "avxvnni", "avx2"):
        emit.call_intrinsic(builder, "llvm.x86.sse2.pause", ir.VoidType())
    elif isa in ("i8mm", "dotprod", "neon"):
        # `isb` waits some ten nanoseconds; `yield` does nothing on most cores.
        emit.call_intrinsic(builder, "llvm.aarch64.isb", ir.VoidType(), ir.Constant(I32, 15))


@op(types.void(ADDRESS, types.int64, types.int64, types.int64))
def call_kernel(builder, address, args, chunk, scratch):
    """The C function at `address`."""
    kind = ir.FunctionType(ir.VoidType(), [I64] * 3)
    builder.call(emit.pointer(builder, address, kind), [args, chunk, scratch])


@op(types.int64(ADDRESS))
def call0(builder, address):
    return builder.call(emit.pointer(builder, address, ir.FunctionType(I64, [])), [])


@op(types.int64(ADDRESS, types.int64, types.int64, types.int64, types.int64))
def call_futex(builder, address, number, word, operation, value):
    """syscall(number, word, operation, value, no timeout)."""
    kind = ir.FunctionType(I64, [I64] * 5)
    arguments = [number, word, operation, value, ir.Constant(I64, 0)]
    return builder.call(emit.pointer(builder, address, kind), arguments)
