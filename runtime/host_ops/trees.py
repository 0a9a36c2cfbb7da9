"""Operators of classical machine learning (ai.onnx.ml) that classifiers of text and tables use."""

from collections.abc import Callable, Sequence
from math import isnan
from typing import Any

import numpy as np

from edge.errors import UnsupportedModel

from .activations import sigmoid, softmax
from .registry import op

COMPARE: tuple[Callable[[Any, Any], Any], ...] = (
    *(np.less_equal, np.less, np.greater_equal, np.greater, np.equal, np.not_equal),
)  # by the number of a node's mode; 6 is membership in a set
MEMBER = 6
TRANSFORMS: tuple[Callable[[np.ndarray], np.ndarray], ...] = (np.asarray, softmax, sigmoid)
AGGREGATE = (np.mean, np.sum, np.min, np.max)


@op("ai.onnx.ml.ArrayFeatureExtractor")
def array_feature_extractor(x: np.ndarray, columns: np.ndarray) -> np.ndarray:
    picked = np.take(x, columns.ravel(), -1)
    return picked.reshape(1, -1) if x.ndim == 1 else picked


@op("ai.onnx.ml.Binarizer")
def binarizer(x: np.ndarray, *, threshold: float = 0.0) -> np.ndarray:
    return (x > threshold).astype(x.dtype)


def _listed(attributes: dict[str, Any], part: str) -> tuple[Sequence[Any], np.dtype]:
    """Keys or values of a LabelEncoder, whatever the type that they are given in."""
    kinds = {"strings": object, "int64s": np.int64, "floats": np.float32}
    for kind, dtype in kinds.items():
        if attributes.get(f"{part}_{kind}"):
            return attributes[f"{part}_{kind}"], np.dtype(dtype)
    tensor: np.ndarray = attributes[f"{part}_tensor"]
    return tensor.tolist(), tensor.dtype


@op("ai.onnx.ml.LabelEncoder", shaped_by=None)
def label_encoder(
    x: np.ndarray,
    *,
    default_float: float = -0.0,
    default_int64: int = -1,
    default_string: str = "_Unused",
    default_tensor: np.ndarray | None = None,
    **listed: Any,
) -> np.ndarray:
    """Each element looked up among the keys; NaN is a key like others."""
    keys, _ = _listed(listed, "keys")
    values, dtype = _listed(listed, "values")
    default: Any = {"O": default_string, "i": default_int64, "f": default_float}[dtype.kind]
    default = default if default_tensor is None else default_tensor.ravel()[0]
    table = dict(zip(map(_key, keys), values, strict=True))
    found = np.empty(x.size, dtype)
    found[:] = [table.get(_key(element), default) for element in x.ravel().tolist()]
    return found.reshape(x.shape)


def _key(element: Any) -> Any:
    return "NaN" if isinstance(element, float) and isnan(element) else element


@op("ai.onnx.ml.TreeEnsemble")
def tree_ensemble(
    x: np.ndarray,
    *,
    nodes_modes: np.ndarray,
    nodes_splits: np.ndarray,
    nodes_featureids: Sequence[int],
    nodes_truenodeids: Sequence[int],
    nodes_trueleafs: Sequence[int],
    nodes_falsenodeids: Sequence[int],
    nodes_falseleafs: Sequence[int],
    leaf_targetids: Sequence[int],
    leaf_weights: np.ndarray,
    tree_roots: Sequence[int],
    n_targets: int = 1,
    aggregate_function: int = 1,
    post_transform: int = 0,
    membership_values: np.ndarray | None = None,
    nodes_missing_value_tracks_true: Sequence[int] = (),
    nodes_hitrates: np.ndarray | None = None,
) -> np.ndarray:
    """[N, targets]: what the leaves that a row [features] arrives at say of each target."""
    if post_transform >= len(TRANSFORMS):
        raise UnsupportedModel(
            f"TreeEnsemble with post_transform {post_transform}: 0 to 2 are there"
        )
    members = _members(nodes_modes, membership_values)

    def holds(node: int, value: Any) -> bool:
        if nodes_missing_value_tracks_true and np.isnan(value):
            return bool(nodes_missing_value_tracks_true[node])
        if nodes_modes[node] == MEMBER:
            return value in members[node]
        return bool(COMPARE[int(nodes_modes[node])](value, nodes_splits[node]))

    def leaf(root: int, row: np.ndarray) -> int:
        node = root
        for _ in nodes_splits:  # no path is longer
            truth = holds(node, row[nodes_featureids[node]])
            is_leaf = (nodes_trueleafs if truth else nodes_falseleafs)[node]
            node = (nodes_truenodeids if truth else nodes_falsenodeids)[node]
            if is_leaf:
                return node
        raise ValueError(f"from node {root} on, the tree turns in a circle")

    y = np.zeros((len(x), n_targets), x.dtype)
    for i, row in enumerate(x):
        votes: list[list[Any]] = [[] for _ in range(n_targets)]
        for root in tree_roots:
            found = leaf(root, row)
            votes[leaf_targetids[found]].append(leaf_weights[found])
        y[i] = [AGGREGATE[aggregate_function](vote) if vote else 0 for vote in votes]
    return TRANSFORMS[post_transform](y)


def _members(modes: np.ndarray, values: np.ndarray | None) -> dict[int, set[float]]:
    """By node, its set: in `values` they stand one after the other, NaN between them."""
    nodes = [int(node) for node in np.flatnonzero(modes == MEMBER)]
    sets: list[set[float]] = [set()]
    for value in [] if values is None else values.tolist():
        if isnan(value):
            sets.append(set())
        else:
            sets[-1].add(value)
    return dict(zip(nodes, sets, strict=False))
