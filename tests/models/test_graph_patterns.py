"""What is recognised in real ONNX models: a layer that is not costs its speed, and nobody is told."""

from collections import Counter

import onnx
import pytest

from edge.exporter.graph.pipeline import lower
from tests.models.bert_onnx import build as minilm
from tests.models.efficientnet_lite0 import build as efficientnet

MODELS = {  # file: operators that must be there as often, and those that must not be there
    "efficientnet_lite0.pth": ({"edge.Linear": 33, "edge.Depthwise": 16, "edge.Conv": 1}, 1),
    "ppocr/ch_PP-OCRv4_det_infer.onnx": ({"edge.Linear": 44, "edge.DepthToSpace": 2}, 1),
    "ppocr/ch_PP-OCRv4_rec_infer.onnx": ({"edge.Attention": 2, "LayerNormalization": 5}, 1),
    "ppocr/ch_ppocr_mobile_v2.0_cls_infer.onnx": ({"edge.MaxPool": 1, "HardSwish": 18}, 1),
    "minilm_l6": ({"edge.Attention": 6, "Gelu": 6, "edge.Linear": 36, "LayerNormalization": 13}, 0),
}
LEFT = {
    "ppocr/ch_PP-OCRv4_det_infer.onnx": {"Sigmoid"},  # the map of where there is text
    "ppocr/ch_ppocr_mobile_v2.0_cls_infer.onnx": {"MatMul"},  # into two classes
}
BUILT = {"efficientnet_lite0.pth": efficientnet, "minilm_l6": minilm}
SPELLED = (
    "Conv",
    "ConvTranspose",
    "BatchNormalization",
    "MatMul",
    "Gemm",
    "Erf",
    "Sqrt",
    "Sigmoid",
)


@pytest.mark.parametrize("name", MODELS)
def test_patterns_are_recognised_and_transposes_are_at_the_ends(name, test_data, tmp_path):
    source = test_data(name)
    if name in BUILT:
        onnx.save(BUILT[name](source), source := tmp_path / "model.onnx")
    found = Counter(node.op for node in lower(source).graph.walk())
    wanted, transposes = MODELS[name]
    assert wanted == {op: found[op] for op in wanted}
    assert found["Transpose"] == transposes
    assert {op for op in SPELLED if found[op]} == LEFT.get(name, set())
