"""How figures and tables look and are named."""

import io
import os
from collections.abc import Callable, Collection, Iterator
from functools import wraps
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython import get_ipython
from IPython.display import HTML, display
from matplotlib.figure import Figure
from pandas.api.types import is_integer_dtype
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from circuitlib.companion.legend import GPUS_IN_WORDS, PROCESSORS_IN_WORDS, SEARCHERS, SUBJECTS_IN_WORDS, TASKS_IN_WORDS
from circuitlib.manifest import written_whole
from circuitlib.paths import FIGURES, RUNS
from circuitlib.search.episodes import NOTHING

if TYPE_CHECKING:
    from circuitlib.companion.run import Run

P = ParamSpec("P")

PAGE = 7.6
"""Inches of a page's text: no figure is drawn wider, so that letters keep their size, 8 points at least."""

HEADINGS = {"trained_k": "trained with k", "planned_k": "planned with k", "over static prior, %": "over the list, %"}
"""Columns whose names are not those of prose."""

WORDS = (
    TASKS_IN_WORDS
    | SUBJECTS_IN_WORDS
    | PROCESSORS_IN_WORDS
    | GPUS_IN_WORDS
    | {key: kind.title for key, kind in SEARCHERS.items()}
)
"""What stands in tables for words of the code."""

OF_NOTHING = {"told": "nothing", "signal": "nothing", "shown": ""}
"""What stands in these columns where a policy is told nothing, or nothing is shown because there is no policy."""

PUBLISHES = "CIRCUITLIB_PUBLISHES"
"""A variable of the environment, set where the committed notebooks are executed to be committed: only there do notebooks write committed figures."""

_SUBJECT = {"name": "", "caption": ""}
"""Named by every figure and table from :func:`set_style` on; a setting of the session, as matplotlib's are."""


def set_style(subject: str, caption: str = "") -> None:
    """The style of every figure, and the subject that figures and tables name; call once in a notebook.

    caption: what stands in the corner of figures and above tables, such as :attr:`circuitlib.companion.run.Run.caption`;
    the subject's name by default.
    """
    _SUBJECT["name"] = Path(subject).name
    _SUBJECT["caption"] = caption or _SUBJECT["name"]
    sns.set_theme(context="notebook", style="ticks", palette="colorblind", font_scale=0.85)
    plt.rc("figure", dpi=110)
    plt.rc("figure.constrained_layout", use=True)
    plt.rc("axes.spines", top=False, right=False)
    plt.rc("legend", frameon=False)
    plt.rc("savefig", dpi=160)
    plt.rc("pdf", fonttype=42)


def each(run: "Run") -> Iterator[tuple["Run", Path]]:
    """The runs beside each other (:meth:`circuitlib.companion.run.Run.beside`), each with a folder for its figures;
    figures and tables name its subject in its turn."""
    for one in run.beside():
        set_style(one.card.name, one.caption)
        yield one, run.figures if one is run else run.figures / one.card.name
    set_style(run.card.name, run.caption)


def subject_name() -> str:
    """The subject that figures and tables name."""
    return _SUBJECT["name"]


def left_out(run: "Run") -> None:
    """Say which tasks are left out of a run, and why; nothing where the subject does them all."""
    for name, reason in run.left_out.items():
        print(f"left out: {name}. {reason}")


def described(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Figures of a function carry what its docstring says of them, up to the first empty line, for :func:`alt_text`."""

    @wraps(draw)
    def drawn(*given: P.args, **named: P.kwargs) -> Figure:
        figure = draw(*given, **named)
        figure.set_label(" ".join((draw.__doc__ or "").split("\n\n")[0].split()))
        return figure

    return drawn


def alt_text(figure: Figure) -> str:
    """What a figure shows, for who cannot see it: what its function says (:func:`described`), then panels, axes and legend, or what
    lines are called where they end."""
    axes = [axis for axis in figure.axes if axis.get_visible() and axis.axison]
    legends = [*figure.legends, *(legend for axis in axes if (legend := axis.get_legend()))]
    named = [text.get_text() for legend in legends for text in legend.get_texts()]
    parts = {
        "Panels": [axis.get_title() or axis.get_title(loc="left") for axis in axes],
        "Across": [axis.get_xlabel() for axis in axes],
        "Up": [axis.get_ylabel() for axis in axes],
        "Legend": named or [label for axis in axes for label in axis.get_legend_handles_labels()[1]],
    }
    said = {
        what: "; ".join(dict.fromkeys(" ".join(text.split()) for text in texts if text))
        for what, texts in parts.items()
    }
    return " ".join([str(figure.get_label()), *(f"{what}: {texts}." for what, texts in said.items() if texts)]).strip()


def save_figure(
    figure: Figure, name: str, folder: Path, subject: str = "", numbers: pd.DataFrame | None = None
) -> None:
    """Show a figure in a notebook, and write what is shown: name the subject, or ``subject`` where the figure is of others, in a
    corner, and write ``name.png`` and ``name.pdf`` without dates. Both hold the name, the subject and, as their description, the
    :func:`alt_text`. Files of the same picture are left as they are. In a notebook that is not executed to be committed, what would be a
    committed figure is written into ``runs/figures``.

    numbers: those in the figure, written as ``name.csv`` with six digits, where it is drawn from results that no spreadsheet opens, or of what the notebook measures."""
    if get_ipython() is not None and PUBLISHES not in os.environ and folder.is_relative_to(FIGURES):
        folder = RUNS / "figures" / folder.relative_to(FIGURES)
    if numbers is not None:
        with written_whole(folder / f"{name}.csv") as temporary:
            numbers.to_csv(temporary, index=False, float_format="%.6g")
    named = subject or _SUBJECT["caption"]
    figure.text(1, 0, named, ha="right", va="top", fontsize=8, color="0.45")
    png, pdf = folder / f"{name}.png", folder / f"{name}.pdf"
    alt, of = alt_text(figure), subject or _SUBJECT["name"]
    # Keys that the PNG specification registers, but for the subject.
    texts = {"Title": name, "Subject": of, "Description": alt}
    drawn, fine = io.BytesIO(), plt.rcParams["savefig.dpi"]
    figure.savefig(drawn, format="png", dpi=fine, bbox_inches="tight")
    image = Image.open(drawn).convert("RGB")
    picture = _png(image, texts, fine)
    figure.set_layout_engine("none")  # solved; each further drawing would solve it again
    if get_ipython() is not None:
        coarse = image.resize([round(side * figure.dpi / fine) for side in image.size], Image.Resampling.LANCZOS)
        shown = {"image/png": _png(coarse, texts, figure.dpi), "text/plain": alt}
        display(shown, raw=True, metadata={"image/png": {"alt": alt}})
        plt.close(figure)  # or it would be shown again
    if pdf.exists() and png.exists() and png.read_bytes() == picture:
        return
    with written_whole(pdf) as temporary:
        undated = {"CreationDate": None, "Creator": None, "Producer": None, "Title": f"{name}, {of}", "Subject": alt}
        figure.savefig(temporary, metadata=undated, bbox_inches="tight")
    with written_whole(png) as temporary:
        temporary.write_bytes(picture)


def _png(image: Image.Image, texts: dict[str, str], dpi: float) -> bytes:
    """A picture of 256 colours, a third of the size of one of all, with texts in it."""
    written, info = io.BytesIO(), PngInfo()
    for key, text in texts.items():
        info.add_text(key, text)
    image.quantize(256).save(written, "png", pnginfo=info, dpi=(dpi, dpi), optimize=True)
    return written.getvalue()


def with_intervals(ends: pd.DataFrame, digits: int) -> pd.Series:
    """A number and the ends of its interval, three columns, as one cell a row: with 0 digits ``93 (88 to 97)``."""
    form = f"{{:z.{digits}f}} ({{:z.{digits}f}} to {{:z.{digits}f}})".format
    return pd.Series([form(*row) for row in ends.itertuples(index=False)], ends.index, dtype=object)


def html_table(frame: pd.DataFrame, digits: int = 2, subject: str = "", first: Collection[str] | None = None) -> HTML:
    """A table for reading: the subject (or ``subject``, where the table is of another) in its caption, named
    indices as columns and others left out, tasks and columns as prose names them, floats with ``digits`` decimals, missing values empty.

    first: rows of the index that are shown at once, the others folded below, all of them where it is empty; by default all are shown.

    Raises ``ValueError`` for labels of rows that have no name."""
    if first is not None:
        others = ~frame.index.isin(list(first))
        shown, folded = (html_table(frame[rows], digits, subject).data for rows in (~others, others))
        what = f"and {others.sum()} more" if len(first) else escape(subject or _SUBJECT["caption"])
        more = f"<details><summary>{what}</summary>{folded}</details>" if others.any() else ""
        return HTML(f"{shown if len(first) else ''}{more}")
    named = [name for name in frame.index.names if name is not None]
    if not named and not is_integer_dtype(frame.index):
        raise ValueError(
            f"rows have labels and the index no name, so that they would be left out: {list(frame.index[:3])}, ..."
        )
    form = f"{{:z.{digits}f}}".format
    words = frame.reset_index(named).rename(columns=HEADINGS | WORDS).rename_axis(columns=None)
    words = words.rename(columns=lambda name: name.replace("_", " ") if isinstance(name, str) else name)
    words = words.map(lambda cell: WORDS.get(cell, cell) if isinstance(cell, str) else cell)
    for column, said in OF_NOTHING.items():
        if column in words:
            words[column] = words[column].replace(NOTHING, said)
    if (trained := HEADINGS["trained_k"]) in words:
        words[trained] = words[trained].astype(object).replace(0, "")  # what is not trained
    whole = words.select_dtypes("Int64")  # whose missing numbers pandas would write
    words[whole.columns] = whole.astype(object).mask(whole.isna(), np.nan)
    with pd.option_context("display.max_colwidth", None):  # a sentence is not cut
        text = words.to_html(index=False, border=0, na_rep="", float_format=form)
    title = escape(subject or _SUBJECT["caption"])
    return HTML(text.replace("<thead>", f"<caption>{title}</caption>\n  <thead>", 1))
