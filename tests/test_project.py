"""One set of versions, however it is installed; what is stated twice is stated alike."""

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

from circuitlib import reference
from circuitlib.paths import ROOT


def _pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_conda_and_pip_get_the_same_versions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {
        re.split(r"[=<>\[ ]", name)[0]
        for name in [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    }
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    listed = dict(line.split("==") for line in pip if "==" in line)
    pins = _pins()
    assert set(listed) == wanted
    assert all(pins[name] == version for name, version in listed.items())
    assert pins["torch"] == "2.13.0"
    assert "torch==2.13.0" in project["dependencies"]


def test_nothing_at_import_loads_a_model_or_parses_arguments() -> None:
    for path in (ROOT / "circuitlib").rglob("*.py"):
        for line in path.read_text().splitlines():
            assert not re.match(
                r"(load_subject|parser|torch\.set_num_threads|TransformerBridge\.)", line
            ), path.name


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project


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


def test_the_reference_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert reference.main(["--check"]) == 0, capsys.readouterr().out


def test_the_reference_shows_signatures_and_first_paragraphs(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        dedent('''
            @dataclass(frozen=True)
            class Point:
                """Where, see :func:`package.module.f`.

                More.
                """

                x: Float[Tensor, "n 2"]
                label: str = "a"
                kind: ClassVar[int] = 2

                def norm(self) -> float: ...
                def _hidden(self) -> float: ...

            class Walker(Base):
                def __init__(self, at: Point, *, steps: int = 1_000) -> None: ...

            def f(
                x, *rest: int,
                y: float = 1e-3, **more: str
            ) -> Point:
                """Do ``x``
                at once."""

            def _g() -> None: ...
            ''')
    )
    module = reference._Module(path)
    assert [module.entry(node) for node in module.definitions] == [
        '- `class Point(x: Float[Tensor, "n 2"], label: str = "a")`  \n  Where, see `f`.'
        "  \n  Has `norm`.",
        "- `class Walker(at: Point, *, steps: int = 1_000)`",
        "- `f(x, *rest: int, y: float = 1e-3, **more: str) -> Point`  \n  Do `x` at once.",
    ]


def test_types_go_with_the_package() -> None:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert data["package-data"] == {"circuitlib": ["py.typed"]}
    assert (ROOT / "circuitlib" / "py.typed").is_file()


def test_without_its_checkout_the_package_loads_and_ablates(
    checkpoint: Path, tmp_path: Path
) -> None:
    """What ``pip install .`` gives: the package alone, in a folder that is not the checkout."""
    shutil.copytree(
        ROOT / "circuitlib", tmp_path / "circuitlib", ignore=shutil.ignore_patterns("__pycache__")
    )
    program = dedent(f"""
        import importlib, pkgutil, circuitlib
        from pathlib import Path
        assert Path(circuitlib.__file__).parents[1] == Path({str(tmp_path)!r})
        for module in pkgutil.iter_modules(circuitlib.__path__):
            importlib.import_module("circuitlib." + module.name)

        from circuitlib.ablation import hooked_task
        from circuitlib.control import control_spans
        from circuitlib.damage import build_table
        from circuitlib.literature import mechrl
        from circuitlib.reproduce import main
        from circuitlib.results import Run
        from circuitlib.subjects import load_subject
        from circuitlib.tasks import TASKS

        subject = load_subject({str(checkpoint)!r})
        prompts = TASKS["ioi"].prompts(subject.tokenizer, 4, 0)[0]
        assert hooked_task(subject, prompts, TASKS["ioi"].metric, [(), (1, 2)]).shape[1] == 2
        assert len(build_table(subject, "control", 4, "train", Path({str(tmp_path / "cache")!r}))) == 4
        for needs_checkout in (Run, mechrl, load_subject):
            try:
                needs_checkout()
            except FileNotFoundError as error:
                assert "checkout" in str(error), error
            else:
                raise AssertionError(needs_checkout)
        assert main([]) == 2
        """)
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        cwd=tmp_path,
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert "clone the repository" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"circuitlib", "cache"}
