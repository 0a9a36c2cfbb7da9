"""The cache of compiled kernels: what makes them stale."""

import ast
from pathlib import Path

from edge.format import formats
from edge.runtime import kernels

KERNELS = Path(kernels.__file__).parent


def imported(path: Path) -> set[str]:
    """Modules of edge that a file of the kernels imports, by their full names."""
    package = ["edge", "runtime", "kernels", *path.relative_to(KERNELS).parent.parts]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            start = package[: len(package) + 1 - node.level] if node.level else []
            found.add(".".join([*start, *filter(None, [node.module])]))
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return {name for name in found if name.split(".")[0] == "edge"}


def test_kernels_are_made_of_nothing_that_the_digest_does_not_cover():
    names = set().union(*map(imported, KERNELS.rglob("*.py")))
    assert formats.__name__ in names
    outside = {name for name in names if not name.startswith("edge.runtime.kernels")}
    assert outside == {formats.__name__}
