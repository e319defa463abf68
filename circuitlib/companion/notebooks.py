"""The notebooks: found, executed, cleaned."""

import json
import os
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import nbformat
import papermill
import zmq
from nbclient import NotebookClient
from tqdm import tqdm
from traitlets.config import Config

from circuitlib.companion.publish import SECONDS
from circuitlib.companion.run import Run
from circuitlib.companion.settings import Settings
from circuitlib.manifest import written_whole
from circuitlib.paths import NOTEBOOKS

KERNELS = Config(KernelManager={"transport_encryption": "auto" if zmq.has("curve") else "disabled"})
"""Talk to a notebook's kernel encrypted. It complains on the terminal, once a notebook, if one does not."""


FIRST, THEN = "03", ("04", "05", "06", "07", "08", "00")
"""See :class:`Lanes`."""


IN_ALL = "in all"
"""The name of the whole run's seconds beside those of its notebooks."""


ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
"""For the kernels: glibc keeps freed memory for the next activation instead of giving it back to the
system page by page, which takes about a tenth off a sweep."""


PATIENT = {"OMP_WAIT_POLICY": "PASSIVE"}
"""For kernels side by side: a thread that waits leaves its core to the other kernel. Alone, hooked passes are
slower for it."""


def notebook_paths(chosen: Sequence[str] = ()) -> list[Path]:
    """The notebooks by number, in reading order; all if none are chosen.

    Raises ``ValueError`` for a number that no notebook has.
    """
    found = {path.name[:2]: path for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))}
    unknown = [number for number in chosen if number not in found]
    if unknown:
        raise ValueError(f"no notebook {', '.join(unknown)}; there are {', '.join(found)}")
    return [path for number, path in found.items() if not chosen or number in chosen]


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Remove what differs between two equal runs: times, ids of runs, papermill's own marks."""
    notebook.metadata.pop("papermill", None)
    notebook.metadata["language_info"] = {"name": "python"}
    notebook.metadata["kernelspec"] = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    for i, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{i:02d}"
        for mark in ("papermill", "execution"):
            cell.metadata.pop(mark, None)
    return notebook


def execute_in_place(paths: Sequence[Path]) -> None:
    """Run the committed notebooks on the committed results and keep their outputs."""
    for path in tqdm(paths, desc="publishing", unit="notebook"):
        notebook = nbformat.read(path, as_version=4)
        NotebookClient(
            notebook,
            timeout=1200,
            resources={"metadata": {"path": str(path.parent)}},
            config=KERNELS,
        ).execute()
        with written_whole(path) as temporary:
            nbformat.write(clean(notebook), temporary)


@dataclass(frozen=True)
class Lanes:
    """Notebooks in the order of their execution: two lanes side by side, then the others alone.

    A notebook spends a third of its time on one core (imports, loading, drawing), which the other lane uses.
    first: 03, the longest. beside: each stands alone. then: each needs what those before it measured; 08
    measures speed, so nothing may run beside it, and the overview shows what all others measured.
    """

    first: list[Path]
    beside: list[Path]
    then: list[Path]

    @classmethod
    def of(cls, paths: Sequence[Path]) -> "Lanes":
        """Sort notebooks, given in reading order, into lanes."""
        by_number = {path.name[:2]: path for path in paths}
        beside = sorted(by_number.keys() - {FIRST, *THEN})
        lanes = ([FIRST], beside, THEN)
        return cls(*([by_number[n] for n in lane if n in by_number] for lane in lanes))

    def expected(self, seconds: dict[str, float]) -> float:
        """Seconds that all of it takes, from seconds a notebook; a minute for one not measured yet."""
        first, beside, then = (
            sum(seconds.get(path.stem, 60.0) for path in lane)
            for lane in (self.first, self.beside, self.then)
        )
        return max(first, beside) + then


def execute(paths: Sequence[Path], run: Run) -> dict[str, float]:
    """Execute notebooks with papermill into the run's folder; seconds a notebook, and ``in all``."""
    parameters = asdict(run.settings) | {"recompute": True, "output": run.output}
    run.notebooks.mkdir(parents=True, exist_ok=True)
    lanes, began, running = Lanes.of(paths), time.monotonic(), list[str]()
    seconds: dict[str, float] = {}
    expected = None
    if run.settings == Settings() and SECONDS.exists():
        expected = lanes.expected(json.loads(SECONDS.read_text()))

    def execute_lane(lane: Sequence[Path]) -> None:
        for path in lane:
            started = time.monotonic()
            running.append(path.stem)
            papermill.execute_notebook(
                path, run.notebooks / path.name, parameters, kernel_name="python3", progress_bar=False,
                cwd=str(path.parent), log_output=False, config=KERNELS,
            )  # fmt: skip
            running.remove(path.stem)
            seconds[path.stem] = time.monotonic() - started

    with _environment(ALLOCATOR), _progress(expected, len(paths), seconds, running):
        with _environment(PATIENT), ThreadPoolExecutor(2) as pool:
            sides = [pool.submit(execute_lane, lane) for lane in (lanes.first, lanes.beside)]
        for side in sides:
            side.result()
        execute_lane(lanes.then)
    return dict(sorted(seconds.items())) | {IN_ALL: time.monotonic() - began}


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the kernels started meanwhile, where the user has not set them."""
    added = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


@contextmanager
def _progress(
    expected: float | None, notebooks: int, done: Collection[str], running: Sequence[str]
) -> Iterator[None]:
    """A bar that names what is ``running`` and moves with the clock towards the ``expected`` seconds, or,
    where nobody knows them, with the notebooks that are ``done``."""
    known = "{elapsed} gone, about {remaining} left"
    counted = "{n} of {total} notebooks, {elapsed} gone"
    bar = tqdm(
        total=round(expected) if expected else notebooks,
        bar_format="{desc:<48}|{bar:20}| " + (known if expected else counted),
    )
    began, over = time.monotonic(), threading.Event()

    def tick() -> None:
        while not over.wait(1.0):
            gone = time.monotonic() - began
            bar.n = round(min(gone, 0.98 * expected)) if expected else len(done)
            bar.set_description_str(", ".join(running), refresh=True)

    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    try:
        yield
        bar.n = round(expected) if expected else notebooks
    finally:
        over.set()
        ticker.join()
        bar.close()
