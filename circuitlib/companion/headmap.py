"""The map of heads: what ablating each head of a subject does to every task, what the detectors say of it, and where it ranks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import FuncNorm
from matplotlib.figure import Figure
from torch import Tensor

from circuitlib.ablation.head_damage import dash_below_zero
from circuitlib.ablation.tables import CONTROL
from circuitlib.companion.frames import detections, heads
from circuitlib.companion.legend import task_title
from circuitlib.companion.run import Run
from circuitlib.companion.show import PAGE, described
from circuitlib.studies.detectors import DETECTORS
from circuitlib.tasks import TASKS

COLOURS = mpl.colormaps["RdBu_r"].resampled(65)
"""Of maps in the picture: so few that a picture of 256 colours keeps them all."""

DIGITS = 5
"""Significant digits of the numbers in a page."""


def short(values: Any) -> list[float]:
    """Numbers with ``DIGITS`` significant digits, to be written."""
    return [float(f"{value:.{DIGITS}g}") for value in np.asarray(values).tolist()]


def standard_error(damage: Float[Tensor, "prompts heads"]) -> Float[Tensor, " heads"]:
    """Of the mean damage of each head over prompts."""
    return damage.std(0) / len(damage) ** 0.5


def map_data(run: Run) -> tuple[dict[str, Any], list[Path]]:
    """What the page shows of a run's subject, by head in order of number: for each task the mean damage with its standard error
    over prompts, the reward and its rank; the general damage; each detector's score. And the results that it is read from."""
    frame, scores = heads(run), detections(run)
    tables = {name: run.table(name, "evaluation").damage for name in (*run.tasks, CONTROL)}
    tasks = []
    for task in run.tasks:
        rows = frame[frame["task"] == task].sort_values("head")
        tasks.append(
            {
                "name": task,
                "title": task_title(task),
                "unit": TASKS[task].metric.unit,
                "prompts": len(tables[task]),
                "damage": short(rows["damage"]),
                "error": short(standard_error(tables[task])),
                "reward": short(rows["reward"]),
                "rank": rows["rank"].tolist(),
            }
        )
    general = frame[frame["task"] == run.tasks[0]].sort_values("head")["general"]
    detectors = [
        {
            "name": one.name,
            "task": task_title(one.task.name),
            "reads": one.reads,
            "score": short(rows.sort_values("head")["score"]),
        }
        for one in DETECTORS
        if len(rows := scores[scores["detector"] == one.name])
    ]
    data = {
        "caption": run.caption,
        "layers": run.card.layers,
        "across": run.card.heads_per_layer,
        "spans": len(tables[CONTROL]),
        "general": short(general),
        "general_error": short(standard_error(tables[CONTROL])),
        "tasks": tasks,
        "detectors": detectors,
    }
    paths = [run.frame_path("heads"), run.frame_path("detections")]
    return data, paths + [run.table_path(name, "evaluation") for name in tables]


@described
def map_figure(subjects: Mapping[str, Mapping[str, Any]]) -> Figure:
    """The reward of every head on every task, one row per subject: layers down, heads across, the colour growing with the square root,
    as in the page; under each map its scale, to its own largest."""
    columns = max(len(data["tasks"]) for data in subjects.values())
    heights = [0.95 + 0.11 * data["layers"] for data in subjects.values()]
    figure, axes = plt.subplots(
        len(subjects), columns, figsize=(PAGE, sum(heights)), height_ratios=heights, squeeze=False
    )
    for row, (name, data) in zip(axes, subjects.items(), strict=True):
        for axis, task in zip(row, data["tasks"], strict=False):
            rewards = np.array(task["reward"]).reshape(data["layers"], data["across"])
            limit = np.abs(rewards).max()
            image = axis.imshow(rewards, cmap=COLOURS, norm=FuncNorm((_root, _square), -limit, limit))
            dash_below_zero(axis, _root(rewards / limit))
            _scale(axis, image, limit, task["unit"])
            layer, head = np.unravel_index(rewards.argmax(), rewards.shape)
            axis.set_title(f"{task['title']}\nbest: L{layer}.H{head}", fontsize=8)
            axis.tick_params(labelsize=8)
            axis.set_xticks(range(0, data["across"], 4))
        for axis in row[len(data["tasks"]) :]:
            axis.set_visible(False)
        row[0].set_ylabel(f"{name}\nlayer", fontsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("head", fontsize=8)
    figure.suptitle(
        "reward (red: the task needs the head; dashed: it hinders);\neach map's colours go to its own largest, by the square root",
        fontsize=9,
    )
    return figure


def _root(rewards: np.ndarray) -> np.ndarray:
    return np.sign(rewards) * np.sqrt(np.abs(rewards))


def _square(roots: np.ndarray) -> np.ndarray:
    return np.sign(roots) * roots**2


def _scale(axis: Axes, image: ScalarMappable, limit: float, unit: str) -> None:
    """The scale of a map's colours, under it: its largest to both sides, and the unit."""
    bar = axis.figure.colorbar(image, ax=axis, location="bottom", aspect=12, shrink=0.75, pad=0.04)
    ends = f"{limit:.2g}"
    bar.set_ticks([-limit, 0, limit], labels=[f"\u2212{ends}", "0", ends])
    bar.ax.tick_params(labelsize=8, length=2, pad=2)
    bar.outline.set_linewidth(0.5)
    bar.set_label(unit, fontsize=8, labelpad=1)
