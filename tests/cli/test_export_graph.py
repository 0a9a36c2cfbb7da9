"""edge export of an ONNX model: calibration, --max-drop, images, a page."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image


@pytest.fixture
def classifier(tmp_path):
    """image [1, 3, 16, 16] -> a 3x3 convolution, pooling, scores of 40."""
    random = np.random.default_rng(0)
    held = {
        "stem": 0.3 * random.normal(size=(32, 3, 3, 3)),
        "deep": 0.1 * random.normal(size=(64, 32, 3, 3)),
        "fc": 0.2 * random.normal(size=(40, 64)),
    }
    three = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["image", "stem"], ["a"], **three),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "deep"], ["c"], **three),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("GlobalAveragePool", ["d"], ["e"]),
        helper.make_node("Flatten", ["e"], ["f"]),
        helper.make_node("Gemm", ["f", "fc"], ["scores"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 40])],
        [numpy_helper.from_array(v.astype(np.float32), n) for n, v in held.items()],
    )
    imports = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=imports), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


@pytest.fixture
def photos(tmp_path):
    random, folder = np.random.default_rng(1), tmp_path / "photos"
    folder.mkdir()
    for i in range(6):
        pixels = random.integers(0, 256, (5, 7, 3), np.uint8)
        Image.fromarray(pixels).resize((40, 30)).save(folder / f"{i}.png")
    return folder


NORMAL = ("--image-mean", "127,127,127", "--image-std", "64")


def test_images_calibrate_an_export_that_is_verified(cli, cli_json, classifier, photos, tmp_path):
    out = tmp_path / "m.edge"
    arguments = ("export", classifier, "-o", out, "--quant", "int8-calibrated")
    document = cli_json(*arguments, "--calib", photos, *NORMAL)
    formats = {t["name"]: t["format"] for t in document["tensors"]}
    assert (formats["stem.weight"], formats["deep.weight"]) == ("float32", "int8")
    assert document["verification"]["outputs"][0]["cosine"] > 0.999
    code, stdout, err = cli(*arguments, "--calib", photos, *NORMAL)
    assert code == 0 and "int8-calibrated" in stdout
    assert "note: verified beside ONNX Runtime" in err
    assert cli_json("show", out)["recipe"] == "int8-calibrated"


def test_fixed_activations_are_in_the_file(cli_json, classifier, photos, tmp_path):
    from edge.format.reader import EdgeFile

    arguments = ("export", classifier, "-o", tmp_path / "m.edge", "--calib", photos, *NORMAL)
    cli_json(*arguments, "--quant", "w8a8s:range_mse")
    info = EdgeFile(tmp_path / "m.edge").info("deep.weight")
    assert isinstance(info.activation, float)


def test_a_drop_that_is_allowed_and_a_page(cli, classifier, photos, tmp_path):
    page = tmp_path / "m.html"
    code, _, err = cli(
        "export", classifier, "-o", tmp_path / "m.edge", "--quant", "int8", "--calib", photos,
        *NORMAL, "--max-drop", "0.004", "--report", page,
    )  # fmt: skip
    assert code == 0
    assert "matrices stay floats" in err
    assert "<h2>Against the float model</h2>" in page.read_text()


def test_images_without_their_normalization_are_refused(fails, classifier, photos, tmp_path):
    line = fails("export", classifier, "-o", tmp_path / "m.edge", "--calib", photos)
    assert "--image-mean 0 --image-std 255" in line
    half = fails(
        "export", classifier, "-o", tmp_path / "m.edge", "--calib", photos, "--image-mean", "0",
        code=2,
    )  # fmt: skip
    assert "go together" in half
    assert not (tmp_path / "m.edge").exists()


def test_a_drop_is_not_for_language_models(fails, tmp_path):
    from tests.exporter.memory_source import GOLDEN

    line = fails("export", GOLDEN, "-o", tmp_path / "m.edge", "--max-drop", "0.1")
    assert "max_drop is for graphs" in line
