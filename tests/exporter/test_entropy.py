"""What an entropy coder can take off the codes, as they lie in a file."""

import zlib

import numpy as np
import pytest

from edge.exporter.quantize import Method, quantize
from edge.format import tiles
from edge.format.formats import QuantizedTensor, WeightFormat

G32, G64 = WeightFormat("int4", 32, True), WeightFormat("int4", 64, True)
FOUR_BITS = [(G32, "minmax"), (G64, "minmax"), (WeightFormat("code4", 64), "kmeans")]


def packed_codes(tensor: QuantizedTensor) -> bytes:
    """Of the tiles, what is neither a codebook nor a line of scales and offsets."""
    form, columns = tensor.format, tensor.shape[1]
    blocks = tiles.pack(tensor)[:, form.head_bytes :].reshape(-1, form.block_bytes(columns))
    return blocks[:, form.lines * 64 :].tobytes()


def huffman(data: bytes) -> bytes:
    coder = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_HUFFMAN_ONLY)
    return coder.compress(data) + coder.flush()


def shannon(codes: np.ndarray) -> float:
    """Bits a code, of independent ones."""
    shares = np.bincount(codes.ravel()) / codes.size
    return float(-(shares[shares > 0] * np.log2(shares[shares > 0])).sum())


@pytest.mark.parametrize("form, scales", FOUR_BITS, ids=lambda part: str(part))
def test_codes_of_4_bits_shrink_to_their_entropy_and_no_further(form, scales):
    """Deep Compression's last step on a bell curve: Huffman's code, of bytes as they lie."""
    matrix = np.random.default_rng(0).normal(0, 0.05, (512, 1024)).astype(np.float32)
    tensor = quantize(matrix, Method(form, scales))
    data = packed_codes(tensor)
    assert len(data) == matrix.size / 2
    small = huffman(data)
    assert zlib.decompress(small) == data
    bits = 8 * len(small) / matrix.size
    assert bits <= 3.9
    assert shannon(tensor.codes) <= bits <= 1.01 * shannon(tensor.codes)
