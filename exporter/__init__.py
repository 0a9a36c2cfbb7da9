"""Source model -> .edge."""

from .pipeline import export
from .report import ExportReport

__all__ = ["ExportReport", "export"]
