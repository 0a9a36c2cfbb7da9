"""What rounding a matrix costs: a share of energy, and what a share is worth in divergence."""

from collections.abc import Callable, Iterable

import numpy as np

from edge.format.config import DecoderConfig

from ..architectures import Lowered
from ..architectures.placement import Placement
from ..calibration.statistics import Statistics, split
from ..layer_error import output_error
from ..weights import Weights

RESIDUAL = ("attention.output", "feed_forward.down")  # their products are added to it
ROWS = 128  # of a matrix stand for all
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
    names: list[str],
    probed: np.ndarray,
    progress: Progress = lambda done, total: None,
) -> np.ndarray:
    """float64 [matrices, 1]: nats a token for a share of energy, by a matrix's kind.

    `probed` float64 [matrices] is the share that each loses by `calibration.probe`, with which the
    divergence of all layers' matrices of a kind is measured.
    """
    from ..calibration.divergence import divergences  # the runtime: only if needed

    kinds: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        kinds.setdefault(split(name)[1], []).append(i)
    groups = [[names[i] for i in of_kind] for of_kind in kinds.values()]
    found = np.empty((len(names), 1))
    measured = divergences(weights, statistics.tokens(), groups, progress)
    for of_kind, nats in zip(kinds.values(), measured, strict=True):
        found[of_kind] = nats / max(probed[of_kind].sum(), TINY)
    return found
