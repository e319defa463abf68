"""The behaviours that heads are measured on, by name."""

from circuitlib.tasks.agreement import AGREEMENT
from circuitlib.tasks.base import Example, Metric, Prompts, Task
from circuitlib.tasks.docstring import DOCSTRING
from circuitlib.tasks.greater_than import GREATER_THAN
from circuitlib.tasks.induction import INDUCTION
from circuitlib.tasks.ioi import IOI
from circuitlib.tasks.pronoun import PRONOUN

TASKS: dict[str, Task] = {task.name: task for task in (INDUCTION, IOI, DOCSTRING, GREATER_THAN, PRONOUN, AGREEMENT)}

__all__ = ["TASKS", "Example", "Metric", "Prompts", "Task"]
