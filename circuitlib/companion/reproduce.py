"""Reproduce a run: measure everything in its order, execute the notebooks on it, and say what held.

Tables, policies, evaluation and the other frames are measured from the subject's weights into the run's
folder; then papermill executes the notebooks, which read them. A published run is compared, row by row, with
the committed results.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple, get_args

import pandas as pd

from circuitlib.ablation.build import ROWS_AGAIN
from circuitlib.ablation.tables import CONTROL
from circuitlib.companion.aside import remove_left_behind
from circuitlib.companion.circuits import circuits, policy_circuits
from circuitlib.companion.claims import claims
from circuitlib.companion.commands import STUDIES
from circuitlib.companion.compare import compare
from circuitlib.companion.frames import (
    BUYABLE,
    SLOW,
    backup,
    beginnings,
    behaviours,
    conventions,
    curves,
    detections,
    evaluation,
    heads,
    kinds,
    named,
    pairs,
    picks,
    readable,
    rivals,
    sizes,
    transfer,
    where,
)
from circuitlib.companion.learned import adopt_learned, is_real
from circuitlib.companion.locks import alone, nobody_else
from circuitlib.companion.notebooks import execute, notebook_paths
from circuitlib.companion.progress import Progress
from circuitlib.companion.run import Run
from circuitlib.companion.seeing import seeing
from circuitlib.companion.settings import CANDIDATES
from circuitlib.companion.what_if import what_if
from circuitlib.manifest import StaleResult, as_json, differences, is_stored, load_frame, written_whole
from circuitlib.subjects.checkpoints import EMBEDDED
from circuitlib.tasks.behaviours import BEHAVIOURS
from circuitlib.tasks.control_text import Part, control_spans

IN_ALL = "in all"
"""The name of the whole run's seconds beside those of its parts."""

ROW, SPAN, QUICK, UPDATE, FRAME, NOTEBOOK = 0.06, 0.3, 0.03, 0.06, 8.0, 8.0
"""A guess of the seconds of a row of a task's table, of the control table and of estimates, an update of all seeds of one
policy, a frame and a notebook. They only decide how the bar is shared out."""

LIVE = ("09", "10", "11")
"""Notebooks that measure most of what they show, on any model."""

FRAMES = (
    sizes,
    behaviours,
    beginnings,
    heads,
    evaluation,
    curves,
    rivals,
    named,
    picks,
    where,
    readable,
    seeing,
    detections,
    pairs,
    backup,
    conventions,
    kinds,
    circuits,
    policy_circuits,
    what_if,
)


def frames_of(run: Run) -> tuple[Callable[[Run], object], ...]:
    """All tables that a run makes by itself, in the order in which one needs another."""
    return (*FRAMES, *[transfer] * is_real(run), claims)


class Step(NamedTuple):
    """A part of a run. ``measure`` is given what counts its units."""

    name: str
    group: str
    units: int
    weight: float
    measure: Callable[[Callable[[int], object]], object]


def steps(run: Run, notebooks: list[Path], adopt: bool = False) -> Iterator[Step]:
    """What is missing of a run, in the order in which one part needs another. What is there is read. ``adopt``: instead
    of new tables the committed ones, once a few of their rows have been measured again."""
    for part, buyable in BUYABLE.items():
        taught = BEHAVIOURS if part == "train" and is_real(run) else ()
        for name, through in product((*run.tasks_of(part), *taught, CONTROL), (None, *buyable.values())):
            units, weight = run.rows_missing(name, part, through), SPAN if name == CONTROL else ROW
            units, measure = (min(units, ROWS_AGAIN), run.adopted_table) if adopt else (units, run.table)
            step = partial(measure, name, part, through=through)
            what = f", estimated through {through}" if through else ""
            yield Step(f"{name}, {part}{what}", "damage tables", units, weight if not through else QUICK, step)
    updates = sum(run.ppo_config(k).updates for k in CANDIDATES if not is_stored(run.policy_path(k)))
    yield Step("policies", "policies", updates, UPDATE, run.policies)
    for frame in frames_of(run):
        name, group = frame.__name__, "evaluation and the other results"
        missing = not is_stored(run.frame_path(name))
        yield Step(name, group, int(missing), FRAME, partial(_one_frame, frame, run))
    yield Step(
        "notebooks", "notebooks", len(notebooks), NOTEBOOK, lambda done: execute(notebooks, run, lambda name: done(1))
    )


def _one_frame(frame: Callable[[Run], object], run: Run, done: Callable[[int], object]) -> None:
    frame(run)
    done(1)


def reproduce(run: Run, notebooks: list[Path], fresh: bool = False, full: bool = False) -> dict[str, float]:
    """Measure what is missing, having said what is there, and execute the notebooks.

    fresh: remove what is there first, and measure everything anew. full: measure a published run whole. Otherwise its committed tables are taken once a few rows of each have been measured
    again, ``SLOW`` frames and what was learned on behaviours as they are, and the rest is redone from them.

    Returns the seconds of each group of parts, and in all. Before anything is removed or measured raises ``ValueError`` for a run
    without an output folder or with more prompts than there is control text for, :class:`circuitlib.companion.locks.InUse` where
    another process makes a run in this folder or, if it is to be ``fresh``, measures any result of it, and ``StaleResult`` where there
    is one of other settings.
    """
    if not run.output:
        raise ValueError("a run to be measured needs an output folder; the committed results are read")
    _refuse_too_many(run)
    with alone(run.lock, run.output):
        if fresh:
            with nobody_else(run.lock, run.output):
                for folder in (run.folder, run.figures, run.notebooks, run.partial):
                    if folder.exists():
                        shutil.rmtree(folder)
        for folder in (run.figures, run.notebooks):
            remove_left_behind(folder)
        _say_what_is_kept(run, full)
        return _measure(run, notebooks, full)


def _refuse_too_many(run: Run) -> None:
    """More prompts than there are control spans to set beside them."""
    tokenizer = run.subject.tokenizer
    for part in get_args(Part):
        try:
            control_spans(tokenizer, run.settings.rows(True, part), 0, part, run.settings.text)
        except ValueError as error:
            setting = f"{part}_prompts"
            raise ValueError(
                f"{setting} {getattr(run.settings, setting)}: half as many control spans are needed; {error}"
            ) from None


def _say_what_is_kept(run: Run, full: bool) -> None:
    """Refuse to go on with a run of other settings, and say how much of this one is there."""
    place, asked = run.partial / "settings.json", asdict(run.settings) | {"full": full}
    try:
        stored = dict(json.loads(place.read_text())) if place.is_file() else asked
    except (ValueError, TypeError):
        raise StaleResult(f"{place} is corrupt, so that nobody knows which run this is") from None
    if differs := differences(stored, asked):
        raise StaleResult(f"{run.output} holds a run of other settings: {'; '.join(differs)}")
    with written_whole(place) as temporary:
        temporary.write_text(as_json(asked))
    if kept := [path for path in run.folder.rglob("*.*") if path.suffix != ".json" and is_stored(path)]:
        print(f"{len(kept)} results that {run.output} holds are kept; --fresh measures them anew", flush=True)


def _measure(run: Run, notebooks: list[Path], full: bool) -> dict[str, float]:
    began = time.monotonic()
    for name, reason in run.left_out.items():
        print(f"left out: {name}. {reason}", flush=True)
    adopt = adopts(run, full)
    if adopt:
        taken = [name for name, module in SLOW.items() if run.adopt_frame(name, module)]
        taken += ["learned"] if adopt_learned(run) else []
        print(f"committed tables are measured again on {ROWS_AGAIN} rows each; taken as committed: {', '.join(taken)}")
    parts = list(steps(run, notebooks, adopt))
    with closing(Progress(sum(step.units * step.weight for step in parts))) as progress:
        for step in parts:
            with progress.part(step.name, step.group, step.weight) as done:
                step.measure(done)
    return progress.seconds | {IN_ALL: time.monotonic() - began}


def adopts(run: Run, full: bool) -> bool:
    """Whether a run takes committed tables: one of a published run's settings, unless it is ``full``."""
    return not full and run.committed is not None


def notebooks_of(run: Run, chosen: Sequence[str] = (), full: bool = False) -> list[Path]:
    """The notebooks to execute on a run: those that are ``chosen`` by number, otherwise all, of the published run of a subject
    that is not embedded all but the ``LIVE`` ones, unless it is ``full``. Raises ``ValueError`` for a number that no notebook has."""
    paths = notebook_paths(chosen)
    if chosen or run.settings.subject == EMBEDDED or not adopts(run, full):
        return paths
    return [path for path in paths if not path.name.startswith(LIVE)]


def report(run: Run, seconds: dict[str, float], full: bool = False) -> bool:
    """Print the ledger, the comparison with the committed results where there is one, where things are, and
    what they took. Returns whether all that was compared agrees."""
    print("\n" + _ledger(load_frame(run.folder / "claims.csv")))
    agrees = True
    if committed := run.committed:
        comparison = compare(run, committed)
        if adopts(run, full):
            names = [f"{name}.csv" for name in SLOW]
            names = [name for name in names if run.hashes(name) == committed.hashes(name)]
            taken = comparison["result"].str.contains("damage_|estimate_") | comparison["result"].isin(names)
            comparison = comparison[~(taken & comparison["agrees"])]
            print(
                f"\ntaken from the committed results: tables, after {ROWS_AGAIN} rows of each were equal to rounding when"
            )
            print(f"measured again, and, as they are, what was learned and {', '.join(names)}; --full measures them")
            if run.settings.seeds < committed.settings.seeds:
                print(f"left out: all but {run.settings.seeds} of the {committed.settings.seeds} seeds of each policy")
            commands = ", ".join(study.command for study in STUDIES if run.settings.subject in study.subjects)
            print(f"measured by commands of their own (python -m circuitlib ...), and not compared: {commands}")
        agrees = bool(comparison["agrees"].all())
        print("\nagainst the committed results (tables: the largest difference; policies, where they")
        print("are not the same to the last digit: the probability of one distribution over seeds; other rows that")
        print("rest on policies are not compared where these differ, or are fewer):")
        print(comparison.to_string(index=False, float_format=lambda value: f"{value:.2g}"))
    print("\nseconds: " + ", ".join(f"{name} {s:.0f}" for name, s in seconds.items()))
    print(f"results   {run.folder}\nfigures   {run.figures}\nnotebooks {run.notebooks}")
    if not agrees:
        print("\nSome results do not agree with the committed ones; see above.")
    return agrees


def _ledger(frame: pd.DataFrame) -> str:
    numbers = frame[["paper", "ours", "low", "high"]].map("{:.3f}".format)
    interval = (numbers["low"] + " to " + numbers["high"]).replace("nan to nan", "")
    shown = pd.DataFrame({"claim": frame["claim"], "paper": numbers["paper"].replace("nan", "")})
    return shown.assign(ours=numbers["ours"], interval=interval, verdict=frame["verdict"]).to_string(index=False)
