"""Matrices of compressed-tensors whose groups have columns from everywhere (actorder "group").

    python tests/golden/make_ordered.py
        # needs torch 2.13, compressed-tensors 0.12: later ones write and read this order no more

The files are as those of make_quantized.py, whose cases are of newer versions.
"""

import json
from pathlib import Path

import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationArgs
from compressed_tensors.quantization.utils import calculate_qparams
from safetensors.torch import save_file

HERE = Path(__file__).parent / "quantized"
ROWS, COLUMNS, GROUP = 32, 64, 32


def store(name: str, layout: str, bits: int) -> None:
    rng = torch.Generator().manual_seed(bits)
    weight = torch.randn(ROWS, COLUMNS, generator=rng).half()
    g_idx = (torch.arange(COLUMNS, dtype=torch.int32) // GROUP)[
        torch.randperm(COLUMNS, generator=rng)
    ]
    weights = {"type": "int", "num_bits": bits, "strategy": "group", "group_size": GROUP}
    weights |= {"symmetric": True, "actorder": "group"}
    args = QuantizationArgs(**weights)
    groups = weight[:, torch.argsort(g_idx, stable=True)].reshape(ROWS, -1, GROUP)
    scale, _ = calculate_qparams(groups.amin(2), groups.amax(2), args)
    compressor = BaseCompressor.load_from_registry(layout)
    parts = compressor.compress_weight(weight, scale, args, g_idx=g_idx)
    parts |= {"weight_scale": scale, "weight_g_idx": g_idx}
    expected = compressor.decompress_weight(dict(parts), args)
    scheme = {"targets": ["Linear"], "weights": weights}
    config = {"quant_method": "compressed-tensors", "format": layout, "ignore": ["lm_head"]}
    config |= {"quantization_status": "compressed", "config_groups": {"group_0": scheme}}
    tensors = {f"layer.{part}": t.contiguous() for part, t in parts.items()}
    tensors["expected"] = expected.contiguous()
    save_file(tensors, HERE / f"{name}.safetensors", {"config": json.dumps(config)})


if __name__ == "__main__":
    store("ct-act-order", "pack-quantized", 4)
    store("ct-act-order-int8", "int-quantized", 8)
