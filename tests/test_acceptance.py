"""docs/acceptance.md names tests that there are."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_test_that_the_page_names_is_there():
    page = (ROOT / "docs" / "acceptance.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page)
    assert len(named) > 50
    missing = [f"{path}::{test}" for path, test in named if test not in named_in(ROOT / path)]
    assert not missing


def named_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
