"""The parameters that papermill gave a notebook: names that it does not have are refused. papermill itself only warns, in a log, and the
notebook then goes on with its defaults.
"""

import ast
import sys
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

PARAMETERS = ("settings", "output")
"""What every notebook can be given."""

INJECTED = "# Parameters\n"
"""How the cell begins that papermill puts after a notebook's own parameters."""


def refuse_unknown_parameters(cells: list[str]) -> None:
    """Raise ``ValueError`` where a cell that papermill injected gives a name which no notebook has, with the nearest that it has."""
    for name in (name for cell in cells if cell.startswith(INJECTED) for name in _given(cell)):
        if name not in PARAMETERS:
            near = get_close_matches(name, PARAMETERS, 1, cutoff=0)[0]
            raise ValueError(f"no parameter {name}; there are {' and '.join(PARAMETERS)}. Did you mean {near}?")


def executed_cells() -> list[str]:
    """The source of every cell that this kernel has executed, in order; nothing outside a notebook."""
    shell: Any = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return [] if shell is None else list(shell.user_ns.get("In", []))


def _given(cell: str) -> Iterator[str]:
    for node in ast.parse(cell).body:
        if isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
