"""Charts as SVG, rendered on the server: no script, no style attribute."""

from __future__ import annotations

import collections.abc as cabc
import math
import typing as t

import markupsafe

from .chart_data import Hours

#: The size of a chart, in units of its view box.
WIDTH, HEIGHT = 420, 170
_LEFT, _TOP, _BOTTOM = 50, 8, 22
#: Half the width of an hour's label.
_HALF_LABEL = 16
#: The height of a row in a chart of rows, and the width of its label.
_ROW, _LABEL = 26, 130
#: Number of colours; series beyond it share the last one.
COLOURS = 6

Write = cabc.Callable[[float], str]


def bars(hours: Hours, title: str, write: Write) -> markupsafe.Markup:
    """Draw stacked bars, one for each hour."""
    totals = [
        sum(values[place] or 0 for values in hours.series.values())
        for place in range(len(hours.begins))
    ]
    top = max(_nice(max(totals, default=0)), 2.0)  # so that half of it is a whole number
    step = (WIDTH - _LEFT) / len(hours.begins)
    parts = [_axis(hours, top, write)]
    for place, begin in enumerate(hours.begins):
        y = float(HEIGHT - _BOTTOM)
        for index, (name, values) in enumerate(hours.series.items()):
            count = values[place] or 0
            if not count:
                continue
            height = count / top * (HEIGHT - _TOP - _BOTTOM)
            y -= height
            parts.append(
                markupsafe.Markup(
                    '<rect class="series-{}" x="{}" y="{}" width="{}" height="{}">'
                    "<title>{} UTC, {}: {}</title></rect>"
                ).format(
                    _colour(index),
                    _rounded(_LEFT + place * step + 1.5),
                    _rounded(y),
                    _rounded(step - 3),
                    _rounded(height),
                    f"{begin:%d %b %H:%M}",
                    name,
                    write(count),
                )
            )
    return _drawing(title, parts)


def lines(hours: Hours, title: str, write: Write) -> markupsafe.Markup:
    """Draw a line for each series; an hour without a value is a gap."""
    numbers = [value for values in hours.series.values() for value in values if value is not None]
    top = _nice(max(numbers, default=0))
    step = (WIDTH - _LEFT) / len(hours.begins)
    parts = [_axis(hours, top, write)]
    for index, (name, values) in enumerate(hours.series.items()):
        points: list[tuple[float, float, float, int]] = []
        for place, value in enumerate(values):
            if value is not None:
                y = HEIGHT - _BOTTOM - value / top * (HEIGHT - _TOP - _BOTTOM)
                points.append((_LEFT + (place + 0.5) * step, y, value, place))
        path = " ".join(
            f"{'L' if before is not None and before[3] == one[3] - 1 else 'M'}"
            f"{_rounded(one[0])} {_rounded(one[1])}"
            for before, one in zip([None, *points], points, strict=False)
        )
        parts.append(
            markupsafe.Markup('<path class="line-{}" d="{}"></path>').format(_colour(index), path)
        )
        parts += [
            markupsafe.Markup(
                '<circle class="series-{}" cx="{}" cy="{}" r="2.5"><title>{} UTC, {}: {}</title>'
                "</circle>"
            ).format(
                _colour(index),
                _rounded(x),
                _rounded(y),
                f"{hours.begins[place]:%d %b %H:%M}",
                name,
                write(value),
            )
            for x, y, value, place in points
        ]
    return _drawing(title, parts)


def rows(
    values: cabc.Sequence[tuple[str, float]], title: str, write: Write, least: float = 1
) -> markupsafe.Markup:
    """Draw a horizontal bar for each value, with its label on the left and its number at the end.

    :param least: the smallest value for the full width.
    """
    top = max(least, *(value for _, value in values), 1)
    room = WIDTH - _LABEL - 60
    parts = []
    for place, (label, value) in enumerate(values):
        y = place * _ROW
        length = max(value / top * room, 2 if value else 0)
        parts.append(
            markupsafe.Markup(
                '<text class="label" x="{}" y="{}" dy="0.32em" text-anchor="end">{}</text>'
                '<rect class="series-0" x="{}" y="{}" width="{}" height="{}" rx="3"></rect>'
                '<text class="label" x="{}" y="{}" dy="0.32em">{}</text>'
            ).format(
                _LABEL - 10,
                y + _ROW / 2,
                label if len(label) <= 20 else f"{label[:19]}…",
                _LABEL,
                y + 5,
                _rounded(length),
                _ROW - 10,
                _rounded(_LABEL + length + 8),
                y + _ROW / 2,
                write(value),
            )
        )
    text = "; ".join(f"{label}: {write(value)}" for label, value in values)
    return markupsafe.Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    ).format(WIDTH, max(len(values), 1) * _ROW, f"{title}. {text}", _joined(parts))


def spark(counts: cabc.Sequence[int]) -> markupsafe.Markup:
    """Draw bars as high as a line of text, for tables."""
    top, width, height = max(counts, default=0) or 1, 96, 24
    step = width / max(len(counts), 1)
    rects = [
        markupsafe.Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"></rect>').format(
            "series-0" if count else "series-none",
            _rounded(place * step),
            _rounded(height - max(count / top * height, 1)),
            _rounded(step - 1),
            _rounded(max(count / top * height, 1)),
        )
        for place, count in enumerate(counts)
    ]
    text = f"{sum(counts):,} events in the last {len(counts)} hours"
    return markupsafe.Markup(
        '<svg class="spark" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    ).format(width, height, text, _joined(rects))


def colour(index: int) -> int:
    """Return the number of a series' colour, for the legend."""
    return _colour(index)


def _colour(index: int) -> int:
    return min(index, COLOURS - 1)


def _axis(hours: Hours, top: float, write: Write) -> markupsafe.Markup:
    parts = []
    for share in (0, 0.5, 1):
        y = _rounded(HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM))
        parts.append(
            markupsafe.Markup(
                '<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"></line>'
                '<text class="label" x="{}" y="{}" dy="0.32em" text-anchor="end">{}</text>'
            ).format(_LEFT, WIDTH, y, y, _LEFT - 6, y, write(top * share))
        )
    step = (WIDTH - _LEFT) / len(hours.begins)
    for place, begin in enumerate(hours.begins):
        if begin.hour % 6 == 0:
            middle = _LEFT + (place + 0.5) * step
            last = middle + _HALF_LABEL > WIDTH
            parts.append(
                markupsafe.Markup(
                    '<text class="label" x="{}" y="{}" text-anchor="{}">{}</text>'
                ).format(
                    _rounded(WIDTH if last else middle),
                    HEIGHT - 6,
                    "end" if last else "middle",
                    f"{begin:%H:%M}",
                )
            )
    return _joined(parts)


def _drawing(title: str, parts: cabc.Iterable[markupsafe.Markup]) -> markupsafe.Markup:
    return markupsafe.Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    ).format(WIDTH, HEIGHT, title, _joined(parts))


def _joined(parts: cabc.Iterable[markupsafe.Markup]) -> markupsafe.Markup:
    return markupsafe.Markup("").join(parts)


def _nice(top: float) -> float:
    """Return the next round number whose half is round, too."""
    if top <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(top))
    return next(factor * power for factor in (1, 2, 4, 6, 8, 10) if factor * power >= top)


def _rounded(value: t.SupportsFloat) -> str:
    return f"{float(value):.1f}".removesuffix(".0")
