"""A chart of a long run, as SVG: tokens a second, temperature and watts over time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

WIDTH, PANEL, LEFT, TOP, GAP = 800, 140, 70, 40, 30
COLOUR, MARK = "#1f5fa8", "#d9480f"
SMOOTH_S = 10.0  # tokens a second over so long


@dataclass
class Series:
    """One panel's line.  A point without a value is a gap."""

    label: str
    points: list[tuple[float, float | None]] = field(default_factory=list)
    marks: list[float] = field(default_factory=list)  # times at which the device throttled


def series(history: Iterable[tuple[Any, Any]]) -> list[Series]:
    """Panels of (sample, activity) pairs; a panel without any value is left out."""
    from edge.devices.rows import Rows

    rows, pairs = Rows(), list(history)
    if not pairs:
        return []
    start = pairs[0][0].t
    speed, heat, power = Series("tok/s"), Series("°C"), Series("W")
    oldest = 0
    for sample, activity in pairs:
        row, t = rows.row(sample, activity), sample.t - start
        while pairs[oldest][0].t < sample.t - SMOOTH_S:
            oldest += 1
        before, then = pairs[oldest]
        seconds = sample.t - before.t
        tokens = activity.decode_tokens - then.decode_tokens
        speed.points.append((t, tokens / seconds if seconds > 0 else None))
        heat.points.append((t, row["temp_c"]))
        power.points.append((t, row["power_w"]))
        if row["throttle_reason"] not in (None, "none"):
            heat.marks.append(t)
    panels = speed, heat, power
    return [panel for panel in panels if any(value is not None for _, value in panel.points)]


def svg(panels: Sequence[Series], title: str) -> str:
    """A drawing that any browser shows."""
    height = TOP + len(panels) * (PANEL + GAP)
    body = "".join(_panel(panel, TOP + i * (PANEL + GAP)) for i, panel in enumerate(panels))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n'
        f'<text x="{LEFT}" y="22" font-size="15">{escape(title)}</text>\n{body}</svg>\n'
    )


def _panel(panel: Series, top: float) -> str:
    known = [value for _, value in panel.points if value is not None]
    high, last_t = 1.1 * max(known) or 1.0, panel.points[-1][0] or 1.0

    def x(t: float) -> float:
        return LEFT + (WIDTH - LEFT - 20) * t / last_t

    def y(value: float) -> float:
        return top + PANEL * (1 - value / high)

    marks = "".join(
        f'<rect x="{x(t):.1f}" y="{top}" width="2" height="{PANEL}" fill="{MARK}" opacity="0.25"/>\n'
        for t in panel.marks
    )
    lines = "".join(
        f'<polyline fill="none" stroke="{COLOUR}" stroke-width="1.5" points="{points}"/>\n'
        for points in _runs(panel.points, x, y)
    )
    return (
        f'<path d="M{LEFT} {top}V{top + PANEL}H{WIDTH - 20}" stroke="black" fill="none"/>\n'
        f'<text x="8" y="{top + 12}">{panel.label}</text>\n'
        f'<text x="{LEFT - 6}" y="{top + 12}" text-anchor="end">{high:.3g}</text>\n'
        f'<text x="{LEFT - 6}" y="{top + PANEL}" text-anchor="end">0</text>\n'
        f'<text x="{WIDTH - 20}" y="{top + PANEL + 15}" text-anchor="end">{last_t / 60:.1f} min</text>\n'
        f"{marks}{lines}"
    )


def _runs(points: Sequence[tuple[float, float | None]], x: Any, y: Any) -> list[str]:
    """Coordinates of each stretch without a gap."""
    runs: list[list[str]] = [[]]
    for t, value in points:
        if value is None:
            runs.append([])
        else:
            runs[-1].append(f"{x(t):.1f},{y(value):.1f}")
    return [" ".join(run) for run in runs if run]
