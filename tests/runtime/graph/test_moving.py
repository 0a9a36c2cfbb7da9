"""What only moves elements or renames memory, of values that were fed and of values in an arena."""

from contextlib import closing

import numpy as np
import pytest
from graph_files import Building, in_numpy, kernels_of

from edge.runtime.graph_model import GraphModel


def operators_in_numpy(tmp_path, b, y, *shape):
    """After a run that gives just what the operators are defined to give."""
    file = b.write(tmp_path / "m.edge", {"x": "float32"}, [y, b("Neg", y)])
    feeds = {"x": np.random.default_rng(1).standard_normal(shape).astype(np.float32)}
    with closing(GraphModel(file)) as model:
        for _ in range(2):
            for found, wanted in zip(model.run(feeds), in_numpy(file, feeds), strict=True):
                assert np.array_equal(found, wanted)
        return kernels_of(model)[1]


@pytest.mark.parametrize(
    "shape, target, is_moved",
    [
        ((3, 40), (3, 5, 8), True),  # rows cut
        ((3, 5, 8), (3, 40), False),  # joined, and nobody writes the padding
        ((3, 4, 8), (3, 32), True),
        ((2, 37, 1), (2, 37), True),  # rows of one element
        ((2, 37), (2, 37, 1), True),
        ((2, 3, 32), (6, 32), True),
        ((6, 4), (4, 6), False),
        ((1, 24), (24,), True),
        ((5, 3, 3), (-1,), False),
    ],
)
@pytest.mark.parametrize("is_fed", [False, True])
def test_views(tmp_path, shape, target, is_moved, is_fed):
    b = Building()
    x = "x" if is_fed else b("Relu", "x")
    y = b("Reshape", x, b.constant(np.array(target)))
    assert operators_in_numpy(tmp_path, b, y, *shape) == ([] if is_moved else ["Reshape"])


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("at", [0, 2, -1])
def test_one_place_of_an_axis(tmp_path, axis, at):
    b = Building()
    y = b("Gather", "x", b.constant(np.int64(at)), axis=axis)
    assert operators_in_numpy(tmp_path, b, y, 4, 3, 21) == []


def test_several_places_of_an_axis_are_taken_in_numpy(tmp_path):
    b = Building()
    y = b("Gather", "x", b.constant(np.array([2, 0])), axis=1)
    assert operators_in_numpy(tmp_path, b, y, 4, 3, 21) == ["Gather"]


@pytest.mark.parametrize("mode", ["reflect", "edge"])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("before, after", [(0, 3), (2, 0), (3, 1)])
def test_pads_along_an_axis(tmp_path, mode, axis, before, after):
    b, pads = Building(), np.zeros((2, 3), np.int64)
    pads[:, axis] = before, after
    y = b("Pad", "x", b.constant(pads.ravel()), mode=mode)
    assert operators_in_numpy(tmp_path, b, y, 4, 5, 21) == []


@pytest.mark.parametrize("widths", [(0, 0, 5, 0), (0, 0, -1, 2), (1, 1, 0, 0)])
def test_other_pads_are_made_in_numpy(tmp_path, widths):
    """Reflections of reflections, cuts, two axes."""
    b = Building()
    y = b("Pad", "x", b.constant(np.array(widths)), mode="reflect")
    assert operators_in_numpy(tmp_path, b, y, 4, 5) == ["Pad"]


def test_a_mean_over_axes_of_one_element_is_a_view(tmp_path):
    b = Building()
    y = b("ReduceMean", "x", b.constant(np.array([1])), keepdims=0)
    assert operators_in_numpy(tmp_path, b, y, 4, 1, 21) == []
