"""Real ONNX models in int8: how often a classifier says what it said, and how far vectors turn."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnxruntime.quantization import QuantType, quantize_dynamic
from PIL import Image

import edge
from tests.models.bert_onnx import build as minilm
from tests.models.efficientnet_lite0 import build as efficientnet
from tests.models.test_minilm import sentences
from tests.models.test_onnx_models import LINES, REC, line, read

PICTURES = (
    "chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png", "camera.png", "motorcycle_left.png"
)  # fmt: skip
INPUTS, CALIBRATED_ON = 240, 60


def photographs(test_data, count, seed):
    """float32 [1, 3, 224, 224] each: pictures turned by 10 degrees at most, cut anew, mirrored."""
    random = np.random.default_rng(seed)
    opened = [Image.open(test_data("pictures") / name).convert("RGB") for name in PICTURES]
    for i in range(count):
        image = opened[i % len(opened)]
        image = image.rotate(random.uniform(-10, 10), Image.Resampling.BICUBIC)
        side = min(image.size) * random.uniform(0.75, 0.9)
        left, top = ((n - side) / 2 + side * random.uniform(-0.05, 0.05) for n in image.size)
        box = (left, top, left + side, top + side)
        pixels = np.asarray(image.resize((224, 224), Image.Resampling.BICUBIC, box), np.float32)
        if random.random() < 0.5:
            pixels = pixels[:, ::-1]
        yield np.ascontiguousarray(((pixels - 127) / 128).transpose(2, 0, 1)[None])


def in_onnx_runtime(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def test_a_classifier_in_int8_says_what_it_said(test_data, tmp_path):
    """At least 99 % of several hundred pictures that calibration has not seen."""
    source = tmp_path / "m.onnx"
    onnx.save(efficientnet(test_data("efficientnet_lite0.pth")), source)
    calib = photographs(test_data, CALIBRATED_ON, seed=2)
    report = edge.export(source, tmp_path / "m.edge", quant="int8-calibrated", calib=calib)
    assert report.bytes < 0.28 * source.stat().st_size
    assert {o["name"]: o["cosine"] > 0.999 for o in report.verification["outputs"]}
    reference, same = in_onnx_runtime(source), []
    with edge.load(tmp_path / "m.edge", threads=1) as session:
        for x in photographs(test_data, INPUTS, seed=1):
            (expected,) = reference.run(None, {"input": x})
            (found,) = session.run(None, {"input": x})
            same.append(expected.argmax() == found.argmax())
    assert np.mean(same) >= 0.99


@pytest.fixture(scope="module")
def encoder(test_data, tmp_path_factory):
    """The ONNX file, and feeds of sentences."""
    folder = tmp_path_factory.mktemp("encoder")
    onnx.save(minilm(test_data("minilm_l6")), folder / "m.onnx")
    edge.export(test_data("minilm_l6"), folder / "ids.edge", quant="keep")
    with edge.load(folder / "ids.edge", threads=1) as tokenizing:
        ids = [np.array([found]) for found in tokenizing.tokenize(sentences()[::2])]
    return folder / "m.onnx", [{"input_ids": i, "attention_mask": np.ones_like(i)} for i in ids]


def turned(source, path, feeds):
    """Cosines of the file's vectors and those of the float model, float64 [sentences]."""
    reference = in_onnx_runtime(source)
    with edge.load(path, threads=1) as session:
        pairs = [(reference.run(None, f)[0][0], session.run(None, f)[0][0]) for f in feeds]
    return np.array([a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in pairs])


def test_vectors_of_an_encoder_in_int8_turn_by_little(encoder, tmp_path):
    source, feeds = encoder
    report = edge.export(source, tmp_path / "m.edge", quant="int8")
    assert turned(source, tmp_path / "m.edge", feeds).mean() >= 0.995
    # What quantize_dynamic makes of it takes 0.2588 of the float file.
    assert report.bytes < 0.257 * source.stat().st_size


def test_what_onnx_runtime_has_quantized_keeps_its_codes_and_hardly_grows(encoder, tmp_path):
    source, feeds = encoder
    quantized = tmp_path / "m.int8.onnx"
    quantize_dynamic(source, quantized, weight_type=QuantType.QInt8)
    report = edge.export(quantized, tmp_path / "m.edge")
    assert {t.error for t in report.tensors if len(t.shape) == 2} == {0.0}
    assert report.bytes < 1.006 * quantized.stat().st_size  # a scale for each word: 0.5 %
    # One scale a matrix: further off than edge's own int8, as ONNX Runtime itself is.
    assert turned(source, tmp_path / "m.edge", feeds[:20]).mean() >= 0.95


@pytest.mark.parametrize("text", LINES)
def test_a_recogniser_in_int8_still_reads(test_data, tmp_path, text):
    edge.export(test_data(REC), tmp_path / "m.edge", quant="int8")
    with edge.load(tmp_path / "m.edge", threads=1) as session:
        assert read(session, line(text)) == text
