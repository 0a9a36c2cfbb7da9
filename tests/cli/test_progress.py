"""The progress bar: silent for short work and without a terminal."""

import io

import pytest

from edge.cli import quantities
from edge.cli.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def bar(stream, clock, quantity=quantities.size):
    return Progress("copying", quantity, stream=stream, clock=clock)


def test_work_that_is_soon_done_shows_nothing(clock):
    stream = Terminal()
    with bar(stream, clock) as progress:
        for done in range(10):
            clock.now += 0.1
            progress(done, 10)
    assert stream.getvalue() == ""


def test_work_that_lasts_shows_share_rate_and_time_left(clock):
    stream = Terminal()
    with bar(stream, clock) as progress:
        clock.now = 4.0
        progress(25e6, 100e6)
    shown = stream.getvalue()
    assert "copying [" in shown and "25%" in shown
    assert "6.2 MB/s" in shown and "0:12 left" in shown


def test_the_bar_leaves_a_clean_line(clock):
    stream = Terminal()
    with bar(stream, clock) as progress:
        clock.now = 4.0
        progress(1, 2)
        progress(2, 2)
    assert stream.getvalue().endswith(" \r")


def test_without_a_terminal_there_is_no_bar(clock):
    stream = io.StringIO()
    with bar(stream, clock) as progress:
        clock.now = 9.0
        progress(1, 2)
    assert stream.getvalue() == ""


def test_the_bar_is_drawn_ten_times_a_second_at_most(clock):
    stream = Terminal()
    with bar(stream, clock) as progress:
        clock.now = 3.0
        for done in range(1000):
            clock.now += 0.001
            progress(done, 1000)
    assert stream.getvalue().count("copying") <= 11


@pytest.mark.parametrize(
    "nbytes, text",
    [(0, "0 B"), (999, "999 B"), (23040, "23.0 kB"), (98561408, "98.6 MB"), (3.2e13, "32 TB")],
)
def test_sizes_read_well(nbytes, text):
    assert quantities.size(nbytes) == text


@pytest.mark.parametrize("seconds, text", [(0.4, "0:00"), (75, "1:15"), (3661, "1:01:01")])
def test_durations_read_well(seconds, text):
    assert quantities.duration(seconds) == text
