"""Every path of the project, derived from the checkout.

The package can also be installed without its checkout (``pip install .``). Then subjects in a directory
or on the hub are loaded and ablated as ever; what needs the checkout's notebooks or data says so.
"""

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


def in_checkout() -> bool:
    """Whether the package is used from its checkout."""
    return (ROOT / "pyproject.toml").is_file() and NOTEBOOKS.is_dir()


def require_checkout(what: str) -> None:
    """Raise ``FileNotFoundError``, naming ``what`` is missing and what to do, outside the checkout."""
    if not in_checkout():
        raise FileNotFoundError(
            f"{what} is in circuitlib's checkout, and this circuitlib is installed in {ROOT} without "
            "it; clone the repository and run `pip install --editable .` in it"
        )
