"""The record of an execution is nbval's report, and is believed of the very file alone."""

import json
import sys
from pathlib import Path

import pytest

from circuitlib.companion.notebooks import notebook_paths
from circuitlib.paths import ROOT
from circuitlib.workshop.benchmark.machine import processor

sys.path.insert(0, str(ROOT / "book"))
from executed import RECORD, found_in, main, words
from status import executed_on

REPORT = """<testsuites><testsuite>
<testcase classname="notebooks.00_a.ipynb" name="Cell 0" time="1.4" />
<testcase classname="notebooks.00_a.ipynb" name="Cell 1" time="2.4"><failure message="differs" /></testcase>
<testcase classname="notebooks.01_b.ipynb" name="Cell 0" time="0.2" />
</testsuite></testsuites>"""


@pytest.fixture
def report(tmp_path: Path) -> Path:
    (tmp_path / "notebooks").mkdir()
    for name in ("00_a", "01_b"):
        (tmp_path / "notebooks" / f"{name}.ipynb").write_text(name)
    (tmp_path / "report.xml").write_text(REPORT)
    return tmp_path / "report.xml"


def test_cells_differences_and_seconds(report: Path) -> None:
    notebooks = report.parent / "notebooks"
    record = {"notebooks": found_in(report, notebooks)}
    assert words(record, notebooks / "00_a.ipynb") == ("1 of 2 cells differ", "4")
    assert words(record, notebooks / "01_b.ipynb") == ("yes", "0")
    (notebooks / "01_b.ipynb").write_text("another")
    assert words(record, notebooks / "01_b.ipynb") == ("not since it changed", "")
    assert words({}, notebooks / "00_a.ipynb") == ("not recorded", "")


@pytest.mark.parametrize("path", notebook_paths(), ids=lambda path: path.name[:2])
def test_the_committed_notebooks_were_executed_again_and_identical(path: Path) -> None:
    """As they are committed: whoever edits one executes them again (`make executed`)."""
    said, seconds = words(json.loads((ROOT / RECORD).read_text()), path)
    assert said == "yes"
    assert int(seconds) > 0


def test_a_report_of_some_notebooks_is_refused(report: Path) -> None:
    (report.parent / "notebooks" / "02_c.ipynb").write_text("c")
    with pytest.raises(ValueError, match=r"says nothing of 02_c\.ipynb"):
        found_in(report, report.parent / "notebooks")


def test_a_report_of_another_notebook_is_refused(report: Path) -> None:
    (report.parent / "notebooks" / "01_b.ipynb").unlink()
    with pytest.raises(ValueError, match="01_b"):
        found_in(report, report.parent / "notebooks")


def test_the_page_tells_the_processor_that_the_record_holds(report: Path) -> None:
    main(report.parent, report)
    record = json.loads((report.parent / RECORD).read_text())
    assert record["notebooks"] == found_in(report, report.parent / "notebooks")
    assert processor().replace("AVX512", "AVX-512") in executed_on(record)
    del record["machine"]
    assert executed_on(record).startswith("Executed on torch with "), "of a record without it, the instructions alone"
