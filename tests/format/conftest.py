"""Fixtures of the format's tests."""

import pytest

from tests.format import small_file


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """Path of a small, whole file."""
    path = tmp_path_factory.mktemp("format") / "small.edge"
    small_file.write(path)
    return path


@pytest.fixture
def pieces(small):
    """The small file taken apart, to be broken."""
    return small_file.Pieces.of(small)


@pytest.fixture
def refusal(tmp_path):
    """What the reader says about some bytes; every message names the file first."""
    from edge.errors import EdgeError, FormatError
    from edge.format.reader import EdgeFile

    def refusal(content: bytes) -> str:
        path = tmp_path / "broken.edge"
        path.write_bytes(content)
        with pytest.raises(FormatError) as caught:
            EdgeFile(path)
        message = str(caught.value)
        assert isinstance(caught.value, EdgeError) and isinstance(caught.value, ValueError)
        assert message.startswith(f"{path}: ")
        assert "\n" not in message and len(message) < len(str(path)) + 400
        return message.removeprefix(f"{path}: ")

    return refusal
