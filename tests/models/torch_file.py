"""Tensors of a PyTorch checkpoint of the older, plain form, without PyTorch; runs no code of it."""

import collections
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

TYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class _Tensor(NamedTuple):
    storage: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Unpickler(pickle.Unpickler):
    """Knows tensors and dictionaries, and refuses the rest."""

    def __init__(self, file: Any):
        super().__init__(file)
        self.types: dict[str, np.dtype] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if name == "_rebuild_tensor_v2":
            return lambda storage, offset, shape, strides, *_: _Tensor(
                storage, offset, shape, strides
            )
        if module == "torch" and name in TYPES:
            return name
        raise pickle.UnpicklingError(f"{module}.{name} is no tensor")

    def persistent_load(self, pid: Any) -> str:
        _, kind, key, *_ = pid
        self.types[key] = TYPES[kind]
        return key


def read(path: Path) -> dict[str, np.ndarray]:
    """torch/serialization.py, _legacy_load: magic, protocol, system, tensors, keys, numbers."""
    with path.open("rb") as file:
        for _ in range(3):
            _Unpickler(file).load()
        tensors = (unpickler := _Unpickler(file)).load()
        storages = {}
        for key in _Unpickler(file).load():
            count = int.from_bytes(file.read(8), "little")
            dtype = unpickler.types[key]
            storages[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype)
    return {name: _array(tensor, storages[tensor.storage]) for name, tensor in tensors.items()}


def _array(tensor: _Tensor, storage: np.ndarray) -> np.ndarray:
    steps = [stride * storage.itemsize for stride in tensor.strides]
    view = np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, steps)
    return np.ascontiguousarray(view)
