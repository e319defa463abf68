"""``python -m circuitlib.reproduce``: run the notebooks in order, then say what held.

Papermill executes the numbered notebooks, the overview 00 last, with ``recompute`` set, everything
measured from the subject's weights, into a folder of its own (``runs/default``). The default run is then
compared, row by row, with the committed results. ``--publish`` makes a run the committed one: results and
figures are copied, the committed notebooks executed again on them, and README's table of seconds written.
"""

import argparse
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import nbformat
import pandas as pd
import papermill
import zmq
from nbclient import NotebookClient
from tqdm import tqdm
from traitlets.config import Config

from circuitlib.control import control_paragraphs
from circuitlib.damage import load_table
from circuitlib.paths import FIGURES, NOTEBOOKS, RESULTS, ROOT, RUNS
from circuitlib.provenance import written_whole
from circuitlib.results import Run, Settings, load_frame
from circuitlib.subjects import find_checkpoint

SECONDS = RESULTS / "seconds.json"
"""How long each notebook took when the committed results were made; the progress bar counts in these."""

TABLE_TOLERANCE = 1e-4
"""Largest difference of a damage (logits, probability or nats) from the committed one: float rounding."""

RATIO_TOLERANCE = {"policy": 0.10, "random": 0.02, "static prior": 0.02}
"""Largest difference of a mean fraction of the oracle. A policy's training amplifies rounding, so on
another processor it is another draw of the same distribution."""

FRAME_TOLERANCE = 1e-3
"""Largest difference of a measured number in the other tables."""

NOT_COMPARED = ("claims", "evaluation", "training_k1", "training_k5")
"""Tables that are compared in a way of their own, or that record a policy's training step by step."""

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

SECONDS_MARKS = ("<!-- seconds -->", "<!-- /seconds -->")
"""Between these README shows the seconds a notebook."""


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


def _frame_difference(here: pd.DataFrame, there: pd.DataFrame) -> float:
    """The largest difference of two tables' measured numbers, which are those that are not whole: ranks
    and counts turn on rounding. Infinite when the tables have other rows or columns, or miss other
    numbers."""
    if list(here.columns) != list(there.columns) or len(here) != len(there):
        return float("inf")
    kinds = {name: here[name].dtype.kind + there[name].dtype.kind for name in here.columns}
    numbers = [name for name, kind in kinds.items() if kind in ("ff", "fi", "if")]
    if not here[numbers].isna().equals(there[numbers].isna()):
        return float("inf")
    difference = (here[numbers] - there[numbers]).abs().max().max()
    return 0.0 if pd.isna(difference) else float(difference)


def compare(run: Run) -> pd.DataFrame:
    """The run's results beside the committed ones: result, difference, tolerance, agrees. The difference
    is infinite where the committed results have no such table, or one of another form."""
    committed = Run().folder
    rows: list[tuple[str, float, float]] = []
    for path in sorted(run.folder.glob("damage_*.safetensors")):
        difference = float("inf")
        if (committed / path.name).exists():
            ours, theirs = load_table(path), load_table(committed / path.name)
            if ours.damage.shape == theirs.damage.shape:
                difference = (ours.damage - theirs.damage).abs().max().item()
        rows.append((path.stem, difference, TABLE_TOLERANCE))
    evaluation = run.folder / "evaluation.csv"
    if evaluation.exists():
        key = ["task", "signal", "searcher", "trained_k", "planned_k", "measured"]
        both = [
            load_frame(p).groupby(key)[["best", "oracle"]].mean()
            for p in (evaluation, committed / "evaluation.csv")
        ]
        ratios = [means["best"] / means["oracle"] for means in both]
        same = ratios[0].index.equals(ratios[1].index)
        differences = (ratios[0] - ratios[1]).abs()
        for searcher, tolerance in RATIO_TOLERANCE.items():
            these = differences[differences.index.get_level_values("searcher") == searcher]
            largest = float(these.max()) if same else float("inf")
            rows.append((f"evaluation, {searcher}, fraction of oracle", largest, tolerance))
    for path in sorted(run.folder.glob("*.csv")):
        if path.stem in NOT_COMPARED:
            continue
        difference = float("inf")
        if (committed / path.name).exists():
            difference = _frame_difference(load_frame(path), load_frame(committed / path.name))
        rows.append((path.name, difference, FRAME_TOLERANCE))
    claims = run.folder / "claims.csv"
    if claims.exists():
        verdicts = [
            load_frame(p).set_index("claim")["verdict"] for p in (claims, committed / "claims.csv")
        ]
        here, there = verdicts[0].align(verdicts[1])
        rows.append(("claims.csv, verdicts that differ", float((here != there).sum()), 0.0))
    frame = pd.DataFrame(rows, columns=["result", "difference", "tolerance"])
    return frame.assign(agrees=frame["difference"] <= frame["tolerance"])


def report(run: Run, seconds: dict[str, float]) -> None:
    """Print the ledger, where things are, and the time each notebook took."""
    claims = run.folder / "claims.csv"
    if claims.exists():
        frame = load_frame(claims)
        shown = pd.DataFrame({
            "claim": frame["claim"],
            "paper": [f"{v:.3f}" if pd.notna(v) else "" for v in frame["paper"]],
            "ours": [f"{v:.3f}" for v in frame["ours"]],
            "interval": [f"{a:.3f} to {b:.3f}" if pd.notna(a) else "" for a, b in zip(frame["low"], frame["high"], strict=True)],
            "verdict": frame["verdict"],
        })  # fmt: skip
        print("\n" + shown.to_string(index=False))
    print("\nseconds a notebook: " + ", ".join(f"{name} {s:.0f}" for name, s in seconds.items()))
    print(f"results   {run.folder}\nfigures   {run.figures}\nnotebooks {run.notebooks}")


def seconds_table(seconds: dict[str, float]) -> str:
    """Seconds a notebook, and in all (two run side by side), as a table in Markdown."""
    rows = [f"| {name} | {round(value)} |" for name, value in seconds.items()]
    return "\n".join(["| notebook | seconds |", "|---|--:|", *rows])


def with_seconds(readme: str, seconds: dict[str, float]) -> str:
    """README's text with the table of seconds between its marks.

    Raises ``ValueError`` when the marks are not there, once each and in order.
    """
    start, end = SECONDS_MARKS
    if (
        readme.count(start) != 1
        or readme.count(end) != 1
        or readme.index(start) > readme.index(end)
    ):
        raise ValueError(f"README.md must hold {start} and then {end}, once each")
    before, after = readme.split(start)[0], readme.split(end)[1]
    return f"{before}{start}\n{seconds_table(seconds)}\n{end}{after}"


def _replace_folder(target: Path, source: Path) -> None:
    """Put a copy of ``source`` in ``target``'s place; an interruption while copying leaves it as it was."""
    fresh = target.with_name(f".{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(source, fresh)
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)


def publish(run: Run, seconds: dict[str, float] | None) -> None:
    """Make a finished default run the committed one. ``None`` seconds, those of a resumed run, leave README's
    table of seconds as it is.

    Raises ``ValueError`` for a run with other settings.
    """
    if run.settings != Settings():
        raise ValueError("only the default run can be published")
    _replace_folder(Run().folder, run.folder)
    _replace_folder(FIGURES, run.figures)
    if seconds is not None:
        show_seconds(seconds)
    execute_in_place(notebook_paths())


def show_seconds(seconds: dict[str, float]) -> None:
    """Write what a whole run took into README's table, and where later runs read how long is left."""
    readme = with_seconds((ROOT / "README.md").read_text(), seconds)
    with written_whole(SECONDS) as temporary:
        rounded = {name: round(value) for name, value in seconds.items()}
        temporary.write_text(json.dumps(rounded, indent=1) + "\n")
    with written_whole(ROOT / "README.md") as temporary:
        temporary.write_text(readme)


def parse(arguments: Sequence[str] | None = None) -> tuple[argparse.Namespace, Settings]:
    """The command line, and the settings it amounts to; exits with a message on a bad value."""
    defaults = Settings()
    parser = argparse.ArgumentParser(
        prog="python -m circuitlib.reproduce",
        description="Run the notebooks from the subject's weights to the figures, then say what held.",
    )
    parser.add_argument(
        "--notebooks",
        nargs="*",
        default=[],
        metavar="NN",
        help="numbers of the notebooks to run; all by default",
    )
    parser.add_argument(
        "--output",
        default="",
        help="folder for results, figures and notebooks, inside the checkout; runs/default by default, and required with other settings",
    )
    helps = {
        "subject": "embedded subject, local Hugging Face directory, or hub name", "convention": "folded (the paper's) or raw",
        "train_prompts": "prompts a task, and half as many control spans, to train policies on", "evaluation_prompts": "prompts a task, and half as many control spans, to evaluate on",
        "seeds": "PPO seeds", "steps": "PPO steps a seed", "episodes": "evaluation episodes a task",
        "control": "control text: docstrings, wikitext-2 (the paper's), or the subject's default, wikitext-2 but for the embedded subject",
    }  # fmt: skip
    for name, value in asdict(defaults).items():
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=type(value),
            default=value,
            help=f"{helps[name]} (default: {value})",
        )
    parser.add_argument(
        "--resume", action="store_true", help="keep what an interrupted run has already measured"
    )
    parser.add_argument(
        "--publish",
        action="store_true",
        help="make this run the committed one; only for the default settings",
    )
    options = parser.parse_args(arguments)
    try:
        settings = Settings(**{name: getattr(options, name) for name in asdict(defaults)})
        notebook_paths(options.notebooks)
        if settings != defaults and not options.output:
            raise ValueError(
                "settings other than the default need --output, a folder such as runs/mine"
            )
        if options.publish and (settings != defaults or options.notebooks):
            raise ValueError("--publish needs the default settings and all notebooks")
        options.output = options.output or "runs/default"
        target = (ROOT / options.output).resolve()
        if RUNS.resolve() not in target.parents:
            raise ValueError(f"--output must be inside {RUNS.name}/, not {options.output}")
    except (TypeError, ValueError) as error:
        parser.error(str(error))
    return options, settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; the exit status is 1 when a default run does not agree with the committed results, and 2,
    before anything is done, when the subject or the control text is not here and cannot be had."""
    options, settings = parse(arguments)
    try:
        run = Run(settings, True, options.output)
        find_checkpoint(settings.subject)
        control_paragraphs(settings.text)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    if not options.resume:
        for folder in (run.folder, run.figures, run.notebooks):
            shutil.rmtree(folder, ignore_errors=True)
    seconds = execute(notebook_paths(options.notebooks), run)
    agrees = True
    if options.publish:
        publish(run, None if options.resume else seconds)
    elif settings == Settings():
        comparison = compare(run)
        agrees = bool(comparison["agrees"].all())
        print("\nagainst the committed results:")
        print(comparison.to_string(index=False, float_format=lambda value: f"{value:.2g}"))
    report(run, seconds)
    if not agrees:
        print(
            "\nSome results differ from the committed ones by more than their tolerance; see above."
        )
    return 0 if agrees else 1


if __name__ == "__main__":
    sys.exit(main())
