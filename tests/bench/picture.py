"""The rates of every way through a director as one picture (SVG), each as a part of what the kernel's DNAT does.

The law: it shows rows of the table and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby

from tests.bench.bed import KERNEL, PLAIN, SLOW, TC, XDP
from tests.bench.routes import HAPROXY, NGINX
from tests.bench.sample import Row

WAYS = {
    PLAIN: "#9aa5b1", HAPROXY: "#d08770", NGINX: "#a3794b", SLOW: "#b48ead", TC: "#3b7dd8", XDP: "#1f9d78",
}  # fmt: skip
_WIDTH, _LEFT, _RIGHT = 860, 150, 90
_BAR, _GAP, _HEADING, _TOP = 15, 16, 22, 56


def drawn(rows: Sequence[Row], when: str) -> str:
    """Return the picture of the rows that compare a way's rate with the kernel's DNAT; `when` is told below."""
    shown = [(measure, list(bars)) for measure, bars in groupby(_bars(rows), lambda bar: bar[0])]
    most = max((ratio for _, bars in shown for _, _, ratio in bars), default=1.0)
    scale = (_WIDTH - _LEFT - _RIGHT) / most
    parts, y = [], _TOP
    for measure, bars in shown:
        parts.append(_text(10, y + 14, measure, "bold"))
        y += _HEADING
        for _, way, ratio in bars:
            parts.append(_text(_LEFT - 8, y + 12, way, anchor="end"))
            parts.append(
                f'<rect x="{_LEFT}" y="{y}" width="{ratio * scale:.1f}" height="{_BAR - 3}" fill="{WAYS[way]}"/>'
            )
            parts.append(_text(_LEFT + ratio * scale + 6, y + 11, f"{ratio:.2f}"))
            y += _BAR
        y += _GAP
    one = _LEFT + scale
    line = f'<line x1="{one:.1f}" y1="{_TOP - 6}" x2="{one:.1f}" y2="{y - _GAP}" stroke="#444" stroke-dasharray="4 3"/>'
    title = _text(10, 24, "Rates, as a multiple of the kernel's own DNAT (dashed line: 1)", "bold", size=15)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y + 24}" font-family="sans-serif">'
    ground = f'<rect width="{_WIDTH}" height="{y + 24}" fill="#ffffff"/>'
    return "\n".join([head, ground, title, *parts, line, _text(10, y + 12, when, size=11), "</svg>", ""])


def _bars(rows: Sequence[Row]) -> Iterator[tuple[str, str, float]]:
    """Yield measure, way and ratio."""
    for row in rows:
        way = next((way for way in WAYS if row.what.startswith(way)), None)
        if way is not None and row.against == KERNEL and row.ratio is not None and row.unit.endswith("/s"):
            yield row.section.partition(": ")[2] + row.what.removeprefix(way), way, row.ratio


def _text(x: float, y: float, words: str, weight: str = "normal", *, anchor: str = "start", size: int = 12) -> str:
    where = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}"'
    return f'<text {where} fill="#222">{escape(words)}</text>'
