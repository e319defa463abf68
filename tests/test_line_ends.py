"""Names at the ends of lines: apart, in order, as near as can be."""

from collections.abc import Iterator
from itertools import combinations, pairwise

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import LinearConstraint, minimize

mpl.use("Agg")

from drawing import examples

from circuitlib.companion import show
from circuitlib.companion.line_ends import HEIGHT, LEAD, SIZE, apart, name_ends


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    show.set_style("any")
    yield
    plt.close("all")


@given(st.lists(st.floats(0, 100), min_size=1, max_size=7))
@examples(few=40, many=400)
def test_names_are_apart_and_in_order(wanted: list[float]) -> None:
    places = apart(np.array(wanted), 10.0, 0.0, 100.0)
    order = np.argsort(wanted, kind="stable")
    assert all(after - before > 10 - 1e-9 for before, after in pairwise(places[order]))
    assert places.min() > -1e-9
    assert places.max() < 100 + 1e-9


@given(st.lists(st.floats(0, 100), min_size=2, max_size=5))
@examples(few=10, many=100)
def test_no_places_are_nearer(wanted: list[float]) -> None:
    """Against a general solver of the same problem."""
    target = np.sort(wanted)
    n = len(target)
    steps = LinearConstraint(np.diff(np.eye(n), axis=0), 10, np.inf)
    best = minimize(
        lambda x: ((x - target) ** 2).sum(), 12.0 * np.arange(n), constraints=steps, bounds=[(0, 100)] * n, tol=1e-9
    )
    found = ((apart(target, 10.0, 0.0, 100.0) - target) ** 2).sum()
    assert found <= best.fun + 1e-3


def test_where_there_is_no_room_names_still_do_not_touch() -> None:
    assert np.diff(apart(np.zeros(5), 10.0, 0.0, 20.0)).min() == 10
    assert len(apart(np.zeros(0), 10.0, 0.0, 20.0)) == 0


def test_every_line_is_named_at_its_end() -> None:
    figure, axes = plt.subplots(1, 2, figsize=(show.PAGE, 3))
    rng = np.random.default_rng(0)
    for axis in axes:
        for i in range(5):
            axis.plot(range(10), np.minimum(np.sort(2 * rng.random(10)), 1), label=f"line {i}")
        axis.axhline(1)
    name_ends(figure)
    figure.canvas.draw()
    points = 72 / figure.dpi
    for axis in axes:
        lines = {str(line.get_label()): line for line in axis.lines}
        assert [text.get_text() for text in axis.texts] == sorted(
            (name for name in lines if not name.startswith("_")),
            key=lambda name: (lines[name].get_ydata()[-1], np.mean(lines[name].get_ydata())),
        )
        boxes = [mpl.text.Text.get_window_extent(text) for text in axis.texts]
        assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
        for text, box in zip(axis.texts, boxes, strict=True):
            end = axis.transData.transform(np.asarray(lines[text.get_text()].get_xydata())[-1])
            assert (box.x0 - end[0]) * points == pytest.approx(LEAD, abs=2)
            assert abs((box.y0 + box.y1) / 2 - end[1]) * points < 5 * HEIGHT, "no further than five names are high"
            assert text.get_fontsize() == SIZE == 8
        assert max(box.x1 for box in boxes) <= figure.bbox.x1
