"""What a figure says of itself, and what the book says it is drawn from."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from PIL import Image

mpl.use("Agg")

from matplotlib.figure import Figure

from circuitlib.companion import show
from circuitlib.paths import FIGURES, RESULTS, ROOT

sys.path.insert(0, str(ROOT / "book"))
from captions import TABLES, caption, content_hash, data_of, declared, made_of, numbers_of, shows, texts_of

from figures import made_by, titles_of


@pytest.fixture(autouse=True)
def _a_style() -> Iterator[None]:
    show.set_style("my-subject")
    yield
    plt.close("all")


@show.described
def two_panels() -> Figure:
    """Left this,
    right that.

    nothing: of this is said.
    """
    figure, (left, right) = plt.subplots(1, 2)
    left.plot([1, 2], label="one")
    left.set(title="a", xlabel="heads", ylabel="share")
    left.legend()
    right.set(title="b", xlabel="heads")
    figure.add_subplot(3, 3, 9).set_axis_off()
    return figure


def test_a_file_holds_the_figures_alt_text_and_subject(tmp_path: Path) -> None:
    figure = two_panels()
    said = "Left this, right that. Panels: a; b. Across: heads. Up: share. Legend: one."
    assert show.alt_text(figure) == said
    show.save_figure(figure, "both", tmp_path)
    texts = texts_of(tmp_path / "both.png")
    assert {key: texts[key] for key in ("Title", "Subject", "Description")} == {
        "Title": "both",
        "Subject": "my-subject",
        "Description": said,
    }
    assert shows(texts).astext() == "Left this, right that.", "what stands in the figure is not said beneath it"
    show.save_figure(two_panels(), "both", tmp_path, "another")
    assert texts_of(tmp_path / "both.png")["Subject"] == "another"


@pytest.mark.parametrize(("publishes", "written"), [({}, "runs/figures"), ({show.PUBLISHES: "1"}, "figures")])
def test_a_notebook_draws_over_committed_figures_only_to_commit_them(
    publishes: dict[str, str], written: str, tmp_path: Path
) -> None:
    """As a notebook does, in IPython, of a checkout in a folder of the test's own."""
    program = dedent(f"""
        from pathlib import Path
        import matplotlib.pyplot as plt
        from circuitlib.companion import show

        root = Path({str(tmp_path)!r})
        show.FIGURES, show.RUNS = root / "figures", root / "runs"
        show.set_style("any")
        for folder in (show.FIGURES / "other", root / "runs" / "mine"):
            show.save_figure(plt.figure(), "empty", folder)
        """)
    environment = {name: value for name, value in os.environ.items() if name != show.PUBLISHES} | publishes
    command = [sys.executable, "-m", "IPython", "--no-banner", "--colors", "NoColor", "-c", program]
    place = {"IPYTHONDIR": str(tmp_path / "ipython"), "MPLBACKEND": "Agg"}
    subprocess.run(command, cwd=ROOT, env=environment | place, check=True, capture_output=True)
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.p[nd][gf]")}
    assert found == {f"{folder}/empty.{end}" for folder in (f"{written}/other", "runs/mine") for end in ("png", "pdf")}


def test_a_picture_of_others_says_nothing(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    assert texts_of(tmp_path / "a.png") == {}


def drawn() -> set[str]:
    """Names of all figures, also of those of one subject alone."""
    return {path.stem for path in FIGURES.rglob("*.png") if path.parent.name != "explore"}


def test_readme_says_of_every_figure_what_it_is_drawn_from() -> None:
    figures = drawn()
    assert set(declared((ROOT / "README.md").read_text())) == figures
    for name in figures:
        for paths in data_of(ROOT, name, "gpt2-mini").values():
            assert all(path.is_file() for path in paths)
    for path in FIGURES.glob("smollm2-*/*.png"):
        found = data_of(ROOT, path.stem, path.parent.name)
        assert {one.parent.name for paths in found.values() for one in paths} == {path.parent.name}


def test_results_that_are_not_there_are_refused(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("| [a](figures/a.png) | 00 | `gone.csv` |\n")
    (tmp_path / "data" / "results" / "gpt2-mini").mkdir(parents=True)
    with pytest.raises(Exception, match=r"a is drawn from gone\.csv"):
        data_of(tmp_path, "a", "gpt2-mini")
    with pytest.raises(Exception, match="no row of b"):
        data_of(tmp_path, "b", "gpt2-mini")


def test_facts_are_those_of_manifests_all_the_way_down(tmp_path: Path) -> None:
    def result(name: str, **provenance: object) -> Path:
        path = tmp_path / name
        path.write_text(name)
        path.with_suffix(".json").write_text(json.dumps({"provenance": provenance}))
        return path

    result("damage_ioi_evaluation.safetensors", part="evaluation", task="ioi", count=7, seed=2)
    result("damage_control_evaluation.safetensors", part="evaluation", task="control", count=99, seed=2)
    result("damage_ioi_train.safetensors", part="train", task="ioi", count=5, seed=1)
    result("policy.safetensors", config={}, seeds=[0, 1, 2], tables={"damage_ioi_train.safetensors": "x"})
    tables = {"evaluation": {"damage_ioi_evaluation.safetensors": "x", "damage_control_evaluation.safetensors": "x"}}
    frame = result("a.csv", inputs={"episodes": 4, "tables": tables, "policies": {"policy.safetensors": "x"}})
    assert made_of([frame]) == ["7 prompts a task", "drawn with seed 2", "4 episodes", "policies trained with 3 seeds"]
    taught = ["5 prompts a task", "drawn with seed 1", "policies trained with 3 seeds"]
    assert made_of([tmp_path / "policy.safetensors"]) == taught, "of others there are none"
    assert made_of([result("b.csv", inputs={"prompts": 6, "seed": 3})]) == ["6 prompts a task", "drawn with seed 3"]
    (tmp_path / "behaviours").mkdir()
    result("behaviours/damage_plural_train.safetensors", part="train", task="plural", count=3, seed=1)
    played = result("c.csv", inputs={"tables": {"measured": {"damage_plural_train.safetensors": "x"}}})
    assert made_of([played]) == ["3 prompts a task", "drawn with seed 1"]


def test_the_line_has_hash_subject_and_cell() -> None:
    line = caption(ROOT, "x", {"Title": "head_maps", "Subject": "gpt2-mini"}, "cell 3").astext()
    sha = json.loads((RESULTS / "gpt2-mini" / "heads.json").read_text())["sha256"]
    assert line == f"Data: gpt2-mini/heads.csv ({sha}). gpt2-mini; 160 prompts a task; drawn with seed 2; cell 3."
    own = caption(ROOT, "x", {"Title": "your_own_task", "Subject": "gpt2-mini"}, "cell 4").astext()
    mine = content_hash(FIGURES / "your_own_task.csv")
    assert own == f"Numbers: your_own_task.csv ({mine}). Measured as the notebook runs. gpt2-mini; cell 4."


def test_under_every_figure_there_is_a_table() -> None:
    """Of its results, or of the numbers in it; of its own subject, though another has a figure of that name."""
    for path in FIGURES.rglob("*.png"):
        if path.parent.name != "explore":
            of = path.stem, texts_of(path)["Subject"]
            results, numbers = [one for paths in data_of(ROOT, *of).values() for one in paths], numbers_of(ROOT, *of)
            assert numbers or (results and all(one.suffix == TABLES for one in results)), path
            assert numbers in (None, path.with_suffix(".csv"))
    assert {path.with_suffix("") for path in FIGURES.rglob("*.csv")} < {
        path.with_suffix("") for path in FIGURES.rglob("*.png")
    }


def test_every_figure_has_a_title_and_the_notebook_that_makes_it() -> None:
    titles, makers = titles_of((ROOT / "README.md").read_text()), made_by(ROOT / "notebooks")
    assert drawn() == set(titles) == set(makers)
    assert {path.stem: cell for path, cell in makers["lead"].items()} == {"00_overview": 3}
    assert [path.stem for path in makers["replay"]] == ["05_does_it_search"]
