"""How searchers, tasks and subjects are named and drawn, the same in every figure and table."""

from dataclasses import dataclass

from circuitlib.search.belief import GRADIENT, GRADIENT_ALONE
from circuitlib.search.episodes import NOTHING
from circuitlib.studies.priced_contest import ALONE, ELSEWHERE, PLANNED
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


def task_title(task: str) -> str:
    """A task as figures and tables name it."""
    return TASKS_IN_WORDS.get(task, task)


def subject_title(subject: str) -> str:
    """A subject as figures name it."""
    return SUBJECTS_IN_WORDS.get(subject, subject)


def processor_title(processor: str) -> str:
    """A processor as figures name it."""
    return PROCESSORS_IN_WORDS.get(processor, processor)


def condition_in_words(searcher: str, trained_k: int, told: str) -> str:
    """A searcher in its condition, as ledgers and tables name it."""
    known = "nothing" if told == NOTHING else task_title(told)
    return f"{searcher} trained with k={trained_k}, told {known}" if trained_k else searcher


@dataclass(frozen=True)
class Kind:
    """A searcher as figures and tables show it. ``title`` names it; those of the main text have a colour, safe for colour-blind readers, and a
    marker, and are drawn. Of the others tables have a row, which is shown at once where the text speaks of it (``spoken_of``)."""

    key: str
    title: str
    colour: str = ""
    marker: str = ""
    spoken_of: bool = False


_OTHERS = f"{ELSEWHERE} of other behaviours"

_KINDS = (
    Kind("policy k=5", "policy, trained with k=5", "#0072B2", "o"),
    Kind("policy k=1", "policy, trained with k=1", "#56B4E9", "s"),
    Kind("static prior", "list by mean reward", "#D55E00", "D"),
    Kind("list, normalised", "list by normalised reward", "#D55E00", "D"),
    Kind("layers by training reward", "layers by training reward", "#009E73", "v"),
    Kind(f"{GRADIENT}, then verify", "attribution, then verify", "#E69F00", "P"),
    Kind("halving, 16 by gradient", "halving, 16 by attribution", "#CC79A7", "X"),
    Kind("belief, thompson", "learned belief, Thompson", "#000000", "*"),
    Kind("headwise", "headwise policy", "#882255", "h"),
    Kind("random", "random", "#7F7F7F", "^"),
    Kind("list, in turns", "lists in turns", spoken_of=True),
    Kind("halving, 16 by gradient and layer 0", "halving, 16 by attribution and layer 0", spoken_of=True),
    Kind(f"halving, 16 by {GRADIENT} and {_OTHERS}", f"halving, 16 by attribution and {_OTHERS}", spoken_of=True),
    Kind(
        f"halving, 16 by {GRADIENT_ALONE} and {_OTHERS}",
        f"halving, 16 by attribution on 10 prompts and {_OTHERS}",
        spoken_of=True,
    ),
    Kind("belief, look ahead", "learned belief, look ahead", spoken_of=True),
    Kind(f"belief, look ahead, {ALONE}", f"learned belief, look ahead, {ALONE}", spoken_of=True),
    Kind(f"headwise, {ALONE}", f"headwise policy, {ALONE}", spoken_of=True),
    Kind("headwise, blind", "headwise policy, blind", spoken_of=True),
    Kind("MaskablePPO", "MaskablePPO", spoken_of=True),
    Kind("exhaustive", "exhaustive", spoken_of=True),
    Kind("list, mean", "list by mean reward"),
    Kind("list, maximum", "list by largest normalised reward"),
    Kind("list, in turns, reversed", "lists in turns, reversed"),
    Kind("list, gradients", "list by mean gradient"),
    *(Kind(f"list of {task}", f"list of {task_title(task)}") for task in TASKS),
    Kind("direct effect, then verify", "direct effect, then verify"),
    Kind("frozen gradient, then verify", "attribution with norms and patterns held, then verify"),
    Kind(f"{GRADIENT_ALONE}, then verify", "attribution on 10 prompts, then verify"),
    Kind("halving, all heads", "halving, all heads"),
    Kind("halving, 8 by gradient", "halving, 8 by attribution"),
    Kind("halving, 32 by gradient", "halving, 32 by attribution"),
    Kind(f"halving, 16 by {GRADIENT_ALONE}", "halving, 16 by attribution on 10 prompts"),
    Kind("thompson, training tasks", "Thompson, training tasks"),
    Kind("thompson, training tasks and gradient", "Thompson, training tasks and attribution"),
    Kind("ucb, training tasks", "upper bounds, training tasks"),
    Kind("ucb, training tasks and gradient", "upper bounds, training tasks and attribution"),
    *(
        Kind(f"policy k={k}, {played}", f"policy, trained with k={k}, {played}")
        for k in (1, 5)
        for played in ("blind", *(f"planning with {n}{free}" for n in PLANNED for free in ("", ", repeats free")))
    ),
)
SEARCHERS = {kind.key: kind for kind in _KINDS}
"""Every searcher of every axis, by its name in tables, in the order of legends."""

ATTRIBUTION = f"{GRADIENT}, then verify"
"""What others are set beside: it needs no training."""

MAIN = [kind for kind in _KINDS if kind.marker]
"""Those that figures draw."""

PLANNING = "the first, planning with k=5"
"""What the policy that was trained to plan is called where it plans, and the others do not."""


def kind_of(searcher: str, trained_k: int = 0) -> Kind:
    """The registered kind of a searcher's name and, for a policy, the k it was trained with.

    Raises ``ValueError``, naming those there are, for one that is not registered.
    """
    key = f"{searcher} k={trained_k}" if trained_k else searcher
    if key not in SEARCHERS:
        raise ValueError(f"searcher must be one of {list(SEARCHERS)}, not {key!r}")
    return SEARCHERS[key]
