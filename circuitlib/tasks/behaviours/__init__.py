"""Short behaviours of SmolLM2-135M, by name: many mechanisms, on which a policy may learn to search for heads."""

from circuitlib.tasks.base import Task
from circuitlib.tasks.behaviours import context, facts, morphology, sequences, syntax

BEHAVIOURS: dict[str, Task] = {
    task.name: task for kind in (facts, morphology, sequences, syntax, context) for task in kind.TASKS
}
"""What a search is learned from, on SmolLM2: in no one do the mean damages of the heads correlate above 0.8 with those on one of
the six tasks."""

__all__ = ["BEHAVIOURS"]
