"""What comes next in an order that is known by heart."""
# ruff: noqa: SIM905 - as in words.py

from circuitlib.tasks.base import Task
from circuitlib.tasks.behaviours.pairs import SUCCESSORS, Pairs, windows

WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
NUMBERS = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen".split()
LETTERS = list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
ROMAN = "I II III IV V VI VII VIII IX X XI XII".split()

TASKS: list[Task] = [
    Pairs(windows([*WEEKDAYS, *WEEKDAYS[:3]]), ["{N} came on{A},{B},{C},{Y}"]).task(
        "weekday", "Mary came on Monday, Tuesday, Wednesday, -> Thursday", SUCCESSORS
    ),
    Pairs(windows(NUMBERS), ["{N} counted{A},{B},{C},{Y}"]).task(
        "number", "Mary counted two, three, four, -> five", SUCCESSORS
    ),
    Pairs(windows(LETTERS), ["{N} wrote{A},{B},{C},{Y}"]).task("letter", "Mary wrote C, D, E, -> F", SUCCESSORS),
    Pairs(windows(ROMAN), ["{N}{A},{N}{B},{N}{C},{N}{Y}"]).task(
        "roman", "Henry I, Henry II, Henry III, Henry -> IV", SUCCESSORS
    ),
]
