"""What is known of the shapes, types and small integers of a graph's values."""

from importlib import import_module

from .shapes import Shapes as Shapes

for _module in ("rules", "values", "windows"):
    import_module(f".{_module}", __package__)  # they register themselves
