"""What is measured of products: all formats, over the bytes they have."""

import pytest

from edge.runtime import product_rates as module
from edge.runtime.kernels.catalogue import PRODUCTS
from edge.runtime.libraries.choice import library
from edge.runtime.product_rates import product_rates


@pytest.mark.parametrize("threads", [1, 2])
def test_every_format_has_a_rate(monkeypatch, threads):
    monkeypatch.setattr(module, "MOST_BYTES", 2**20)
    rates = product_rates(library(), threads)
    assert list(rates) == list(PRODUCTS)
    assert all(rate > 0 for rate in rates.values())


def test_a_rate_is_bytes_over_the_best_time(monkeypatch):
    """A clock that says half a second longer with every look at it."""
    monkeypatch.setattr(module, "MOST_BYTES", 2**20)
    ticks = iter(range(10_000))
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(ticks) / 2)
    rates = product_rates(library(), 1)
    for name, rate in rates.items():
        form = module.weight_format(name)
        tile = form.tile_bytes(module.COLUMNS)
        assert rate == pytest.approx(2**20 // tile * tile / 0.5 / 1e9)
