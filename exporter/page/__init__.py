"""The page an export leaves on request: one HTML file, no network, no scripts."""

from .document import write
from .evidence import Evidence, gather

__all__ = ["Evidence", "gather", "write"]
