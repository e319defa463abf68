"""The built book: whole, small, and on its own. `make book` builds it and then runs this."""

import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest

from circuitlib.ablation.build import SEEDS
from circuitlib.companion.notebooks import notebook_paths
from circuitlib.companion.run import Run
from circuitlib.companion.settings import PUBLISHED
from circuitlib.paths import ROOT, RUNS

sys.path.insert(0, str(ROOT / "book"))
from executed import words
from status import recorded

pytestmark = pytest.mark.book

BOOK = RUNS / "book"
MEGABYTES = 20

LOADS = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "link": "href",
    "source": "src",
    "video": "src",
    "embed": "src",
    "object": "data",
}
"""Elements that load what an attribute names, at once; a link (``a``) is only followed."""


class Page(HTMLParser):
    """What a page of the book loads, links to, and is linked to by."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.styles: list[str] = []
        self.titles = 0
        self.pictures: list[dict[str, str]] = []
        self.captions: list[str] = []
        self._in_style = self._in_caption = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        self.titles += tag == "h1"
        self._in_style = tag == "style"
        if tag == "img":
            self.pictures.append(given)
        self._in_caption = self._in_caption or (tag == "p" and given.get("class") == "figure-data")
        if tag == "p" and self._in_caption:
            self.captions.append("")
        if "style" in given:
            self.styles.append(given["style"])
        if (attribute := LOADS.get(tag)) and attribute in given:
            self.loads.append(given[attribute])
        elif tag == "a" and "href" in given:
            self.links.append(given["href"])

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.styles.append(data)
        if self._in_caption:
            self.captions[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False
        self._in_caption = self._in_caption and tag != "p"


@cache
def page(path: Path) -> Page:
    return Page(path)


@pytest.fixture(scope="module")
def pages() -> list[Page]:
    assert BOOK.is_dir(), "there is no book in runs/book; `make book` builds it"
    return [page(path) for path in sorted(BOOK.rglob("*.html"))]


def within(one: Page, target: str) -> tuple[Path, str] | None:
    """The file and the anchor that a page names; nothing where it names another site."""
    parts = urlsplit(target)
    if parts.scheme in ("http", "https", "data", "mailto") or parts.netloc:
        return None
    path = (one.path.parent / unquote(parts.path)).resolve() if parts.path else one.path
    return path, unquote(parts.fragment)


def test_every_link_leads_somewhere(pages: list[Page]) -> None:
    lost = []
    for one in pages:
        for target in (*one.loads, *one.links):
            if (found := within(one, target)) is None:
                continue
            path, anchor = found
            there = path.is_file() and path.is_relative_to(BOOK)
            if there and anchor and path.suffix == ".html":
                there = anchor in page(path).anchors
            if not there:
                lost.append(f"{one.path.relative_to(BOOK)}: {target}")
    assert not lost


def test_nothing_is_loaded_from_elsewhere(pages: list[Page]) -> None:
    assert not [(one.path.name, target) for one in pages for target in one.loads if within(one, target) is None]


def _addresses(style: str) -> Iterator[str]:
    """What a style sheet loads."""
    for url, imported in re.findall(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""", style):
        yield url or imported


def test_styles_load_nothing_from_elsewhere(pages: list[Page]) -> None:
    sheets = [path.read_text(encoding="utf-8") for path in BOOK.rglob("*.css")]
    assert sheets
    sheets += [style for one in pages for style in one.styles]
    assert not [url for sheet in sheets for url in _addresses(sheet) if re.match(r"(https?:)?//", url)]


def test_it_is_small() -> None:
    size = sum(path.stat().st_size for path in BOOK.rglob("*") if path.is_file())
    assert size < MEGABYTES * 10**6


def test_every_notebook_is_a_chapter_in_order_with_its_outputs(pages: list[Page]) -> None:
    chapters = [BOOK / "notebooks" / f"{path.stem}.html" for path in notebook_paths()]
    front = page(BOOK / "README.html")
    linked = [path for target in front.links if (found := within(front, target)) for path in found[:1]]
    in_order = list(dict.fromkeys(path for path in linked if path in chapters))
    assert [path for path in in_order if path in chapters] == chapters
    for path, chapter in zip(notebook_paths(), chapters, strict=True):
        cells = nbformat.read(path, as_version=4).cells
        pictures = sum("image/png" in out.get("data", {}) for c in cells if c.cell_type == "code" for out in c.outputs)
        assert page(chapter).titles == 1
        assert sum("_images/" in target for target in page(chapter).loads) == pictures
        before, after = chapters.index(chapter) - 1, chapters.index(chapter) + 1
        resolved = {found[0] for target in page(chapter).links if (found := within(page(chapter), target))}
        assert {chapters[i] for i in (before, after) if 0 <= i < len(chapters)} <= resolved


def test_every_picture_says_what_it_shows(pages: list[Page]) -> None:
    """In words of its own: no path, and not what a notebook prints of a figure that has none."""
    silent = [
        f"{one.path.relative_to(BOOK)}: {picture.get('src')}"
        for one in pages
        for picture in one.pictures
        if len(alt := picture.get("alt", "")) < 40 or "Figure size" in alt or "<" in alt or ".png" in alt or "`" in alt
    ]
    assert not silent


def test_under_every_figure_of_a_notebook_stands_what_it_is_drawn_from() -> None:
    for path in notebook_paths():
        cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        drawn = [
            cell
            for cell in cells
            for output in cell.outputs
            if "alt" in output.get("metadata", {}).get("image/png", {})
        ]
        captions = page(BOOK / "notebooks" / f"{path.stem}.html").captions
        assert [f"cell {cell.execution_count}." for cell in drawn] == [
            line[line.rindex("cell ") :] for line in captions
        ]


@pytest.mark.parametrize("subject", list(PUBLISHED))
def test_the_line_under_a_figure_is_the_manifests(subject: str) -> None:
    path = Run(PUBLISHED[subject]).frame_path("seeing")
    manifest = json.loads(path.with_suffix(".json").read_text())
    lines = [
        one
        for one in page(BOOK / "notebooks" / "05_does_it_search.html").captions
        if one.startswith(f"Data: {subject}/seeing.csv")
    ]
    settings = PUBLISHED[subject]
    assert len(lines) == 2, "curves and gains"
    for line in lines:
        assert f"seeing.csv ({manifest['sha256']}). {subject}; " in line
        assert (
            f"{settings.evaluation_prompts} prompts a task; drawn with seed {SEEDS['evaluation']}; {settings.episodes} episodes; "
            in line
        )
        assert f"policies trained with {settings.seeds} seeds; " in line
        held = [one for one in (BOOK / "_downloads").rglob("seeing.csv") if one.read_bytes() == path.read_bytes()]
        assert len(held) == 1, "the data are in the book"


def test_the_status_page_counts_every_notebooks_cells() -> None:
    text = (BOOK / "book" / "status.html").read_text(encoding="utf-8")
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in re.findall(r"<tr.*?</tr>", text, re.DOTALL)]
    found = {
        m[1]: [re.sub("<.*?>", "", cell) for cell in row] for row in rows if (m := re.search(r"(\w+)\.html", str(row)))
    }
    for path in notebook_paths():
        cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        assert found[path.stem][1:4] == [str(len(cells)), str(len(cells)), "yes"]
        assert found[path.stem][8:] == list(words(recorded(ROOT), path))


def test_the_first_page_leads_to_the_front_page() -> None:
    first = (BOOK / "index.html").read_text(encoding="utf-8")
    assert re.search(r'http-equiv="refresh" content="0; url=README\.html"', first)
    assert "A companion to read, rerun and trust" in (BOOK / "README.html").read_text(encoding="utf-8")


def test_the_search_knows_every_page_and_its_words(pages: list[Page]) -> None:
    text = (BOOK / "searchindex.js").read_text(encoding="utf-8")
    index = json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))
    assert {f"notebooks/{path.stem}" for path in notebook_paths()} <= set(index["docnames"])
    found = index["terms"]["gumbel"]
    names = [index["docnames"][i] for i in (found if isinstance(found, list) else [found])]
    assert "circuitlib/search/planning" in names
    # Loaded by a script tag, not fetched, so that it works from files.
    assert any(target.startswith("searchindex.js") for target in page(BOOK / "search.html").loads)


def test_formulas_are_drawn(pages: list[Page]) -> None:
    for name in ("00_overview", "02_ablation_and_oracle", "11_speed"):
        text = (BOOK / "notebooks" / f"{name}.html").read_text(encoding="utf-8")
        assert 'role="img" aria-label=' in text
        assert "$$" not in text
        assert "MathJax" not in text


def test_links_of_the_readme_to_files_are_in_the_book() -> None:
    front = page(BOOK / "README.html")
    linked = {found[0] for target in front.links if (found := within(front, target))}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    modules = re.findall(r"\]\((circuitlib/[\w/]+)\.py\)", readme)
    assert modules
    assert {BOOK / f"{module}.html" for module in modules} <= linked
