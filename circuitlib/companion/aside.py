"""What cannot be used of a run's results: named and set aside, so that nothing is deleted and all is measured again."""

import warnings
from pathlib import Path

from circuitlib.manifest import StaleResult, manifest_path, read_provenance

ASIDE = "set-aside"
"""Where, beside what is not finished, they are put."""


def set_aside(path: Path, folder: Path, reason: str) -> None:
    """Move what there is of a result and its manifest into ``folder``, and warn, giving the reason."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in (path, manifest_path(path)):
        if file.exists():
            file.replace(folder / file.name)
    warnings.warn(f"set aside in {folder}, and made anew: {reason}", stacklevel=3)


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
