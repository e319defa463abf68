"""One set of versions, however it is installed."""

import re
import tomllib

import yaml

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
