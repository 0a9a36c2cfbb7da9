"""Source model -> .edge."""

from .graph.samples.files import Images
from .pipeline import export
from .report import ExportReport

__all__ = ["ExportReport", "Images", "export"]
