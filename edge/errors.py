"""Every error that edge raises on purpose.

EdgeError
  FormatError        a broken .edge file
  SourceError        a broken or unreadable source model
  RecipeError        a quantization recipe that cannot be read or applied
  UnsupportedModel   an architecture or operator that edge does not have
  DoesNotFit         more memory, context or disk than there is
  KernelMismatch     a kernel failed its self-test
  LibraryError       a prebuilt kernel library that cannot be used on this device
  InputError         an input of the wrong name, type or shape for a graph
  DeviceError        a device or its sensors cannot be used as asked
"""


class EdgeError(Exception):
    """Root of all errors raised on purpose; the message is one line a user can act on."""


class FormatError(EdgeError, ValueError):
    """The file is not a well-formed .edge file."""


class SourceError(EdgeError, ValueError):
    """The source model is broken, incomplete or not of the kind its name says."""


class RecipeError(EdgeError, ValueError):
    """The quantization recipe is unknown or cannot be applied to this model."""


class UnsupportedModel(EdgeError, ValueError):
    """An architecture, tensor type or operator that edge does not have."""


class DoesNotFit(EdgeError, MemoryError):
    """The work needs more memory, context or disk than there is."""


class KernelMismatch(EdgeError, RuntimeError):
    """A kernel's result differs from the scalar reference."""


class LibraryError(EdgeError, OSError):
    """A prebuilt kernel library is broken, stale, or made for another machine."""


class InputError(EdgeError, ValueError):
    """What goes into a graph has the wrong name, type, rank or size."""


class DeviceError(EdgeError, OSError):
    """A device cannot be used as asked."""
