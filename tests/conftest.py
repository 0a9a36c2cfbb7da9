"""Fixtures of the whole suite."""

import os
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import machine
import pytest

CHECKOUT = Path(__file__).parent.parent
# Real models: what `make test` fetched, and trained models that may lie beside the checkout.
DATA = os.environ.get("EDGE_TEST_DATA", "").split(os.pathsep)
DATA += [str(CHECKOUT / ".cache"), str(CHECKOUT.parent / "shared" / "data" / "models")]


@pytest.fixture(autouse=True)
def own_runtime_folder(tmp_path, monkeypatch):
    """Whatever edge processes of this user tell each other is not for tests, nor from them."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))


@pytest.fixture(params=machine.libraries(), ids=machine.shown)
def kernels(request):
    """A kernel library, for each target that this machine can run and each way to get it."""
    return machine.library_for(*request.param)


@pytest.fixture(scope="session")
def test_data() -> Callable[[str], Path]:
    """The path of a file of real data; the test is skipped where there is none."""

    def find(name: str) -> Path:
        for folder in filter(None, DATA):
            if (path := Path(folder, name)).exists():
                return path
        pytest.skip(f"{name} is not in EDGE_TEST_DATA")

    return find
