"""``python -m circuitlib.reproduce``: run the notebooks in order, then say what held.

Papermill executes notebooks 00 ... 07 with ``recompute`` set, everything measured from the subject's
weights, into a folder of its own (``runs/default``). The default run is then compared, row by row, with
the committed results. ``--publish`` makes a run the committed one: results and figures are copied and
the committed notebooks executed again on them.
"""

import argparse
import json
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import papermill
from nbclient import NotebookClient
from tqdm import tqdm

from circuitlib.damage import load_table
from circuitlib.paths import FIGURES, NOTEBOOKS, RESULTS, ROOT, RUNS
from circuitlib.provenance import written_whole
from circuitlib.results import Run, Settings, load_frame

SECONDS = RESULTS / "seconds.json"
"""How long each notebook took when the committed results were made; the progress bar counts in these."""

TABLE_TOLERANCE = 1e-4
"""Largest difference of a damage (logits, probability or nats) from the committed one: float rounding."""

RATIO_TOLERANCE = {"policy": 0.10, "random": 0.02, "static prior": 0.02}
"""Largest difference of a mean fraction of the oracle. A policy's training amplifies rounding, so on
another processor it is another draw of the same distribution."""


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
            notebook, timeout=1200, resources={"metadata": {"path": str(path.parent)}}
        ).execute()
        with written_whole(path) as temporary:
            nbformat.write(clean(notebook), temporary)


def execution_order(paths: Sequence[Path]) -> list[Path]:
    """Reading order, but the overview, which shows what the others measure, comes last."""
    return sorted(paths, key=lambda path: (path.name.startswith("00"), path.name))


def execute(paths: Sequence[Path], run: Run) -> dict[str, float]:
    """Execute notebooks with papermill into the run's folder; seconds a notebook."""
    parameters = asdict(run.settings) | {"recompute": True, "output": run.output}
    folder = ROOT / run.output / "notebooks"
    folder.mkdir(parents=True, exist_ok=True)
    expected = json.loads(SECONDS.read_text()) if SECONDS.exists() else {}
    seconds = {}
    for path in (bar := _Progress(execution_order(paths), expected)):
        began = time.monotonic()
        papermill.execute_notebook(
            path, folder / path.name, parameters, kernel_name="python3", progress_bar=False,
            cwd=str(path.parent), log_output=False,
        )  # fmt: skip
        seconds[path.stem] = time.monotonic() - began
    bar.close()
    return dict(sorted(seconds.items()))


class _Progress:
    """A bar over notebooks that moves with the clock, at the pace of the recorded ``expected`` seconds."""

    def __init__(self, paths: Sequence[Path], expected: dict[str, float]) -> None:
        self.paths = paths
        self.expected = [expected.get(path.stem, 60.0) for path in paths]
        self.bar = tqdm(
            total=round(sum(self.expected)),
            bar_format="{desc:<38}|{bar:24}| {elapsed} gone, about {remaining} left",
        )

    def __iter__(self) -> Iterator[Path]:
        finished = 0.0
        for i, (path, seconds) in enumerate(zip(self.paths, self.expected, strict=True), 1):
            self.bar.set_description_str(f"notebook {i} of {len(self.paths)}: {path.stem}")
            over = threading.Event()
            ticker = threading.Thread(
                target=self._tick, args=(finished, seconds, over), daemon=True
            )
            ticker.start()
            try:
                yield path
            finally:
                over.set()
                ticker.join()
            finished += seconds
            self.bar.n = round(finished)
            self.bar.refresh()

    def _tick(self, finished: float, seconds: float, over: threading.Event) -> None:
        began = time.monotonic()
        while not over.wait(1.0):
            self.bar.n = round(finished + min(time.monotonic() - began, 0.98 * seconds))
            self.bar.refresh()

    def close(self) -> None:
        self.bar.close()


def compare(run: Run) -> pd.DataFrame:
    """The run's results beside the committed ones: result, difference, tolerance, agrees."""
    committed = RESULTS / run.settings.subject
    rows: list[tuple[str, float, float]] = []
    for path in sorted(run.folder.glob("damage_*.safetensors")):
        ours, theirs = load_table(path), load_table(committed / path.name)
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
        if not ratios[0].index.equals(ratios[1].index):
            raise ValueError("evaluation.csv has other conditions than the committed one")
        differences = (ratios[0] - ratios[1]).abs()
        for searcher, tolerance in RATIO_TOLERANCE.items():
            these = differences[differences.index.get_level_values("searcher") == searcher]
            rows.append(
                (f"evaluation, {searcher}, fraction of oracle", float(these.max()), tolerance)
            )
    for name, column in (
        ("heads", "reward"),
        ("conventions", "raw"),
        ("pairs", "interaction"),
        ("behaviours", "mean"),
        ("detections", "score"),
    ):
        path = run.folder / f"{name}.csv"
        if path.exists():
            here, there = (load_frame(p)[column] for p in (path, committed / path.name))
            rows.append((f"{name}.csv, {column}", float(np.abs(here - there).max()), 1e-3))
    claims = run.folder / "claims.csv"
    if claims.exists():
        here, there = (
            load_frame(p).set_index("claim")["verdict"] for p in (claims, committed / "claims.csv")
        )
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
    print(
        "\nseconds a notebook: "
        + ", ".join(f"{name[:2]} {s:.0f}" for name, s in seconds.items())
        + f"; in all {sum(seconds.values()):.0f}"
    )
    print(
        f"results   {run.folder}\nfigures   {run.figures}\nnotebooks {run.figures.parent / 'notebooks'}"
    )


def publish(run: Run, seconds: dict[str, float]) -> None:
    """Make a finished default run the committed one."""
    if run.settings != Settings():
        raise ValueError("only the default run can be published")
    target = RESULTS / run.settings.subject
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(run.folder, target)
    shutil.rmtree(FIGURES, ignore_errors=True)
    shutil.copytree(run.figures, FIGURES)
    SECONDS.write_text(json.dumps({name: round(s) for name, s in seconds.items()}, indent=1) + "\n")
    execute_in_place(notebook_paths())


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
        "train_prompts": "prompts a task, and control spans, to train policies on", "evaluation_prompts": "prompts a task, and control spans, to evaluate on",
        "seeds": "PPO seeds", "steps": "PPO steps a seed", "episodes": "evaluation episodes a task",
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
    """Run; the exit status is 1 when a default run does not agree with the committed results."""
    options, settings = parse(arguments)
    run = Run(settings, True, options.output)
    if not options.resume:
        shutil.rmtree(ROOT / options.output, ignore_errors=True)
    seconds = execute(notebook_paths(options.notebooks), run)
    agrees = True
    if options.publish:
        publish(run, seconds)
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
