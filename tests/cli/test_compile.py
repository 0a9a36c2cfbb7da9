"""edge compile: which targets there are, and a library where the user wants it."""

import machine
import pytest

from edge.runtime.kernels.target import TARGETS
from edge.runtime.libraries import jit
from edge.runtime.libraries.cpu import runnable
from edge.runtime.libraries.prebuilt import Prebuilt


def test_the_list_marks_this_machines_target(cli, cli_json):
    rows = cli_json("compile", "--target", "list")["targets"]
    assert [row["name"] for row in rows] == list(TARGETS)
    assert [row["name"] for row in rows if row["native"]] == [t.name for t in runnable()[:1]]
    _, out, _ = cli("compile", "--target", "list")
    assert "this machine" in out


def test_an_unknown_target_is_wrong_usage(fails):
    assert "aarch64-dotprod" in fails("compile", "--target", "z80", code=2)


@pytest.mark.skipif(not jit.available(), reason="compiling needs Numba")
def test_a_native_library_lands_where_it_is_wanted(cli_json, tmp_path):
    machine.library_for(runnable()[0], machine.PREBUILT)  # its objects, into the cache
    (built,) = cli_json("compile", "--target", "native", "-o", tmp_path)["libraries"]
    library = Prebuilt(tmp_path / f"{built['target']}.so", machine.machine())
    assert library.path.stat().st_size == built["bytes"]
