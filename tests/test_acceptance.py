"""docs/acceptance.md names tests that there are, and leaves no row of its catalogue out."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "acceptance.md").read_text(encoding="utf-8")
# Rows that a first release owes; the others are of training, or for later.
OWED = {
    *range(1, 11), *range(12, 19), 22, 24, 25, 28, 31, 33, 34, *range(37, 40), 41, 42, 44, 45, 46, 55,
    60, 62, *range(65, 71), 72, 73, 74, *range(78, 88), *range(92, 96), 97, 99, 100, *range(102, 109),
}  # fmt: skip


def test_every_test_that_the_page_names_is_there():
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
    assert len(named) > 50
    missing = [f"{path}::{test}" for path, test in named if test not in named_in(ROOT / path)]
    assert not missing


def named_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_row_that_is_owed_has_a_line():
    found: set[int] = set()
    for cell in re.findall(r"^\| ([0-9][0-9, -]*) \|", PAGE, re.MULTILINE):
        for part in cell.split(", "):
            first, _, last = part.partition("-")
            found |= {*range(int(first), int(last or first) + 1)}
    assert found <= {*range(1, 109)}
    assert sorted(OWED - found) == []
