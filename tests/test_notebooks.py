"""Notebooks are committed executed, whole, and with the parameters of the default run."""

import re
from dataclasses import asdict
from pathlib import Path

import nbformat
import pytest

from circuitlib.companion.notebooks import clean, notebook_paths
from circuitlib.companion.settings import Settings
from circuitlib.paths import FIGURES, ROOT

PATHS = notebook_paths()


def test_all_are_there() -> None:
    assert [path.name[:2] for path in PATHS] == [f"{i:02d}" for i in range(11)]


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_notebook(path: Path) -> None:
    text = path.read_text()
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not any(output.output_type == "error" for cell in cells for output in cell.outputs)
    assert not any(output.get("name") == "stderr" for cell in cells for output in cell.outputs)
    tags = [tag for cell in cells for tag in cell.metadata.get("tags", [])]
    assert tags == ["parameters"]
    values: dict[str, object] = {}
    exec(next(c.source for c in cells if "parameters" in c.metadata.get("tags", [])), {}, values)
    assert values == asdict(Settings()) | {"recompute": False, "output": ""}
    assert nbformat.writes(clean(nbformat.reads(text, as_version=4))) == text.rstrip("\n")
    assert max(len(cell.source.splitlines()) for cell in cells) <= 20
    tables = [
        o.data["text/html"] for c in cells for o in c.outputs if "text/html" in o.get("data", {})
    ]
    assert all("<caption>" in table for table in tables if "<table" in table), (
        "a table without subject"
    )
    assert not re.search(r'"/(home|root|tmp|work|Users)/', text)


def test_readme_maps_every_figure_to_the_notebook_that_makes_it() -> None:
    readme = (ROOT / "README.md").read_text()
    sources = {path.stem: path.read_text() for path in PATHS}
    for figure in sorted(FIGURES.glob("*.png")):
        makers = [name for name, text in sources.items() if f'\\"{figure.stem}\\"' in text]
        assert makers, f"no notebook makes {figure.stem}"
        row = next(
            (
                line
                for line in readme.splitlines()
                if line.startswith("|") and f"figures/{figure.stem}.png" in line
            ),
            None,
        )
        assert row is not None, f"README does not map {figure.stem}"
        assert any(name in row for name in makers), (
            f"README names another notebook for {figure.stem}"
        )
