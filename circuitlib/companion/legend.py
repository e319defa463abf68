"""How searchers, tasks and subjects are named and drawn, the same in every figure and table."""

from dataclasses import dataclass
from typing import Any

from circuitlib.search.belief import GRADIENT, GRADIENT_ALONE
from circuitlib.search.episodes import NOTHING
from circuitlib.studies.priced_contest import ALONE, ELSEWHERE, FROZEN, IN_ROUNDS, PLANNED
from circuitlib.subjects.checkpoints import SMOLLM2
from circuitlib.tasks import TASKS

TASKS_IN_WORDS = {"ioi": "IOI", "greater_than": "greater-than"}
"""Tasks whose names in tables are not those of prose."""

SUBJECTS_IN_WORDS = {SMOLLM2: "SmolLM2", "gpt2-shape": "GPT-2 small's sizes"}
"""Subjects with a name of their own in prose."""

PROCESSORS_IN_WORDS = {
    "amd-epyc-avx512": "AMD EPYC, AVX-512",
    "amd-epyc-family-25-model-1-avx2": "AMD EPYC (Zen 3), AVX2",
}
"""Processors on which speed was recorded."""

GPUS_IN_WORDS = {"nvidia-h200": "NVIDIA H200"}
"""GPUs on which it was."""


def task_title(task: str) -> str:
    """A task as figures and tables name it."""
    return TASKS_IN_WORDS.get(task, task)


def subject_title(subject: str) -> str:
    """A subject as figures name it."""
    return SUBJECTS_IN_WORDS.get(subject, subject)


def processor_title(processor: str) -> str:
    """A processor or GPU as figures name it."""
    return (PROCESSORS_IN_WORDS | GPUS_IN_WORDS).get(processor, processor)


def condition_in_words(searcher: str, trained_k: int, told: str) -> str:
    """A searcher in its condition, as ledgers and tables name it."""
    known = "nothing" if told == NOTHING else task_title(told)
    return f"{searcher} trained with k={trained_k}, told {known}" if trained_k else searcher


@dataclass(frozen=True)
class Kind:
    """A searcher as figures and tables show it. ``title`` names it, by default its key, in which a gradient is called attribution; ``short`` where
    its line ends, by default its title. Those that are drawn have a colour, safe for colour-blind readers, and dashes (lengths of dashes and gaps, in widths of the line; none: drawn
    through); those of the main text a marker, too: tables show their rows at once, and those that the text speaks of (``spoken_of``)."""

    key: str
    title: str = ""
    colour: str = ""
    marker: str = ""
    spoken_of: bool = False
    dashes: tuple[float, ...] = ()
    short: str = ""

    def __post_init__(self) -> None:
        if not self.title:
            object.__setattr__(self, "title", self.key.replace(GRADIENT, "attribution"))
        if not self.short:
            object.__setattr__(self, "short", self.title)

    @property
    def line(self) -> Any:
        """Its dashes as a line style of matplotlib."""
        return (0, self.dashes) if self.dashes else "-"


ATTRIBUTION = f"{GRADIENT}, then verify"
"""What others are set beside: it needs no training."""

AFTER = {
    3: ("#7FBCE0", "^", "white"),
    10: ("#4292C6", "o", "white"),
    20: ("#2171B5", "D", "#2171B5"),
    50: ("#08306B", "s", "#08306B"),
}
"""How so many heads measured, or the price of so many, are drawn, apart in grey too: colour, marker, its filling."""

HIDDEN = {"blind": "zeros", "flipped": "turned signs", "swapped": "another episode's"}
"""What stands in the place of a policy's rewards (:data:`circuitlib.studies.reading.Shown`), in words."""

_KINDS = (
    Kind("policy, seeing", "policy, sees its rewards", "#0072B2", short="policy, seeing"),
    Kind("policy, blind", f"policy, sees {HIDDEN['blind']}", "#56B4E9", dashes=(4, 2), short="policy, blind"),
    Kind("policy, flipped", f"policy, sees {HIDDEN['flipped']}", "#CC79A7", dashes=(1, 1.5), short="policy, lied to"),
    *(
        Kind(f"{one}'s ten and {other}'s, in turns", colour="#D55E00", dashes=dashes, short=f"in turns, {one} first")
        for one, other, dashes in (("induction", "IOI", (2, 1)), ("IOI", "induction", (4, 2)))
    ),
    Kind("layers in order", colour="#009E73", dashes=(6, 1.5, 1, 1.5)),
    Kind("list", "list by mean reward", "#D55E00", dashes=(8, 2), short="list"),
    Kind("policy k=5", "policy, trained with k=5", "#0072B2", "o", short="policy k=5"),
    Kind("policy k=1", "policy, trained with k=1", "#56B4E9"),
    Kind("static prior", "list by mean reward", "#D55E00", "D", dashes=(8, 2), short="list"),
    Kind("list, normalised", "list by normalised reward", "#D55E00", "D"),
    Kind("layers by training reward", "", "#009E73", "v"),
    Kind(ATTRIBUTION, "", "#E69F00", "P", dashes=(4, 1.5, 1, 1.5, 1, 1.5)),
    Kind(IN_ROUNDS, "halving in three rounds", "#CC79A7", "X"),
    Kind("belief, look ahead", "learned belief, look ahead", "#000000", "*"),
    Kind("headwise", "headwise policy", "#882255", "s"),
    Kind("random", "", "#7F7F7F", "^", dashes=(1, 3)),
    Kind("list, in turns", "lists in turns", spoken_of=True),
    *(Kind(f"halving, 16 by gradient{more}", spoken_of=True) for more in ("", " and layer 0")),
    *(
        Kind(f"halving, 16 by {how} and {ELSEWHERE} of other behaviours", spoken_of=True)
        for how in (GRADIENT, GRADIENT_ALONE)
    ),
    Kind(f"belief, look ahead, {ALONE}", f"learned belief, look ahead, {ALONE}", spoken_of=True),
    Kind(f"headwise, {ALONE}", f"headwise policy, {ALONE}", spoken_of=True),
    Kind("headwise, blind", "headwise policy, blind", spoken_of=True),
    Kind("policy k=5, greedy", "policy, trained with k=5, greedy", spoken_of=True),
    Kind("MaskablePPO"),
    Kind("exhaustive", spoken_of=True),
    Kind("belief, thompson", "learned belief, Thompson"),
    Kind("list, mean", "list by mean reward", spoken_of=True),
    Kind("list, maximum", "list by largest normalised reward"),
    Kind("list, in turns, reversed", "lists in turns, reversed"),
    Kind("list, gradients", "list by mean gradient"),
    *(Kind(f"list of {task}", f"list of {task_title(task)}") for task in TASKS),
    Kind("direct effect, then verify"),
    Kind(f"{FROZEN}, then verify", "attribution with norms and patterns held, then verify"),
    Kind(f"{GRADIENT_ALONE}, then verify"),
    *(Kind(f"halving, {some}") for some in ("all heads", "8 by gradient", "32 by gradient", f"16 by {GRADIENT_ALONE}")),
    *(
        Kind(f"{rule}, training tasks{more}", f"{title}, training tasks{more.replace(GRADIENT, 'attribution')}")
        for rule, title in (("thompson", "Thompson"), ("ucb", "upper bounds"))
        for more in ("", f" and {GRADIENT}")
    ),
    *(
        Kind(f"policy k={k}, {played}", f"policy, trained with k={k}, {played}")
        for k in (1, 5)
        for played in ("blind", *(f"planning with {n}{free}" for n in PLANNED for free in ("", ", repeats free")))
    ),
    Kind("policy k=1, greedy", "policy, trained with k=1, greedy"),
)
SEARCHERS = {kind.key: kind for kind in _KINDS}
"""Every searcher of every axis, by its name in tables, in the order of legends."""

MAIN = [kind for kind in _KINDS if kind.marker]
"""Those that figures draw."""

PLANNING = SEARCHERS["policy k=5, planning with 5"].title
"""What the policy that was trained to plan is called where it plans."""


def kind_of(searcher: str, trained_k: int = 0, shown: str = NOTHING) -> Kind:
    """The registered kind of a searcher's name and, for a policy, the k it was trained with (0: whichever), and what it is shown.

    Raises ``ValueError``, naming those there are, for one that is not registered.
    """
    key = searcher + (f" k={trained_k}" if trained_k else "") + (f", {shown}" if shown != NOTHING else "")
    if key not in SEARCHERS:
        raise ValueError(f"searcher must be one of {list(SEARCHERS)}, not {key!r}")
    return SEARCHERS[key]
