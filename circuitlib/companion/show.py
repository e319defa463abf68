"""How figures and tables look and are named."""

import io
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from IPython.display import HTML
from matplotlib.figure import Figure

from circuitlib.manifest import written_whole

if TYPE_CHECKING:
    from circuitlib.companion.run import Run

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


def save_figure(figure: Figure, name: str, folder: Path, subject: str = "") -> None:
    """Name the subject, or ``subject`` where the figure is of others, in a corner, and write ``name.png``
    and ``name.pdf`` without dates. Files of the same picture are left as they are."""
    named = subject or _SUBJECT["caption"]
    figure.text(1, 0, named, ha="right", va="top", fontsize="x-small", color="0.45")
    png, pdf = folder / f"{name}.png", folder / f"{name}.pdf"
    picture = io.BytesIO()
    figure.savefig(picture, metadata={"Software": None}, bbox_inches="tight")
    figure.set_layout_engine("none")  # solved; each further drawing would solve it again
    if pdf.exists() and png.exists() and png.read_bytes() == picture.getvalue():
        return
    with written_whole(pdf) as temporary:
        undated = {"CreationDate": None, "Creator": None, "Producer": None}
        figure.savefig(temporary, metadata=undated, bbox_inches="tight")
    with written_whole(png) as temporary:
        temporary.write_bytes(picture.getvalue())


def html_table(frame: pd.DataFrame, digits: int = 2, subject: str = "") -> HTML:
    """A table for reading: the subject (or ``subject``, where the table is of another) in its caption, named
    indices as columns and others left out, floats with ``digits`` decimals, missing values empty."""
    named = [name for name in frame.index.names if name is not None]
    form = f"{{:z.{digits}f}}".format
    shown = frame.reset_index(named).rename_axis(columns=None)
    text = shown.to_html(index=False, border=0, na_rep="", float_format=form)
    title = escape(subject or _SUBJECT["caption"])
    return HTML(text.replace("<thead>", f"<caption>{title}</caption>\n  <thead>", 1))
