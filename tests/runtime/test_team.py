"""Plans walked by teams: the same result whatever the number of threads."""

import multiprocessing
import time

import machine
import numpy as np
import pytest

from edge.runtime.libraries.choice import library
from edge.runtime.plan import Arena, Op, Plan
from edge.runtime.team import Team


def norm_adds(arena: Arena, x: np.ndarray, out: np.ndarray, tokens: np.ndarray) -> Op:
    """out += norm(x), cut into chunks of four tokens."""
    weight = arena.array((x.shape[1],), "<f4")
    weight[:] = 1
    at = machine.address
    arguments = (at(tokens), at(x), x.strides[0], 0, 0, at(out), out.strides[0],
                 x.shape[1], x.shape[1], at(weight), 0)  # fmt: skip
    return Op("norm-add", arguments, tokens_per_chunk=4)


class Doubling:
    """A plan whose every op doubles what the one before left: order and completeness show."""

    def __init__(self, ops: int, tokens: int):
        self.arena = Arena()
        self.tokens = self.arena.array((1,), "<i8")
        self.x = self.arena.array((tokens, 64), "<f4")
        self.out = self.arena.array((tokens, 64), "<f4")
        op = norm_adds(self.arena, self.x, self.out, self.tokens)
        self.plan = Plan([op] * ops, library())

    def run(self, team: Team, tokens: int) -> np.ndarray:
        self.tokens[0] = tokens
        self.x[:] = np.random.default_rng(tokens).standard_normal(self.x.shape)
        self.out[:] = 0
        team.run(self.plan, tokens, 1)
        return self.out.copy()


@pytest.mark.parametrize("threads", [1, 2, 3, 4, 9])
def test_the_result_does_not_depend_on_the_number_of_threads(threads):
    work = Doubling(ops=50, tokens=37)
    alone, team = Team(library(), 1, 64), Team(library(), threads, 64)
    for tokens in (37, 1, 8, 36):
        expected = work.run(alone, tokens)
        assert (expected[:tokens] != 0).all() and (expected[tokens:] == 0).all()
        for _ in range(20):
            assert (work.run(team, tokens) == expected).all()
    alone.close()
    team.close()


def test_a_team_can_shrink_and_grow_between_steps():
    work, team = Doubling(ops=20, tokens=32), Team(library(), 4, 64)
    expected = work.run(team, 32)
    for threads in (1, 3, 2, 4, 0, 99):
        team.resize(threads)
        assert (work.run(team, 32) == expected).all()
    team.close()


def test_helpers_that_slept_wake_up_for_the_next_step():
    work, team = Doubling(ops=20, tokens=64), Team(library(), 3, 64)
    expected = work.run(team, 64)
    for pause in (0.001, 0.02, 0.05):
        time.sleep(pause)
        assert (work.run(team, 64) == expected).all()
    team.close()


def test_two_teams_and_two_plans_do_not_disturb_each_other():
    works = [Doubling(ops=30, tokens=16) for _ in range(2)]
    teams = [Team(library(), 2, 64) for _ in range(2)]
    expected = works[0].run(teams[0], 16)
    for i in range(40):
        assert (works[i % 2].run(teams[i // 2 % 2], 16) == expected).all()
    for team in teams:
        team.close()


def _spin(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_a_step_ends_beside_a_process_that_takes_the_cores():
    """Steps are counted, not timed: with barriers that wait for threads this took minutes."""
    hogs = [multiprocessing.get_context("spawn").Process(target=_spin, args=(2,)) for _ in range(2)]
    for hog in hogs:
        hog.start()
    work, team = Doubling(ops=100, tokens=16), Team(library(), 4, 64)
    expected = work.run(team, 16)
    for _ in range(200):
        assert (work.run(team, 16) == expected).all()
    for hog in hogs:
        hog.join()
    team.close()


def test_ops_without_a_barrier_between_them_are_all_done_before_the_next():
    arena, tokens = Arena(), 32
    count = arena.array((1,), "<i8")
    count[0] = tokens
    x, a, b, c = (arena.array((tokens, 64), "<f4") for _ in range(4))
    x[:] = np.random.default_rng(1).standard_normal(x.shape)
    first, second = (norm_adds(arena, x, out, count) for out in (a, b))
    free = Op(first.kernel, first.arguments, tokens_per_chunk=4, barrier=False)
    last = norm_adds(arena, b, c, count)
    plan, team = Plan([free, second, last], library()), Team(library(), 2, 64)
    for _ in range(200):
        for out in (a, b, c):
            out[:] = 0
        x[:] = np.random.default_rng(1).standard_normal(x.shape)
        team.run(plan, tokens, 1)
        assert np.isfinite(c).all() and (c != 0).all() and (a != 0).all()
    team.close()


def _steps_of_equal_counts() -> None:
    """More threads than cores, ops of one long chunk: waiters sleep, and counts repeat."""
    arena = Arena()
    data = arena.array((65536,), "<f4")
    sums = arena.array((16,), "<f4")
    op = Op("read", (machine.address(data), data.nbytes, machine.address(sums)))
    plan, team = Plan([op] * 60, library()), Team(library(), 4, 64)
    for _ in range(3000):
        team.run(plan, 1, 1)
    team.close()


def test_no_wake_up_is_lost_when_the_counts_of_two_steps_are_alike():
    process = multiprocessing.get_context("spawn").Process(target=_steps_of_equal_counts)
    process.start()
    process.join(timeout=120)  # it takes seconds; a lost wake-up never ends
    hangs = process.is_alive()
    process.kill()
    assert not hangs and process.exitcode == 0
