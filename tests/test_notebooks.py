"""Notebooks are committed executed, whole, and on the published run."""

import ast
import json
import re
from importlib.util import find_spec
from pathlib import Path

import nbformat
import pytest
from prose import A_MINUTE, plain

from circuitlib.companion.notebooks import clean, notebook_paths
from circuitlib.companion.run import Run
from circuitlib.paths import FIGURES, NOTEBOOKS, RESULTS, ROOT

PATHS = notebook_paths()
EACH = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)

MAIN_TEXT = PATHS[:9]
"""What argues; after it come the parts for use, and an appendix."""

RERUNS = {"a quarter of a minute": 15, "half a minute": 30, "a minute": 60, "two minutes": 120}
"""Bounds of how long a notebook takes to run again, in seconds."""

TERMS = {
    "subject": r"subjects?",
    "task": r"tasks?",
    "role": r"roles?",
    "control-text": r"control\s+(?:text|spans?)",
    "ablation": r"(?:zero-)?ablat(?:e|es|ed|ing|ion|ions)",
    "convention": r"conventions?",
    "damage": r"damages?",
    "reward": r"rewards?",
    "table": r"damage\s+tables?",
    "episode": r"episodes?",
    "pick": r"picks?",
    "measurement": r"measurements?",
    "best-of-k-planning": r"best-of-\w+(?:\s+planning)?|planning",
    "headlines-policy": r"headline's\s+policy",
    "greedy": r"greedy",
    "signal": r"told\s+nothing|task\s+signal",
    "oracle": r"oracle",
    "list": r"lists?",
    "found": r"\*+found\*+",
    "named": r"\*+named\*+",
    "price": r"prices?",
    "attribution": r"attribution",
    "halving": r"halving",
    "thompson-sampling": r"Thompson\s+sampling",
    "belief": r"beliefs?",
    "prior": r"priors?",
    "headwise-policy": r"headwise\s+policy",
    "searcher": r"searchers?",
    "policy": r"polic(?:y|ies)",
    "verdict": r"verdicts?",
    "head-dropout": r"head\s+dropout",
    "blind": r"blind",
    "seed": r"(?:training\s+)?seeds?",
    "interval": r"intervals?",
}
"""Words of the glossary, by their anchors there, as prose has them."""


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
    for module in re.findall(r"`(circuitlib(?:\.\w+)+)[`(]", prose):
        assert find_spec(module), module
    for name in figures_of(path):
        for suffix in (".png", ".pdf"):
            assert [*FIGURES.rglob(f"{name}{suffix}")], name


@EACH
def test_the_last_cell_leads_on(path: Path) -> None:
    """To the notebook before and the one after, each by its title."""
    at, links = PATHS.index(path), re.findall(r"\[([^]]+)\]\(([^)]+)\)", read(path, "markdown")[-1].source)
    neighbours = [PATHS[i] for i in (at - 1, at + 1) if 0 <= i < len(PATHS)]
    titles = [read(one, "markdown")[0].source.splitlines()[0].removeprefix("# ") for one in neighbours]
    assert [link for _, link in links] == [one.name for one in neighbours]
    for (said, _), title in zip(links, titles, strict=True):
        assert said == title


def test_the_main_text_is_an_hour_of_a_dozen_cells_each() -> None:
    assert len(MAIN_TEXT) <= 9
    assert sum(words_of(path) for path in MAIN_TEXT) <= 60 * A_MINUTE
    assert {path.stem: len(read(path, "code")) for path in MAIN_TEXT if len(read(path, "code")) > 12} == {}


def words_of(path: Path) -> int:
    """Words of prose, that which cells compute included; tables and other outputs are looked at."""
    computed = (
        output.get("data", {}).get("text/markdown", "") for cell in read(path, "code") for output in cell.outputs
    )
    return sum(len(plain(text).split()) for text in (*(cell.source for cell in read(path, "markdown")), *computed))


@EACH
def test_it_begins_with_what_is_learned_and_how_long_it_takes(path: Path) -> None:
    """Minutes follow from its words, and the bound of a rerun from the last recorded one (``make executed``)."""
    first = read(path, "markdown")[0].source
    assert "**You will learn** " in first
    minutes = round(words_of(path) / A_MINUTE)
    recorded = json.loads((RESULTS / "executed.json").read_text())["notebooks"][path.name]["seconds"]
    fitting = [words for words, bound in RERUNS.items() if bound / 4 <= recorded <= bound]
    lines = [
        f"*{minutes} minutes to read; under {bound} to run again from the committed results.*" for bound in fitting
    ]
    assert [line for line in lines if f"\n\n{line}\n" in first], f"its second paragraph should be one of {lines}"


@EACH
def test_what_to_see_stands_before_every_figure(path: Path) -> None:
    cells = nbformat.reads(path.read_text(), as_version=4).cells
    shown = [
        i
        for i, cell in enumerate(cells)
        if cell.cell_type == "code" and re.search(r"save_figure\(|plot_head_damage\(", cell.source)
    ]
    drawn = [
        i for i, cell in enumerate(cells) for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
    ]
    assert set(drawn) <= set(shown)
    for i in shown:
        before = cells[i - 1]
        assert before.cell_type == "markdown", f"cell {i}"
        (said,) = re.findall(r"\*\*What to see\.\*\* (.+?)(?:\n\n|\Z)", before.source, re.DOTALL)
        assert len(re.findall(r"[.:;?](?: |$)", said)) >= 2, f"cell {i}: what counts against it?"


@EACH
def test_it_says_what_to_change_and_what_then_happens(path: Path) -> None:
    changes = [
        (i, change)
        for i, cell in enumerate(nbformat.reads(path.read_text(), as_version=4).cells)
        for change in re.findall(r"\*\*Change this and rerun:\*\* (.+)", cell.source.replace("\n", " "))
    ]
    code = [cell.source for cell in read(path, "code")]
    assert 1 <= len(changes) <= 2
    for _, change in changes:
        from_, to = re.findall(r"`([^`]+)`", change)[:2]
        assert any(from_ in source for source in code), from_
        assert from_ != to
        assert len(change.partition(f"`{to}`")[2].split()) > 8, "what to expect"


def blank(match: re.Match[str]) -> str:
    return " " * len(match[0])


def running(prose: str) -> str:
    """Where terms may stand: no titles, tables, code and formulas, everything at its place."""
    text = re.sub(r"```.*?```|\$\$.*?\$\$|\$[^$]+\$|`[^`]*`", blank, prose, flags=re.DOTALL)
    return re.sub(r"^(?:#|\|).*$", blank, text, flags=re.MULTILINE)


def first_use(anchor: str, prose: str) -> re.Match[str] | None:
    """Where a term stands first in running prose, links to other places left out."""
    bare = re.sub(rf"\[[^]]*\]\((?!glossary\.md#{anchor}\))[^)]*\)", blank, running(prose))
    return re.search(rf"(?<![\w#/-])(?:{TERMS[anchor]})(?![\w-])", bare, re.IGNORECASE)


@EACH
def test_terms_are_linked_where_they_are_first_used(path: Path) -> None:
    titles = re.findall(r"^### (.+)$", (NOTEBOOKS / "glossary.md").read_text(), re.MULTILINE)
    slugs = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
    *cells, _ = read(path, "markdown")
    prose = "\n\n".join(cell.source for cell in cells)
    assert set(TERMS) | set(re.findall(r"glossary\.md#([\w-]+)", prose)) <= slugs | {"sources"}
    for anchor in TERMS:
        if first := first_use(anchor, prose):
            assert prose[first.end() :].startswith(f"](glossary.md#{anchor})"), prose[
                first.start() - 40 : first.end() + 20
            ]


@EACH
def test_sources_are_linked(path: Path) -> None:
    prose = " ".join(" ".join(cell.source for cell in read(path, "markdown")).split())
    named = re.findall(r"[A-Z]\w+(?: et al\.| and [A-Z]\w+) (?:19|20)\d\d.", prose)
    assert not [one for one in named if not one.endswith("]")]


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
