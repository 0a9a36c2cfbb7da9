"""Calibration data of graphs: folders, files, Python; and one clear error for each bad one."""

import numpy as np
import pytest
from PIL import Image

from edge.errors import RecipeError
from edge.exporter.graph.samples import MOST, read_samples
from edge.exporter.graph.samples.drawn import drawn
from edge.exporter.graph.samples.files import Images
from edge.format.graph import Value

VECTOR = (Value("x", "float32", ("N", 4)),)
TWO = (Value("ids", "int64", ("N", "T")), Value("mask", "int64", ("N", "T")))
PICTURE = (Value("image", "float32", ("N", 3, 8, 8)),)


def test_a_folder_of_arrays_is_read_in_the_order_of_names(tmp_path):
    for i in (2, 0, 1):
        np.save(tmp_path / f"{i}.npy", np.full((1, 4), i, np.float32))
    (tmp_path / "notes.txt").write_text("not one of them")
    found = read_samples(tmp_path, VECTOR)
    assert [sample["x"][0, 0] for sample in found] == [0, 1, 2]


def test_npz_files_carry_inputs_by_name(tmp_path):
    np.savez(tmp_path / "a.npz", ids=np.arange(6).reshape(2, 3), mask=np.ones((2, 3), np.int32))
    (sample,) = read_samples(tmp_path / "a.npz", TWO)
    assert sample["mask"].dtype == np.int64
    np.testing.assert_array_equal(sample["ids"], [[0, 1, 2], [3, 4, 5]])


def test_arrays_dicts_iterables_and_functions_are_samples():
    rows = np.arange(8, dtype=np.float32).reshape(2, 4)
    for calib in (rows, [{"x": rows}], iter([rows]), lambda: (row for row in [rows])):
        (sample,) = read_samples(calib, VECTOR)
        np.testing.assert_array_equal(sample["x"], rows)


def test_a_missing_batch_axis_is_added():
    (sample,) = read_samples([np.ones(4, np.float32)], VECTOR)
    assert sample["x"].shape == (1, 4)


def test_a_model_of_one_item_takes_a_longer_batch_one_by_one():
    single = (Value("x", "float32", (1, 4)),)
    found = read_samples(np.arange(12, dtype=np.float32).reshape(3, 4), single)
    assert [sample["x"].shape for sample in found] == [(1, 4)] * 3


def test_no_more_than_a_bounded_number_is_read():
    endless = ({"x": np.zeros((1, 4), np.float32)} for _ in iter(int, 1))
    assert len(read_samples(endless, VECTOR)) == MOST


def picture(path, size=(20, 10)):
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[..., 0] = 200
    Image.fromarray(pixels).save(path)


def test_images_are_cut_scaled_and_laid_out_as_the_input_is(tmp_path):
    picture(tmp_path / "a.png")
    calib = Images(tmp_path, mean=(100, 0, 0), std=(50, 1, 1))
    (first,) = read_samples(calib, PICTURE)
    assert first["image"].shape == (1, 3, 8, 8)
    np.testing.assert_allclose(first["image"][0, 0], 2)
    (last,) = read_samples(calib, (Value("image", "float32", (1, 8, 8, 3)),))
    np.testing.assert_array_equal(last["image"], first["image"].transpose(0, 2, 3, 1))


def test_a_model_of_bytes_takes_pixels_as_they_are(tmp_path):
    picture(tmp_path / "a.png")
    (sample,) = read_samples(tmp_path, (Value("image", "uint8", (1, 8, 8, 3)),))
    assert sample["image"].max() == 200


@pytest.mark.parametrize(
    "calib, inputs, message",
    [
        ([{"y": np.zeros((1, 4))}], VECTOR, "no input 'y'"),
        ([{"ids": np.zeros((1, 4), np.int64)}], TWO, "input 'mask' is missing"),
        ([np.zeros((1, 4))], TWO, "one array"),
        ([np.zeros((1, 5), np.float32)], VECTOR, r"shape \[1, 5\], expected \['N', 4\]"),
        ([np.zeros((1, 2, 4), np.float32)], VECTOR, "expected"),
        ([np.full((1, 4), np.nan, np.float32)], VECTOR, "sample 0: input 'x' has NaN"),
        ([np.zeros((1, 4), np.int64)], VECTOR, "int64, expected float32"),
        ([{"ids": np.full((1, 1), 0.5), "mask": np.ones((1, 1))}], TWO, "expected int64"),
        ([np.array(["a", "b", "c", "d"])], VECTOR, "expected float32"),
        ([], VECTOR, "nothing to calibrate with"),
        ("/nowhere/at/all", VECTOR, "no such file"),
        ([np.zeros(3)], (Value("s", "string", (3,)),), "cannot be calibrated"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(calib, inputs, message):
    with pytest.raises(RecipeError, match=message):
        read_samples(calib, inputs)


def test_images_whose_normalization_nobody_said_are_refused(tmp_path):
    picture(tmp_path / "a.png")
    with pytest.raises(RecipeError, match="--image-mean"):
        read_samples(tmp_path, PICTURE)
    with pytest.raises(RecipeError, match="must not be 0"):
        read_samples(Images(tmp_path, 0, 0), PICTURE)
    with pytest.raises(RecipeError, match="a number, or three"):
        read_samples(Images(tmp_path, (1, 2), 1), PICTURE)
    with pytest.raises(RecipeError, match="known size"):
        read_samples(Images(tmp_path, 0, 255), VECTOR)


@pytest.mark.parametrize("name", ["a.png", "a.npy", "a.npz"])
def test_broken_files_are_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x93NUMPY nothing")
    with pytest.raises(RecipeError, match=name):
        read_samples(Images(tmp_path, 0, 255), PICTURE)


def test_an_array_of_python_objects_is_never_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"x": 1}], object), allow_pickle=True)
    with pytest.raises(RecipeError, match="no array"):
        read_samples(tmp_path, VECTOR)


def test_random_inputs_have_the_types_and_sizes_that_the_model_declares():
    inputs = (*TWO, Value("f", "float16", (1, 3)), Value("b", "bool", ("N",)))
    found = drawn(inputs, 2)
    assert found is not None and found.random
    first, second = found
    assert {name: a.dtype.name for name, a in first.items()} == {
        "ids": "int64", "mask": "int64", "f": "float16", "b": "bool"
    }  # fmt: skip
    assert first["ids"].shape == first["mask"].shape
    assert (first["f"] != second["f"]).any()
    assert drawn((Value("s", "string", (1,)),), 1) is None
    assert drawn((Value("x", "float32", (1, 2**40)),), 1) is None
