"""Small drawings for the page: bars, a heat map, points, histograms; colours are the page's."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

WIDTH = 720
LEFT, RIGHT, TOP, BOTTOM = 150, 24, 8, 34
ROW, CELL = 24, 22


@dataclass(frozen=True)
class Bar:
    label: str
    value: float
    shown: str  # the value with its unit
    hint: str = ""


def number(value: float) -> str:
    """A coordinate."""
    return f"{value:.1f}".removesuffix(".0")


def drawing(width: float, height: float, body: str, what: str) -> str:
    """`what` it shows, for whoever cannot see it."""
    return (
        f'<svg viewBox="0 0 {number(width)} {number(height)}" width="{number(width)}" '
        f'height="{number(height)}" role="img" aria-label="{escape(what)}">\n{body}</svg>\n'
    )


def text(x: float, y: float, words: str, anchor: str = "start", kind: str = "label") -> str:
    return (
        f'<text x="{number(x)}" y="{number(y)}" text-anchor="{anchor}" class="{kind}">'
        f"{escape(words)}</text>\n"
    )


def rectangle(
    x: float, y: float, width: float, height: float, kind: str, hint: str, more: str = ""
) -> str:
    """`more` attributes; `hint` shows under the pointer."""
    return (
        f'<rect x="{number(x)}" y="{number(y)}" width="{number(max(width, 0.5))}" '
        f'height="{number(max(height, 0.5))}" class="{kind}"{more}><title>{escape(hint)}</title></rect>\n'
    )


def bars(items: Sequence[Bar], what: str) -> str:
    """A row each, longest value across."""
    most = max((bar.value for bar in items), default=0) or 1
    room = WIDTH - LEFT - 110
    body = ""
    for i, bar in enumerate(items):
        y, length = TOP + i * ROW, room * bar.value / most
        hint = bar.hint or f"{bar.label}: {bar.shown}"
        body += text(LEFT - 8, y + 15, bar.label, "end")
        body += rectangle(LEFT, y + 3, length, ROW - 8, "mark", hint)
        body += text(LEFT + length + 6, y + 15, bar.shown, kind="value")
    return drawing(WIDTH, TOP + len(items) * ROW + 8, body, what)


def columns(items: Sequence[tuple[str, Sequence[Bar]]], shown_most: str, what: str) -> str:
    """A column each, its bars on top of each other; the axis begins at 0."""
    height, left = 180, 70
    most = max((sum(b.value for b in stack) for _, stack in items), default=0) or 1
    step = (WIDTH - left - RIGHT) / max(1, len(items))
    body = text(left - 8, TOP + 10, shown_most, "end") + text(left - 8, TOP + height, "0", "end")
    body += f'<path d="M{left} {TOP}V{TOP + height}H{WIDTH - RIGHT}" class="axis"/>\n'
    every = max(1, math.ceil(len(items) / 24))
    for i, (label, stack) in enumerate(items):
        x, y = left + i * step, float(TOP + height)
        for j, bar in enumerate(stack):
            size = height * bar.value / most
            y -= size
            hint = f"{label}, {bar.label}: {bar.shown}"
            body += rectangle(x + step * 0.12, y, step * 0.76, size, f"mark series{j}", hint)
        if i % every == 0:
            body += text(x + step / 2, TOP + height + 15, label, "middle")
    return drawing(WIDTH, TOP + height + BOTTOM, body, what)


def heat(
    rows: Sequence[str], columns_: Sequence[str], values: dict[tuple[int, int], float], what: str
) -> str:
    """A cell for each value of (row, column), a share; the darkest is the largest."""
    most = max(values.values(), default=0) or 1
    cell = min(CELL, (WIDTH - LEFT - RIGHT) / max(1, len(columns_)))
    body = ""
    for (row, column), value in values.items():
        hint = f"{rows[row]}, layer {columns_[column]}: {value:.2%}"
        x, y = LEFT + column * cell, TOP + row * CELL
        opacity = f' fill-opacity="{0.06 + 0.94 * value / most:.3f}"'
        body += rectangle(x, y, cell - 1, CELL - 1, "mark", hint, opacity)
    for row, label in enumerate(rows):
        body += text(LEFT - 8, TOP + row * CELL + 15, label, "end")
    bottom, every = TOP + len(rows) * CELL, max(1, math.ceil(len(columns_) / 24))
    for column, label in enumerate(columns_):
        if column % every == 0:
            body += text(LEFT + (column + 0.5) * cell, bottom + 14, label, "middle")
    return drawing(WIDTH, bottom + 22, body, what)


def points(items: Sequence[tuple[str, float, float]], axes: tuple[str, str], what: str) -> str:
    """(label, x, y) as shares on equal axes, with the line where both are the same."""
    side, left, top = 300, 90, 12
    most = 1.08 * max((max(x, y) for _, x, y in items), default=0) or 1
    body = f'<path d="M{left} {top}V{top + side}H{left + side}" class="axis"/>\n'
    body += f'<path d="M{left} {top + side}L{left + side} {top}" class="even"/>\n'
    for label, x, y in items:
        hint = f"{label}: {axes[0]} {x:.2%}, {axes[1]} {y:.2%}"
        body += (
            f'<circle cx="{number(left + side * x / most)}" cy="{number(top + side * (1 - y / most))}" '
            f'r="4.5" class="mark"><title>{escape(hint)}</title></circle>\n'
        )
    body += text(left - 8, top + 10, f"{most:.2%}", "end")
    body += text(left - 8, top + side, "0", "end")
    body += text(left + side, top + side + 16, f"{most:.2%}", "middle")
    body += text(left + side / 2, top + side + 16, axes[0], "middle")
    body += text(left - 8, top + side / 2, axes[1], "end")
    return drawing(left + side + 40, top + side + 26, body, what)


def histograms(before: np.ndarray, after: np.ndarray, ends: tuple[float, float], what: str) -> str:
    """Counts of equal bins from `ends[0]` to `ends[1]`: an area, and a line over it."""
    width, height = 340.0, 150.0
    most = max(int(before.max()), int(after.max()), 1)
    body = ""
    for counts, kind in ((before, "area"), (after, "line")):
        step = width / len(counts)
        path = f"M0 {number(height)}"
        for i, n in enumerate(counts):
            y = height * (1 - math.sqrt(int(n) / most))
            path += f"V{number(y)}H{number((i + 1) * step)}"
        body += f'<path d="{path}V{number(height)}" class="{kind}"/>\n'
    body += f'<path d="M0 {number(height)}H{number(width)}" class="axis"/>\n'
    for x, value, anchor in (
        (0.0, ends[0], "start"),
        (width / 2, (ends[0] + ends[1]) / 2, "middle"),
        (width, ends[1], "end"),
    ):
        body += text(x, height + 15, f"{value:.3g}", anchor)
    return drawing(width, height + 20, body, what)
