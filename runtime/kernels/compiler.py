"""Numba functions -> an object file for a target: no C library, no Python, no allocation.

A kernel is a Python function over int64 (addresses, sizes) that returns nothing.  Its helpers
are intrinsics of simd or functions marked `inline`; a plain @njit helper would be compiled
for this machine first, where another target's instructions abort the process.
"""

from collections.abc import Callable
from functools import cache

import llvmlite.binding as llvm
from llvmlite import ir
from numba import njit, types
from numba.core import codegen, compiler
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from .target import Target

inline = njit(inline="always")
Kernel = Callable[..., None]


class _Library(codegen.AOTCodeLibrary):
    exports: frozenset[str] = frozenset()

    def _optimize_final_module(self):
        """Hide all but the exports first, so that the rest is inlined or dropped."""
        module = self._final_module
        for value in (*module.functions, *module.global_variables):
            if self.exports and not value.is_declaration and value.name not in self.exports:
                value.linkage = "internal"
        super()._optimize_final_module()


class _Codegen(codegen.AOTCPUCodegen):
    """Numba's ahead-of-time code generator for a named target instead of this machine."""

    _library_class = _Library

    def __init__(self, target: Target):
        self._target, self.isa = target, target.isa
        super().__init__("edge", target.cpu)

    def _customize_tm_features(self):
        return self._target.features

    def _init(self, llvm_module):  # the original makes a JIT engine, for this machine
        self._tm_features = self._customize_tm_features()
        options = {"opt": 3}
        self._customize_tm_options(options)
        self._tm = llvm.Target.from_triple(self._target.triple).create_target_machine(**options)
        self._target_data = self._tm.target_data
        self._data_layout = str(self._target_data)
        self._loopvect, self._opt_level, self._engine = False, 0, None

    def _create_empty_module(self, name):
        module = super()._create_empty_module(name)
        module.triple = self._target.triple
        return module


@cache
def _prepare_llvm() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    # There is no C library with a memset or memcpy to turn loops into.
    llvm.set_option("edge", "-disable-loop-idiom-all")


@global_compiler_lock
def compile_object(kernels: dict[str, Kernel], target: Target) -> bytes:
    """An ELF object with `void name(int64, int64, ...)` for each kernel."""
    return _link(kernels, target).emit_native_object()


@global_compiler_lock
def compile_assembly(kernels: dict[str, Kernel], target: Target) -> str:
    """The same as assembly text, to look at an inner loop."""
    library = _link(kernels, target)
    return library._codegen._tm.emit_assembly(library._final_module)


def _link(kernels: dict[str, Kernel], target: Target) -> _Library:
    _prepare_llvm()
    context = cpu_target.target_context
    context.refresh()
    cpu_target.typing_context.refresh()
    context = context.subtarget(_internal_codegen=_Codegen(target), aot_mode=True)
    library = context.codegen().create_library("kernels")
    library.exports = frozenset(kernels)
    flags = compiler.Flags()
    flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    flags.error_model = "numpy"
    for name, function in kernels.items():
        arguments = (types.int64,) * function.__code__.co_argcount
        result = compiler.compile_extra(
            cpu_target.typing_context, context, function, arguments, types.none, flags, {}
        )
        library.add_linking_library(result.library)
        _add_c_function(context, library, name, result.fndesc)
    library.finalize()
    return library


def _add_c_function(context, library, name, fndesc):
    """void name(arguments): calls the compiled function by Numba's own convention."""
    module = library.create_ir_module(name)
    arguments = [context.get_value_type(t) for t in fndesc.argtypes]
    wrapper = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), name)
    builder = ir.IRBuilder(wrapper.append_basic_block())
    callee = context.declare_function(module, fndesc)
    context.call_conv.call_function(builder, callee, fndesc.restype, fndesc.argtypes, wrapper.args)
    builder.ret_void()
    library.add_ir_module(module)
