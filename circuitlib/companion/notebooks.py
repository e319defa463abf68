"""The notebooks: found, executed by papermill, cleaned. They read a run's results; a few measure what they show."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import nbformat
import papermill
import zmq
from nbclient.exceptions import DeadKernelError
from nbformat import ValidationError
from nbformat.reader import NotJSONError
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from circuitlib.companion.run import Run
from circuitlib.companion.settings import Settings
from circuitlib.companion.show import PUBLISHES
from circuitlib.manifest import written_whole
from circuitlib.paths import NOTEBOOKS

SIDE_BY_SIDE = 2
"""Notebooks executed at once: most of their time is imports and drawing, on one core."""

KERNELS = Config()
# Without encryption where there is none; asking for it would complain once per notebook.
KERNELS.KernelManager.transport_encryption = "auto" if zmq.has("curve") else "disabled"
# A kernel is interrupted before it is shut down, and would log that as an error.
KERNELS.NotebookClient.extra_arguments = ["--log-level=50"]


def notebook_paths(chosen: Sequence[str] = ()) -> list[Path]:
    """The notebooks by number, in reading order; all if none are chosen.

    Raises ``ValueError`` for a number that no notebook has.
    """
    found = {path.name[:2]: path for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))}
    if unknown := [number for number in chosen if number not in found]:
        raise ValueError(f"no notebook {', '.join(unknown)}; there are {', '.join(found)}")
    return [path for number, path in found.items() if not chosen or number in chosen]


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Remove what differs between two equal runs: times, ids of runs, papermill's own marks, and where a printed text was cut in two on its way."""
    notebook.metadata.pop("papermill", None)
    notebook.metadata["language_info"] = {"name": "python"}
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    for i, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{i:02d}"
        for mark in ("papermill", "execution"):
            cell.metadata.pop(mark, None)
        if cell.cell_type == "code":
            cell.outputs = _joined(cell.outputs)
    return notebook


def _joined(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Texts that follow each other on one stream as one; what was shown between two keeps its place."""
    joined: list[nbformat.NotebookNode] = []
    for output in outputs:
        last = joined[-1] if joined else {}
        if output.output_type == last.get("output_type") == "stream" and output.name == last["name"]:
            last["text"] += output.text
        else:
            joined.append(output)
    return joined


@contextmanager
def _kernels_find(name: str) -> Iterator[None]:
    """Kernels started meanwhile find 1 in a variable of their environment, unless the user has set it."""
    chosen = name in os.environ
    os.environ.setdefault(name, "1")
    try:
        yield
    finally:
        if not chosen:
            del os.environ[name]


class NotebookFailed(ValueError):
    """A notebook stopped with an error, or could not begin; the message says which, where, and why."""


def _papermill(path: Path, output: Path, parameters: dict[str, object] | None) -> None:
    quiet = {"progress_bar": False, "log_output": False}
    try:
        papermill.execute_notebook(
            path, output, parameters, kernel_name="python3", cwd=str(NOTEBOOKS), config=KERNELS, **quiet
        )
    except PapermillExecutionError as error:
        reason = f"{error.ename}: {error.evalue}"
        raise NotebookFailed(f"{path.name} stopped in its cell {error.exec_count} ({reason}); see {output}") from error
    except DeadKernelError as error:
        raise NotebookFailed(f"{path.name}: its kernel was killed, perhaps for want of memory; see {output}") from error
    except (NotJSONError, ValidationError) as error:
        raise NotebookFailed(f"{path} is no whole notebook ({error}); restore it") from error


def _side_by_side(
    one: Callable[[Path], object], paths: Sequence[Path], done: Callable[[str], object] = lambda name: None
) -> None:
    """Call ``one`` of each notebook and tell ``done`` its name. The first that fails cancels those that have not begun."""
    # On one core each: two that share all cores wait for each other, and take several times as long.
    with _kernels_find("OMP_NUM_THREADS"), ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        waiting = {pool.submit(one, path): path for path in paths}
        try:
            for future in as_completed(waiting):
                future.result()
                done(waiting[future].stem)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def execute(paths: Sequence[Path], run: Run, done: Callable[[str], object] = lambda name: None) -> None:
    """Execute notebooks on a run's results, into its folder. ``done`` is told each one's name."""
    defaults = asdict(Settings())
    changed = {k: v for k, v in asdict(run.settings).items() if v != defaults[k]}
    # papermill would write a tuple as a string.
    changed = {k: list(v) if type(v) is tuple else v for k, v in changed.items()}
    parameters: dict[str, object] = {"settings": changed, "output": run.output}
    run.notebooks.mkdir(parents=True, exist_ok=True)
    # The last take longest, because they measure what they show: they begin.
    _side_by_side(lambda path: _papermill(path, run.notebooks / path.name, parameters), [*reversed(paths)], done)


def execute_in_place(paths: Sequence[Path]) -> None:
    """Execute the committed notebooks on the committed results and keep their outputs, cleaned, and their figures."""

    def one(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / path.name
            _papermill(path, output, None)
            notebook = clean(nbformat.read(output, as_version=4))
        with written_whole(path) as temporary:
            nbformat.write(notebook, temporary)

    with _kernels_find(PUBLISHES):
        _side_by_side(one, paths)
