"""The header of an .edge file, checked rule by rule (spec.py); afterwards it is trusted."""

import json
import math
import re
from collections.abc import Callable
from typing import Any, NoReturn

from edge.errors import FormatError

from . import addends, config, encoder_config, graph_config, in_order, spec
from .formats import ALIGNMENT

DIGEST = re.compile(r"[0-9a-f]{64}")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # would reach a terminal as such


class Header:
    """A header's document, configuration and tensors.

    `where` names the file in errors, `raw` is the JSON with its padding, `size` the file's bytes.
    """

    def __init__(self, where: str, raw: bytes, size: int):
        self.where = where
        self.data_start = 8 + len(raw)
        self.data_size = size - self.data_start
        entries = self._object(parse(raw, where, "header"), "header")
        self.document = self._edge_document(entries.pop("__metadata__", {}))
        self._check_document()
        self.tensors = self._check_tensors(entries)
        self.config: Any = _CONFIGS[self.document["kind"]](self.document["config"], where)

    def _fail(self, message: str) -> NoReturn:
        raise FormatError(f"{self.where}: {message}")

    def _object(self, value: Any, what: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            self._fail(f"{what}: expected a JSON object, found {_kind(value)}")
        return value

    def _text(self, value: Any, what: str) -> None:
        if not isinstance(value, str) or len(value) > spec.MAX_TEXT or CONTROL.search(value):
            self._fail(f"{what}: expected a line of text, found {value!r:.60}")

    # --- the edge document ------------------------------------------------------------------------

    def _edge_document(self, metadata: Any) -> dict[str, Any]:
        metadata = self._object(metadata, "__metadata__")
        text = metadata.get("edge")
        if not isinstance(text, str):
            self._fail(
                "__metadata__: expected an edge document, found none; "
                "a plain safetensors file is a source for `edge export`"
            )
        if len(metadata) > 1:
            self._fail(f"__metadata__: expected 'edge' alone, found {sorted(metadata)!r:.60}")
        return self._object(parse(text, self.where, "edge document"), "edge document")

    def _check_document(self) -> None:
        document = self.document
        layouts = (spec.LAYOUT_VERSION,)
        for key, numbers in (("version", spec.FORMAT_VERSIONS), ("layout", layouts)):
            found = document.get(key)
            if type(found) is not int or found not in numbers:
                self._fail(
                    f"{key} {found!r:.40}, this edge reads {', '.join(map(str, numbers))}; "
                    "export the model again with this version"
                )
        if document.get("kind") not in spec.KINDS:
            expected = ", ".join(spec.KINDS)
            self._fail(f"kind {document.get('kind')!r:.40}, expected one of {expected}")
        for key, kinds in _DOCUMENT_TYPES.items():
            if key not in document or type(document[key]) not in kinds:
                names = " or ".join(map(_name, kinds))
                found = _kind(document[key]) if key in document else "nothing"
                self._fail(f"{key}: expected {names}, found {found}")
        if document["parameters"] < 0:
            self._fail(f"parameters: expected 0 or more, found {document['parameters']}")
        self._text(document["recipe"], "recipe")
        for key in ("name", "sha256"):
            self._text(document["source"].get(key), f"source.{key}")
        if document.get("calibration") is not None:
            calibration = self._object(document["calibration"], "calibration")
            for key in ("name", "sha256"):
                self._text(calibration.get(key), f"calibration.{key}")
        if document["tokenizer"] is not None:
            self._check_tokenizer(document["tokenizer"])

    def _check_tokenizer(self, tokenizer: dict[str, Any]) -> None:
        bos, ids = tokenizer.get("bos"), []
        for key in ("eos", "before", "after"):
            listed = tokenizer.get(key, None if key == "eos" else [])
            if not isinstance(listed, list):
                self._fail(f"tokenizer.{key}: expected a list of ids, found {_kind(listed)}")
            ids += listed
        for token in ids if bos is None else [bos, *ids]:
            if type(token) is not int or not 0 <= token < spec.MAX_DIMENSION:
                self._fail(f"tokenizer: expected ids of 0..2**31-1, found {token!r:.40}")
        add_bos = tokenizer.get("add_bos", False)
        if type(add_bos) is not bool:
            self._fail(f"tokenizer.add_bos: expected true or false, found {add_bos!r:.40}")

    # --- the tensors ------------------------------------------------------------------------------

    def _check_tensors(self, entries: dict[str, Any]) -> dict[str, spec.TensorInfo]:
        declared = self.document["tensors"]
        if len(entries) > spec.MAX_TENSORS:
            self._fail(f"{len(entries)} tensors, expected at most {spec.MAX_TENSORS}")
        if declared.keys() != entries.keys():
            odd = min(declared.keys() ^ entries.keys())
            place = "header" if odd in entries else "edge document"
            self._fail(
                f"tensor {odd!r:.80}: expected in header and edge document, found in {place}"
            )
        infos = [self._tensor(name, entries[name], declared[name]) for name in entries]
        infos.sort(key=lambda info: info.offset)
        end = self.data_start
        for info in infos:
            if info.offset != end:
                kind = "overlaps the one before" if info.offset < end else "leaves a hole"
                self._fail(f"tensor {info.name!r} {kind}: at byte {info.offset}, expected {end}")
            end += info.nbytes
        if end != self.data_start + self.data_size:
            self._fail(f"tensors end at byte {end}, the file at {self.data_start + self.data_size}")
        tensors = {info.name: info for info in infos}
        try:
            addends.check(tensors)
            in_order.check(tensors, self.document["kind"])
        except ValueError as reason:
            self._fail(str(reason))
        return tensors

    def _tensor(self, name: str, entry: Any, declared: Any) -> spec.TensorInfo:
        if not spec.NAME.fullmatch(name):
            self._fail(f"tensor name {name!r:.80}, expected 1..200 of A-Z a-z 0-9 . _ -")
        what = f"tensor {name!r}"
        entry, declared = self._object(entry, what), self._object(declared, what)
        shape, form = declared.get("shape"), declared.get("format")
        if not _is_shape(shape):
            self._fail(f"{what}: shape {shape!r:.60}, expected one or two sizes of at least 1")
        if not isinstance(form, str) or len(form) > spec.MAX_FORMAT:
            self._fail(f"{what}: format {form!r:.40}, expected the name of one")
        try:
            size = spec.nbytes(form, tuple(shape))
            kind, stored = spec.container(form, tuple(shape))
        except ValueError as reason:
            self._fail(f"{what}: {reason}")
        declared_shape = entry.get("shape")
        if entry.get("dtype") != kind or not _is_shape(declared_shape) or declared_shape != stored:
            found = f"{entry.get('dtype')!r:.20} {entry.get('shape')!r:.60}"
            self._fail(f"{what}: expected {kind!r} {stored} in the header, found {found}")
        start = self._start(what, entry.get("data_offsets"), size)
        digest, error = declared.get("sha256"), declared.get("error")
        if not (isinstance(digest, str) and DIGEST.fullmatch(digest)):
            self._fail(f"{what}: sha256 {digest!r:.80}, expected 64 hexadecimal digits")
        if error is not None and not (type(error) in (int, float) and error >= 0):
            self._fail(f"{what}: error {error!r:.40}, expected a number of at least 0, or null")
        activation = self._activation(what, declared.get("activation"), form)
        return spec.TensorInfo(name, form, tuple(shape), start, size, digest, error, activation)

    def _activation(self, what: str, found: Any, form: str) -> str | float | None:
        if found is None:
            return None
        if form in spec.PAYLOADS or spec.weight_format(form).is_float:
            self._fail(f"{what}: an activation {found!r:.40}, but {form} reads floats")
        if found in ("token", "float"):
            return str(found)
        if type(found) not in (int, float) or not 1e-30 < found < 1e30:
            expected = "'token', 'float', a scale, or null"
            self._fail(f"{what}: activation {found!r:.40}, expected {expected}")
        return float(found)

    def _start(self, what: str, offsets: Any, size: int) -> int:
        """The tensor's first byte in the file."""
        if not (isinstance(offsets, list) and len(offsets) == 2 and _are_sizes(offsets)):
            self._fail(f"{what}: data_offsets {offsets!r:.60}, expected two sizes")
        start, end = offsets
        if end - start != size or end > self.data_size or start % ALIGNMENT:
            self._fail(
                f"{what}: bytes {start} to {end} of {self.data_size}, "
                f"expected {size} bytes on a multiple of {ALIGNMENT}"
            )
        return self.data_start + int(start)


_CONFIGS: dict[str, Callable[[dict[str, Any], str], Any]] = {
    "decoder": config.from_json,
    "encoder": encoder_config.from_json,
    "graph": graph_config.from_json,
}
_DOCUMENT_TYPES: dict[str, tuple[type, ...]] = {
    "config": (dict,),
    "recipe": (str,),
    "source": (dict,),
    "parameters": (int,),
    "tensors": (dict,),
    "tokenizer": (dict, type(None)),
    "generation": (dict, type(None)),
}


def _kind(value: Any) -> str:
    return _name(type(value))


def _name(kind: type) -> str:
    return "null" if kind is type(None) else kind.__name__


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, list) and 1 <= len(shape) <= 2 and _are_sizes(shape) and min(shape) > 0


def _are_sizes(values: list[Any]) -> bool:
    return all(type(v) is int and 0 <= v < spec.MAX_BYTES for v in values)


# --- strict JSON ----------------------------------------------------------------------------------


def parse(text: bytes | str, where: str, what: str) -> Any:
    """JSON without double keys, infinities, numbers beyond 64 bits, or deep nesting."""
    try:
        text = text.decode() if isinstance(text, bytes) else text
        if not text.startswith("{"):
            raise ValueError(f"expected '{{' at its beginning, found {text[:8]!r}")
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_constant,
            parse_float=_finite,
            parse_int=_integer,
        )
        _check_depth(value)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where}: {what} is not valid JSON: {error}") from None
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"key {key!r:.80} occurs twice")
        found[key] = value
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"{digits:.40} is beyond all numbers")
    return value


def _integer(digits: str) -> int:
    if len(digits) > spec.MAX_DIGITS:
        raise ValueError(f"integer {digits:.40} has more than {spec.MAX_DIGITS} digits")
    return int(digits)


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(spec.MAX_DEPTH + 1):
        containers = [v for v in level if isinstance(v, dict | list)]
        if not containers:
            return
        inner = (v.values() if isinstance(v, dict) else v for v in containers)
        level = [value for values in inner for value in values]
    raise ValueError(f"nested deeper than {spec.MAX_DEPTH}")
