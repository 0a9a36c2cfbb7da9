"""One matrix of every kind of quantized checkpoint, packed and unpacked by the tools themselves.

    python tests/golden/make_quantized.py
        # needs torch 2.13, gptqmodel 7.6, bitsandbytes 0.50, compressed-tensors 0.20 (all on CPU)

Each case is quantized/CASE.safetensors, whole as the weights of a model folder:

    layer.*    the stored tensors of a matrix of 32 rows and 64 columns
    expected   what the tool makes of them: float16, bfloat16 or float32 [32, 64]

Its metadata has the `quantization_config` that goes into config.json. AWQ's gemv has kernels for
GPUs alone; what is expected there is computed from the integers that went in.
"""

import json
from pathlib import Path
from typing import Any

import bitsandbytes.functional as bnb
import torch
from compressed_tensors.compressors.naive_quantized import NaiveQuantizationCompressor
from compressed_tensors.compressors.pack_quantized import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationScheme
from compressed_tensors.quantization.utils import calculate_qparams
from gptqmodel.nn_modules.qlinear.gemm_awq import AwqGEMMLinear
from gptqmodel.nn_modules.qlinear.gemv_awq import AwqGEMVLinear
from gptqmodel.nn_modules.qlinear.torch import TorchLinear
from gptqmodel.quantization.awq.utils.packing_utils import dequantize_gemm
from gptqmodel.quantization.config import QuantizeConfig
from gptqmodel.utils.model import convert_gptq_v2_to_v1_format_module
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers.integrations.bitnet import (
    AutoBitLinear,
    BitLinear,
    pack_weights,
    unpack_weights,
)

HERE = Path(__file__).parent / "quantized"
ROWS, COLUMNS, GROUP = 32, 64, 32
rng = torch.Generator()


def weights(case: str) -> Tensor:
    """Rows whose ranges differ, and are not symmetric."""
    rng.manual_seed(int.from_bytes(case.encode(), "little") % 2**32)
    scale = torch.rand(ROWS, 1, generator=rng) * 0.1 + 0.02
    shift = torch.randn(ROWS, 1, generator=rng) * 0.02
    return torch.randn(ROWS, COLUMNS, generator=rng) * scale + shift


def linear(weight: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight.data = weight
    return layer


def minmax(weight: Tensor, bits: int, symmetric: bool) -> tuple[Tensor, Tensor]:
    """Scales float16 and zero points float, [rows, groups], as GPTQ chooses them."""
    groups = weight.reshape(ROWS, -1, GROUP)
    low, high = groups.amin(2).clamp(max=0), groups.amax(2).clamp(min=0)
    levels = 2**bits - 1
    if symmetric:
        low, high = -torch.maximum(-low, high), torch.maximum(-low, high)
    scales = ((high - low) / levels).half()
    zeros = torch.full_like(low, (levels + 1) / 2) if symmetric else torch.round(-low / scales)
    return scales, zeros.float()


def store(name: str, parts: dict[str, Tensor], expected: Tensor, config: dict[str, Any]) -> None:
    tensors = {f"layer.{part}": t.contiguous() for part, t in parts.items()}
    tensors["expected"] = expected.contiguous()
    save_file(tensors, HERE / f"{name}.safetensors", {"config": json.dumps(config)})
    print(f"{name:32} {(HERE / f'{name}.safetensors').stat().st_size:6} bytes")


def gptq(name: str, bits: int, symmetric: bool, v2: bool = False, act_order: bool = False) -> None:
    weight = weights(name)
    g_idx = torch.arange(COLUMNS, dtype=torch.int32) // GROUP
    if act_order:
        g_idx = g_idx[torch.randperm(COLUMNS, generator=rng)]
    natural = weight[:, torch.argsort(g_idx, stable=True)]
    scales, zeros = minmax(natural, bits, symmetric)
    layer = TorchLinear(
        bits=bits,
        group_size=GROUP,
        sym=symmetric,
        desc_act=act_order,
        in_features=COLUMNS,
        out_features=ROWS,
        register_buffers=False,
    )
    layer.pack_block(linear(weight), scales.float(), zeros, g_idx)
    layer.qzero_format(format=2)
    layer.post_init()
    expected = layer.dequantize_weight().T
    settings = QuantizeConfig(bits=bits, group_size=GROUP, sym=symmetric, desc_act=act_order)
    if not v2:
        convert_gptq_v2_to_v1_format_module(layer, settings)
    parts = {n: getattr(layer, n) for n in ("qweight", "qzeros", "scales", "g_idx")}
    store(
        name,
        parts,
        expected,
        {
            "quant_method": "gptq",
            "bits": bits,
            "group_size": GROUP,
            "sym": symmetric,
            "desc_act": act_order,
            "checkpoint_format": "gptq_v2" if v2 else "gptq",
            "pack_dtype": "int32",
        },
    )


def awq(name: str, version: str) -> None:
    weight = weights(name)
    scales, zeros = minmax(weight, 4, symmetric=False)
    layer = nn.Module()  # packing runs on any machine, the layers themselves want a GPU
    layer.bits, layer.group_size, layer.in_features = 4, GROUP, COLUMNS
    kind = AwqGEMMLinear if version == "gemm" else AwqGEMVLinear
    kind.pack(layer, linear(weight), scales.float(), zeros)
    codes = torch.round((weight + spread(zeros * scales)) / spread(scales))
    expected = (codes - spread(zeros)).half() * spread(scales)
    if version == "gemm":
        found = dequantize_gemm(layer.qweight, layer.qzeros, layer.scales, 4, GROUP)
        assert torch.equal(found.T, expected)
    parts = {n: getattr(layer, n) for n in ("qweight", "qzeros", "scales")}
    config = {"quant_method": "awq", "bits": 4, "group_size": GROUP, "zero_point": True}
    store(name, parts, expected, config | {"version": version})


def spread(per_group: Tensor) -> Tensor:
    return per_group.repeat_interleave(GROUP, 1)


def four_bits(name: str, book: str, nested: bool) -> None:
    weight = weights(name)
    packed, state = bnb.quantize_4bit(
        weight, blocksize=64, quant_type=book, compress_statistics=nested
    )
    parts = {f"weight.{part}": value for part, value in state.as_dict(packed=True).items()}
    config = {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False}
    config |= {"bnb_4bit_quant_type": book, "bnb_4bit_use_double_quant": nested}
    store(name, {"weight": packed, **parts}, bnb.dequantize_4bit(packed, state), config)


def eight_bits(name: str) -> None:
    codes, largest, _ = bnb.int8_vectorwise_quant(weights(name).half())
    parts = {"weight": codes, "SCB": largest, "weight_format": torch.tensor(0, dtype=torch.uint8)}
    config = {"quant_method": "bitsandbytes", "load_in_4bit": False, "load_in_8bit": True}
    store(name, parts, bnb.int8_vectorwise_dequant(codes, largest), config)


def compressed(name: str, layout: str, dtype: torch.dtype, **args: Any) -> None:
    scheme = QuantizationScheme(targets=["Linear"], weights=args, format=layout)
    weight = weights(name).to(dtype)
    strategy = args["strategy"]
    if strategy == "tensor":
        low, high = weight.amin()[None], weight.amax()[None]
    elif strategy == "block":
        blocks = weight.reshape(ROWS // 16, 16, COLUMNS // 32, 32)
        low, high = blocks.amin((1, 3)), blocks.amax((1, 3))
    else:
        groups = weight.reshape(ROWS, -1, args.get("group_size") or COLUMNS)
        low, high = groups.amin(2), groups.amax(2)
    scale, zero = calculate_qparams(low, high, scheme.weights)
    packs = layout == "pack-quantized"
    compressor = PackedQuantizationCompressor if packs else NaiveQuantizationCompressor
    state = {"weight": weight, "weight_scale": scale.to(dtype), "weight_zero_point": zero}
    state = compressor.compress(state, scheme)
    parts = dict(state)
    expected = compressor.decompress(dict(state), scheme)["weight"]
    group = {"targets": ["Linear"], "weights": args, "format": layout}
    config = {"quant_method": "compressed-tensors", "format": layout, "ignore": ["lm_head"]}
    config |= {"quantization_status": "compressed", "config_groups": {"group_0": group}}
    store(name, parts, expected, config)


def bitnet(name: str, layer: type[nn.Module], linear_class: str) -> None:
    """What the layer multiplies by: its output for the unit vectors, whose activations are exact."""
    weight = weights(name)
    codes = torch.sign(weight) * (weight.abs() > weight.abs().mean())
    scale = torch.tensor([0.37])
    packed = pack_weights(codes.clone())
    module = layer(COLUMNS, ROWS, bias=False, dtype=torch.float32)
    module.weight_scale = scale
    if linear_class == "bitlinear":
        module.weight = packed
    else:  # unpacked when it is loaded
        module.weight.data = unpack_weights(packed, dtype=torch.float32)
    expected = module(torch.eye(COLUMNS)).T
    config = {"quant_method": "bitnet", "linear_class": linear_class}
    config |= {"quantization_mode": "offline", "modules_to_not_convert": ["lm_head"]}
    store(name, {"weight": packed, "weight_scale": scale}, expected, config)


@torch.no_grad()
def main() -> None:
    HERE.mkdir(exist_ok=True)
    for bits in (2, 3, 4, 8):
        gptq(f"gptq-{bits}-symmetric", bits, symmetric=True)
        gptq(f"gptq-{bits}-asymmetric", bits, symmetric=False)
    gptq("gptq-v2", 4, symmetric=False, v2=True)
    gptq("gptq-act-order", 4, symmetric=False, act_order=True)
    gptq("gptq-act-order-symmetric", 4, symmetric=True, act_order=True)
    awq("awq-gemm", "gemm")
    awq("awq-gemv", "gemv")
    four_bits("bnb-nf4", "nf4", nested=False)
    four_bits("bnb-nf4-double", "nf4", nested=True)
    four_bits("bnb-fp4", "fp4", nested=False)
    eight_bits("bnb-int8")
    bitnet("bitnet-auto", AutoBitLinear, "autobitlinear")
    bitnet("bitnet-linear", BitLinear, "bitlinear")
    half, brain = torch.float16, torch.bfloat16
    integer = {"type": "int", "num_bits": 4, "strategy": "group", "group_size": GROUP}
    packed = "pack-quantized"
    compressed("ct-packed-4", packed, brain, **integer, symmetric=True)
    compressed("ct-packed-4-asymmetric", packed, half, **integer, symmetric=False)
    whole = {"type": "int", "strategy": "channel", "symmetric": True}
    compressed("ct-packed-8", packed, half, **whole, num_bits=8)
    compressed("ct-packed-3", packed, half, **whole, num_bits=3)
    compressed("ct-int8", "int-quantized", brain, **whole, num_bits=8)
    compressed(
        "ct-int8-asymmetric", "int-quantized", half, **whole | {"symmetric": False}, num_bits=8
    )
    compressed("ct-naive-4", "naive-quantized", half, **integer, symmetric=True)
    floats = {"type": "float", "num_bits": 8, "symmetric": True}
    compressed("ct-float8", "float-quantized", brain, **floats, strategy="channel")
    compressed("ct-float8-tensor", "float-quantized", brain, **floats, strategy="tensor")
    blocks = {"strategy": "block", "block_structure": [16, 32]}
    compressed("ct-float8-blocks", "float-quantized", brain, **floats, **blocks)


if __name__ == "__main__":
    main()
