"""The ONNX project's own test cases, run against edge.

    python tests/onnx_backend/cases.py

adds to passing.txt what passes and is not on it yet; nothing is ever taken off.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import OptionalProto, SequenceProto, TensorProto, TypeProto, numpy_helper
from onnx.backend.test.case.test_case import TestCase
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner

from edge import onnx_backend
from edge.errors import EdgeError

HERE = Path(__file__).parent
KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")
PASSING, NOT_COMPARED = HERE / "passing.txt", HERE / "not_compared.txt"


@cache
def cases(kind: str) -> dict[str, TestCase]:
    """By name; making the node cases takes seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the NumPy code that computes what is expected
        return {case.name: case for case in load_model_tests(kind=kind)}


def case(name: str) -> TestCase | None:
    """None if the installed onnx has no such case."""
    return next((cases(kind)[name] for kind in KINDS if name in cases(kind)), None)


def listed(path: Path) -> dict[str, str]:
    """What a list says after each name: a reason, or nothing."""
    lines = (line.partition(" ") for line in path.read_text(encoding="utf-8").splitlines())
    return {name: rest.strip() for name, _, rest in lines if name}


def run(case: TestCase) -> None:
    """Raises AssertionError for another result, EdgeError for what edge refuses."""
    with closing(onnx_backend.prepare(model_of(case))) as ready:
        for inputs, expected in data_sets(case):
            compare(expected, ready.run(inputs), case)


def model_of(case: TestCase) -> onnx.ModelProto:
    return case.model or onnx.load(Path(case.model_dir) / "model.onnx")


def data_sets(case: TestCase) -> Iterator[tuple[list[Any], list[Any]]]:
    if case.data_sets is not None:
        yield from case.data_sets
        return
    graph = model_of(case).graph
    for folder in sorted(Path(case.model_dir).glob("test_data_set_*")):
        yield stored_all(folder, "input", graph.input), stored_all(folder, "output", graph.output)


def stored_all(folder: Path, what: str, values: Sequence[onnx.ValueInfoProto]) -> list[Any]:
    """Of inputs that have initializers, there are none."""
    count = len(list(folder.glob(f"{what}_*.pb")))
    return [stored(folder / f"{what}_{i}.pb", v.type) for i, v in enumerate(values[:count])]


def stored(path: Path, kind: TypeProto) -> Any:
    """A value that ONNX keeps in a file."""
    content = path.read_bytes()
    if kind.HasField("sequence_type"):
        return numpy_helper.to_list(SequenceProto.FromString(content))
    if kind.HasField("optional_type"):
        return numpy_helper.to_optional(OptionalProto.FromString(content))
    return numpy_helper.to_array(TensorProto.FromString(content))


def compare(expected: Any, found: Any, case: TestCase) -> None:
    """As ONNX's runner does, which cannot look into a sequence of scalars."""
    assert len(expected) == len(found)
    for e, f in zip(expected, found, strict=True):
        if isinstance(e, list):
            compare(e, f, case)
        elif e is None:
            assert f is None
        else:
            e = numpy_helper.to_array(e) if isinstance(e, TensorProto) else np.asarray(e)
            Runner.assert_similar_outputs([e], [f], case.rtol, case.atol)


def passes(case: TestCase) -> bool:
    try:
        run(case)
    except (AssertionError, EdgeError):
        return False
    return True


def update() -> None:
    names, others = set(listed(PASSING)), listed(NOT_COMPARED)
    for kind in KINDS:
        names |= {n for n, found in cases(kind).items() if n not in others and passes(found)}
    PASSING.write_text("\n".join(sorted(names)) + "\n", encoding="utf-8")
    print(f"{len(names)} names in {PASSING}")


if __name__ == "__main__":
    update()
