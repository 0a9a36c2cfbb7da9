"""Make tests/golden/quantization: what other packages make of the same small matrices.

    python -m venv VENV; VENV/bin/pip install torch==2.13.0 hqq==0.2.8.post1 gptqmodel==7.6.0 \
        onnx onnxruntime==1.31.1
    VENV/bin/python tests/golden/make_quantization.py

On processors, seeded; the tests read the files and need none of the packages.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "quantization"
ROWS, COLUMNS, GROUP = 24, 64, 32


def hqq() -> dict[str, np.ndarray]:
    """hqq's optimize_weights_proximal_legacy on groups of 64 weights that are t(3)-distributed."""
    import torch
    from hqq.core.optimize import optimize_weights_proximal_legacy

    with np.load(FOLDER / "hqq.npz") as file:  # the weights as they were first drawn
        weights = file["weights"]
    groups = torch.from_numpy(weights.reshape(-1, 64).copy())
    found = {"weights": weights}
    for bits in (4, 3, 2):
        top = 2**bits - 1
        low, high = groups.amin(1, keepdim=True), groups.amax(1, keepdim=True)
        scale = (top / (high - low)).clamp(max=2e4)
        codes, _, zero = optimize_weights_proximal_legacy(
            groups, scale, -low * scale, [0, top], axis=1, device="cpu"
        )
        found[f"zero{bits}"] = zero.numpy()
        found[f"codes{bits}"] = codes.numpy().astype(np.uint8)
    return found


def gptq() -> dict[str, np.ndarray]:
    """gptqmodel on correlated inputs whose channels differ in size: what it makes of W, and H."""
    import torch
    from gptqmodel import QuantizeConfig
    from gptqmodel.quantization.gptq import GPTQ

    random = np.random.default_rng(0)
    mixing = random.standard_normal((COLUMNS, COLUMNS)) / np.sqrt(COLUMNS) + np.eye(COLUMNS)
    x = random.standard_normal((512, COLUMNS)) @ mixing * random.lognormal(0, 1, COLUMNS)
    weights = random.normal(0, 0.05, (ROWS, COLUMNS)).astype(np.float32)
    inputs = torch.from_numpy(x.astype(np.float32))
    found = {"weights": weights, "h": (x.T @ x / len(x)).astype(np.float32)}
    for name, symmetric, ordered in (
        ("offset", False, False),
        ("symmetric", True, False),
        ("offset_ordered", False, True),
    ):
        linear = torch.nn.Linear(COLUMNS, ROWS, bias=False)
        linear.weight.data = torch.from_numpy(weights.copy())
        config = QuantizeConfig(
            bits=4,
            group_size=GROUP,
            sym=symmetric,
            desc_act=ordered,
            damp_percent=0.01,
            mse=0.0,
            act_group_aware=False,
        )
        method = GPTQ(linear, config)
        method.quantizer.configure(perchannel=True)
        method.add_batch(inputs[None], linear(inputs)[None])
        found[name] = method.quantize()[0].detach().numpy().astype(np.float32)
    return found


def int8_linear() -> dict[str, np.ndarray]:
    """y = x W^T by ONNX Runtime's and torch's dynamic int8, a scale a row of W."""
    random = np.random.default_rng(1)
    x = random.uniform(-1, 1, (16, COLUMNS)).astype(np.float32)
    weights = random.normal(0, 0.05, (ROWS, COLUMNS)).astype(np.float32)
    found = {"x": x, "weights": weights}
    return found | {"onnxruntime": _onnxruntime(x, weights), "torch": _torch(x, weights)}


def _onnxruntime(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper
    from onnxruntime.quantization import QuantType, quantize_dynamic

    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [len(x), len(weights)])],
        [numpy_helper.from_array(np.ascontiguousarray(weights.T), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with tempfile.TemporaryDirectory() as folder:
        plain, quantized = f"{folder}/a.onnx", f"{folder}/b.onnx"
        onnx.save(model, plain)
        quantize_dynamic(plain, quantized, per_channel=True, weight_type=QuantType.QInt8)
        return onnxruntime.InferenceSession(quantized).run(None, {"x": x})[0]


def _torch(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    import torch
    from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic

    torch.backends.quantized.engine = "qnnpack"  # fbgemm's activations have 7 bits
    linear = torch.nn.Linear(*weights.shape[::-1], bias=False)
    linear.weight.data = torch.from_numpy(weights.copy())
    model = quantize_dynamic(
        torch.nn.Sequential(linear), {torch.nn.Linear: per_channel_dynamic_qconfig}, torch.qint8
    )
    return model(torch.from_numpy(x)).numpy()


def int8_static() -> dict[str, np.ndarray]:
    """The same by torch's prepare and convert: fixed scales of x and y, a scale a row."""
    import torch
    from torch.ao.quantization import DeQuantStub, QConfig, QuantStub, convert, prepare
    from torch.ao.quantization.observer import MinMaxObserver, default_per_channel_weight_observer

    torch.backends.quantized.engine = "qnnpack"  # fbgemm's activations have 7 bits
    random = np.random.default_rng(2)
    x = random.uniform(-1, 1, (64, COLUMNS)).astype(np.float32)
    weights = random.normal(0, 0.05, (ROWS, COLUMNS)).astype(np.float32)
    linear = torch.nn.Linear(COLUMNS, ROWS, bias=False)
    linear.weight.data = torch.from_numpy(weights.copy())
    model = torch.nn.Sequential(QuantStub(), linear, DeQuantStub()).eval()
    observer = MinMaxObserver.with_args(dtype=torch.quint8)
    model.qconfig = QConfig(activation=observer, weight=default_per_channel_weight_observer)
    prepared = prepare(model)
    prepared(torch.from_numpy(x))
    return {"x": x, "weights": weights, "y": convert(prepared)(torch.from_numpy(x)).numpy()}


GOLDENS = {"hqq": hqq, "gptq": gptq, "int8_linear": int8_linear, "int8_static": int8_static}

if __name__ == "__main__":
    for name in sys.argv[1:] or GOLDENS:
        np.savez_compressed(FOLDER / f"{name}.npz", **GOLDENS[name]())
