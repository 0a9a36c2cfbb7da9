"""A chart of bits a weight against KL divergence, as SVG text: ours and llama.cpp's."""

import math
from html import escape

WIDTH, HEIGHT, LEFT, BOTTOM = 860, 520, 60, 40
STYLE = (
    "text{font:11px sans-serif;fill:#333}.grid{stroke:#ddd}.edge{fill:#0a6;stroke:#0a6}"
    ".llama{fill:#c50;stroke:#c50}polyline{fill:none;stroke-dasharray:4 3}"
)


def chart(rows: list[dict]) -> str:
    """Each row has name, bits and kl; the dashed lines join what nothing smaller beats."""
    place = _Axes(rows)
    ours = [row for row in rows if not row["name"].startswith("llama.cpp")]
    theirs = [row for row in rows if row not in ours]
    body = place.grid() + _series(ours, "edge", place) + _series(theirs, "llama", place)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">'
        f'<style>{STYLE}</style>\n<rect width="100%" height="100%" fill="white"/>\n{body}</svg>\n'
    )


class _Axes:
    """Bits grow to the right, the logarithm of KL upwards."""

    def __init__(self, rows: list[dict]):
        self.bits = (
            math.floor(min(r["bits"] for r in rows)),
            math.ceil(max(r["bits"] for r in rows)),
        )
        logs = [math.log10(row["kl"]) for row in rows]
        self.logs = math.floor(min(logs)), math.ceil(max(logs))

    def x(self, bits: float) -> float:
        low, high = self.bits
        return LEFT + (bits - low) / max(1, high - low) * (WIDTH - LEFT - 220)

    def y(self, kl: float) -> float:
        low, high = self.logs
        return (HEIGHT - BOTTOM) - (math.log10(kl) - low) / max(1, high - low) * (HEIGHT - 60)

    def grid(self) -> str:
        lines = [
            f'<path class="grid" d="M{self.x(b):.0f} 10V{HEIGHT - BOTTOM}"/>'
            f'<text x="{self.x(b):.0f}" y="{HEIGHT - 22}">{b} bits</text>'
            for b in range(self.bits[0], self.bits[1] + 1)
        ] + [
            f'<path class="grid" d="M{LEFT} {self.y(10**e):.0f}H{WIDTH - 220}"/>'
            f'<text x="8" y="{self.y(10**e):.0f}">{10.0**e:g}</text>'
            for e in range(self.logs[0], self.logs[1] + 1)
        ]
        title = "KL divergence from the float model, nats a token, by bits a weight of the file"
        return "\n".join([*lines, f'<text x="{LEFT}" y="{HEIGHT - 6}">{title}</text>\n'])


def _series(rows: list[dict], kind: str, place: _Axes) -> str:
    dots = [
        f'<circle class="{kind}" cx="{place.x(r["bits"]):.1f}" cy="{place.y(r["kl"]):.1f}" r="3"/>'
        f'<text x="{place.x(r["bits"]) + 6:.1f}" y="{place.y(r["kl"]) + 4:.1f}">'
        f"{escape(r['name'])}</text>"
        for r in rows
    ]
    best = [r for r in sorted(rows, key=lambda r: r["bits"]) if not _beaten(r, rows)]
    points = " ".join(f"{place.x(r['bits']):.1f},{place.y(r['kl']):.1f}" for r in best)
    return "\n".join([*dots, f'<polyline class="{kind}" points="{points}"/>\n'])


def _beaten(row: dict, rows: list[dict]) -> bool:
    return any(r["bits"] <= row["bits"] and r["kl"] < row["kl"] for r in rows)
