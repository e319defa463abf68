"""Every path of the project, derived from the checkout."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
FIGURES = ROOT / "figures"
DATA = ROOT / "data"
SUBJECTS = DATA / "subjects"
REFERENCE = DATA / "reference"
RESULTS = DATA / "results"
CACHE = DATA / "cache"
RUNS = ROOT / "runs"
