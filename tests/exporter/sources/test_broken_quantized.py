"""Quantized checkpoints that are broken: every one is refused by name, and nothing else happens."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.errors import EdgeError, SourceError, UnsupportedModel
from edge.exporter.sources.huggingface import HuggingFaceSource
from edge.exporter.sources.safetensors_file import SafetensorsFile

GOLDEN = Path(__file__).parents[2] / "golden" / "quantized"
CASES = sorted(path.stem for path in GOLDEN.glob("*.safetensors"))
Tensors = dict[str, tuple[str, np.ndarray]]  # name: (type, values)


def load(case: str) -> tuple[Tensors, dict[str, Any]]:
    """The stored tensors of a golden case, and its quantization_config."""
    path = GOLDEN / f"{case}.safetensors"
    file = SafetensorsFile(path)
    header = path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")]
    config = json.loads(json.loads(header)["__metadata__"]["config"])
    names = [name for name in file.tensors if name != "expected"]
    return {n: (file.tensors[n].dtype, file.stored(n).copy()) for n in names}, config


@pytest.fixture
def read_all(tmp_path, write_safetensors):
    """Opens a folder of these tensors and reads every one in every way."""

    def read_all(tensors: Mapping[str, tuple[str, np.ndarray]], config: Any) -> np.ndarray:
        document = {"model_type": "llama", "quantization_config": config}
        (tmp_path / "config.json").write_text(json.dumps(document))
        write_safetensors(tmp_path / "model.safetensors", tensors)
        source = HuggingFaceSource(tmp_path)
        for name in source.names():
            assert source.read(name).shape == source.shape(name)
            kept = source.kept(name)
            assert kept is None or kept.shape == source.shape(name)
        return source.read("layer.weight")

    return read_all


@pytest.mark.parametrize("case", CASES)
def test_a_lone_part_or_a_missing_one_is_named(read_all, case):
    tensors, config = load(case)
    needless = {"layer.weight_format"} | ({"layer.g_idx"} if not config.get("desc_act") else set())
    for missing in tensors:
        rest = {name: tensor for name, tensor in tensors.items() if name != missing}
        if missing in needless:
            np.testing.assert_array_equal(read_all(rest, config), read_all(tensors, config))
            continue
        with pytest.raises(SourceError, match=r"tensor 'layer\.\w+"):
            read_all(rest, config)


def reshaped(values: np.ndarray) -> list[np.ndarray]:
    """The same numbers in shapes that are wrong, or fewer of them, or more."""
    flat = values.reshape(-1)
    wrong = [flat[:0], flat[: flat.size // 2], np.concatenate([flat, flat]), flat[None, None]]
    if values.ndim == 2 and len(set(values.shape)) > 1:
        wrong += [np.ascontiguousarray(values.T), values[:-1], values[:, :-1], values[:0]]
    return [np.ascontiguousarray(w) for w in wrong]


@pytest.mark.parametrize("case", CASES)
def test_a_part_of_another_shape_is_refused_or_means_the_same(read_all, case):
    """Some tools write scales as [rows], others as [rows, 1].  A matrix that is smaller as a whole
    is what config.json's sizes refuse."""
    tensors, config = load(case)
    values_as_they_are = read_all(tensors, config)
    for name, (dtype, values) in tensors.items():
        for wrong in reshaped(values):
            if wrong.shape == values.shape:
                continue
            try:
                found = read_all(tensors | {name: (dtype, wrong)}, config)
            except EdgeError as error:
                assert "layer." in str(error)
            else:
                smaller = found.shape != values_as_they_are.shape
                assert smaller or np.array_equal(found, values_as_they_are)


@pytest.mark.parametrize("case", CASES)
def test_a_part_of_another_type_is_refused(read_all, case):
    tensors, config = load(case)
    tensors.pop("layer.weight_format", None)
    others = [("F64", np.float64), ("I64", np.int64), ("U8", np.uint8), ("BOOL", np.bool_)]
    for name, (dtype, values) in tensors.items():
        for other, kind in others:
            if other == dtype or {other, dtype} == {"I32", "I64"}:
                continue
            with pytest.raises(EdgeError, match=re.escape("layer.")):
                read_all(tensors | {name: (other, values.astype(kind))}, config)


@pytest.mark.parametrize("case", CASES)
def test_a_truncated_file_is_refused(tmp_path, case):
    data = (GOLDEN / f"{case}.safetensors").read_bytes()
    _, config = load(case)
    document = {"model_type": "llama", "quantization_config": config}
    (tmp_path / "config.json").write_text(json.dumps(document))
    for size in [*range(0, len(data), 251), len(data) - 1]:
        (tmp_path / "model.safetensors").write_bytes(data[:size])
        with pytest.raises(SourceError, match="model.safetensors"):
            HuggingFaceSource(tmp_path)


@pytest.mark.parametrize("value", [-1, 2, 2**31 - 1, -(2**31)])
def test_a_group_that_is_not_there_is_refused(read_all, value):
    tensors, config = load("gptq-act-order")
    order = tensors["layer.g_idx"][1].copy()
    order[5] = value
    with pytest.raises(SourceError, match=r"layer.g_idx': groups .* expected 0 to 1"):
        read_all(tensors | {"layer.g_idx": ("I32", order)}, config)


@pytest.mark.parametrize(
    "case, name", [("gptq-act-order", "g_idx"), ("ct-act-order", "weight_g_idx")]
)
def test_groups_of_unequal_sizes_are_read_and_stay_on_no_grid(read_all, tmp_path, case, name):
    tensors, config = load(case)
    groups = tensors[f"layer.{name}"][1].copy()
    moved = np.flatnonzero(groups == 0)[0]
    groups[moved] = 1
    values, before = read_all(tensors | {f"layer.{name}": ("I32", groups)}, config), None
    assert HuggingFaceSource(tmp_path).kept("layer.weight") is None
    before = read_all(tensors, config)
    assert HuggingFaceSource(tmp_path).kept("layer.weight") is not None
    same = np.arange(64) != moved
    assert np.array_equal(values[:, same], before[:, same])
    assert not np.array_equal(values[:, moved], before[:, moved])


def without(config: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in keys}


@pytest.mark.parametrize(
    "case, change, error",
    [
        ("gptq-4-symmetric", {"checkpoint_format": "marlin"}, "layout 'marlin'"),
        ("gptq-4-symmetric", {"checkpoint_format": "gptq_p"}, "layout 'gptq_p'"),
        ("gptq-4-symmetric", {"pack_dtype": "int16"}, "of 'int16'"),
        ("gptq-4-symmetric", {"is_marlin_format": True}, "layout 'gptq'"),
        ("gptq-4-symmetric", {"bits": 3}, "words a row for 64 columns"),
        ("gptq-4-symmetric", {"bits": "4"}, "words a row for 64 columns"),
        ("awq-gemm", {"version": "gemv_fast"}, "layout 'gemv_fast'"),
        ("awq-gemm", {"bits": 8}, "8 bits"),
        ("awq-gemm", {"backend": "llm-awq"}, "AWQ weights"),
        ("awq-gemv", {"group_size": 0}, "groups of 0"),
        ("awq-gemv", {"group_size": None}, "groups of None"),
        ("awq-gemv", {"group_size": 24}, "groups of 24"),
        ("ct-packed-4", {"format": "nvfp4-pack-quantized"}, "format 'nvfp4-pack-quantized'"),
        ("ct-packed-4", {"sparsity_config": {"format": "sparse-24-bitmask"}}, "sparse-24"),
        ("ct-packed-4", {"transform_config": {"config_groups": {"u": {}}}}, "rotations"),
        ("ct-packed-4", {"config_groups": {"g": {"weights": {}, "format": 7}}}, "format 7"),
    ],
)
def test_an_unknown_layout_is_named(read_all, case, change, error):
    tensors, config = load(case)
    with pytest.raises((UnsupportedModel, SourceError), match=re.escape(error)):
        read_all(tensors, config | change)


@pytest.mark.parametrize("bits", [None, 0, 5, 16, "4", 4.0])
def test_bits_that_nobody_packs_are_refused_where_nothing_else_says_them(read_all, bits):
    tensors, config = load("gptq-4-symmetric")
    del tensors["layer.g_idx"]
    with pytest.raises(SourceError, match="bits; edge reads 2, 3, 4, 8"):
        read_all(tensors, config | {"bits": bits})


def with_state(tensors: Tensors, change: Callable[[dict[str, Any]], Any]) -> Tensors:
    """bitsandbytes' tensors with another JSON document in them."""
    (name,) = [n for n in tensors if "quant_state" in n]
    document = json.loads(tensors[name][1].tobytes())
    text = json.dumps(change(document)).encode()
    return tensors | {name: ("U8", np.frombuffer(text, np.uint8))}


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [32, 63]},
        {"shape": [2**31, 2**31]},
        {"shape": [-32, -64]},
        {"shape": [32.0, 64]},
        {"shape": None},
        {"shape": [2048]},
        {"blocksize": 0},
        {"blocksize": 2**40},
        {"blocksize": -64},
        {"nested_blocksize": 1},
        {"nested_blocksize": None},
        {"nested_offset": "0.1"},
    ],
)
def test_a_state_that_makes_no_sense_is_refused(read_all, change):
    tensors, config = load("bnb-nf4-double")
    with pytest.raises(SourceError, match="layer.weight"):
        read_all(with_state(tensors, lambda document: document | change), config)


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff" * 9, b"[" * 100_000])
def test_a_state_that_is_no_document_is_refused(read_all, text):
    tensors, config = load("bnb-nf4")
    (name,) = [n for n in tensors if "quant_state" in n]
    with pytest.raises(SourceError, match="quant_state"):
        read_all(tensors | {name: ("U8", np.frombuffer(text, np.uint8))}, config)


def test_int8_in_tiles_of_a_gpu_is_refused(read_all):
    tensors, config = load("bnb-int8")
    format_ = ("U8", np.array(2, np.uint8))
    with pytest.raises(UnsupportedModel, match="tiles of a GPU"):
        read_all(tensors | {"layer.weight_format": format_}, config)


@pytest.mark.parametrize("shape", [[32, 63], [31, 64], [2**40, 64], [32, 2**40], [-1, -1], [0, 0]])
def test_a_weight_shape_that_does_not_fit_is_refused(read_all, shape):
    tensors, config = load("ct-packed-4")
    stated = ("I64", np.array(shape, np.int64))
    if shape == [32, 63]:  # as many words, the last of them padded: but two groups of 32
        with pytest.raises(SourceError, match="2 groups for 63 columns"):
            read_all(tensors | {"layer.weight_shape": stated}, config)
        return
    with pytest.raises(SourceError, match=r"layer\.weight_(shape|packed)"):
        read_all(tensors | {"layer.weight_shape": stated}, config)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("case", CASES)
def test_random_bytes_are_numbers_or_refused(read_all, case, seed):
    """Codes may be anything; scales may be NaN, which the export refuses when it looks at them."""
    tensors, config = load(case)
    rng = np.random.default_rng(seed)
    name = sorted(tensors)[seed % len(tensors)]
    dtype, values = tensors[name]
    noise = rng.integers(0, 256, values.nbytes, np.uint8).tobytes()
    broken = np.frombuffer(noise, values.dtype).reshape(values.shape)
    try:
        read_all(tensors | {name: (dtype, broken)}, config)
    except EdgeError as error:
        assert "layer." in str(error)


def test_columns_that_nobody_has_ordered_are_in_order(read_all):
    tensors, config = load("ct-packed-4")
    unordered = {"layer.weight_g_idx": ("I32", np.full(64, -1, np.int32))}
    values = read_all(tensors | unordered, config)
    np.testing.assert_array_equal(values, read_all(tensors, config))


def test_groups_of_compressed_tensors_may_be_scattered(read_all):
    """Two groups of columns that alternate: their scales do, too."""
    tensors, config = load("ct-packed-4")
    order = np.arange(64, dtype=np.int32) % 2
    values = read_all(tensors | {"layer.weight_g_idx": ("I32", order)}, config)
    apart = read_all(tensors, config)
    scales = tensors["layer.weight_scale"][1].astype(np.uint32) << 16
    ratio = scales.view(np.float32)[:, [1]] / scales.view(np.float32)[:, [0]]
    np.testing.assert_array_equal(values[:, 0:32:2], apart[:, 0:32:2])
    np.testing.assert_allclose(values[:, 1:32:2], apart[:, 1:32:2] * ratio, rtol=1e-6)
