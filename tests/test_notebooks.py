"""Notebooks are committed executed, whole, and on the published run."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

from circuitlib.companion.notebooks import clean, notebook_paths
from circuitlib.companion.run import Run
from circuitlib.paths import FIGURES, NOTEBOOKS, ROOT

PATHS = notebook_paths()
EACH = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def read(path: Path, kind: str) -> list[nbformat.NotebookNode]:
    """The cells of a kind."""
    cells = nbformat.reads(path.read_text(), as_version=4).cells
    return [cell for cell in cells if cell.cell_type == kind]


def figures_of(path: Path) -> set[str]:
    """The names under which a notebook saves figures."""
    source = "\n".join(cell.source for cell in read(path, "code"))
    return set(re.findall(r'save_figure\(\s*\w+(?:\(\w+\))?,\s*"(\w+)"', source))


def test_all_are_there() -> None:
    assert [path.name[:2] for path in PATHS] == [f"{i:02d}" for i in range(12)]


@EACH
def test_notebook_is_valid_and_clean(path: Path) -> None:
    text = path.read_text()
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert [cell["id"] for cell in notebook.cells] == [f"cell-{i:02d}" for i in range(len(notebook.cells))]
    assert nbformat.writes(clean(notebook)) == text.rstrip("\n")
    assert max(len(cell.source.splitlines()) for cell in read(path, "code")) <= 20
    assert not re.search(r'"/(home|root|tmp|work|Users)/', text)


@EACH
def test_parameters_are_those_of_the_published_run(path: Path) -> None:
    cells = read(path, "code")
    assert [cell.metadata.get("tags", []) for cell in cells if cell.metadata.get("tags")] == [["parameters"]]
    assert cells[0].metadata.get("tags") == ["parameters"]
    assert len(cells[0].source.splitlines()) == 4
    values = {node.targets[0].id: ast.literal_eval(node.value) for node in ast.parse(cells[0].source).body}
    assert values == {"settings": {}, "output": ""}
    assert Run.of(**values) == Run()
    assert "Run.of(settings, output)" in cells[1].source


@EACH
def test_outputs_are_committed_and_calm(path: Path) -> None:
    cells = read(path, "code")
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    tables = [output.data.get("text/html", "") for output in outputs if "data" in output]
    for table in tables:
        assert "<table" not in table or "<caption>" in table, "a table without subject"


@EACH
def test_links_and_figures_exist(path: Path) -> None:
    prose = "\n".join(cell.source for cell in read(path, "markdown"))
    links = re.findall(r"\]\(([^)]+)\)", prose)
    for link in links:
        assert link.startswith("https://") or (NOTEBOOKS / link.split("#")[0]).is_file(), link
    for module in re.findall(r"`(circuitlib/[\w/.]+)`", prose):
        assert (ROOT / module).exists(), module
    for name in figures_of(path):
        for suffix in (".png", ".pdf"):
            assert (FIGURES / name).with_suffix(suffix).is_file(), name


@EACH
def test_the_last_cell_leads_on(path: Path) -> None:
    """To the notebook before and the one after, each by its title."""
    at, links = PATHS.index(path), re.findall(r"\[([^]]+)\]\(([^)]+)\)", read(path, "markdown")[-1].source)
    neighbours = [PATHS[i] for i in (at - 1, at + 1) if 0 <= i < len(PATHS)]
    titles = [read(one, "markdown")[0].source.splitlines()[0].removeprefix("# ") for one in neighbours]
    assert [link for _, link in links] == [one.name for one in neighbours]
    for (said, _), title in zip(links, titles, strict=True):
        assert said == title
    assert at == 0 or "**You will learn**" in read(path, "markdown")[0].source


def test_the_glossary_names_files_that_are_there() -> None:
    modules = re.findall(r"`(\w+/\w+\.py)`", (NOTEBOOKS / "glossary.md").read_text())
    assert len(modules) > 20
    for module in modules:
        assert (ROOT / "circuitlib" / module).is_file(), module


def test_readme_maps_every_figure_to_the_notebook_that_makes_it() -> None:
    rows = [line for line in (ROOT / "README.md").read_text().splitlines() if line[:1] == "|"]
    for figure in sorted(FIGURES.glob("*.png")):
        makers = [path.stem for path in PATHS if figure.stem in figures_of(path)]
        assert makers, f"no notebook makes {figure.stem}"
        (row,) = (line for line in rows if f"figures/{figure.stem}.png" in line)
        assert any(name in row for name in makers), f"README names another for {figure.stem}"
