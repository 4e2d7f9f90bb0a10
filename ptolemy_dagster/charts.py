"""Charts as small SVG pictures in Markdown, which Dagster's UI shows beside other metadata; no file, no script.

The UI shows Markdown in place where it is shorter than INLINE characters, behind a link otherwise: a chart
takes as many steps as fit. Its frame is the scale; the numbers are words below it. The colours are mid-tones
and the ground is clear, so that they read on light and on dark pages.
"""

import base64
from collections.abc import Callable, Sequence

import dagster as dg
import numpy as np
from numpy.typing import NDArray

from ptolemy_core.catalog.containers import ContainerRow
from ptolemy_core.sizes import duration, readable
from ptolemy_core.status.builds import BuildPeriod

INLINE = 1000
"""Characters of Markdown from which Dagster's UI (1.13) hides it behind a link."""

_WIDTH, _HEIGHT = 400, 80
_STEPS = 50
_DATA, _STRUCTURE, _RATE, _FRAME = "#4a7fd4", "#e0a03c", "#2f9e77", "#999"

_Values = NDArray[np.float64]


def fill_chart(containers: Sequence[ContainerRow]) -> dg.MetadataValue:
    """Data (blue) and structure (yellow) in each container's piece; what is left in the frame is padding."""
    if not containers:
        return dg.MetadataValue.md("no containers")
    pieces = np.array([row.piece_size for row in containers], dtype=np.float64)
    data = np.array([row.data_bytes for row in containers]) / pieces
    used = np.array([row.car_size for row in containers]) / pieces
    shares = float(data @ pieces / pieces.sum()), float(used @ pieces / pieces.sum())
    text = (
        f"data {shares[0]:.1%} (blue), structure {shares[1] - shares[0]:.1%} (yellow), "
        f"padding {1 - shares[1]:.1%}"
    )
    if len(containers) > 1:
        text += f"; from left to right: containers {containers[0].number:06d} to {containers[-1].number:06d}"
    return _fitting(
        "fill of pieces",
        text,
        lambda steps: [(_STRUCTURE, _pooled(used, steps)), (_DATA, _pooled(data, steps))],
    )


def rate_chart(period: BuildPeriod | None) -> dg.MetadataValue:
    """Bytes a second over the time of a period of building; the frame's height is the highest rate."""
    if period is None:
        return dg.MetadataValue.md("no CARs")
    rates, top = period.rates, float(period.rates.max())
    text = f"{readable(float(rates.mean()))}/s on average, {readable(top)}/s at most, in {duration(period.seconds)}"
    return _fitting("build rate", text, lambda steps: [(_RATE, _pooled(rates / top, steps))])


_OVER = ("expired", "terminated", "rejected", "failed", "cancelled")


def deal_chart(changes: Sequence[tuple[float, str, str]], wanted: int) -> dg.MetadataValue:
    """Deals over time: active (green) and on their way (blue); the frame's height is how many are wanted.

    Args:
        changes: time, deal and new state of each change, in order.
        wanted: how many active deals there should be.
    """
    if not changes:
        return dg.MetadataValue.md("no deals")
    states: dict[str, str] = {}
    begin, end = changes[0][0], max(changes[-1][0], changes[0][0] + 1.0)
    active, live = np.zeros(_STEPS), np.zeros(_STEPS)
    done = count_active = count_live = 0
    for step in range(_STEPS):
        until = begin + (end - begin) * (step + 1) / _STEPS
        while done < len(changes) and changes[done][0] <= until:
            _, deal, state = changes[done]
            before = states.get(deal)
            count_active += (state == "active") - (before == "active")
            count_live += (state not in _OVER) - (before is not None and before not in _OVER)
            states[deal] = state
            done += 1
        active[step], live[step] = count_active, count_live
    top = max(wanted, float(live.max()), 1.0)
    text = (
        f"active {count_active:,} (green), on their way {count_live - count_active:,} (blue), wanted {wanted:,}; "
        f"over {duration(end - begin)}"
    )
    return _fitting(
        "deals over time",
        text,
        lambda steps: [(_DATA, _pooled(live / top, steps)), (_RATE, _pooled(active / top, steps))],
    )


def _pooled(values: _Values, steps: int) -> _Values:
    """Means of even parts, at most `steps` of them."""
    return np.array([part.mean() for part in np.array_split(values, min(steps, len(values)))])


def _fitting(title: str, text: str, layers: Callable[[int], list[tuple[str, _Values]]]) -> dg.MetadataValue:
    """A picture with words below it, of as many steps as are shown in place."""
    for steps in range(_STEPS, 0, -2):
        shapes = "".join(_stairs(values, colour) for colour, values in layers(steps))
        svg = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}">{shapes}'
            f'<path d="M0 0H{_WIDTH}V{_HEIGHT}H0z" fill="none" stroke="{_FRAME}"/></svg>'
        )
        picture = base64.b64encode(svg.encode()).decode()
        shown = f"![{title}](data:image/svg+xml;base64,{picture})\n\n{text}"
        if len(shown) < INLINE:
            break
    return dg.MetadataValue.md(shown)


def _stairs(values: _Values, colour: str) -> str:
    """A filled line that is level within each step; shares of the frame's height."""
    edges = np.round(np.linspace(0, _WIDTH, len(values) + 1)).astype(int)
    heights = np.round((1 - np.clip(values, 0, 1)) * _HEIGHT).astype(int)
    corners = [
        f"V{height}H{edges[k + 1]}"
        for k, height in enumerate(heights)
        if k + 1 == len(heights) or heights[k + 1] != height  # a level stretch is one line
    ]
    return f'<path fill="{colour}" d="M0 {_HEIGHT}{"".join(corners)}V{_HEIGHT}z"/>'
