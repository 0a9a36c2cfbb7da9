"""Finding the knee, and remembering it."""

import pytest

from edge.devices.probe import Memory, Probe


def probed(seconds):
    probe, tokens = Probe(max(seconds)), 0
    while not probe.done:
        # The first tokens of a number of threads are slow, and now and then one is.
        probe.take(9.0 if tokens % 13 in (0, 1, 7) else seconds[probe.threads])
        tokens += 1
    return probe.speeds, tokens


def test_speeds_are_medians_of_warm_tokens():
    speeds, tokens = probed({1: 0.2, 2: 0.11, 3: 0.1, 4: 0.1})
    assert speeds == {4: 10, 3: 10, 2: pytest.approx(1 / 0.11), 1: 5} and tokens == 4 * 13


def test_what_is_hopeless_is_not_tried_further():
    speeds, tokens = probed({1: 9.9, 2: 0.3, 3: 0.13, 4: 0.1})
    assert speeds[2] == pytest.approx(1 / 0.3) and speeds[1] == pytest.approx(0.5 / 0.3)
    assert tokens == 3 * 13


def test_a_knee_is_remembered_by_model_and_threads(tmp_path):
    memory = Memory(tmp_path / "cache" / "knees.json")
    assert memory.recall("a", 2) is None
    memory.remember("a", 2, {1: 5.0, 2: 9.0})
    memory.remember("b", 1, {1: 3.0})
    assert Memory(tmp_path / "cache" / "knees.json").recall("a", 2) == {1: 5.0, 2: 9.0}
    assert memory.recall("a", 4) is None


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"a 2": 1}', '{"a 2": {"1": "x", "2": 1}}', '{"a 2": {"1": 0, "2": 1}}',
             '{"a 2": {"1": 3}}'],
)  # fmt: skip
def test_a_broken_memory_is_an_empty_one(tmp_path, text):
    (tmp_path / "knees.json").write_text(text)
    assert Memory(tmp_path / "knees.json").recall("a", 2) is None


def test_a_memory_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    Memory(tmp_path / "file" / "knees.json").remember("a", 1, {1: 1.0})
