"""What lowers each operator that has a kernel; importing it registers all."""

from . import elementwise, layers, mixing, moving, padding, recurrent, resizing, windows

__all__ = [
    "elementwise",
    "layers",
    "mixing",
    "moving",
    "padding",
    "recurrent",
    "resizing",
    "windows",
]
