"""Under each figure, what it is drawn from: its numbers, its data with their hashes, its cell, subject, prompts, episodes, seeds; and its alternative text.

A figure says itself what it shows, and of which subject: ``save_figure`` writes that into the file. Which results a figure is drawn from, README's
table says; what these were made of, their manifests.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from PIL import Image
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.transforms import SphinxTransform
from sphinx.util.typing import ExtensionMetadata

from figures import made_by

RESULTS, FIRST = "data/results", "gpt2-mini"
"""Where results are, and the subject that README's table names those of."""

TABLES, LARGEST = ".csv", 500_000
"""Results that any reader can open, which the book holds, and of how many bytes at the most: others are named, with their hash, and lie in the repository."""


def texts_of(path: Path) -> dict[str, str]:
    """What a figure says of itself: ``Title``, ``Subject``, ``Description``; nothing of another picture."""
    with Image.open(path) as picture:
        found = {str(key): str(value) for key, value in picture.info.items()}
    return found if {"Title", "Subject", "Description"} <= found.keys() else {}


def declared(readme: str) -> dict[str, list[str]]:
    """The results of each figure, by its name: paths and patterns from the folder of ``FIRST``."""
    rows = [line.split("|") for line in readme.splitlines() if "](figures/" in line and line.startswith("|")]
    return {
        name: re.findall(r"`([^`]+)`", row[3])
        for row in rows
        for name in re.findall(r"\]\(figures/(?:[\w.-]+/)?(\w+)\.png\)", row[1])
    }


def data_of(root: Path, name: str, subject: str) -> dict[str, list[Path]]:
    """The files of each pattern that a figure is drawn from; those of ``FIRST`` where the subject has no folder of results.

    Raises ``ExtensionError`` for a figure that README does not list, and for results that are not there.
    """
    patterns = declared((root / "README.md").read_text(encoding="utf-8"))
    if name not in patterns:
        raise ExtensionError(f"README's table of figures has no row of {name}")
    folder = root / RESULTS / (subject if (root / RESULTS / subject).is_dir() else FIRST)
    found = {}
    for pattern in patterns[name]:
        found[pattern] = sorted({path.resolve() for path in folder.glob(pattern)})
        if not found[pattern]:
            raise ExtensionError(f"README says that {name} is drawn from {pattern}, which {folder} does not have")
    return found


def numbers_of(root: Path, name: str, subject: str) -> Path | None:
    """The file of a figure's numbers beside it, where ``save_figure`` wrote one, since it is drawn from results that no spreadsheet opens."""
    own = root / "figures" / subject
    path = (own if own.is_dir() else own.parent) / f"{name}.csv"
    return path if path.is_file() else None


def content_hash(path: Path) -> str:
    """As manifests write it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _provenances(path: Path) -> Iterator[dict[str, Any]]:
    """Of a result, and of the results in its folder, those of behaviours too, that it was made of."""
    waiting, seen = [path], set[Path]()
    while waiting:
        one = waiting.pop()
        manifest = one.with_suffix(".json")
        if one not in seen and manifest.is_file():
            seen.add(one)
            provenance: dict[str, Any] = json.loads(manifest.read_text(encoding="utf-8"))["provenance"]
            yield provenance
            used = [name for name in _keys(provenance) if name.endswith((".safetensors", ".parquet", TABLES))]
            waiting += [folder / name for name in used for folder in (one.parent, one.parent / "behaviours")]


def _keys(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _keys(inner)


def made_of(paths: list[Path]) -> list[str]:
    """Prompts and their seeds, episodes, plays and seeds of policies that results were made of, in words, as far as manifests record them; prompts that
    policies were trained on where there are no others."""
    prompts, drawn, episodes, plays, seeds = set[int](), set[int](), set[int](), set[int](), set[int]()
    taught, replayed = set[tuple[int, int]](), set[tuple[str, int]]()
    for provenance in (one for path in paths for one in _provenances(path)):
        inputs = provenance.get("inputs", {})
        if "part" in provenance and provenance["task"] != "control":
            taught.add((provenance["count"], provenance["seed"]))
            if provenance["part"] == "evaluation":
                prompts.add(provenance["count"])
                drawn.add(provenance["seed"])
        for where in (inputs, inputs.get("settings", {}), provenance):
            prompts |= {where["prompts"]} if "prompts" in where else set()
            drawn |= {where["seed"]} if {"prompts", "seed"} <= where.keys() else set()
            given = where.get("episodes", {})
            if isinstance(given, dict):
                replayed |= {*given.items()}
            else:
                episodes.add(given)
        plays |= {provenance["plays"]} if "plays" in provenance else set()
        if "config" in provenance and "seeds" in provenance:
            given = provenance["seeds"]
            seeds.add(len(given) if isinstance(given, list) else given)
    if not prompts:
        prompts, drawn = ({pair[i] for pair in taught} for i in (0, 1))
    words = {
        "{} prompts a task": prompts,
        "drawn with seed {}": drawn,
        "{} episodes": episodes,
        "{} plays of each": plays,
        "policies trained with {} seeds": seeds,
    }
    of_tasks = [f"{count} episodes of {task}" for task, count in sorted(replayed)]
    return [form.format(" or ".join(map(str, sorted(some)))) for form, some in words.items() if some] + of_tasks


def caption(root: Path, docname: str, texts: dict[str, str], cell: str) -> nodes.paragraph:
    """The line under a figure."""
    of = root.resolve(), texts["Title"], texts["Subject"]
    found, numbers = data_of(*of), numbers_of(*of)

    def download(path: Path, shown: str) -> nodes.Element:
        target = f"/{path.relative_to(root.resolve()).as_posix()}"
        return addnodes.download_reference("", "", nodes.literal(shown, shown), reftarget=target, refdoc=docname)

    line = nodes.paragraph(classes=["figure-data"])
    if numbers:
        line += [nodes.Text("Numbers: "), download(numbers, numbers.name), nodes.Text(f" ({content_hash(numbers)}). ")]
    for number, paths in enumerate(found.values()):
        line += nodes.Text(", " if number else "Data: ")
        for place, path in enumerate(paths):
            shown = path.relative_to(root.resolve()).as_posix().removeprefix(f"{RESULTS}/")
            opens = path.suffix == TABLES and path.stat().st_size <= LARGEST
            name = download(path, shown) if opens else nodes.literal(shown, shown)
            line += [nodes.Text(", " if place else ""), name, nodes.Text(f" ({content_hash(path)})")]
    if not found:
        line += nodes.Text("Measured as the notebook runs")
    parts = [texts["Subject"], *made_of([path for paths in found.values() for path in paths])]
    line += nodes.Text(f". {'; '.join([*parts, cell])}.")
    return line


def shows(texts: dict[str, str]) -> nodes.paragraph:
    """What a figure shows, for who sees it: its description, without the names of panels and axes, which stand in it."""
    words = texts["Description"].partition(" Panels:")[0].partition(" Across:")[0]
    return nodes.paragraph("", words, classes=["figure-shows"])


class UnderFigures(SphinxTransform):
    """Every figure of this project has its alternative text, and beneath it what it shows, and its line."""

    default_priority = 10

    def apply(self) -> None:
        root = Path(self.env.srcdir)
        makers = made_by(root / "notebooks")
        for image in list(self.document.findall(nodes.image)):
            path = Path(self.env.relfn2path(image["uri"], self.env.docname)[1])
            if path.suffix != ".png" or not path.is_file() or not (texts := texts_of(path)):
                continue
            image["alt"] = image.get("alt") or texts["Description"]
            below = image.parent if isinstance(image.parent, nodes.paragraph) else image
            cell: nodes.Node | None = image
            while cell is not None and not (isinstance(cell, nodes.Element) and "exec_count" in cell):
                cell = cell.parent
            if isinstance(cell, nodes.Element):
                where = f"cell {cell['exec_count']}"
            else:
                where = " and ".join(f"cell {count} of {maker.stem}" for maker, count in makers[texts["Title"]].items())
            lines: list[nodes.Node] = [shows(texts), caption(root, self.env.docname, texts, where)]
            below.parent.insert(below.parent.index(below) + 1, lines)


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_transform(UnderFigures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
