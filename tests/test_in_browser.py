"""The book and the pages to explore as a reader has them: opened from files, in a browser. `make book` runs this."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from circuitlib.companion.episode_replay import LINES
from circuitlib.companion.frames import evaluation_episodes
from circuitlib.companion.legend import TASKS_IN_WORDS, subject_title, task_title
from circuitlib.companion.notebooks import notebook_paths
from circuitlib.companion.run import Run
from circuitlib.companion.settings import HEADLINE_K, PUBLISHED
from circuitlib.manifest import load_frame
from circuitlib.paths import FIGURES, RUNS
from circuitlib.subjects.checkpoints import EMBEDDED, SMOLLM2
from circuitlib.tasks import TASKS

pytestmark = pytest.mark.book

BOOK, EXPLORE = RUNS / "book", FIGURES / "explore"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
NARROW, WIDE = 400, 1400
expect.set_options(timeout=30_000)  # milliseconds; what a busy machine takes

PAGES = [
    BOOK / "index.html",
    *(BOOK / "book" / f"{name}.html" for name in ("explore", "figures", "status")),
    BOOK / "circuitlib" / "search" / "env.html",
    *(BOOK / "notebooks" / f"{path.stem}.html" for path in notebook_paths()),
    EXPLORE / "head_map.html",
    EXPLORE / "episode_replay.html",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here (Debian: apt install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


Opens = Callable[[Path | str], Page]


@pytest.fixture
def opened(browser: Browser) -> Iterator[Opens]:
    """Opens a page from its file; whatever it complains of, or asks of the network, fails the test."""
    page = browser.new_page(viewport={"width": WIDE, "height": 900})
    complaints: list[str] = []
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url}"))
    page.on(
        "request",
        lambda request: None if request.url.startswith(("file:", "data:")) else complaints.append(request.url),
    )

    def go(path: Path | str) -> Page:
        page.goto(path.as_uri() if isinstance(path, Path) else path, wait_until="load")
        return page

    yield go
    page.close()
    assert not complaints


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_opens_from_its_file_and_fits_narrow_and_wide(opened: Opens, path: Path) -> None:
    page = opened(path)
    expect(page.locator("h1").first).to_be_visible()
    for width in (NARROW, WIDE):
        page.set_viewport_size({"width": width, "height": 900})
        for frame in page.frames:
            assert frame.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{width}: {frame.url}"


def test_a_figure_that_is_wider_than_the_screen_says_so(opened: Opens) -> None:
    page = opened(BOOK / "README.html")
    figure, below = page.locator("p:has(> img)").first, page.locator("p.figure-shows").first
    for width, said in ((NARROW, True), (WIDE, False)):
        page.set_viewport_size({"width": width, "height": 900})
        assert figure.evaluate("one => one.scrollWidth > one.clientWidth") == said
        assert ("sideways" in below.evaluate("one => getComputedStyle(one, '::before').content")) == said


def test_the_search_finds_a_chapter(opened: Opens) -> None:
    page = opened((BOOK / "search.html").as_uri() + "?q=blind")
    results = page.locator("#search-results li a")
    expect(results.filter(has_text="Does it search?")).to_be_visible()
    results.filter(has_text="Does it search?").click()
    expect(page.locator("h1").first).to_contain_text("Does it search?")


def choose(page: Page, legend: str, title: str) -> None:
    page.locator("fieldset", has=page.get_by_text(legend, exact=True)).get_by_text(title, exact=True).click()


@pytest.mark.parametrize("name", ["head_map", "episode_replay"])
def test_tasks_are_shown_as_figures_have_them(opened: Opens, name: str) -> None:
    page = opened(EXPLORE / f"{name}.html")
    tasks = page.locator("fieldset", has=page.get_by_text("task", exact=True)).locator("label")
    assert tasks.all_inner_texts() == [task_title(task) for task in Run(PUBLISHED[EMBEDDED]).tasks]
    for title in TASKS_IN_WORDS.values():
        choose(page, "task", title)
        shown = page.locator("main").inner_text()
        shown += " ".join(page.locator("[aria-label]").evaluate_all("all => all.map((one) => one.ariaLabel)"))
        assert title in shown
        assert not re.search(rf"\b({'|'.join(TASKS_IN_WORDS)})\b", shown)


def cell(page: Page, head: int) -> Locator:
    return page.locator(f"#grid rect[data-head='{head}']")


@pytest.mark.parametrize("subject", list(PUBLISHED))
def test_pointing_at_a_head_shows_the_tables_numbers(opened: Opens, subject: str) -> None:
    page, run = opened(EXPLORE / "head_map.html"), Run(PUBLISHED[subject])
    heads, detections = (load_frame(run.frame_path(name)) for name in ("heads", "detections"))
    choose(page, "subject", run.title)
    choose(page, "task", "docstring")
    for head in (0, run.card.heads - 1, 37):
        cell(page, head).hover()
        panel = page.locator("#panel")
        layer, across = divmod(head, run.card.heads_per_layer)
        expect(panel.locator("h2")).to_have_text(f"L{layer}.H{across} of {run.title}")
        row = heads.query("task == 'docstring' and head == @head").iloc[0]
        cells = panel.locator("tr.current td").all_inner_texts()
        shown = [float(number.replace("\u2212", "-")) for number in re.split(r" ± ", cells[1])]
        damage = run.table("docstring", "evaluation").damage[:, head]
        assert shown == pytest.approx([row["damage"], damage.std().item() / len(damage) ** 0.5], abs=5.1e-4)
        assert float(cells[2].replace("\u2212", "-")) == pytest.approx(row["reward"], abs=5.1e-4)
        score = detections.query("detector == 'induction' and head == @head")["score"].item()
        written = panel.locator(".words tr", has=page.get_by_text("induction", exact=True)).locator("td").nth(1)
        assert float(written.inner_text()) == pytest.approx(score, abs=5.1e-4)


def test_arrow_keys_move_from_head_to_head_and_stop_at_the_edge(opened: Opens) -> None:
    page = opened(EXPLORE / "head_map.html")
    title = page.locator("#panel h2")
    cell(page, 0).click()
    page.locator("#grid").focus()
    for key, name in (("ArrowLeft", "L0.H0"), ("ArrowUp", "L0.H0"), ("ArrowDown", "L1.H0"), ("ArrowRight", "L1.H1")):
        page.keyboard.press(key)
        expect(title).to_contain_text(name)


def test_the_colour_is_of_what_is_chosen(opened: Opens) -> None:
    page, run = opened(EXPLORE / "head_map.html"), Run(PUBLISHED[EMBEDDED])
    scores = load_frame(run.frame_path("detections")).query("detector == 'induction'").sort_values("head")["score"]
    page.get_by_label("colour shows").select_option("detector: induction")
    reddest = cell(page, int(np.argmax(scores)))
    expect(reddest).to_have_attribute("fill", "rgb(178,24,43)")
    expect(page.locator("figcaption")).to_contain_text("attention from A2 to B")


@pytest.mark.parametrize(("task", "unit"), [("induction", "logits"), ("greater_than", "probability")])
def test_the_scale_of_colours_is_of_the_task(opened: Opens, task: str, unit: str) -> None:
    page, run = opened(EXPLORE / "head_map.html"), Run(PUBLISHED[EMBEDDED])
    heads = load_frame(run.frame_path("heads"))
    choose(page, "task", task_title(task))
    most = {task_title(str(name)): rows["reward"].abs().max() for name, rows in heads.groupby("task")}
    ends = page.locator("#scale text")
    assert float(ends.last.text_content() or "") == pytest.approx(most[task_title(task)], abs=5.1e-3)
    assert float((ends.first.text_content() or "").replace("\u2212", "-")) == pytest.approx(
        -most[task_title(task)], abs=5.1e-3
    )
    words = page.locator("#scale + div")
    expect(words).to_have_text(re.compile(f"^{unit};"))
    reaches = re.findall(r"([\w-]+) ([\d.]+) (logits|probability)", words.inner_text())
    assert [name for name, _, _ in reaches] == [task_title(task) for task in run.tasks], "beside the others'"
    units = {task_title(task): TASKS[task].metric.unit for task in run.tasks}
    for name, reach, of in reaches:
        assert float(reach) == pytest.approx(most[name], abs=5.1e-3)
        assert of == units[name]
    page.get_by_label("colour shows").select_option("detector: induction")
    expect(words).to_have_text("share; the colour grows with the square root")


def visibly_below(values: np.ndarray) -> np.ndarray:
    """A head whose colour, which grows with the square root, is visibly one below zero."""
    return values < -(0.15**2) * np.abs(values).max()


def test_what_is_below_zero_is_told_in_grey_too(opened: Opens) -> None:
    page, run = opened(EXPLORE / "head_map.html"), Run(PUBLISHED[EMBEDDED])
    rewards = load_frame(run.frame_path("heads")).query("task == 'ioi'").sort_values("head")["reward"].to_numpy()
    choose(page, "task", "IOI")
    below = visibly_below(rewards)
    assert 3 < below.sum() < len(rewards) / 2
    dashes = page.locator("#grid line.below")
    expect(dashes).to_have_count(int(below.sum()))
    expect(page.locator("#scale + div")).to_contain_text("dashed: visibly below zero")
    boxes = [dash.bounding_box() for dash in dashes.all()]
    for box, head in zip(boxes, below.nonzero()[0].tolist(), strict=True):
        around = cell(page, head).bounding_box()
        assert box is not None
        assert around is not None
        assert around["x"] < box["x"] < box["x"] + box["width"] < around["x"] + around["width"]
        assert around["y"] < box["y"] < around["y"] + around["height"]


def test_what_a_replay_measures_below_zero_is_told_in_grey_too(opened: Opens) -> None:
    page = opened(EXPLORE / "episode_replay.html")
    data = page.evaluate("DATA")["subjects"][subject_title(EMBEDDED)]
    (episode, *_) = next(task for task in data["tasks"] if task["name"] == "docstring")["episodes"]
    measured = episode["seeds"][0]["seeing"]
    page.locator("#pick").fill(str(len(measured)))
    below = (np.array(episode["rewards"])[measured] < 0).sum()
    assert 0 < below < len(measured)
    expect(page.locator("[data-searcher=seeing] line.below")).to_have_count(int(below))


def test_searchers_are_drawn_as_the_legend_has_them(opened: Opens) -> None:
    page = opened(EXPLORE / "episode_replay.html")
    page.get_by_label("hide the rewards from the policy").check()
    for key, kind in LINES.items():
        curve, row = (page.locator(f"{of}[data-searcher={key}]") for of in ("path", "#readout tr"))
        expect(curve).to_have_attribute("stroke", kind.colour)
        expect(row.locator("td").first).to_have_text(kind.title)
    titles = page.locator("fieldset", has=page.get_by_text("who searches", exact=True)).locator("label")
    assert titles.all_inner_texts() == [kind.title for key, kind in LINES.items() if key != "blind"]
    expect(page.locator("#caption")).to_contain_text("nearest to the mean")


def test_the_slider_plays_to_the_end(opened: Opens) -> None:
    page = opened(EXPLORE / "episode_replay.html")
    page.locator("#pick").fill("46")
    numbered = page.locator("svg[data-searcher=seeing] text[style]")
    expect(numbered).to_have_count(46)
    page.get_by_role("button", name="play").click()
    expect(page.locator("#said")).to_contain_text("price 50:")
    expect(numbered).to_have_count(50)
    expect(page.get_by_role("button", name="play")).to_be_visible()


@pytest.mark.parametrize("subject", list(PUBLISHED))
def test_both_curves_of_the_switch_are_the_tables(opened: Opens, subject: str) -> None:
    page, run = opened(EXPLORE / "episode_replay.html"), Run(PUBLISHED[subject])
    choose(page, "subject", run.title)
    choose(page, "task", "IOI")
    choose(page, "episode", "2")
    choose(page, "policy of seed", "3")
    rewards = evaluation_episodes(run, "ioi").mean(1)[1].numpy()
    page.locator("#pick").fill("50")
    assert page.locator("path[data-searcher=blind]").count() == 0
    page.get_by_label("hide the rewards from the policy").check()
    for shown in ("seeing", "blind"):
        picks = page.locator(f"svg[data-searcher={shown}] rect title").all_text_contents()
        numbers = {int(pick): int(layer) * run.card.heads_per_layer + int(head) for pick, layer, head in _parsed(picks)}
        order = [numbers[pick] for pick in range(1, 51)]
        curve = page.locator(f"path[data-searcher={shown}]").get_attribute("data-best")
        assert curve
        np.testing.assert_allclose(
            [float(best) for best in curve.split()], np.maximum.accumulate(rewards[order]), rtol=2e-4
        )
        written = page.locator(f"#readout tr[data-searcher={shown}] td").nth(1).inner_text()
        assert float(written) == pytest.approx(rewards[order].max(), abs=5.1e-4)


def _parsed(titles: list[str]) -> Iterator[tuple[str, ...]]:
    for title in titles:
        found = re.match(r"price (\d+): L(\d+)\.H(\d+) pays", title)
        assert found
        yield found.groups()


@pytest.mark.parametrize("subject", [EMBEDDED, SMOLLM2])
def test_the_caption_has_the_tables_difference(opened: Opens, subject: str) -> None:
    page, run = opened(EXPLORE / "episode_replay.html"), Run(PUBLISHED[subject])
    choose(page, "subject", run.title)
    page.get_by_label("hide the rewards from the policy").check()
    rows = load_frame(run.frame_path("seeing")).query(
        f"task == 'docstring' and searcher == 'policy' and trained_k == {HEADLINE_K} and told == 'none' and shown == 'blind'"
    )
    for measured in (10, 50):
        page.locator("#pick").fill(str(measured))
        row = rows[rows["measured"] == measured].iloc[0]
        value, low, high = (
            f"{100 * row[name]:z.1f}".replace("-", "\u2212") for name in ("effect", "effect_low", "effect_high")
        )
        expect(page.locator("#caption")).to_contain_text(
            f"{run.settings.seeds} seeds, the paired difference with its 95% interval is {value} ({low} to {high}) points after {measured} heads"
        )


def test_another_searcher_can_be_watched_on_the_same_episode(opened: Opens) -> None:
    page = opened(EXPLORE / "episode_replay.html")
    page.get_by_label("hide the rewards from the policy").check()
    choose(page, "who searches", "layers in order")
    expect(page.locator("svg[data-searcher=layers]")).to_be_visible()
    expect(page.locator("svg[data-searcher=blind]")).to_have_count(0)
    expect(page.get_by_label("hide the rewards from the policy")).not_to_be_checked()
    first = page.locator("svg[data-searcher=layers] rect title").first
    expect(first).to_have_text(re.compile(r"L0\.H0 pays"))


def test_attribution_pays_for_its_gradient_before_it_measures_a_head(opened: Opens) -> None:
    page = opened(EXPLORE / "episode_replay.html")
    choose(page, "who searches", LINES["attribution"].title)
    numbered, said = page.locator("svg[data-searcher=attribution] text[style]"), page.locator("#said")
    best = page.locator("#readout tr[data-searcher=attribution] td").nth(1)
    page.locator("#pick").fill("3")
    expect(numbered).to_have_count(0)
    expect(said).to_have_text("price 3: the gradient is being paid for")
    expect(best).to_have_text("none yet")
    page.locator("#pick").fill("5")
    expect(numbered).to_have_text(["4", "5"])
    expect(said).to_have_text(re.compile(r"price 5: L\d+\.H\d+ pays"))
    expect(best).to_have_text(re.compile(r"[\d.]+"))
    expect(page.locator("#caption")).to_contain_text("as much as measuring 3 heads costs")


PAPER = "getComputedStyle(document.body).backgroundColor"
LIGHT, DARK = "rgb(255, 255, 255)", "rgb(19, 20, 22)"


@pytest.mark.parametrize("name", ["head_map", "episode_replay"])
def test_a_page_is_as_dark_as_the_readers_system(opened: Opens, name: str) -> None:
    page = opened(EXPLORE / f"{name}.html")
    for scheme, colour in (("dark", DARK), ("light", LIGHT)):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert page.evaluate(PAPER) == colour


def test_a_page_in_the_book_is_as_dark_as_the_book(opened: Opens) -> None:
    page = opened(BOOK / "book" / "explore.html")
    page.emulate_media(color_scheme="light")
    frames = [frame for frame in page.frames if frame != page.main_frame]
    assert len(frames) == 2
    for theme, colour in (("dark", DARK), ("light", LIGHT), ("auto", LIGHT)):
        page.evaluate("theme => document.body.dataset.theme = theme", theme)
        for frame in frames:
            frame.wait_for_function(f"document.documentElement.dataset.theme === '{theme}'")
            assert frame.evaluate(PAPER) == colour
