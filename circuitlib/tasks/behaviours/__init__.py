"""Short behaviours of SmolLM2-135M, by name: many mechanisms, on which a policy may learn to search for heads."""

from circuitlib.tasks.base import Task
from circuitlib.tasks.behaviours import context, facts, morphology, sequences, syntax

BEHAVIOURS: dict[str, Task] = {
    task.name: task for kind in (facts, morphology, sequences, syntax, context) for task in kind.TASKS
}

TAUGHT = (
    *("capital", "opposite", "plural", "number", "bracket", "reflexive", "kind", "comparative", "article", "tense"),
    *("letter", "feminine"),
)
"""Those that a search is learned from: measured on SmolLM2, and in no one do the mean damages of the heads correlate above 0.8 with
those on one of the six tasks."""

__all__ = ["BEHAVIOURS", "TAUGHT"]
