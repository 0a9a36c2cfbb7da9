"""A file that was written, run beside the float model: how far its outputs and layers are off."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import EdgeError

from .activity import Activity, observe
from .forward import run, run_file
from .layers import CONV, LANES, layers
from .model import GraphModel
from .quantization import Quantized
from .samples import Samples
from .samples.drawn import drawn

VERIFIED = 8  # samples
OPEN_SIZES = (64, 48, 16)  # of the axes of random pictures that a model leaves open
LEAST_COSINE, MOST_ERROR = 0.99, 0.1


@dataclass(frozen=True)
class OutputAgreement:
    """Of one output over all samples.

    cosine          mean of the samples'; 1 where both are 0
    max_error       the largest |y' - y|
    relative_error  ||y' - y|| / ||y||
    top1            share of rows along the last axis whose largest number is at the same place, of
                    outputs that have several
    """

    name: str
    cosine: float
    max_error: float
    relative_error: float
    top1: float | None


@dataclass(frozen=True)
class LayerNoise:
    """decibels  of the layer's output over what quantizing it and its input adds, on float inputs."""

    name: str
    format: str
    decibels: float


@dataclass(frozen=True)
class Agreement:
    """against    what computed the float outputs
    data       what the file ran on, and how many samples of it
    quantized  matrices that are
    layers     those of them that were seen, outside of control flow
    failure    why it could not run
    """

    against: str
    data: str
    samples: int
    random: bool
    quantized: int
    outputs: tuple[OutputAgreement, ...]
    layers: tuple[LayerNoise, ...]
    failure: str = ""

    def to_json(self) -> dict[str, Any]:
        """Numbers that are not finite become null."""
        made: dict[str, Any] = _finite(asdict(self))
        return made

    @property
    def sentence(self) -> str:
        """The worst output, for people."""
        if self.failure:
            return f"nothing: {self.failure}"
        if not self.outputs:
            return f"run on {self.samples} samples; no output has floats to compare"
        worst = min(self.outputs, key=lambda output: output.cosine)
        return (
            f"beside {self.against} on {self.samples} samples of {self.data}: {worst.name} has a "
            f"cosine of {worst.cosine:.5f}, a relative error of {worst.relative_error:.2%}"
        )

    def cautions(self) -> Iterator[str]:
        if self.failure:
            yield f"not verified: it does not run on {self.data} ({self.failure}); give --calib FOLDER"
        advice = "nothing is quantized here: please report it"
        if self.random:
            advice = "random numbers may be why: give real inputs (--calib FOLDER)"
        elif self.quantized:
            advice = "try --max-drop 0.05, int8-calibrated or float16"
        for output in self.outputs:
            if not np.isfinite(output.relative_error):
                yield f"output {output.name!r} has NaN, infinite numbers or another shape than the source's"
            elif output.cosine < LEAST_COSINE or output.relative_error > MOST_ERROR:
                yield (
                    f"output {output.name!r} is far from the float model: cosine {output.cosine:.4f}, "
                    f"relative error {output.relative_error:.1%}; {advice}"
                )
        if self.random and self.quantized:
            yield (
                "no data was given: outputs were compared on random numbers, which says little of "
                "real ones; give some (--calib FOLDER)"
            )


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def agreement(
    output: Path,
    source: Path | None,
    model: GraphModel,
    quantized: Quantized,
    samples: Samples | None,
    activity: Activity,
) -> Agreement | None:
    """Of the file at `output`, on some samples; without any on random inputs, of the first of some
    sizes that the model runs with.

    None for a model with inputs that nobody can draw.
    """
    found = None
    for some in _tried(model, samples):
        found = _compared(output, source, model, quantized, some, activity)
        if not found.failure:
            break
    return found


def _tried(model: GraphModel, samples: Samples | None) -> Iterator[Samples]:
    if samples is not None:
        yield samples.some(VERIFIED)
        return
    for sizes in OPEN_SIZES:
        some = drawn(model.graph.inputs, VERIFIED // 2, sizes)
        if some is not None:
            yield some


def _compared(
    output: Path,
    source: Path | None,
    model: GraphModel,
    quantized: Quantized,
    some: Samples,
    activity: Activity,
) -> Agreement:
    count = sum(stored.tensor is not None for stored in quantized.stored.values())
    about = partial(
        Agreement, data=some.name, samples=len(some), random=some.random, quantized=count
    )
    try:
        against, expected = _expected(None if model.grids else source, model, some)
        found = list(run_file(output, some))
        seen = activity or (observe(model, some) if count else {})
    except EdgeError as error:
        return about("", outputs=(), layers=(), failure=str(error))
    compared, noisy = outputs(expected, found), noise(model, quantized, seen)
    return about(against, outputs=tuple(compared), layers=tuple(noisy))


def _expected(
    source: Path | None, model: GraphModel, samples: Samples
) -> tuple[str, list[dict[str, Any]]]:
    """By ONNX Runtime if it is there and can; by edge's own definitions if not.

    A model that another tool has quantized computes with rounded activations in ONNX Runtime: there
    the float operators on its weights are what to compare with.
    """
    try:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as states
    except ImportError:
        onnxruntime = None
    if onnxruntime is not None and source is not None:
        refused = (states.Fail, states.InvalidGraph, states.NotImplemented, states.InvalidArgument, states.InvalidProtobuf, states.RuntimeException)  # fmt: skip
        try:
            return f"ONNX Runtime {onnxruntime.__version__}", _by_onnx_runtime(
                onnxruntime, source, samples
            )
        except refused:
            pass
    found = [run(model.graph, model, sample) for sample in samples]
    return "edge's float interpreter", found


def _by_onnx_runtime(onnxruntime: Any, source: Path, samples: Samples) -> list[dict[str, Any]]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it has to say of the model is not ours
    session = onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return [dict(zip(names, session.run(None, dict(s)), strict=True)) for s in samples]


def outputs(
    expected: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]
) -> Iterator[OutputAgreement]:
    """Of outputs that are arrays of numbers."""
    for name, first in expected[0].items():
        if not isinstance(first, np.ndarray) or first.dtype.kind not in "fiub":
            continue
        pairs = [
            (np.asarray(e[name]), np.asarray(f[name])) for e, f in zip(expected, found, strict=True)
        ]
        if any(y.shape != z.shape for y, z in pairs):
            yield OutputAgreement(name, 0.0, np.inf, np.inf, None)
            continue
        yield _of_output(name, pairs)


def _of_output(name: str, pairs: list[tuple[np.ndarray, np.ndarray]]) -> OutputAgreement:
    cosines, moved, total, most, same = [], 0.0, 0.0, 0.0, []
    for y, z in pairs:
        a, b = y.astype(np.float64).ravel(), z.astype(np.float64).ravel()
        size = float(np.linalg.norm(a) * np.linalg.norm(b))
        cosines.append(float(a @ b) / size if size else float(not np.any(a != b)))
        moved, total = moved + float(np.square(a - b).sum()), total + float(np.square(a).sum())
        most = max(most, float(np.abs(a - b).max(initial=0)))
        if y.ndim and y.shape[-1] > 1 and y.size:
            same.append(float(np.mean(y.argmax(axis=-1) == z.argmax(axis=-1))))
    error = float(np.sqrt(moved / total)) if total else (np.inf if moved else 0.0)
    top1 = float(np.mean(same)) if same else None
    return OutputAgreement(name, float(np.mean(cosines)), most, error, top1)


def noise(model: GraphModel, quantized: Quantized, activity: Activity) -> Iterator[LayerNoise]:
    """Of each quantized matrix that was seen, in the order of the graph."""
    windows = {layer.name: layer for layer in layers(model.graph) if layer.op == CONV}
    for name, stored in quantized.stored.items():
        if stored.tensor is None or name not in activity:
            continue
        rows = activity[name].held_out
        weight, bias = model.dense(name)
        y, z = rows @ weight.T, _read_rows(rows, stored, name in windows and _width(windows[name]))
        z = z @ stored.weight.T
        y = y if bias is None else y + bias
        z = z if stored.bias is None else z + stored.bias
        signal, moved = float(np.square(y).sum()), float(np.square(z - y).sum())
        ratio = 10 * np.log10(signal / moved) if signal and moved else (200.0 if signal else 0.0)
        yield LayerNoise(name, str(stored.format), float(ratio))


def _width(layer: Any) -> int:
    return -(-int(layer.node.attributes["channels"]) // LANES) * LANES


def _read_rows(rows: np.ndarray, stored: Any, width: int) -> np.ndarray:
    """What the product sees of rows; a window's taps have scales of their own."""
    shifted = rows - np.float32(stored.shift)
    if not width:
        return np.asarray(stored.read(shifted))
    return np.asarray(stored.read(shifted.reshape(len(rows), -1, width))).reshape(rows.shape)
