"""The arrows between the parts, and the size they may have (docs/architecture.md)."""

import ast
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ("edge", "exporter", "runtime", "devices")
FILES = sorted(path for part in PARTS for path in (ROOT / part).rglob("*.py"))
ALLOWED = {  # a layer may import itself and these
    "edge.errors": (),
    "edge.format": ("edge.errors",),
    "edge.runtime": ("edge.errors", "edge.format"),
    "edge.exporter": ("edge.errors", "edge.format"),
    "edge.devices": ("edge.errors",),
}
EXCEPTIONS = {
    "edge.exporter.calibration.collect": ("edge.runtime",),  # there is one forward pass
    "edge.exporter.calibration.compare": ("edge.runtime",),  # runs what was written
    "edge.exporter.calibration.divergence": ("edge.runtime",),  # ... and one model
    "edge.exporter.graph.evaluate": ("edge.runtime",),  # what an operator gives is defined once
    "edge.exporter.graph.forward": ("edge.runtime",),  # ... and runs a graph to calibrate it
    "edge.exporter.aot.library": ("edge.runtime",),  # compiles its kernels
}
FAMILIES = re.compile("llama|qwen|gemma|phi|mistral|bitnet|smollm", re.IGNORECASE)
FAMILY_NAMES_ALLOWED = {"llama3", "_llama3"}  # a kind of RoPE, named so by all who have it


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def module_name(path: Path) -> str:
    """As Python knows it: edge.runtime.plan for runtime/plan.py."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "edge" else ("edge", *parts)
    return ".".join(parts).removesuffix(".__init__")


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """(absolute name of a module, or of a name in one; dots it was written with)."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((f"{base}.{alias.name}", node.level) for alias in node.names)


def within(name: str, layers: tuple[str, ...]) -> bool:
    return any(name == layer or name.startswith(layer + ".") for layer in layers)


def layer_of(name: str) -> str:
    """edge.runtime for edge.runtime.plan; edge for the front ends, which may import all."""
    return next((layer for layer in ALLOWED if within(name, (layer,))), "edge")


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_imports_follow_the_arrows(path):
    name = module_name(path)
    layer = layer_of(name)
    for imported, _ in imports(path):
        if within(imported, ("edge",)) and layer != "edge":
            allowed = (layer, *ALLOWED[layer], *EXCEPTIONS.get(name, ()))
            assert within(imported, allowed), f"{name} imports {imported}"


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_imports_are_relative_inside_a_part_and_absolute_across(path):
    layer = layer_of(module_name(path))
    for imported, dots in imports(path):
        assert imported.split(".")[0] not in PARTS[1:], f"{imported}: write edge.{imported}"
        if dots:
            assert layer_of(imported) == layer, f"{imported}: write it from edge. on"
        elif layer != "edge" and layer != "edge.errors":
            assert not within(imported, (layer,)), f"{imported}: write it with dots"


def code_words(tree: ast.Module) -> Iterator[str]:
    """Names and texts that the program works with: no comments, no docstrings."""
    documentation = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in documentation:
            yield str(node.value)
        yield from (
            value
            for field in ("id", "attr", "name", "arg", "module")
            if isinstance(value := getattr(node, field, None), str)
        )


@pytest.mark.parametrize("path", [p for p in FILES if "runtime" in p.parts], ids=shown)
def test_the_runtime_never_hears_of_a_family(path):
    heard = {word for word in code_words(parsed(path)) if FAMILIES.search(word)}
    assert heard <= FAMILY_NAMES_ALLOWED


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_files_are_short_and_open_with_what_they_are(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    assert ast.get_docstring(ast.parse(text)), "no docstring"
    assert not re.search(r"\b(TODO|FIXME|XXX)\b", text)


@pytest.mark.parametrize("part", PARTS)
def test_most_functions_are_short(part):
    sizes = [
        node.end_lineno - node.lineno + 1
        for path in FILES
        if path.relative_to(ROOT).parts[0] == part
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef)
    ]
    if sizes:
        assert statistics.median(sizes) <= 10
        assert sorted(sizes)[9 * len(sizes) // 10] <= 35
