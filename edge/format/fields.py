"""JSON objects as dataclasses: every field there, of its type, within bounds."""

from dataclasses import fields
from typing import Any

from edge.errors import FormatError


def typed_fields(cls: type, document: Any, where: str) -> dict[str, Any]:
    """Keyword arguments for `cls`, each of the type its annotation names."""
    if not isinstance(document, dict):
        raise FormatError(f"{where}: {cls.__name__} is not a JSON object")
    known = {f.name: str(f.type) for f in fields(cls)}
    for unknown in document.keys() - known.keys():
        raise FormatError(f"{where}: unknown field {unknown!r:.80} in {cls.__name__}")
    values = {}
    for name, value in document.items():
        values[name] = _typed(value, known[name], f"{where}: {cls.__name__}.{name}")
    required = {f.name for f in fields(cls) if f.default is f.default_factory}
    for missing in sorted(required - values.keys()):
        raise FormatError(f"{where}: {cls.__name__} lacks {missing!r}")
    return values


def _typed(value: Any, annotation: str, where: str) -> Any:
    wanted = annotation.replace("__main__.", "")
    if "tuple" in wanted:
        if not isinstance(value, list) or len(value) > 4096:
            raise FormatError(f"{where}: expected a list of at most 4096, found {value!r:.60}")
        if "Rope" in wanted:  # objects, which their own class reads
            return tuple(value)
        kind = "float" if "float" in wanted else "int"
        return tuple(_scalar(v, kind, where) for v in value)
    for kind in ("bool", "int", "float", "str"):
        if kind in wanted:
            return _scalar(value, kind, where)
    raise AssertionError(annotation)


def _scalar(value: Any, kind: str, where: str) -> Any:
    if kind == "float" and type(value) is int and abs(value) < 2**63:
        value = float(value)
    if type(value).__name__ != kind:
        raise FormatError(f"{where}: expected {kind}, found {value!r:.60}")
    if kind == "int" and not 0 <= value < 2**31:
        raise FormatError(f"{where}: expected 0..2**31-1, found {value!r:.40}")
    if kind == "float" and not abs(value) < 1e30:
        raise FormatError(f"{where}: expected a finite number, found {value}")
    return value


def require(where: str, holds: bool, expected: str, found: Any) -> None:
    if not holds:
        raise FormatError(f"{where}: expected {expected}, found {found!r:.100}")
