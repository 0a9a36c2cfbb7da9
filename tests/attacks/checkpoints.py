"""Hostile source models, to be exported: README.md says what each of them tries.

    python -m tests.attacks.checkpoints FOLDER     writes them all, to try them on another program

Each function gets an empty folder and returns what `edge export` is to open, and `--lora`.
"""

import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.exporter import quantized_folder

Opened = tuple[Path, Path | None]
CHECKPOINTS: dict[str, Callable[[Path], Opened]] = {}
DOWN = "model.layers.0.mlp.down_proj"


def attack(function: Callable[[Path], Opened]) -> Callable[[Path], Opened]:
    CHECKPOINTS[function.__name__] = function
    return function


def changed(folder: Path, kind: str, changes: dict[str, np.ndarray | None]) -> Path:
    """A quantized model whose tensors are replaced, or left out (None)."""
    quantized_folder.write(folder / "model", kind)
    path = folder / "model" / "model.safetensors"
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header: dict[str, Any] = json.loads(data[8 : 8 + size])
    kept, body = {}, b""
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        content, shape = data[begin:end], entry["shape"]
        if name in changes:
            values = changes[name]
            if values is None:
                continue
            content, shape = values.tobytes(), list(values.shape)
        offsets = [len(body), len(body) + len(content)]
        kept[name] = {"dtype": entry["dtype"], "shape": shape, "data_offsets": offsets}
        body += content
    text = json.dumps(kept).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return folder / "model"


@attack
def codebook_bomb(folder: Path) -> Opened:
    state = {"quant_type": "nf4", "blocksize": 64, "shape": [2**31, 2**31]}
    text = np.frombuffer(json.dumps(state).encode(), np.uint8)
    name = f"{DOWN}.weight.quant_state.bitsandbytes__nf4"
    return changed(folder, "bitsandbytes-4", {name: text}), None


@attack
def packed_shape_bomb(folder: Path) -> Opened:
    shape = np.array([64, 2**40])
    return changed(folder, "compressed-tensors-4", {f"{DOWN}.weight_shape": shape}), None


@attack
def groups_of_another_matrix(folder: Path) -> Opened:
    order = np.full(128, -(2**31), np.int32)
    return changed(folder, "gptq", {f"{DOWN}.g_idx": order}), None


@attack
def no_groups(folder: Path) -> Opened:
    none = np.zeros((0, 64), np.float16)
    return changed(folder, "gptq", {f"{DOWN}.scales": none}), None


@attack
def codes_without_scales(folder: Path) -> Opened:
    return changed(folder, "compressed-tensors-8", {f"{DOWN}.weight_scale": None}), None


@attack
def infinite_scales(folder: Path) -> Opened:
    scales = np.full((4, 64), np.inf, np.float16)
    return changed(folder, "awq", {f"{DOWN}.scales": scales}), None


def adapter(folder: Path, settings: dict[str, Any], a: np.ndarray, b: np.ndarray) -> Opened:
    quantized_folder.write(folder / "model", "gptq")
    (folder / "adapter").mkdir()
    (folder / "adapter" / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 2} | settings)
    )
    module = f"base_model.model.{DOWN}"
    tensors = {f"{module}.lora_A.weight": a, f"{module}.lora_B.weight": b}
    quantized_folder.save_file(tensors, folder / "adapter" / "adapter_model.safetensors")
    return folder / "model", folder / "adapter"


A, B = np.ones((2, 128), np.float32), np.ones((64, 2), np.float32)


@attack
def expression_of_death(folder: Path) -> Opened:
    return adapter(folder, {"alpha_pattern": {"(([a-z.0-9_])+.)+x": 1}}, A, B)


@attack
def outer_product_bomb(folder: Path) -> Opened:
    return adapter(
        folder, {"r": 1}, np.ones((1, 2**20), np.float32), np.ones((2**20, 1), np.float32)
    )


@attack
def adapter_of_everything(folder: Path) -> Opened:
    return adapter(folder, {"lora_alpha": 1e300}, A, B)


def stored(folder: Path, digest: str) -> Opened:
    manifest = folder / "models/manifests/registry.ollama.ai/library/m/latest"
    manifest.parent.mkdir(parents=True)
    (folder / "models" / "blobs").mkdir()
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": digest, "size": 4}
    manifest.write_text(json.dumps({"layers": [layer]}))
    return folder / "models", None


@attack
def blob_outside_the_store(folder: Path) -> Opened:
    (folder / "secret").write_bytes(b"GGUF")
    return stored(folder, "sha256:../../secret")


@attack
def blob_of_another_hash(folder: Path) -> Opened:
    opened = stored(folder, "sha256:" + "0" * 64)
    (folder / "models" / "blobs" / ("sha256-" + "0" * 64)).write_bytes(b"GGUF")
    return opened


if __name__ == "__main__":
    for name, write in CHECKPOINTS.items():
        place = Path(sys.argv[1]) / name
        place.mkdir(parents=True)
        print(*write(place))
