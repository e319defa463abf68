"""A notebook is given the parameters that it has, and no others."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from papermill.translators import PythonTranslator

from circuitlib.companion.notebooks import NotebookFailed, _papermill
from circuitlib.companion.parameters import INJECTED, PARAMETERS, refuse_unknown_parameters
from circuitlib.companion.run import Run

OWN = "settings = {}\noutput = ''"


@pytest.mark.parametrize(
    ("given", "near"), [({"outptu": "runs/x"}, "output"), ({"setings": {"seeds": 2}, "output": ""}, "settings")]
)
def test_a_name_that_no_notebook_has_is_refused_with_the_nearest(given: dict[str, Any], near: str) -> None:
    """In the cell that papermill writes, wherever the kernel executed it."""
    cell = PythonTranslator.codify(given)
    assert cell.startswith(INJECTED)
    with pytest.raises(ValueError, match=f"there are settings and output. Did you mean {near}"):
        refuse_unknown_parameters(["", OWN, cell, "from circuitlib.companion.run import Run"])


def test_what_a_reader_writes_is_no_parameter() -> None:
    everything = PythonTranslator.codify(dict.fromkeys(PARAMETERS, "x"))
    refuse_unknown_parameters(["", OWN, everything, "seed = 3\noutputs = 2", "# Parameters of mine\nx = 1"])


@pytest.mark.parametrize("settings", ["{'seeds': 2}", None, [("seeds", 2)]])
def test_settings_that_are_no_dict_are_refused(settings: Any) -> None:
    with pytest.raises(TypeError, match="settings must be a dict such as"):
        Run.of(settings)


@pytest.mark.long
def test_papermill_fails_on_a_name_that_is_misspelt(tmp_path: Path) -> None:
    """In a real kernel, by the cell that every notebook begins with; the error says which cell of which notebook, and where it lies."""
    cells = [
        nbformat.v4.new_code_cell(OWN, metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("from circuitlib.companion.run import Run\n\nrun = Run.of(settings, output)"),
    ]
    metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    path, output = tmp_path / "01_small.ipynb", tmp_path / "executed.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), path)
    _papermill(path, output, {"output": ""})
    with pytest.raises(NotebookFailed, match=r"01_small.* cell 3 \(ValueError: no parameter sedes.*executed\.ipynb"):
        _papermill(path, output, {"sedes": 3})
