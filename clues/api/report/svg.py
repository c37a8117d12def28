"""Drawings as SVG text: stacked areas over time, bars. Colours are the style sheet's."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Final

__all__ = ["bars", "nice_step", "stacked_areas"]

_WIDTH: Final = 1000.0
_HEIGHT: Final = 260.0
_LEFT: Final = 52.0
_RIGHT: Final = 12.0
_TOP: Final = 12.0
_BOTTOM: Final = 30.0
_STEPS_S: Final = (60, 300, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 2 * 86400, 7 * 86400, 30 * 86400)


def nice_step(most: float, lines: int = 5) -> float:
    """Return the distance of grid lines: 1, 2 or 5 times a power of ten, so that about `lines` fit below `most`."""
    if most <= 0 or not math.isfinite(most):
        return 1.0
    power = 10.0 ** math.floor(math.log10(most / lines))
    return next((factor * power for factor in (1, 2, 5, 10) if factor * power * lines >= most), 10 * power)


def stacked_areas(
    series: Mapping[str, Sequence[float]],
    names: Mapping[str, str],
    *,
    since: float,
    until: float,
    what: str,
    whole: bool = False,
) -> str:
    """Return areas stacked in the order of `names` (key -> what it is called); equal steps from `since` to `until`.

    `what` describes the drawing to those who cannot see it. `whole`: grid lines at whole numbers only.
    """
    keys = [key for key in names if any(series.get(key, ()))]
    count = max((len(series[key]) for key in keys), default=0)
    sums = [sum(series[key][n] for key in keys) for n in range(count)]
    most = max(sums, default=0.0) or 1.0
    step = nice_step(most)
    if whole:
        step = max(1.0, step)
    top = math.ceil(most / step - 1e-9) * step
    parts = [_open(what), *_y_axis(top, step), *_x_axis(since, until)]
    below = [0.0] * count
    for key in keys:
        above = [low + value for low, value in zip(below, series[key], strict=True)]
        parts.append(
            f'<path class="area" fill="var(--{key})" d="{_band(below, above, top)}">'
            f"<title>{escape(names[key])}</title></path>"
        )
        below = above
    return "".join([*parts, "</svg>"])


def _open(what: str) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" aria-label="{escape(what)}"'
        ' xmlns="http://www.w3.org/2000/svg">'
    )


def _y(value: float, top: float) -> float:
    return _HEIGHT - _BOTTOM - value / top * (_HEIGHT - _TOP - _BOTTOM)


def _y_axis(top: float, step: float) -> list[str]:
    parts = []
    for n in range(round(top / step) + 1):
        y = _y(n * step, top)
        parts.append(f'<line class="grid" x1="{_LEFT:g}" x2="{_WIDTH - _RIGHT:g}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 8:g}" y="{y + 4:.1f}" text-anchor="end">{_number(n * step)}</text>')
    return parts


def _number(value: float) -> str:
    return f"{value:,.0f}".replace(",", "\u2009") if value >= 1000 else f"{value:.6g}"


def _x_axis(since: float, until: float) -> list[str]:
    span = max(until - since, 1e-9)
    step = next((s for s in _STEPS_S if span / s <= 9), math.ceil(span / 9 / 86400) * 86400)
    form = "%H:%M" if span <= 36 * 3600 else ("%d %b %H:%M" if step < 86400 else "%d %b")
    parts = []
    at = math.ceil(since / step) * step
    while at <= until:
        x = _LEFT + (at - since) / span * (_WIDTH - _LEFT - _RIGHT)
        if _LEFT + 14 <= x <= _WIDTH - _RIGHT - 14:
            word = datetime.fromtimestamp(at, UTC).strftime(form)
            parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - 10:g}" text-anchor="middle">{word}</text>')
        at += step
    return parts


def _band(below: Sequence[float], above: Sequence[float], top: float) -> str:
    width = (_WIDTH - _LEFT - _RIGHT) / max(len(above), 1)

    def line(values: Sequence[float]) -> list[str]:
        points = []
        for n, value in enumerate(values):  # steps: an average holds for its whole bucket
            y = f"{_y(value, top):.1f}"
            points += [f"{_LEFT + n * width:.1f} {y}", f"{_LEFT + (n + 1) * width:.1f} {y}"]
        return points

    return f"M{' L'.join([*line(above), *reversed(line(below))])}Z"


def bars(labels: Sequence[str], values: Sequence[float], *, what: str, colour: str = "accent") -> str:
    """Return a bar for each value, labelled below, with its value above."""
    most = max(values, default=0.0) or 1.0
    width = (_WIDTH - 2 * _RIGHT) / max(len(values), 1)
    parts = [_open(what)]
    base = _HEIGHT - _BOTTOM
    parts.append(f'<line class="grid" x1="{_RIGHT:g}" x2="{_WIDTH - _RIGHT:g}" y1="{base:g}" y2="{base:g}"/>')
    for n, (label, value) in enumerate(zip(labels, values, strict=True)):
        x, middle = _RIGHT + n * width, _RIGHT + (n + 0.5) * width
        height = value / most * (base - 34)
        if value:
            parts.append(
                f'<rect x="{x + width * 0.14:.1f}" y="{base - height:.1f}" width="{width * 0.72:.1f}"'
                f' height="{height:.1f}" rx="3" fill="var(--{colour})"/>'
                f'<text x="{middle:.1f}" y="{base - height - 7:.1f}" text-anchor="middle">{_number(value)}</text>'
            )
        parts.append(f'<text x="{middle:.1f}" y="{_HEIGHT - 10:g}" text-anchor="middle">{escape(label)}</text>')
    return "".join([*parts, "</svg>"])
