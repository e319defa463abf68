"""What comes next in an order that is known by heart."""
# ruff: noqa: SIM905 - as in words.py

from circuitlib.tasks.base import Task
from circuitlib.tasks.behaviours.pairs import SUCCESSORS, Pairs, windows
from circuitlib.tasks.words import NAMES, OBJECTS

WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
NUMBERS = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen".split()
ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth".split()
LETTERS = list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
ROMAN = "I II III IV V VI VII VIII IX X XI XII".split()

TASKS: list[Task] = [
    Pairs(windows([*WEEKDAYS, *WEEKDAYS[:3]]), ["{N} came on{A},{B},{C},{Y}"], fillers={"N": NAMES}).task(
        "weekday", "Mary came on Monday, Tuesday, Wednesday, -> Thursday", SUCCESSORS
    ),
    Pairs(windows([*MONTHS, *MONTHS[:3]]), ["{N} left in{A},{B},{C},{Y}"], fillers={"N": NAMES}).task(
        "month", "Mary left in May, June, July, -> August", SUCCESSORS
    ),
    Pairs(windows(NUMBERS), ["{N} counted{A},{B},{C},{Y}"], fillers={"N": NAMES}).task(
        "number", "Mary counted two, three, four, -> five", SUCCESSORS
    ),
    Pairs(windows(NUMBERS[::-1]), ["{N} counted{A},{B},{C},{Y}"], fillers={"N": NAMES}).task(
        "countdown", "Mary counted nine, eight, seven, -> six"
    ),
    Pairs(windows(LETTERS), ["{N} wrote{A},{B},{C},{Y}"], fillers={"N": NAMES}).task(
        "letter", "Mary wrote C, D, E, -> F", SUCCESSORS
    ),
    Pairs(windows(ROMAN), ["{N}{A},{N}{B},{N}{C},{N}{Y}"], fillers={"N": NAMES}).task(
        "roman", "Henry I, Henry II, Henry III, Henry -> IV", SUCCESSORS
    ),
    Pairs(windows(ORDINALS), ["{A}{N},{B}{N},{C}{N},{Y}"], fillers={"N": OBJECTS}).task(
        "ordinal", "first key, second key, third key, -> fourth"
    ),
]
