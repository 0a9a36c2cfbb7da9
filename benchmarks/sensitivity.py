"""How well mixed allocation knows what a matrix's precision is worth.

    python benchmarks/sensitivity.py MODEL.gguf FOLDER [--calibration WINDOWS]

Each matrix of the layers alone is rounded to 4 bits, and the divergence of predictions measured; beside it
what `mixed:` predicts from a measurement a kind of matrix and band of layers, and what output errors alone say.
Prints Spearman's rank correlations (HAWQ-V2's question, Dong et al. 2019, arXiv:1911.03852).  FOLDER
is that of quality.py.
"""

import argparse
from pathlib import Path

import numpy as np
import quality
from scipy.stats import spearmanr

from edge.exporter.allocation.sensitivity import shares, worth
from edge.exporter.architectures import lower
from edge.exporter.calibration.divergence import divergences
from edge.exporter.calibration.probe import rounded
from edge.exporter.language import parse
from edge.exporter.layer_error import output_error
from edge.exporter.weights import Weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--calibration", type=int, default=64, metavar="WINDOWS")
    args = parser.parse_args()
    bench = quality.Bench(args.model, args.folder, Path(), 0, args.calibration)
    weights, statistics = Weights(bench.source, lower(bench.source)), bench.statistics()
    matrices = [t for t in weights.model.tensors if t.name.startswith("layers.")]
    matrices = [t for t in matrices if len(t.shape) == 2]
    names = [t.name for t in matrices]
    lost = np.array([shares(weights, t, statistics, [rounded])[0] for t in matrices])
    predicted = lost * worth(weights, statistics, parse("mixed:5"), names, lost)[:, 0]
    outputs = [_share_of_output(weights, statistics, name) for name in names]
    groups = [[name] for name in names]
    measured = list(divergences(weights, statistics.tokens(), groups, lambda done, total: None))
    print(f"{len(names)} matrices, rank correlation with what each costs alone")
    print(f"predicted       {spearmanr(predicted, measured).statistic:.3f}")
    print(f"output errors   {spearmanr(outputs, measured).statistic:.3f}")
    print(f"sum of all: predicted {predicted.sum():.4f}, measured {sum(measured):.4f} nats")


def _share_of_output(weights: Weights, statistics, name: str) -> float:
    matrix, h = weights.read(name), statistics.fit(name).plain
    return output_error(rounded(matrix) - matrix, h) / output_error(matrix, h)


if __name__ == "__main__":
    main()
