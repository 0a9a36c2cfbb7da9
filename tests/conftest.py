"""Fixtures of the whole suite."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import machine
import pytest


@pytest.fixture(params=machine.runnable_targets(), ids=lambda target: target.name)
def kernels(request):
    """A kernel library, for each target that this machine can run."""
    return machine.library_for(request.param)
