"""Run small quantized models on small machines."""

from importlib import import_module
from pathlib import Path as _Path
from typing import TYPE_CHECKING

_here = _Path(__file__).parent
if not (_here / "runtime").is_dir():  # a checkout: exporter/, runtime/, devices/ lie beside edge/
    __path__.append(str(_here.parent))

__version__ = "0.1.0"
__all__ = [
    "DeviceError",
    "DoesNotFit",
    "EdgeError",
    "FormatError",
    "InputError",
    "KernelMismatch",
    "Monitor",
    "RecipeError",
    "SourceError",
    "UnsupportedModel",
    "__version__",
    "export",
    "load",
]

if TYPE_CHECKING:
    from edge.devices.monitor import Monitor
    from edge.errors import (
        DeviceError,
        DoesNotFit,
        EdgeError,
        FormatError,
        InputError,
        KernelMismatch,
        RecipeError,
        SourceError,
        UnsupportedModel,
    )
    from edge.exporter import export
    from edge.opening import load
else:
    _HOME = {
        "Monitor": "edge.devices.monitor",
        "export": "edge.exporter",
        "load": "edge.opening",
    }

    def __getattr__(name):  # on first use: `edge --help` must not wait for Numba or NumPy
        if name not in __all__:
            raise AttributeError(f"module 'edge' has no attribute {name!r}")
        return getattr(import_module(_HOME.get(name, "edge.errors")), name)
