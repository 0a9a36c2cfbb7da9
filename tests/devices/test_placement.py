"""Threads on the big cores, and the caller back where it was."""

import os
import threading

import pytest
import tiny_model

import edge
from edge.devices.placement import PlacedPace, Placement
from edge.devices.root import Root
from tests.devices import trees

USABLE = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
BIG, *LITTLE = sorted(USABLE) or [None]
two_cores = pytest.mark.skipif(
    not LITTLE, reason="needs two cores and a system that places threads"
)


@pytest.fixture
def lopsided(tmp_path, monkeypatch):
    """This machine as if its first core were a big one and all others little."""
    tree = trees.policy(0, str(BIG), [600000, 2600000], 2600000)
    for number, cpu in enumerate(LITTLE, 1):
        tree |= trees.policy(number, str(cpu), [600000, 1500000], 1500000)
    monkeypatch.setenv("EDGE_SYSROOT", str(trees.write(tmp_path / "root", tree)))
    return Root()


def where():
    return os.sched_getaffinity(0)


@two_cores
def test_threads_started_inside_stay_and_the_caller_is_let_go(lopsided):
    placement, seen, go = Placement.find(lopsided, None), [], threading.Event()

    def help_later():
        go.wait(10)
        seen.append(where())

    with placement:
        assert where() == {BIG}
        helper = threading.Thread(target=help_later)
        helper.start()
    assert where() == USABLE
    go.set()
    helper.join()
    assert seen == [{BIG}]


@two_cores
def test_more_threads_than_big_cores_use_all(lopsided):
    assert Placement.find(lopsided, 2) is None and Placement.find(lopsided, 1).cpus == (BIG,)


def test_equal_cores_need_no_placement(fake):
    assert Placement.find(fake("virtual_machine"), None) is None
    assert Placement.find(fake({}), None) is None


@two_cores
def test_a_system_that_ignores_it_is_not_believed(lopsided, monkeypatch):
    monkeypatch.setattr(os, "sched_setaffinity", lambda process, cpus: None)
    assert Placement.find(lopsided, None) is None


@two_cores
def test_a_step_that_fails_leaves_nobody_confined(lopsided):
    class Pace:
        def before_step(self):
            return 1, 0.0

    pace = PlacedPace(Pace(), Placement((BIG,)))
    pace.before_step()
    pace.before_step()  # the one before raised
    assert where() == {BIG}
    pace._placement.release()
    assert where() == USABLE


@two_cores
def test_a_loaded_model_computes_on_big_cores_and_its_user_keeps_all(lopsided, tmp_path):
    path, seen = tiny_model.write(tmp_path / "tiny.edge"), []
    with edge.load(path) as session:
        run = session.model.team.run

        def watched(*arguments):
            seen.append(where())
            run(*arguments)

        session.model.team.run = watched
        assert session.model.threads == 1
        for _ in session.stream("Once", max_tokens=5):
            assert where() == USABLE
    assert seen == [{BIG}] * 5 and where() == USABLE
