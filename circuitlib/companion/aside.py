"""What cannot be used of a run's results: named and set aside, so that nothing is deleted and all is measured again; and what killed processes had only half written, which nobody wants."""

import re
import warnings
from itertools import chain, count
from pathlib import Path

import psutil

from circuitlib.manifest import StaleResult, manifest_path, read_provenance

ASIDE = "set-aside"
"""Where, beside what is not finished, they are put."""


def set_aside(path: Path, folder: Path, reason: str) -> None:
    """Move what there is of a result and its manifest into ``folder``, numbered where one of its name is there, and warn, giving the reason."""
    folder.mkdir(parents=True, exist_ok=True)
    stems = chain([path.stem], (f"{path.stem}.{number}" for number in count(2)))
    places = (folder / f"{stem}{path.suffix}" for stem in stems)
    place = next(place for place in places if not place.exists() and not manifest_path(place).exists())
    for file, kept in ((path, place), (manifest_path(path), manifest_path(place))):
        if file.exists():
            file.replace(kept)
    warnings.warn(f"set aside in {folder}, and made anew: {reason}", stacklevel=3)


def remove_left_behind(folder: Path) -> None:
    """Remove the temporary files of :func:`circuitlib.manifest.written_whole`, in a folder and those in it, whose process has ended: it was killed as it wrote."""
    for path in folder.rglob(".*"):
        writer = re.fullmatch(r"\..+\.(\d+)(?:\.\w+)?", path.name)
        if writer and not psutil.pid_exists(int(writer[1])):
            path.unlink(missing_ok=True)


def is_whole(path: Path, folder: Path) -> bool:
    """Whether a result is there with its manifest, every byte of both; what is there of one that is not is set aside."""
    if not path.exists() and not manifest_path(path).exists():
        return False
    try:
        read_provenance(path)
    except StaleResult as reason:
        set_aside(path, folder, str(reason))
        return False
    return True
