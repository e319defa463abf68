"""One set of versions, however it is installed; what is stated twice is stated alike; arrows one way."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml
from checked import checked

from circuitlib.paths import ROOT

LIBRARY = ROOT / "circuitlib"
FOLDERS = ("subjects", "tasks", "ablation", "search", "studies", "companion", "workshop")
"""Each uses only those above it."""

MODULES = sorted(LIBRARY.rglob("*.py"))


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project


def _bare(requirements: list[str]) -> set[str]:
    return {re.split(r"[=<>\[ ]", name)[0] for name in requirements}


def test_conda_and_pip_get_the_same_versions() -> None:
    project = _project()
    extras = project["optional-dependencies"]
    wanted = _bare([*project["dependencies"], *(name for extra in extras.values() for name in extra)])
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    listed = dict(line.split("==") for line in pip if "==" in line)
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert set(listed) == wanted
    assert all(pins[name] == version for name, version in listed.items())
    assert pins["torch"] == "2.13.0"
    assert "torch==2.13.0" in project["dependencies"]


def _imports(path: Path) -> set[str]:
    """All modules that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(LIBRARY).as_posix())
def test_a_folder_uses_only_those_above_it(path: Path) -> None:
    parts = path.relative_to(LIBRARY).parts
    used = {name.split(".")[1] for name in _imports(path) if name.startswith("circuitlib.")}
    used &= set(FOLDERS)
    if len(parts) > 1:
        assert used <= set(FOLDERS[: FOLDERS.index(parts[0]) + 1])
    elif path.name not in ("__init__.py", "__main__.py"):
        assert not used, "what stands beside the folders uses none of them"


def test_the_ablation_needs_the_core_alone() -> None:
    """What only an extra installs is imported by the notebooks' side and the workshop, not above them."""
    names = {"pyyaml": "yaml", "sb3-contrib": "sb3_contrib", "pyzmq": "zmq", "ipython": "IPython"}
    extras = _project()["optional-dependencies"]
    optional = {names.get(name, name) for name in _bare([*extras["companion"], *extras["dev"]])}
    core = _bare(_project()["dependencies"])
    for path in MODULES:
        used = {name.split(".")[0] for name in _imports(path)}
        if path.relative_to(LIBRARY).parts[0] not in ("companion", "workshop"):
            assert not used & optional, f"{path.name} imports {used & optional}"
    assert not core & {"papermill", "ipywidgets", "jupyterlab"}


@pytest.mark.parametrize(
    ("program", "needs"),
    [
        ("from circuitlib import HeadAblationEnv; import circuitlib.search.ppo", "circuitlib.search.episodes"),
        ("from circuitlib.companion import claims, figures, frames, show", "circuitlib.ablation.sweep"),
    ],
    ids=["the environment", "reading results"],
)
def test_what_needs_no_model_loads_no_model_library_and_prints_nothing(program: str, needs: str) -> None:
    done = subprocess.run([sys.executable, "-X", "importtime", "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    assert needs in done.stderr
    assert all(line.startswith("import time:") for line in done.stderr.splitlines())
    assert not re.search(r"\| +(transformer_lens|transformers)\b", done.stderr)


def test_nothing_at_import_loads_a_model_or_parses_arguments() -> None:
    for path in MODULES:
        for line in path.read_text().splitlines():
            assert not re.match(r"(load_subject|parser|torch\.set_num_threads|TransformerBridge\.)", line), path.name


def test_results_are_read_by_the_one_store_which_verifies_them() -> None:
    """Other files are read beside it: of checkpoints, of the paper's control text, of its author, and what pretraining keeps."""
    reads = re.compile(r"\b(read_(csv|parquet|pickle|json|feather)|load_file|safe_open|(torch|np|pickle|json)\.load)\(")
    found = {path.relative_to(LIBRARY).as_posix() for path in MODULES if reads.search(path.read_text(encoding="utf-8"))}
    others = {"subjects/checkpoints.py", "tasks/control_text.py", "companion/authors.py", "workshop/pretrain.py"}
    assert found == {"manifest.py", *others}


def test_every_module_says_what_it_is() -> None:
    for path in MODULES:
        text = path.read_text()
        assert not text.strip() or ast.get_docstring(ast.parse(text)), path
        assert "fmt: skip" not in text, path


def test_the_map_of_the_library_names_what_is_there() -> None:
    text = (LIBRARY / "README.md").read_text()
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (LIBRARY / link).exists(), link
    for folder in FOLDERS:
        assert f"`{folder}/`" in text
        assert (LIBRARY / folder).is_dir()
    for name in re.findall(r"`([\w/]+\.py)`", text):
        assert list(LIBRARY.rglob(name)), name


def test_citation_is_of_this_version() -> None:
    """The Citation File Format 1.2.0's required keys, and those that the project states elsewhere."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project, readme = _project(), (ROOT / "README.md").read_text()
    assert citation["cff-version"] == "1.2.0"
    assert citation["message"]
    assert citation["authors"] == [{"name": "The circuitlib authors"}]
    assert (citation["title"], citation["version"]) == (project["name"], project["version"])
    assert citation["license"] == project["license"]
    (paper,) = citation["references"]
    assert {"type", "title", "authors"} <= set(paper)
    assert paper["title"] in " ".join(readme.split())
    assert paper["url"] in readme


def test_changelog_is_of_this_version() -> None:
    lines = (ROOT / "CHANGELOG.md").read_text().splitlines()
    versions = [line for line in lines if line.startswith("## ")]
    for line in versions:
        assert re.fullmatch(r"## \[\d+\.\d+\.\d+\] - (\d{4}-\d\d-\d\d|Unreleased)", line), line
    assert versions[0].startswith(f"## [{_project()['version']}] - ")
    kinds = {line.removeprefix("### ") for line in lines if line.startswith("### ")}
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_shapes_are_checked_in_every_module_that_has_them() -> None:
    """By ``make test-all``: where annotations are jaxtyping's, or its one name."""
    told = subprocess.run(
        ["make", "--dry-run", "test-all"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    (shapes,) = re.findall(r"--jaxtyping-packages=(\S+)", told)
    *hooked, checker = shapes.split(",")
    named = {"jaxtyping", "circuitlib.ablation.engine.Tokens"}
    annotated = {path for path in MODULES if _imports(path) & named}
    assert set(hooked) == {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in annotated}
    assert len(annotated) > 50
    assert checker == f"{checked.__module__}.{checked.__name__}"


def test_types_go_with_the_package() -> None:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert data["package-data"] == {"circuitlib": ["py.typed"]}
    assert (LIBRARY / "py.typed").is_file()


@pytest.mark.long
def test_without_its_checkout_the_package_loads_and_ablates(checkpoint: Path, tmp_path: Path) -> None:
    """What ``pip install .`` gives: the package alone, in a folder that is not the checkout."""
    shutil.copytree(LIBRARY, tmp_path / "circuitlib", ignore=shutil.ignore_patterns("__pycache__"))
    program = dedent(f"""
        import importlib, pkgutil, circuitlib
        from pathlib import Path
        assert Path(circuitlib.__file__).parents[1] == Path({str(tmp_path)!r})
        for module in pkgutil.walk_packages(circuitlib.__path__, "circuitlib."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)

        from circuitlib import head_damage, load_subject
        from circuitlib.__main__ import main
        from circuitlib.ablation.build import Recipe, build_table
        from circuitlib.companion.paper import mechrl
        from circuitlib.companion.run import Run

        subject = load_subject({str(checkpoint)!r})
        assert len(head_damage(subject, [("The keys near the cabinet", " are", " is")])) == 15
        assert len(build_table(subject, Recipe(None, 4, "train"), Path({str(tmp_path / "cache")!r}))) == 4
        for needs_checkout in (Run, mechrl, load_subject):
            try:
                needs_checkout()
            except FileNotFoundError as error:
                assert "checkout" in str(error), error
            else:
                raise AssertionError(needs_checkout)
        assert main(["reproduce"]) == 2
        """)
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=tmp_path, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert "clone the repository" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"circuitlib", "cache"}
