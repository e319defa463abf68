"""What nbval found when it executed the committed notebooks again: its report, made a table that the checkout holds.

``make executed`` executes them, compares every output with the committed one, figures apart, and writes ``data/results/executed.json``:
of each notebook the hash of its file, the cells, those that differ, and the seconds; and versions, processor and machine. A notebook that has changed
since has another hash, so that the status page never says of one what was found of another.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

RECORD = Path("data", "results", "executed.json")
TOOLS = ("nbval", "ipykernel", "nbclient")
"""What executes; versions of what computes are among them, too."""


def file_hash(path: Path) -> str:
    """Sixteen hexadecimal digits, as in manifests."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def found_in(report: Path, notebooks: Path) -> dict[str, dict[str, Any]]:
    """By notebook, what a report of nbval in JUnit's XML says.

    Raises ``ValueError`` where it is not of all notebooks that there are.
    """
    found: dict[str, dict[str, Any]] = {
        path.name: {"file": file_hash(path), "cells": 0, "differ": 0, "seconds": 0.0} for path in _sorted(notebooks)
    }
    for case in ElementTree.parse(report).iter("testcase"):
        name = next(
            (name for name in found if Path(name).stem in case.get("classname", "") + case.get("file", "")), None
        )
        if name is None:
            raise ValueError(f"{report} is of {case.get('classname')}, which {notebooks} does not hold")
        one = found[name]
        one["cells"] += 1
        one["differ"] += any(part.tag in ("failure", "error") for part in case)
        one["seconds"] += float(case.get("time", 0))
    if missing := [name for name, one in found.items() if not one["cells"]]:
        raise ValueError(f"{report} says nothing of {', '.join(missing)}; execute all notebooks")
    return {name: one | {"seconds": round(one["seconds"])} for name, one in found.items()}


def _sorted(notebooks: Path) -> Iterator[Path]:
    yield from sorted(notebooks.glob("*.ipynb"))


def words(record: dict[str, Any], path: Path) -> tuple[str, str]:
    """Whether a notebook was executed again and identical, and the seconds, for the status page."""
    one = record.get("notebooks", {}).get(path.name)
    if one is None:
        return "not recorded", ""
    if one["file"] != file_hash(path):
        return "not since it changed", ""
    return (f"{one['differ']} of {one['cells']} cells differ" if one["differ"] else "yes"), str(one["seconds"])


def main(root: Path, report: Path) -> None:
    """Write the record of a report into the checkout."""
    from circuitlib.manifest import made_on, written_whole
    from circuitlib.workshop.benchmark.machine import processor

    made = made_on() | {"machine": {"processor": processor(), "cores": os.cpu_count()}}
    made["versions"] |= {name: version(name) for name in TOOLS}
    record = made | {"notebooks": found_in(report, root / "notebooks")}
    with written_whole(root / RECORD) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(__file__).parents[1], Path(sys.argv[1]))
