"""Make a finished run the committed one: its results and seconds, and the notebooks, with their figures, executed on them."""

import json
import shutil
from collections.abc import Collection
from pathlib import Path

from circuitlib.companion.commands import STUDIES, by_command
from circuitlib.companion.notebooks import execute_in_place, notebook_paths
from circuitlib.companion.reproduce import frames_of
from circuitlib.companion.run import OTHERS, Run
from circuitlib.companion.settings import PUBLISHED
from circuitlib.manifest import StaleResult, is_stored, manifest_path, written_whole
from circuitlib.paths import RESULTS, ROOT
from circuitlib.subjects.checkpoints import EMBEDDED

SECONDS = RESULTS / "seconds.json"
"""How long each part of a whole run took when the committed results were made."""

SECONDS_MARKS = ("<!-- seconds -->", "<!-- /seconds -->")
"""Between these README shows them."""


def publish(run: Run, seconds: dict[str, float] | None) -> None:
    """Make a run the committed one, and execute the notebooks once the results of all published runs are of this code.
    README's table of seconds is the embedded subject's; ``None`` seconds, those of a run that kept results of an earlier one, leave it as it is.

    Raises ``ValueError`` for a run that :data:`circuitlib.companion.settings.PUBLISHED` does not name.
    """
    if run.settings not in PUBLISHED.values():
        raise ValueError("only a run that PUBLISHED names can be published")
    readme = with_seconds((ROOT / "README.md").read_text(), seconds or {})
    _replace_folder(Run(run.settings).folder, run.folder, by_command(run))
    if seconds is not None and run.settings.subject == EMBEDDED:
        with written_whole(SECONDS) as temporary:
            rounded = {name: round(value) for name, value in seconds.items()}
            temporary.write_text(json.dumps(rounded, indent=1) + "\n")
        with written_whole(ROOT / "README.md") as temporary:
            temporary.write_text(readme)
    if waits_for := [settings.subject for settings in PUBLISHED.values() if not _is_current(Run(settings))]:
        print(
            f"the notebooks are executed once {', '.join(waits_for)} is published too, by this code, with the tables of commands"
        )
        return
    execute_in_place(notebook_paths())


def _is_current(run: Run) -> bool:
    """Whether all frames of a published run can be read."""
    studies = [study.table for study in STUDIES if run.settings.subject in study.subjects]
    try:
        for frame in (*frames_of(run), *studies):
            frame(run)
    except (FileNotFoundError, StaleResult):
        return False
    return True


def _replace_folder(target: Path, source: Path, kept: Collection[str] = ()) -> None:
    """Put a copy of ``source`` in ``target``'s place, without the weights that are not kept, and with those files that are to be ``kept``
    where it has none; an interruption while copying leaves it as it was."""
    fresh = target.with_name(f".{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(source, fresh, ignore=shutil.ignore_patterns(f"*{OTHERS}.*"))
    for name in kept:
        if is_stored(target / name) and not is_stored(fresh / name):
            for old in (target / name, manifest_path(target / name)):
                place = fresh / old.relative_to(target)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(old, place)
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)


def with_seconds(readme: str, seconds: dict[str, float]) -> str:
    """README's text with the table of seconds between its marks.

    Raises ``ValueError`` when the marks are not there, once each and in order.
    """
    start, end = SECONDS_MARKS
    once = readme.count(start) == readme.count(end) == 1
    if not once or readme.index(start) > readme.index(end):
        raise ValueError(f"README.md must hold {start} and then {end}, once each")
    before, after = readme.split(start)[0], readme.split(end)[1]
    rows = [f"| {name} | {round(value)} |" for name, value in seconds.items()]
    return "\n".join([f"{before}{start}", "| part | seconds |", "|---|--:|", *rows, f"{end}{after}"])
