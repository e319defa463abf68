"""``python -m circuitlib.companion.reproduce``: run the notebooks in order, then say what held.

Papermill executes the numbered notebooks, the overview 00 last, with ``recompute`` set, everything
measured from the subject's weights, into a folder of its own (``runs/default``). The default run is then
compared, row by row, with the committed results. ``--publish`` makes a run the committed one: results and
figures are copied, the committed notebooks executed again on them, and README's table of seconds written.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd

from circuitlib.companion.compare import compare
from circuitlib.companion.notebooks import execute, notebook_paths
from circuitlib.companion.publish import publish
from circuitlib.companion.run import Run
from circuitlib.companion.settings import Settings
from circuitlib.manifest import load_frame
from circuitlib.paths import ROOT, RUNS
from circuitlib.subjects.checkpoints import find_checkpoint
from circuitlib.tasks.control_text import control_paragraphs


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


def parse(arguments: Sequence[str] | None = None) -> tuple[argparse.Namespace, Settings]:
    """The command line, and the settings it amounts to; exits with a message on a bad value."""
    defaults = Settings()
    parser = argparse.ArgumentParser(
        prog="python -m circuitlib.companion.reproduce",
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
