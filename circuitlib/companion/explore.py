"""Two pages to explore: the map of heads and the replay of episodes, each one file that needs nothing else, with its picture beside it.

A page is plain SVG and a script of its own (``pages/``), filled from the committed tables, whose hashes it carries. Code hosts show
no scripts: there the picture stands for the page.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from matplotlib.figure import Figure

from circuitlib.companion.episode_replay import replay_data, replay_figure, searchers
from circuitlib.companion.headmap import map_data, map_figure
from circuitlib.companion.run import Run
from circuitlib.companion.settings import PUBLISHED
from circuitlib.companion.show import save_figure, set_style
from circuitlib.manifest import content_hash, written_whole
from circuitlib.paths import RESULTS

TEMPLATES = Path(__file__).parent / "pages"


@dataclass(frozen=True)
class Page:
    """name: of its files. data: of a run, what its script shows, and the paths of the results that this was read from. figure: of
    that data, by subject, the picture. common: what its script shows of all subjects."""

    name: str
    title: str
    lead: str
    data: Callable[[Run], tuple[dict[str, Any], list[Path]]]
    figure: Callable[[Mapping[str, dict[str, Any]]], Figure]
    common: dict[str, Any] = field(default_factory=dict)


PAGES = (
    Page(
        "head_map",
        "What each head is worth",
        "Every attention head of the two subjects, by what ablating it does. Point at a head, or move with the arrow keys.",
        map_data,
        map_figure,
    ),
    Page(
        "episode_replay",
        "One episode, pick by pick",
        "A policy that was told nothing, and what it must beat, on the same episode: 32 prompts and 32 control spans. Move the slider, or play.",
        replay_data,
        replay_figure,
        {"searchers": searchers()},
    ),
)


def page_html(page: Page, data: Mapping[str, Any]) -> str:
    """The page with its data, style and script in it."""
    texts = {
        "title": escape(page.title),
        "lead": escape(page.lead),
        "picture": f"{page.name}.png",
        "style": (TEMPLATES / "page.css").read_text(encoding="utf-8"),
        "script": "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.js", f"{page.name}.js")),
        # Inside a script element nothing but its end needs care.
        "data": json.dumps(data, separators=(",", ":")).replace("</", "<\\/"),
    }
    return Template((TEMPLATES / "page.html").read_text(encoding="utf-8")).substitute(texts)


def hashes_of(paths: Iterable[Path]) -> dict[str, str]:
    """Content hashes by path within ``data/results``."""
    return {path.relative_to(RESULTS).as_posix(): content_hash(path) for path in sorted(set(paths))}


def write_pages(folder: Path) -> list[Path]:
    """Write both pages, of the published subjects, and their pictures into a folder; the pages' paths."""
    runs = [Run(settings) for settings in PUBLISHED.values()]
    written = []
    for page in PAGES:
        found = {run.title: page.data(run) for run in runs}
        subjects = {name: data for name, (data, _) in found.items()}
        made_from = hashes_of(path for _, paths in found.values() for path in paths)
        path = folder / f"{page.name}.html"
        with written_whole(path) as temporary:
            data = {"made_from": made_from, **page.common, "subjects": subjects}
            temporary.write_text(page_html(page, data), encoding="utf-8")
        set_style(runs[0].card.name)
        save_figure(page.figure(subjects), page.name, folder, ", ".join(subjects))
        written.append(path)
    return written
