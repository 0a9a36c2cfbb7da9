"""The sizes of a cache of keys and values."""

import pytest

from edge.runtime.kv_cache import POSITIONS, block_bytes


@pytest.mark.parametrize("head_dim", [64, 128])
@pytest.mark.parametrize(
    "kind, bits, of_a_head",
    [
        ("float32", 32, 0),
        ("float16", 16, 0),
        ("int8", 8, 16),  # a float16 scale for a head's keys, and for its values
        ("int4", 5, 0),  # a float16 scale and offset for 32 values
    ],
)
def test_a_value_takes_the_bits_of_its_kind_and_its_share_of_scales(
    kind, bits, of_a_head, head_dim
):
    values = 2 * POSITIONS * head_dim
    assert 8 * block_bytes(kind, head_dim) == values * bits + 2 * POSITIONS * of_a_head
