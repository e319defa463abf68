"""Make a finished run the committed one."""

import json
import shutil
from pathlib import Path

from circuitlib.companion.notebooks import execute_in_place, notebook_paths
from circuitlib.companion.run import Run
from circuitlib.companion.settings import Settings
from circuitlib.manifest import written_whole
from circuitlib.paths import FIGURES, RESULTS, ROOT

SECONDS = RESULTS / "seconds.json"
"""How long each notebook took when the committed results were made; the progress bar counts in these."""


SECONDS_MARKS = ("<!-- seconds -->", "<!-- /seconds -->")
"""Between these README shows the seconds a notebook."""


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
