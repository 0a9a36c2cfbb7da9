"""That every instruction set compiles the products of codes."""

import pytest

from edge.runtime.kernels.target import TARGETS


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_every_target_compiles_the_products_of_codes(target):
    compiler = pytest.importorskip("edge.runtime.kernels.compiler", reason="needs Numba")
    from edge.runtime.kernels import catalogue

    for name in ("matmul-int4-g32", "matmul-int4-g32-offset", "matmul-int8", "matmul-ternary"):
        kernels = {catalogue.symbol(name): catalogue.build(name)}
        assert compiler.compile_object(kernels, target).startswith(b"\x7fELF")
