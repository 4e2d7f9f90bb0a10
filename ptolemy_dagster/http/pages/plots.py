"""Plots as SVG in the page: how full pieces are, and how fast CARs were built. Each says in words what it shows."""

import time
from collections.abc import Sequence

import numpy as np

from ptolemy_core.catalog.containers import ContainerRow
from ptolemy_core.sizes import counted, duration, readable
from ptolemy_core.status.builds import BuildPeriod
from ptolemy_dagster.http.pages.markup import Html, tag

_WIDTH, _HEIGHT = 900, 220
_LEFT, _BOTTOM, _TOP = 92, 30, 10
_COLUMNS = 120
_TIME = "%H:%M:%S"
_UNITS = (1, 2, 2.5, 5, 10)


def fill(rows: Sequence[ContainerRow]) -> Html:
    """Data, structure and padding of the pieces, from the first container to the last."""
    if not rows:
        return tag("p", "No containers are planned yet.", class_="soft")
    pieces = np.array([row.piece_size for row in rows], dtype=np.float64)
    data = np.array([row.data_bytes for row in rows]) / pieces
    used = np.array([row.car_size for row in rows]) / pieces
    shares = [float(part @ pieces / pieces.sum()) for part in (data, used)]
    said = (
        f"{counted(len(rows), 'piece')}: data {shares[0]:.1%}, structure of the CARs {shares[1] - shares[0]:.1%}, "
        f"padding {1 - shares[1]:.1%}"
    )
    parts = min(_COLUMNS, len(rows))
    columns = [
        (float(some.mean()), float(whole.mean()))
        for some, whole in zip(np.array_split(data, parts), np.array_split(used, parts), strict=True)
    ]
    edges = [round(_LEFT + (_WIDTH - _LEFT) * k / len(columns)) for k in range(len(columns) + 1)]
    shapes = [_rect(_LEFT, 0, _WIDTH - _LEFT, 1, "plot-padding")]
    for k, (inner, outer) in enumerate(columns):
        width = edges[k + 1] - edges[k]
        shapes.append(_rect(edges[k], 0, width, outer, "plot-structure"))
        shapes.append(_rect(edges[k], 0, width, inner, "plot-data"))
    shapes += [_label(share, f"{share:.0%}") for share in (0, 0.5, 1)]
    shapes.append(_below(_LEFT, f"container {rows[0].number:06d}", "start"))
    if len(rows) > 1:
        shapes.append(_below(_WIDTH, f"{rows[-1].number:06d}", "end"))
    return _figure("How full the pieces are", said, shapes, _legend())


def throughput(period: BuildPeriod | None) -> Html:
    """Bytes of CARs a second over the last period of building."""
    if period is None:
        return tag("p", "No CAR is built yet.", class_="soft")
    rates = [float(rate) for rate in period.rates]
    top = _round_up(max(max(rates), 1.0))
    mean = sum(rates) / len(rates)
    said = (
        f"{readable(mean)}/s on average and {readable(max(rates))}/s at most, over {duration(period.seconds)} from "
        f"{_clock(period.start)}"
    )
    step = (_WIDTH - _LEFT) / len(rates)
    points = [(_LEFT + (k + 0.5) * step, _y(rate / top)) for k, rate in enumerate(rates)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    floor = _y(0)
    area = f"{points[0][0]:.1f},{floor} {line} {points[-1][0]:.1f},{floor}"
    shapes = [_label(share, f"{readable(top * share)}/s") for share in (0, 0.25, 0.5, 0.75, 1)]
    shapes += [
        tag("polygon", points=area, class_="plot-area"),
        tag("polyline", points=line, class_="plot-rate"),
        _below(_LEFT, _clock(period.start, _TIME), "start"),
        _below((_LEFT + _WIDTH) / 2, _clock(period.start + period.seconds / 2, _TIME), "middle"),
        _below(_WIDTH, _clock(period.start + period.seconds, _TIME), "end"),
    ]
    return _figure("How fast CARs were built", said, shapes)


def _figure(title: str, said: str, shapes: Sequence[Html], legend: Html | None = None) -> Html:
    plot = tag(
        "svg",
        tag("title", title),
        tag("desc", said),
        shapes,
        viewBox=f"0 0 {_WIDTH + 8} {_HEIGHT}",
        role="img",
        aria_label=f"{title}: {said}",
    )
    return tag("figure", plot, tag("figcaption", said, legend, class_="soft"), style="margin:0")


def _legend() -> Html:
    marks = [
        tag(
            "span",
            tag(
                "svg",
                tag("rect", width="12", height="12", class_=f"plot-{name}"),
                width="12",
                height="12",
                aria_hidden="true",
                style="display:inline;vertical-align:-1px",
            ),
            f" {name}",
            style="margin-right:1rem",
        )
        for name in ("data", "structure", "padding")
    ]
    return tag("div", marks)


def _y(share: float) -> float:
    return round(_TOP + (1 - share) * (_HEIGHT - _TOP - _BOTTOM), 1)


def _rect(x: float, low: float, width: float, high: float, kind: str) -> Html:
    return tag(
        "rect",
        x=f"{x:.1f}",
        y=_y(high),
        width=f"{width:.1f}",
        height=round(_y(low) - _y(high), 1),
        class_=kind,
    )


def _label(share: float, text: str) -> Html:
    """A line across the plot, and what it stands for."""
    y = _y(share)
    line = tag("line", x1=_LEFT, x2=_WIDTH, y1=y, y2=y, class_="plot-line")
    return Html(line + tag("text", text, x=_LEFT - 6, y=y + 4, text_anchor="end"))


def _below(x: float, text: str, anchor: str) -> Html:
    return tag("text", text, x=f"{x:.1f}", y=_HEIGHT - 8, text_anchor=anchor)


def _round_up(value: float) -> float:
    """The next round number of bytes in its unit, for the top of an axis."""
    unit = 1.0
    while value / unit >= 1024:
        unit *= 1024
    scale = 1.0
    while value / unit > 10 * scale:
        scale *= 10
    return unit * scale * next(step for step in _UNITS if value / unit <= step * scale)


def _clock(seconds: float, form: str = "%Y-%m-%d %H:%M:%S %Z") -> str:
    return time.strftime(form, time.localtime(seconds))
