"""The writer: a whole new file, or the old one and nothing beside it."""

import errno
import os
import resource
import stat
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.errors import DoesNotFit, FormatError
from edge.format import beside
from edge.format.reader import EdgeFile
from edge.format.spec import MAX_HEADER, weight_format
from edge.format.writer import EdgeWriter
from tests.format import small_file

SCHEMES = Path(__file__).parents[1] / "golden" / "format" / "schemes.edge"
TWO_BITS = Path(__file__).parents[1] / "golden" / "format" / "int2.edge"
GOLDEN = Path(__file__).parents[1] / "golden" / "format" / "v3.edge"
ORDERED = GOLDEN.with_name("ordered.edge")
WEIGHT_ONLY = GOLDEN.with_name("weight_only.edge")
NEEDS_UNIX = pytest.mark.skipif(sys.platform == "win32", reason="needs limits and modes of Unix")


@pytest.fixture
def place(tmp_path):
    """A path that holds an old file; at the end of the test nothing else may lie beside it."""
    path = tmp_path / "model.edge"
    path.write_bytes(b"old")
    yield path
    assert os.listdir(tmp_path) == [path.name]


def refuse_after(monkeypatch, calls: int, code: int) -> None:
    """The disk takes so many writes of temporary files, then fails."""
    write, left = EdgeWriter._write, iter([None] * calls)

    def limited(self, data):
        if next(left, "none") == "none":
            self._file.write = broken
        write(self, data)

    def broken(data):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(EdgeWriter, "_write", limited)


# --- the bytes ------------------------------------------------------------------------------------


def test_the_bytes_of_a_file_are_those_of_the_stored_one(tmp_path):
    """A difference breaks old files or old readers: raise a version, keep v3.edge, store v4.edge.

    tests/golden/format/v3.edge was made by small_file.write.
    """
    small_file.write(tmp_path / "v3.edge")
    assert (tmp_path / "v3.edge").read_bytes() == GOLDEN.read_bytes()


def write_schemes(path):
    """What version 2 added: schemes of activations, and factors beside a matrix."""
    form = weight_format("int8-g32")
    with EdgeWriter(path, tensors=3) as writer:
        writer.document = small_file.DOCUMENT
        writer.add_vector("b.in_scale", np.linspace(0.5, 2, 32))
        for name, activation in (("a.weight", "token"), ("b.weight", 0.25)):
            writer.add_matrix(name, small_file.quantized(form, 16, 32), activation=activation)


def test_the_bytes_of_version_2_are_those_of_the_stored_file(tmp_path):
    """tests/golden/format/schemes.edge was made by write_schemes."""
    write_schemes(tmp_path / "schemes.edge")
    assert (tmp_path / "schemes.edge").read_bytes() == SCHEMES.read_bytes()
    file = EdgeFile(SCHEMES)
    assert file.document["version"] == 2 and file.verify() == []
    assert [info.activation for info in file.tensors.values()] == [None, "token", 0.25]


def write_ordered(path):
    """What version 3 added: the order in which a matrix reads its input."""
    with EdgeWriter(path, tensors=2) as writer:
        writer.document = small_file.DOCUMENT
        writer.add_indices("a.in_order", np.arange(31, -1, -1))
        writer.add_matrix("a.weight", small_file.quantized(weight_format("int8-g32"), 16, 32))


def test_the_bytes_of_version_3_are_those_of_the_stored_file(tmp_path):
    """tests/golden/format/ordered.edge was made by write_ordered."""
    write_ordered(tmp_path / "ordered.edge")
    assert (tmp_path / "ordered.edge").read_bytes() == ORDERED.read_bytes()
    file = EdgeFile(ORDERED)
    assert file.document["version"] == 3 and file.verify() == []
    assert beside.order(file, "a").tolist() == list(range(31, -1, -1))


def write_two_bits(path):
    with EdgeWriter(path, tensors=1) as writer:
        writer.document = small_file.DOCUMENT
        form = weight_format("int2-g256-offset")
        writer.add_matrix("a.weight", small_file.quantized(form, 17, 330))


def test_the_bytes_of_two_bits_are_those_of_the_stored_file(tmp_path):
    """tests/golden/format/int2.edge was made by write_two_bits."""
    write_two_bits(tmp_path / "int2.edge")
    assert (tmp_path / "int2.edge").read_bytes() == TWO_BITS.read_bytes()
    file = EdgeFile(TWO_BITS)
    assert file.document["version"] == 1 and file.verify() == []


def write_weight_only(path):
    """And activations that stay floats."""
    with EdgeWriter(path, tensors=1) as writer:
        writer.document = small_file.DOCUMENT
        tensor = small_file.quantized(weight_format("int4-g32-offset"), 16, 32)
        writer.add_matrix("a.weight", tensor, activation="float")


def test_the_bytes_of_a_file_whose_activations_stay_floats_are_those_of_the_stored_one(tmp_path):
    """tests/golden/format/weight_only.edge was made by write_weight_only."""
    write_weight_only(tmp_path / "weight_only.edge")
    assert (tmp_path / "weight_only.edge").read_bytes() == WEIGHT_ONLY.read_bytes()
    file = EdgeFile(WEIGHT_ONLY)
    assert file.document["version"] == 3 and file.verify() == []
    assert file.info("a.weight").activation == "float"


def test_the_stored_file_can_be_read():
    file = EdgeFile(GOLDEN)
    assert file.verify() == []
    assert file.config == small_file.CONFIG


def test_a_file_is_the_same_whatever_its_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small_file.write(Path("relative.edge"))
    (tmp_path / "folder").mkdir()
    small_file.write(tmp_path / "folder" / "absolute.edge")
    small_file.write("folder/text.edge")
    contents = {path.read_bytes() for path in tmp_path.rglob("*.edge")}
    assert len(contents) == 1 and len(list(tmp_path.rglob("*"))) == 4


def test_the_header_has_room_for_the_tensors_that_were_announced(tmp_path):
    count = 2000
    with EdgeWriter(tmp_path / "many.edge", tensors=count) as writer:
        for i in range(count):
            name = f"layers.{i}.a_rather_long_name_of_a_projection.weight"
            writer.add_vector(name, np.full(16, i))
        writer.document = small_file.DOCUMENT
    file = EdgeFile(tmp_path / "many.edge")
    assert len(file.tensors) == count
    assert file.view(f"{name}").view("<f4")[0] == count - 1


def test_a_long_source_name_and_many_frequencies_fit_into_the_header(tmp_path):
    factors = {"short_factors": (1 / 3,) * 512, "long_factors": (2 / 3,) * 512}
    ropes = (replace(small_file.CONFIG.ropes[0], **factors),)
    config = replace(small_file.CONFIG, ropes=ropes)
    small_file.write(tmp_path / "model.edge", {"config": config, "recipe": "r" * 1000})
    assert len(EdgeFile(tmp_path / "model.edge").config.ropes[0].short_factors) == 512


def test_more_tensors_than_a_header_holds_are_refused_at_once(tmp_path):
    with pytest.raises(DoesNotFit, match="100000 tensors do not fit into a header"):
        EdgeWriter(tmp_path / "model.edge", tensors=100_000)
    assert 640 * 100_000 > MAX_HEADER and os.listdir(tmp_path) == []


@NEEDS_UNIX
@pytest.mark.parametrize("mask, mode", [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_follow_the_umask(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        small_file.write(tmp_path / "model.edge")
    finally:
        assert os.umask(before) == mask
    assert stat.S_IMODE((tmp_path / "model.edge").stat().st_mode) == mode


def test_a_new_file_replaces_an_old_one_that_is_open(place):
    small_file.write(place)
    file = EdgeFile(place)
    small_file.write(place, {"recipe": "another"})
    assert file.verify() == []
    assert EdgeFile(place).document["recipe"] == "another"


# --- when it goes wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, MemoryError])
def test_whatever_ends_the_writing_leaves_the_old_file(place, error):
    with pytest.raises(error), EdgeWriter(place, tensors=1) as writer:
        writer.add_vector("w", np.ones(100_000))
        raise error
    assert place.read_bytes() == b"old"


def test_an_interrupt_while_the_file_is_completed_leaves_the_old_one(place, monkeypatch):
    def interrupted(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        small_file.write(place)
    assert place.read_bytes() == b"old"


@pytest.mark.parametrize("calls", [0, 1, 5, 20])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_leaves_the_old_file(place, monkeypatch, code, calls):
    refuse_after(monkeypatch, calls, code)
    with pytest.raises(DoesNotFit, match=r"cannot write .*model\.edge: .*; free disk space"):
        small_file.write(place)
    assert place.read_bytes() == b"old"


def test_a_failing_disk_is_no_full_disk(place, monkeypatch):
    refuse_after(monkeypatch, 3, errno.EIO)
    with pytest.raises(OSError, match=r"cannot write .*model\.edge: Input/output error$"):
        small_file.write(place)
    assert place.read_bytes() == b"old"


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_is_full_at_the_very_end_leaves_the_old_file(place, monkeypatch, call):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(DoesNotFit, match="free disk space"):
        small_file.write(place)
    assert place.read_bytes() == b"old"


@NEEDS_UNIX
@pytest.mark.parametrize("limit", [4096, 60_000, 70_000])
def test_a_limit_of_the_system_is_met_like_a_full_disk(place, limit):
    """The kernel itself refuses: also what is still buffered when the file is closed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(DoesNotFit, match="File too large; free disk space"):
            small_file.write(place)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert place.read_bytes() == b"old"


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    path = tmp_path / "absent" / "model.edge"
    with pytest.raises(OSError, match=f"cannot write {path}: No such file or directory"):
        EdgeWriter(path, tensors=1)


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path):
    with pytest.raises(OSError, match=f"cannot write {tmp_path}: it is no regular file"):
        EdgeWriter(tmp_path, tensors=1)


@NEEDS_UNIX
def test_a_device_is_not_replaced_by_a_file(tmp_path):
    path = tmp_path / "device"
    os.mkfifo(path)
    with pytest.raises(OSError, match="it is no regular file"):
        EdgeWriter(path, tensors=1)
    assert os.listdir(tmp_path) == ["device"]


@pytest.mark.parametrize(
    "document, expected",
    [
        ({"generation": {"temperature": float("nan")}}, "NaN is not a number"),
        ({"source": {"name": "a\nb", "sha256": ""}}, "source.name: expected a line of text"),
        ({"kind": "unheard"}, "kind 'unheard'"),
        ({"config": replace(small_file.CONFIG, heads=0)}, "heads and kv_heads from 1"),
    ],
)
def test_nothing_is_written_that_the_reader_would_refuse(place, document, expected):
    with pytest.raises(FormatError, match=f"model.edge: .*{expected}"):
        small_file.write(place, document)
    assert place.read_bytes() == b"old"


def test_a_tensor_that_is_added_twice_is_refused(place):
    with (
        pytest.raises(FormatError, match="'w' leaves a hole"),
        EdgeWriter(place, tensors=2) as writer,
    ):
        writer.document = small_file.DOCUMENT
        writer.add_vector("w", np.ones(16))
        writer.add_vector("w", np.ones(16))
    assert place.read_bytes() == b"old"
