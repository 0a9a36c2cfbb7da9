"""What a model would be in a recipe on a machine: bytes, memory, speed; nothing is read but headers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from edge.format import spec
from edge.format.spec import TensorInfo

from .machine import Machine
from .quality import Quality, expected
from .subject import Subject

if TYPE_CHECKING:
    from edge.exporter.architectures.placement import Placement
    from edge.exporter.recipe import Recipe
    from edge.format.config import DecoderConfig
    from edge.format.reader import EdgeFile

# Bytes of a process beside the model, measured on x86-64 (Python 3.11, NumPy 2), kernels in a library
# as in a wheel; where Numba compiles them, it takes 50 MB more:
PROCESS = 42_000_000  # interpreter, NumPy, edge and its kernels
TOKENIZER_ENTRY = 330  # a token of the vocabulary (49 k to 256 k of them), once it is read
SHORTEST = 512  # tokens of context, below which a model is of little use


@dataclass(frozen=True)
class Candidate:
    """bytes   of the tensors in the file
    memory  resident bytes with a full context of `context` tokens
    tok_s   when answering, about: the bytes of a token at the machine's read bandwidth; or None
    """

    recipe: str
    bytes: int
    memory: int
    context: int
    kv: str
    tok_s: float | None
    quality: Quality
    needs_data: bool
    fits: bool


class _Planned:
    """Stands in for a file that is not there yet, while its footprint is computed."""

    def __init__(self, config: DecoderConfig, tensors: list[TensorInfo]):
        self.path, self.config = "planned", config
        self.tensors = {info.name: info for info in tensors}

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def info(self, name: str) -> TensorInfo:
        return self.tensors[name]

    def address(self, name: str) -> int:
        return 0


def of_recipe(subject: Subject, recipe: str, machine: Machine, context: int) -> Candidate:
    from edge.exporter.language import parse

    assert subject.model is not None
    parsed = parse(recipe)
    kinds = _kept_formats(subject) if parsed.keeps else {}
    tensors = [_planned(subject, parsed, t, kinds) for t in subject.model.tensors]
    return _candidate(
        recipe,
        cast("EdgeFile", _Planned(subject.config, tensors)),
        subject,
        machine,
        context,
        parsed.needs_data,
    )


def of_file(subject: Subject, machine: Machine, context: int) -> Candidate:
    """An .edge file as it is."""
    assert subject.file is not None
    recipe = subject.file.document["recipe"]
    return _candidate(recipe, subject.file, subject, machine, context, needs_data=False)


def _planned(
    subject: Subject, recipe: Recipe, tensor: Placement, kinds: dict[str, str]
) -> TensorInfo:
    form = "vector"
    if len(tensor.shape) == 2:
        assert subject.source is not None
        stored = subject.source.stored_type(tensor.source)
        form = kinds.get(stored, str(recipe.method(tensor.name).format))
    shape = tensor.stored_shape
    return TensorInfo(tensor.name, form, shape, 0, spec.nbytes(form, shape), "")


def _kept_formats(subject: Subject) -> dict[str, str]:
    """The format that each of the source's types stays on: the smallest matrix of each is read."""
    assert subject.source is not None and subject.model is not None
    smallest: dict[str, Placement] = {}
    for tensor in subject.model.tensors:
        if len(tensor.shape) == 2:
            kind = subject.source.stored_type(tensor.source)
            other = smallest.setdefault(kind, tensor)
            if tensor.shape[0] * tensor.shape[1] < other.shape[0] * other.shape[1]:
                smallest[kind] = tensor
    kept = {kind: tensor.kept(subject.source) for kind, tensor in smallest.items()}
    return {kind: str(tensor.format) for kind, tensor in kept.items() if tensor is not None}


def _candidate(
    recipe: str, file: EdgeFile, subject: Subject, machine: Machine, context: int, needs_data: bool
) -> Candidate:
    """With a float16 cache if that fits, else an int8 one, else the part of the context that fits."""
    from edge.runtime.footprint import bytes_per_token, footprint

    parts = footprint(file)
    size = sum(i.nbytes for i in file.tensors.values() if i.format != "bytes")
    fixed = PROCESS + TOKENIZER_ENTRY * subject.config.vocabulary + parts.arena
    fixed += size - _unread(file)
    kinds = [(kv, footprint(file, kv).kv_per_token) for kv in ("float16", "int8")]
    kv, per_token = next(
        ((kv, n) for kv, n in kinds if fixed + n * context <= machine.memory), kinds[-1]
    )
    room = max(0, machine.memory - fixed) // per_token
    usable = min(context, room)
    fits = usable >= min(context, SHORTEST)
    read = bytes_per_token(file)
    tok_s = None if machine.read_gb_s is None else machine.read_gb_s * 1e9 / read
    shown = usable if fits else min(context, SHORTEST)
    return Candidate(
        recipe=recipe,
        bytes=size,
        memory=fixed + per_token * shown,
        context=shown,
        kv=kv,
        tok_s=tok_s,
        quality=expected(recipe, subject.parameters),
        needs_data=needs_data,
        fits=fits,
    )


def _unread(file: EdgeFile) -> int:
    """An embedding that is not the output too: its rows are read one at a time."""
    if file.config.tied_embedding:
        return 0
    return int(file.info("embedding.weight").nbytes)
