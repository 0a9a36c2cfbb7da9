"""What rounding a matrix costs: a share of energy, and what a share is worth in divergence."""

from collections.abc import Callable, Iterable

import numpy as np

from edge.format.config import DecoderConfig

from ..architectures import Lowered
from ..architectures.placement import Placement
from ..calibration.statistics import Statistics, split
from ..layer_error import output_error
from ..recipe import Recipe
from ..weights import Weights

RESIDUAL = ("attention.output", "feed_forward.down")  # their products are added to it
ROWS = 128  # of a matrix stand for all
BANDS = 10  # of layers: measuring takes as long for a deep model as for a shallow one
TINY = 1e-12  # of the energy: what matrices lose that are on the probe's grid
Rounding = Callable[[np.ndarray], np.ndarray]
Progress = Callable[[int, int], None]


def shares(
    weights: Weights, tensor: Placement, statistics: Statistics | None, ways: Iterable[Rounding]
) -> list[float]:
    """The share of energy that each way to round a matrix loses.

    Errors are tr(D H D^T), of the output if there are statistics.  What is added to the residual
    stream is compared with its energy, what others read with that of the output itself.
    """
    matrix = weights.read(tensor.name)
    matrix = matrix[:: max(1, len(matrix) // ROWS)]
    h = np.eye(matrix.shape[1])
    if statistics is not None:
        h = weights.second_moments(tensor.name, statistics.fit(tensor.name).plain)
    energy = output_error(matrix, h)
    if statistics is not None and _is_added(tensor, weights.model):
        layer, _ = split(tensor.name)
        energy = statistics.energy(layer) * len(matrix) / tensor.shape[0]
    return [output_error(rounded(matrix) - matrix, h) / (energy or 1.0) for rounded in ways]


def _is_added(tensor: Placement, model: Lowered) -> bool:
    """Whether a matrix's product goes into the residual stream as it is."""
    is_plain = isinstance(model.config, DecoderConfig) and not model.config.post_norms
    return is_plain and split(tensor.name)[1] in RESIDUAL


def worth(
    weights: Weights,
    statistics: Statistics,
    recipe: Recipe,
    names: list[str],
    probed: np.ndarray,
    progress: Progress = lambda done, total: None,
) -> np.ndarray:
    """float64 [matrices, 1]: nats a token for a share of energy, by a matrix's kind and depth.

    `probed` float64 [matrices] is the share that each loses by `calibration.probe`, with which the
    divergence of a band of layers' matrices of a kind is measured.  What was measured before a kill
    is not measured again.
    """
    from ..calibration.divergence import divergences  # the runtime: only if needed

    groups = _groups(names, weights.model.config.layers)
    known = statistics.divergences(str(recipe))
    missing = [[names[i] for i in group] for group in groups if names[group[0]] not in known]
    measured = divergences(weights, statistics.tokens(), missing, progress)
    for group, nats in zip(missing, measured, strict=True):
        known[group[0]] = nats
        statistics.keep_divergences(str(recipe), known)
    found = np.empty((len(names), 1))
    for at in groups:
        found[at] = known[names[at[0]]] / max(probed[at].sum(), TINY)
    return found


def _groups(names: list[str], layers: int) -> list[list[int]]:
    """Indices of matrices of a kind in a band of layers."""
    groups: dict[tuple[str, int], list[int]] = {}
    for i, name in enumerate(names):
        layer, kind = split(name)
        groups.setdefault((kind, layer * BANDS // layers), []).append(i)
    return list(groups.values())
