"""The header: every rule of spec.py, broken, and what the refusal says."""

import json

import pytest

from edge.format import spec
from edge.format.reader import EdgeFile
from tests.format.small_file import LAYER, framed, one_tensor

KEY = LAYER + "attention.key.weight"
NORM = "output_norm.weight"


# --- JSON -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header, reason",
    [
        ("{", "not valid JSON"),
        ("{}x", "Extra data"),
        ('{"a": \x00}', "not valid JSON"),
        ("\ufeff{}", "expected '{' at its beginning"),
        (" {}", "expected '{' at its beginning"),
        ("[]", "expected '{' at its beginning"),
        ("null", "expected '{' at its beginning"),
        ('{"a": 1, "a": 2}', "key 'a' occurs twice"),
        ('{"b": {"a": 1, "a": 1}}', "key 'a' occurs twice"),
        ('{"a": NaN}', "NaN is not a number"),
        ('{"a": -Infinity}', "-Infinity is not a number"),
        ('{"a": 1e999}', "1e999 is beyond all numbers"),
        ('{"a": ' + "9" * 30 + "}", "has more than 18 digits"),
        ('{"a": ' + "9" * 5000 + "}", "has more than 18 digits"),
        ('{"a":' * 9 + "1" + "}" * 9, "nested deeper than 8"),
        ('{"a":' + "[" * 100_000 + "]" * 100_000 + "}", "not valid JSON"),
    ],
    ids=lambda value: str(value)[:24],
)
@pytest.mark.parametrize("place", ["header", "edge document"])
def test_json_is_strict_in_both_documents(refusal, header, reason, place):
    if place == "edge document":
        header = json.dumps({"__metadata__": {"edge": header}}).encode()
    else:
        header = header.encode()
    message = refusal(framed(header, b""))
    assert message.startswith(f"{place} is not valid JSON: ") and reason in message


@pytest.mark.parametrize(
    "header", [b'{"a": "\xff"}', "{}".encode("utf-16"), b'{"a": "\xed\xa0\x80"}']
)
def test_a_header_that_is_not_utf_8_is_refused(refusal, header):
    assert refusal(framed(header, b"")).startswith("header is not valid JSON: 'utf-8' codec can't")


def test_nesting_up_to_the_limit_is_not_what_a_file_is_refused_for(refusal):
    header = b'{"a":' * 8 + b"1" + b"}" * 8
    assert "__metadata__" in refusal(framed(header, b""))


# --- the edge document ----------------------------------------------------------------------------

DELETED = object()
QUERY_ACTIVATION = ("tensors", "layers.0.attention.query.weight", "activation")
NORM_ACTIVATION = ("tensors", "output_norm.weight", "activation")
UP_ACTIVATION = ("tensors", "layers.0.feed_forward.up.weight", "activation")


def change(document, path, value):
    """Set, or delete, what a path like "config.heads" names."""
    *folders, last = path.split(".") if isinstance(path, str) else path
    for folder in folders:
        document = document[folder]
    if value is DELETED:
        del document[last]
    else:
        document[last] = value


@pytest.mark.parametrize(
    "path, value, expected",
    [
        ("version", 4, "version 4, this edge reads 1, 2, 3"),
        ("version", 0, "version 0, this edge reads 1, 2, 3"),
        ("version", True, "version True, this edge reads 1, 2, 3"),
        ("version", 1.0, "version 1.0, this edge reads 1, 2, 3"),
        ("version", "1", "version '1', this edge reads 1, 2, 3"),
        ("version", DELETED, "version None, this edge reads 1, 2, 3"),
        ("layout", 2, "layout 2, this edge reads 3"),
        ("layout", DELETED, "layout None, this edge reads 3"),
        ("layout", ["x" * 500], "this edge reads 3"),
        ("kind", "picture", "kind 'picture', expected one of decoder"),
        ("kind", DELETED, "kind None, expected one of decoder"),
        ("kind", [], "kind [], expected one of decoder"),
        ("config", DELETED, "config: expected dict, found nothing"),
        ("config", [], "config: expected dict, found list"),
        ("recipe", 4, "recipe: expected str, found int"),
        ("recipe", "int4\x1b[2J", "recipe: expected a line of text"),
        ("recipe", "x" * 1001, "recipe: expected a line of text"),
        ("source", "file.gguf", "source: expected dict, found str"),
        ("source.name", DELETED, "source.name: expected a line of text, found None"),
        ("source.name", "\ud800", "source.name: expected a line of text"),
        ("source.name", "two\nlines", "source.name: expected a line of text"),
        ("source.sha256", 1, "source.sha256: expected a line of text, found 1"),
        ("calibration", "a.txt", "calibration: expected a JSON object, found str"),
        ("calibration", {"name": "a\x1b", "sha256": ""}, "calibration.name: expected a line"),
        ("calibration", {"name": "a.txt"}, "calibration.sha256: expected a line of text"),
        ("parameters", "many", "parameters: expected int, found str"),
        ("parameters", True, "parameters: expected int, found bool"),
        ("parameters", -1, "parameters: expected 0 or more, found -1"),
        (QUERY_ACTIVATION, "row", "activation 'row', expected 'token', 'float', a scale, or null"),
        (QUERY_ACTIVATION, 0, "activation 0, expected 'token', 'float', a scale, or null"),
        (QUERY_ACTIVATION, True, "activation True, expected 'token'"),
        (QUERY_ACTIVATION, -0.5, "activation -0.5, expected 'token'"),
        (QUERY_ACTIVATION, 1e31, "activation 1e+31, expected 'token'"),
        (NORM_ACTIVATION, "token", "an activation 'token', but vector reads floats"),
        (NORM_ACTIVATION, "float", "an activation 'float', but vector reads floats"),
        (UP_ACTIVATION, "float", "an activation 'float', but float16 reads floats"),
        (UP_ACTIVATION, 0.5, "an activation 0.5, but float16 reads floats"),
        ("tensors", [], "tensors: expected dict, found list"),
        ("tensors", DELETED, "tensors: expected dict, found nothing"),
        ("tokenizer", [], "tokenizer: expected dict or null, found list"),
        ("tokenizer", DELETED, "tokenizer: expected dict or null, found nothing"),
        ("tokenizer.eos", DELETED, "tokenizer.eos: expected a list of ids, found null"),
        ("tokenizer.eos", 2, "tokenizer.eos: expected a list of ids, found int"),
        ("tokenizer.eos", [2, None], "tokenizer: expected ids of 0..2**31-1, found None"),
        ("tokenizer.eos", [-1], "tokenizer: expected ids of 0..2**31-1, found -1"),
        ("tokenizer.eos", [True], "tokenizer: expected ids of 0..2**31-1, found True"),
        ("tokenizer.eos", [1.0], "tokenizer: expected ids of 0..2**31-1, found 1.0"),
        ("tokenizer.bos", 2**31, "tokenizer: expected ids of 0..2**31-1, found 2147483648"),
        ("tokenizer.bos", "1", "tokenizer: expected ids of 0..2**31-1, found '1'"),
        ("tokenizer.add_bos", 1, "tokenizer.add_bos: expected true or false, found 1"),
        ("generation", 0.5, "generation: expected dict or null, found float"),
        ("generation", DELETED, "generation: expected dict or null, found nothing"),
    ],
)
def test_a_broken_edge_document_is_refused(refusal, pieces, path, value, expected):
    change(pieces.document, path, value)
    assert expected in refusal(pieces.bytes())


@pytest.mark.parametrize("path", ["tokenizer", "generation", "tokenizer.bos"])
def test_what_a_model_may_lack_is_null(pieces, tmp_path, path):
    change(pieces.document, path, None)
    (tmp_path / "model.edge").write_bytes(pieces.bytes())
    EdgeFile(tmp_path / "model.edge")


@pytest.mark.parametrize(
    "metadata, expected",
    [
        (None, "__metadata__: expected a JSON object, found null"),
        ([], "__metadata__: expected a JSON object, found list"),
        ({}, "__metadata__: expected an edge document, found none"),
        ({"edge": {}}, "__metadata__: expected an edge document, found none"),
        ({"edge": "{}", "format": "pt"}, "__metadata__: expected 'edge' alone"),
        ({"edge": "[]"}, "edge document is not valid JSON"),
    ],
)
def test_metadata_is_one_edge_document(refusal, metadata, expected):
    assert expected in refusal(framed(json.dumps({"__metadata__": metadata}).encode(), b""))


def test_an_error_of_the_configuration_names_the_file(refusal, pieces):
    pieces.document["config"]["heads"] = 3.5
    assert refusal(pieces.bytes()) == "DecoderConfig.heads: expected int, found 3.5"


# --- the tensors ----------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["header", "document"])
def test_a_tensor_that_only_one_list_has_is_refused(refusal, pieces, side):
    tensors = pieces.header if side == "header" else pieces.document["tensors"]
    del tensors[NORM]
    place = "edge document" if side == "header" else "header"
    message = refusal(pieces.bytes())
    assert message == f"tensor {NORM!r}: expected in header and edge document, found in {place}"


@pytest.mark.parametrize(
    "name", ["", "a/b", "../etc", "a b", "é", "a\n", "a\x00", "\ud800", "x" * 201, "a'b"]
)
def test_odd_names_are_refused(refusal, pieces, name):
    for tensors in (pieces.header, pieces.document["tensors"]):
        tensors[name] = tensors.pop(NORM)
    assert "tensor name" in refusal(pieces.bytes())


@pytest.mark.parametrize(
    "shape",
    [None, 32, [], [0], [-32], [32, 0], [True, 16], [16.0, 32], ["16", 32], [1, 2, 3], [[16], 32]]
    + [[2**48], [16, 2**48], {"0": 16}],
    ids=str,
)
def test_odd_shapes_are_refused(refusal, pieces, shape):
    pieces.document["tensors"][KEY]["shape"] = shape
    assert f"tensor {KEY!r}: shape {shape!r}, expected one or two sizes" in refusal(pieces.bytes())


@pytest.mark.parametrize("shape", [[2**47, 2**47], [2**31, 2**31], [2**48 - 1, 2**48 - 1]])
def test_sizes_are_computed_without_overflow(refusal, pieces, shape):
    pieces.document["tensors"][KEY]["shape"] = shape
    pieces.header[KEY]["shape"] = [shape[0] // 16, 64]
    assert f"tensor {KEY!r}: expected 'U8'" in refusal(pieces.bytes())


@pytest.mark.parametrize(
    "form, expected",
    [
        (None, "format None, expected the name of one"),
        (4, "format 4, expected the name of one"),
        ("x" * 1000, "expected the name of one"),
        ("", "no weight format ''"),
        ("int5", "no weight format 'int5'"),
        ("int4", "no weight format 'int4' with group 0"),
        ("int4-g16", "no weight format 'int4' with group 16"),
        ("int4-g032", "no weight format 'int4-g032'; it is written 'int4-g32'"),
        ("int8-g0", "no weight format 'int8-g0'; it is written 'int8'"),
        ("int8-g32-offset", "no weight format"),
        ("INT8", "no weight format 'INT8'"),
        ("int8\n", "no weight format"),
        ("vector", "a tensor of format 'vector' cannot have shape [16, 32]"),
        ("bytes", "a tensor of format 'bytes' cannot have shape [16, 32]"),
    ],
)
def test_unknown_formats_are_refused(refusal, pieces, form, expected):
    pieces.document["tensors"][KEY]["format"] = form
    message = refusal(pieces.bytes())
    assert message.startswith(f"tensor {KEY!r}: ") and expected in message


def test_a_matrix_of_one_dimension_is_refused(refusal, pieces):
    pieces.document["tensors"][KEY]["shape"] = [16]
    assert "a tensor of format 'int4-g32' cannot have shape [16]" in refusal(pieces.bytes())


@pytest.mark.parametrize(
    "key, value",
    [
        ("dtype", "F32"),
        ("dtype", None),
        ("dtype", ["U8"]),
        ("shape", [1, 2]),
        ("shape", [576]),
        ("shape", None),
        ("shape", [True, 576]),
        ("shape", [1.0, 576]),
    ],
)
def test_a_header_at_odds_with_the_edge_document_is_refused(refusal, pieces, key, value):
    pieces.header[KEY][key] = value
    message = refusal(pieces.bytes())
    assert message.startswith(f"tensor {KEY!r}: expected 'U8' [1, 576] in the header, found")
    assert str(value) in message


@pytest.mark.parametrize(
    "offsets",
    [None, 0, [], [0], [0, 1, 2], ["0", 576], [-64, 576], [0.0, 576], [True, 576], [0, 2**48]],
    ids=str,
)
def test_offsets_that_are_not_two_sizes_are_refused(refusal, pieces, offsets):
    pieces.header[KEY]["data_offsets"] = offsets
    message = refusal(pieces.bytes())
    assert f"tensor {KEY!r}: data_offsets {offsets!r}, expected two sizes" in message


@pytest.mark.parametrize("begin, end", [(0, 575), (0, 577), (576, 0), (0, 0), (8, 584), (32, 608)])
def test_offsets_of_another_size_or_alignment_are_refused(refusal, pieces, begin, end):
    pieces.header[KEY]["data_offsets"] = [begin, end]
    message = refusal(pieces.bytes())
    assert f"bytes {begin} to {end} of {len(pieces.data)}, expected 576 bytes on a" in message


def test_offsets_beyond_the_file_are_refused(refusal, pieces):
    size = len(pieces.data)
    pieces.header[KEY]["data_offsets"] = [size, size + 576]
    assert f"bytes {size} to {size + 576} of {size}" in refusal(pieces.bytes())


def test_overlapping_tensors_are_refused(refusal, pieces):
    pieces.header[KEY]["data_offsets"] = [0, 576]
    assert "overlaps the one before" in refusal(pieces.bytes())


def test_two_tensors_in_one_place_are_refused(refusal):
    pieces = one_tensor("vector", [16], 64, data=bytes(64))
    pieces.header["v"] = pieces.header["w"]
    pieces.document["tensors"]["v"] = pieces.document["tensors"]["w"]
    assert "overlaps the one before: at byte" in refusal(pieces.bytes())


def test_a_hole_between_tensors_is_refused(refusal):
    pieces = one_tensor("vector", [16], 64, data=bytes(128))
    pieces.header["w"]["data_offsets"] = [64, 128]
    assert "leaves a hole: at byte" in refusal(pieces.bytes())


@pytest.mark.parametrize("extra", [1, 64, 4096])
def test_a_file_longer_than_its_tensors_is_refused(refusal, pieces, extra):
    content = pieces.bytes()
    message = refusal(content + bytes(extra))
    assert message == f"tensors end at byte {len(content)}, the file at {len(content) + extra}"


def test_a_file_shorter_than_its_tensors_is_refused(refusal, pieces):
    assert f"of {len(pieces.data) - 64}, expected" in refusal(pieces.bytes()[:-64])


@pytest.mark.parametrize("extra", [-64, 64])
@pytest.mark.parametrize("form", ["int8-g32", "int6-g256", "int4-g256-offset", "int2-g256-offset"])
def test_a_matrix_of_another_size_than_its_format_takes_is_refused(refusal, form, extra):
    right, size = spec.nbytes(form, (16, 330)), spec.nbytes(form, (16, 330)) + extra
    pieces = one_tensor(form, [16, 330], size, data=bytes(size))
    assert f"bytes 0 to {size} of {size}, expected {right} bytes" in refusal(pieces.bytes())
    pieces.header["w"]["shape"] = [1, size]
    assert f"tensor 'w': expected 'U8' [1, {right}] in the header" in refusal(pieces.bytes())


@pytest.mark.parametrize(
    "digest", [None, "", "0" * 63, "0" * 65, "g" * 64, "A" * 64, "0" * 63 + "\n"]
)
def test_odd_checksums_are_refused(refusal, pieces, digest):
    pieces.document["tensors"][KEY]["sha256"] = digest
    message = refusal(pieces.bytes())
    assert f"tensor {KEY!r}: sha256 {digest!r}, expected 64 hexadecimal digits" in message


@pytest.mark.parametrize("error", ["0", [], True, -0.1])
def test_odd_errors_are_refused(refusal, pieces, error):
    pieces.document["tensors"][KEY]["error"] = error
    assert f"tensor {KEY!r}: error {error!r}, expected a number" in refusal(pieces.bytes())


@pytest.mark.parametrize("side", ["header", "document"])
@pytest.mark.parametrize("value", [None, [], "int8", 3])
def test_a_tensor_that_is_no_object_is_refused(refusal, pieces, side, value):
    tensors = pieces.header if side == "header" else pieces.document["tensors"]
    tensors[KEY] = value
    assert f"tensor {KEY!r}: expected a JSON object, found" in refusal(pieces.bytes())


def test_too_many_tensors_are_refused(refusal, pieces, monkeypatch):
    monkeypatch.setattr(spec, "MAX_TENSORS", 5)
    assert f"{len(pieces.header)} tensors, expected at most 5" in refusal(pieces.bytes())
