"""`import edge` costs next to nothing, and names what it promises."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import edge

ROOT = Path(__file__).parents[1]
HEAVY = ("numpy", "numba", "llvmlite", "tokenizers", "jinja2", "gguf", "safetensors")
NAMES = [
    "DeviceError",
    "DoesNotFit",
    "EdgeError",
    "FormatError",
    "InputError",
    "KernelMismatch",
    "Monitor",
    "RecipeError",
    "SourceError",
    "UnsupportedModel",
    "__version__",
    "export",
    "load",
]


def loaded_after(code: str, names=HEAVY) -> list[str]:
    """Which of these modules a fresh process has loaded after running the code."""
    code = f"import sys\n{code}\nprint(*[name for name in {list(names)} if name in sys.modules])"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    return result.stdout.split()


@pytest.mark.parametrize(
    "code",
    [
        "import edge",
        "import edge.errors",
        "import edge; edge.FormatError, edge.__version__",
        "import edge; dir(edge)",
        "import edge.cli",
        "import edge; edge.Monitor",
    ],
)
def test_no_heavy_module_is_imported_before_it_is_needed(code):
    assert loaded_after(code) == []


def test_exporting_what_is_no_onnx_model_does_without_onnx():
    names = ("onnx", "onnxruntime", "PIL")
    assert loaded_after("import edge.exporter.pipeline, edge.cli.export", names) == []


@pytest.mark.parametrize("module", ["edge.format.reader", "edge.format.writer"])
def test_the_format_needs_numpy_alone(module):
    assert loaded_after(f"import {module}") == ["numpy"]


@pytest.mark.parametrize("module", ["edge.session", "edge.runtime.model", "edge.exporter"])
def test_no_compiler_is_imported_before_a_kernel_is_compiled(module):
    assert loaded_after(f"import {module}", ("numba", "llvmlite", "jinja2")) == []


def test_the_public_names_are_these():
    assert edge.__all__ == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_there(name):
    found = getattr(edge, name)
    if isinstance(found, type) and name != "Monitor":
        assert issubclass(found, edge.EdgeError) and found.__module__ == "edge.errors"
    else:
        assert callable(found) or name == "__version__"


def test_other_names_are_not_there():
    with pytest.raises(AttributeError, match="module 'edge' has no attribute 'absent'"):
        edge.absent  # noqa: B018
