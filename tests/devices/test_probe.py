"""Finding the knee, and doubting it."""

import pytest

from edge.devices.probe import RECHECK_ROUNDS, Probe, agrees


def probed(
    seconds, counts=None, disturbed=lambda token: False, drift=lambda token: 1.0, **settings
):
    """A probe of a device on which n threads take seconds[n]; and the tokens it took."""
    probe, token = Probe(counts or seconds, **settings), 0
    while not probe.done:
        slow = 3.0 if disturbed(token) else 1.0
        took = slow * drift(token) * seconds[probe.threads]
        probe.take(took, took / slow)
        token += 1
    return probe, token


def test_speeds_are_those_of_all_rounds():
    probe, tokens = probed({1: 0.2, 2: 0.11, 3: 0.1, 4: 0.1})
    assert probe.speeds == pytest.approx({4: 10, 3: 10, 2: 1 / 0.11, 1: 5})
    assert tokens == 3 + 3 * (4 + 3 * 3) and not probe.contended  # one thread: in the first round


def test_what_is_hopeless_is_tried_once_and_what_is_below_not_at_all():
    probe, tokens = probed({1: 9.9, 2: 0.3, 3: 0.13, 4: 0.1})
    assert probe.speeds[2] == pytest.approx(1 / 0.3) and probe.speeds[1] == probe.speeds[2] / 2
    assert tokens == 3 + 3 * (3 + 3 * 2)


def test_a_machine_that_slows_down_meanwhile_does_not_move_the_knee():
    even = {1: 0.1, 2: 0.1, 3: 0.1, 4: 0.1}
    probe, tokens = probed(even, drift=lambda token: 1 + token / 500)
    assert tokens == 51 and max(probe.speeds.values()) < 1.03 * min(probe.speeds.values())


def test_a_few_disturbed_tokens_are_left_out():
    seconds = {1: 0.2, 2: 0.1}
    probe, _ = probed(seconds, disturbed=lambda token: token % 7 == 0)
    assert probe.speeds == pytest.approx({1: 5, 2: 10}) and not probe.contended


def test_a_busy_neighbour_is_noticed_by_the_cores_it_takes():
    assert probed({1: 0.15, 2: 0.1}, disturbed=lambda token: token % 5 < 2)[0].contended


def test_a_neighbour_who_takes_no_core_but_memory_is_noticed_by_the_spread():
    assert probed({1: 0.15, 2: 0.1}, drift=lambda token: 1 + (token // 6) % 2)[0].contended


def test_a_clock_that_counts_no_time_at_work_is_no_neighbour():
    probe = Probe([1])
    while not probe.done:
        probe.take(0.1)
    assert not probe.contended and probe.speeds == {1: pytest.approx(10)}


def test_a_recheck_takes_few_tokens_and_tells_another_knee():
    remembered = {1: 5.0, 2: 9.0, 3: 10.0, 4: 10.0}
    same, tokens = probed({2: 0.22, 4: 0.2}, rounds=RECHECK_ROUNDS)  # half as fast, alike
    other, _ = probed({2: 0.3, 4: 0.2}, rounds=RECHECK_ROUNDS)
    assert tokens == 15
    assert agrees(same.speeds, remembered) and not agrees(other.speeds, remembered)
