"""A made-up system on disk."""

import pytest

from tests.devices import trees


@pytest.fixture
def fake(tmp_path):
    """fake(tree, **refusals): the root of a tree, which is a dict or the name of a device."""

    def make(tree, **refusals):
        tree = trees.TREES[tree]() if isinstance(tree, str) else tree
        return trees.FakeRoot(trees.write(tmp_path, tree), **refusals)

    return make
