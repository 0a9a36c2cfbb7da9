"""Real ONNX models through the whole path: what ONNX Runtime computes, and sense in what they say."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image, ImageDraw, ImageFont

import edge
from tests.models.bert_onnx import build as minilm
from tests.models.efficientnet_lite0 import build as efficientnet

ROOT = Path(__file__).parents[2]
NEAR = 1e-4  # of the largest number of an output
SIGMOID = 1e-7  # ONNX Runtime's is a fraction of polynomials: so far off near 0, 7e-4 of 3e-5
RANDOM = np.random.default_rng(0)
DET, REC, CLS = (
    f"ppocr/ch_{name}_infer.onnx" for name in ("PP-OCRv4_det", "PP-OCRv4_rec", "ppocr_mobile_v2.0_cls")
)  # fmt: skip
SR = np.array(16000)


@pytest.fixture(scope="module")
def exported(test_data, tmp_path_factory):
    """(path of the ONNX file, session of edge's) of a file of real data; built where it is none."""
    folder, known = tmp_path_factory.mktemp("graphs"), {}

    def export(name, build=None):
        if name not in known:
            source = test_data(name)
            if build is not None:
                onnx.save(build(source), source := folder / f"{Path(name).stem}.onnx")
            edge.export(source, path := folder / f"{len(known)}.edge", quant="float32")
            known[name] = source, edge.load(path, threads=2)
        return known[name]

    yield export
    for _, session in known.values():
        session.close()


def assert_as_onnx_runtime(exported, feeds):
    """Outputs within NEAR of the largest number of each, and SIGMOID."""
    source, session = exported
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 2
    reference = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    arguments = zip(session.get_inputs(), reference.get_inputs(), strict=True)
    assert all((a.name, a.type) == (b.name, b.type) for a, b in arguments)
    expected, found = reference.run(None, feeds), session.run(None, feeds)
    for a, b in zip(expected, found, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        assert np.abs(a - b).max() <= NEAR * np.abs(a).max() + SIGMOID


def picture(test_data, name):
    return Image.open(test_data("pictures") / name).convert("RGB")


# --- EfficientNet-Lite0: pictures into the classes of ImageNet ------------------------------------


def cropped(image):
    """float32 [1, 3, 224, 224] of the middle of a picture."""
    scale = 224 / 0.875 / min(image.size)
    image = image.resize([round(size * scale) for size in image.size], Image.Resampling.BICUBIC)
    left, top = ((size - 224) // 2 for size in image.size)
    pixels = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32)
    return ((pixels - 127) / 128).transpose(2, 0, 1)[None]


@pytest.mark.parametrize(
    "name, classes",
    [
        ("chelsea.png", {281, 282, 285}),  # tabby, tiger cat, Egyptian cat
        ("coffee.png", {967, 504, 968}),  # espresso, coffee mug, cup
        ("rocket.jpg", {657, 744}),  # missile, projectile
    ],
)
def test_a_classifier_knows_what_is_on_a_photograph(test_data, exported, name, classes):
    _, session = both = exported("efficientnet_lite0.pth", efficientnet)
    x = cropped(picture(test_data, name))
    assert_as_onnx_runtime(both, {"input": x})
    assert int(session.run(None, {"input": x})[0].argmax()) in classes


def test_a_classifier_takes_several_pictures_at_once(exported):
    x = RANDOM.standard_normal((3, 3, 224, 224)).astype(np.float32)
    assert_as_onnx_runtime(exported("efficientnet_lite0.pth", efficientnet), {"input": x})


# --- PP-OCRv4: where lines are, which way up, and what they say -----------------------------------

LINES = ["edge runs models", "Hello World 2026", "quick brown fox 0123456789"]


def line(text, turned=False):
    """float32 [1, 3, 48, W] of a rendered line."""
    font = ImageFont.load_default(34)
    left, _, right, _ = font.getbbox(text)
    image = Image.new("RGB", (int(right - left) + 24, 48), "white")
    ImageDraw.Draw(image).text((12, 2), text, "black", font)
    if turned:
        image = image.rotate(180)
    return (np.asarray(image, np.float32).transpose(2, 0, 1)[None] / 255 - 0.5) / 0.5


def read(session, x):
    """Greedy CTC: the best of each step, without repeats and blanks."""
    characters = session.get_modelmeta().custom_metadata_map["character"].split("\n")
    characters = ["", *characters, " "]
    best = session.run(None, {"x": x})[0][0].argmax(axis=1)
    kept = [b for i, b in enumerate(best) if b and (i == 0 or b != best[i - 1])]
    return "".join(characters[b] for b in kept).strip()


@pytest.mark.parametrize("text", LINES)
def test_a_recogniser_reads_a_line(exported, text):
    both = exported(REC)
    assert_as_onnx_runtime(both, {"x": line(text)})
    assert read(both[1], line(text)) == text


def test_a_recogniser_reads_lines_of_any_number_and_width(exported):
    both = exported(REC)
    for shape in ((2, 3, 48, 100), (1, 3, 48, 321)):
        x = RANDOM.uniform(-1, 1, shape).astype(np.float32)
        assert_as_onnx_runtime(both, {"x": x})


def test_a_detector_finds_the_lines_of_a_page(test_data, exported):
    page = picture(test_data, "page.png").crop((0, 0, 384, 160))
    pixels = np.asarray(page, np.float32) / 255
    deviations = np.array([0.229, 0.224, 0.225], np.float32)
    x = ((pixels - np.array([0.485, 0.456, 0.406], np.float32)) / deviations).transpose(2, 0, 1)
    both = exported(DET)
    assert_as_onnx_runtime(both, {"x": x[None]})
    lines = both[1].run(None, {"x": x[None]})[0][0, 0] > 0.3
    steps = np.abs(np.diff(pixels.mean(axis=2), axis=1))
    assert 0.05 < lines.mean() < 0.7
    assert (
        steps[lines[:, :-1]].mean() > 3 * steps[~lines[:, :-1]].mean()
    )  # letters are where it says


def test_a_classifier_of_angles_sees_what_is_upside_down(exported):
    both = exported(CLS)
    for turned in (False, True):
        x = line("This way up, please", turned)[..., :192]
        assert_as_onnx_runtime(both, {"x": x})
        assert both[1].run(None, {"x": x})[0].argmax() == turned


# --- Silero VAD: is somebody speaking -------------------------------------------------------------


def voice(seconds):
    """A vowel that glides: the harmonics of a pitch through three formants, in syllables."""
    t = np.arange(int(seconds * 16000)) / 16000
    pitch = 120 + 20 * np.sin(2 * np.pi * 1.3 * t)
    phase = 2 * np.pi * np.cumsum(pitch) / 16000
    sound = np.zeros_like(t)
    for k in range(1, 30):
        frequency = k * pitch
        formants = ((600 + 150 * np.sin(2 * np.pi * 2 * t), 90), (1200, 110), (2500, 160))
        gain = sum(np.exp(-(((frequency - f) / (2 * width)) ** 2)) for f, width in formants)
        sound += (gain + 0.02) * np.sin(k * phase) / k**0.5
    syllables = np.clip(np.sin(2 * np.pi * 3.5 * t) + 0.6, 0, 1)
    return (0.1 * sound * syllables).astype(np.float32)


def probabilities(session, sound):
    """Of each 32 ms; the state goes from one to the next, and 4 ms before each are heard again."""
    state, before, found = np.zeros((2, 1, 128), np.float32), np.zeros(64, np.float32), []
    for chunk in sound[: len(sound) // 512 * 512].reshape(-1, 512):
        feeds = {"input": np.concatenate([before, chunk])[None], "state": state, "sr": SR}
        probability, state = session.run(None, feeds)
        found.append(float(probability.item()))
        before = chunk[-64:]
    return np.array(found)


def test_a_detector_of_voices_hears_a_vowel_and_no_noise(exported):
    _, session = exported("silero_vad.onnx")
    noise = 0.02 * RANDOM.standard_normal(2 * 16000).astype(np.float32)
    assert probabilities(session, voice(2)).max() > 0.5
    assert probabilities(session, noise).max() < 0.3
    assert probabilities(session, np.zeros_like(noise)).max() < 0.1


@pytest.mark.parametrize("rate, samples", [(16000, 576), (8000, 288)])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_recurrent_model_with_branches_agrees(exported, rate, samples, batch):
    state = RANDOM.standard_normal((2, batch, 128)).astype(np.float32)
    sound = 0.1 * RANDOM.standard_normal((batch, samples)).astype(np.float32)
    feeds = {"input": sound, "state": state, "sr": np.array(rate)}
    assert_as_onnx_runtime(exported("silero_vad.onnx"), feeds)


# --- openWakeWord: is it the word to listen for ---------------------------------------------------


def test_a_keyword_spotter_of_three_models_agrees_and_hears_no_word_in_a_vowel(exported):
    """Sound to mel bands, 76 of their frames to a vector, 16 vectors to how likely the word is."""
    bands, network, word = (
        exported(f"wakeword/{name}.onnx")
        for name in ("melspectrogram", "embedding_model", "alexa_v0.1")
    )
    sound = 30000 * voice(2.5)[None]
    assert_as_onnx_runtime(bands, {"input": sound})
    frames = bands[1].run(None, {"input": sound})[0].reshape(-1, 32) / 10 + 2
    windows = np.stack([frames[at : at + 76, :, None] for at in range(0, 16 * 8, 8)])
    assert_as_onnx_runtime(network, {"input_1": windows})
    vectors = network[1].run(None, {"input_1": windows})[0].reshape(1, 16, 96)
    (argument,) = word[1].get_inputs()
    assert_as_onnx_runtime(word, {argument.name: vectors})
    assert word[1].run(None, {argument.name: vectors})[0].item() < 0.5


# --- magika: what kind of file is this ------------------------------------------------------------


def beginning_and_end(path):
    """int32 [1, 2048]: stripped bytes of both, 256 where there are none."""
    content = path.read_bytes()
    first, last = content[:4096].lstrip()[:1024], content[-4096:].rstrip()[-1024:]
    ids = [*first, *[256] * (1024 - len(first)), *[256] * (1024 - len(last)), *last]
    return np.array([ids], np.int32)


@pytest.mark.parametrize(
    "name, kind",
    [
        ("edge/format/reader.py", "python"),
        ("CONTRIBUTING.md", "markdown"),
        ("pyproject.toml", "toml"),
    ],
)
def test_files_of_this_repository_are_known(test_data, exported, name, kind):
    both = exported("magika/model.onnx")
    feeds = {"bytes": beginning_and_end(ROOT / name)}
    assert_as_onnx_runtime(both, feeds)
    labels = json.loads((test_data("magika") / "config.min.json").read_text())[
        "target_labels_space"
    ]
    assert labels[both[1].run(None, feeds)[0].argmax()] == kind


# --- MiniLM: sentences into vectors ---------------------------------------------------------------


@pytest.mark.parametrize("lengths", [[9], [16, 3, 1], [128, 70]])
def test_an_encoder_spelled_as_pytorch_exports_it_agrees(exported, lengths):
    ids = RANDOM.integers(1000, 30000, (len(lengths), max(lengths)))
    mask = (np.arange(max(lengths)) < np.array(lengths)[:, None]).astype(np.int64)
    both = exported("minilm_l6", minilm)
    assert_as_onnx_runtime(both, {"input_ids": ids, "attention_mask": mask})


def test_an_encoder_from_onnx_is_the_one_from_safetensors(test_data, exported, tmp_path):
    _, session = exported("minilm_l6", minilm)
    edge.export(test_data("minilm_l6"), tmp_path / "m.edge", quant="float32")
    with edge.load(tmp_path / "m.edge", threads=2) as encoder:
        (ids,) = encoder.tokenize(["A man is eating food."])
        expected = encoder.embed([ids])
    ids = np.array([ids])
    found = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0]
    assert np.abs(found - expected).max() < NEAR
