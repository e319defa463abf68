"""Lines named where they end, in place of a legend: the names are pushed apart no further than they must be."""

from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from scipy.optimize import isotonic_regression

SIZE = 8
"""Of the letters, in points."""

HEIGHT, LEAD = 1.25 * SIZE, 9
"""Of a name, and from a line's end to it, in points."""


def apart(wanted: Float[np.ndarray, " n"], gap: float, low: float, high: float) -> Float[np.ndarray, " n"]:
    """Places in the order of those ``wanted``, ``gap`` from each other or more and between ``low`` and ``high`` where there is room, of the
    least squared distance to them: an isotonic regression, once each is shifted by the room of those below it."""
    order, room = np.argsort(wanted, kind="stable"), gap * np.arange(len(wanted))
    shifted = isotonic_regression(wanted[order] - room).x
    places = np.empty(len(wanted))
    places[order] = np.clip(shifted, low, max(low, high - gap * (len(wanted) - 1))) + room
    return places


def name_ends(figure: Figure) -> None:
    """Name each labelled line of each panel at its last point; of those that end alike, the higher line is the higher name. Call last:
    where names go follows from the layout.
    """
    looks: dict[str, Any] = {"va": "center", "fontsize": SIZE, "annotation_clip": False}
    named: list[list[Annotation]] = []
    for axis in figure.axes:
        lines = [
            (np.asarray(line.get_ydata()), line) for line in axis.lines if not str(line.get_label()).startswith("_")
        ]
        lines.sort(key=lambda line: (line[0][-1], line[0].mean()))
        named.append([])
        for heights, line in lines:
            label, end = str(line.get_label()), (float(np.asarray(line.get_xdata())[-1]), float(heights[-1]))
            lead = {
                "arrowstyle": "-",
                "color": line.get_color(),
                "lw": 0.8,
                "shrinkA": 0,
                "shrinkB": 1,
                "relpos": (0, 0.5),
            }
            named[-1].append(axis.annotate(label, end, (LEAD, 0), textcoords="offset points", arrowprops=lead, **looks))
    figure.draw_without_rendering()
    points = 72 / figure.dpi
    for axis, texts in zip(figure.axes, named, strict=True):
        ends = np.array([axis.transData.transform(text.xy)[1] for text in texts]) * points
        frame = axis.get_window_extent()
        for text, end, place in zip(
            texts, ends, apart(ends, HEIGHT, frame.y0 * points, frame.y1 * points), strict=True
        ):
            text.xyann = (LEAD, place - end)
