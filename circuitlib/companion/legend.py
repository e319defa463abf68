"""How searchers, tasks and subjects are named and drawn, the same in every figure and table."""

from dataclasses import dataclass

from circuitlib.search.episodes import NOTHING
from circuitlib.subjects.checkpoints import SMOLLM2

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
    """A searcher as figures and tables show it: ``title`` names it, ``colour`` is safe for colour-blind readers."""

    key: str
    title: str
    colour: str
    marker: str


KINDS = (
    Kind("policy k=5", "policy, trained with k=5", "#0072B2", "o"),
    Kind("policy k=1", "policy, trained with k=1", "#56B4E9", "s"),
    Kind("static prior", "list by mean reward", "#D55E00", "D"),
    Kind("random", "random", "#7F7F7F", "^"),
)
SEARCHERS = {kind.key: kind for kind in KINDS}
"""The searchers on the axis of picks, in the order of legends."""

PLANNING = "the first, planning with k=5"
"""What the policy that was trained to plan is called where it plans, and the others do not."""

RIVALS = (
    Kind("policy k=5", "policy, trained with k=5", "#0072B2", "o"),
    Kind("policy k=1", "policy, trained with k=1", "#56B4E9", "s"),
    Kind("list, normalised", "list by normalised reward", "#D55E00", "D"),
    Kind("layers by training reward", "layers by training reward", "#009E73", "v"),
    Kind("gradient, then verify", "attribution, then verify", "#E69F00", "P"),
    Kind("halving, 16 by gradient", "halving, 16 by attribution", "#CC79A7", "X"),
    Kind("belief, thompson", "learned belief, Thompson", "#000000", "*"),
    Kind("headwise", "headwise policy", "#882255", "h"),
    Kind("random", "random", "#7F7F7F", "^"),
)
"""Those of the main text on the axis of price."""


def kind_of(searcher: str, trained_k: int = 0) -> Kind:
    """The registered kind of a searcher's name and, for a policy, the k it was trained with.

    Raises ``ValueError``, naming those there are, for one that is not registered.
    """
    key = f"{searcher} k={trained_k}" if trained_k else searcher
    if key not in SEARCHERS:
        raise ValueError(f"searcher must be one of {list(SEARCHERS)}, not {key!r}")
    return SEARCHERS[key]
