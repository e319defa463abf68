"""What the prompt itself has said, or opened: brackets, quotes, tags, and who did what to whom."""
# ruff: noqa: SIM905 - as in words.py

from circuitlib.tasks.base import Task
from circuitlib.tasks.behaviours.pairs import Pairs
from circuitlib.tasks.behaviours.recall import Recall
from circuitlib.tasks.words import ARGUMENTS, NAMES

BRACKETS = [("(", ")"), ("[", "]"), ("{", "}")]
QUOTES = [('"', '"'), ("'", "'"), ("`", "`")]
TAGS = "div span table form body head title button label input section article link script style".split()

TASKS: list[Task] = [
    Pairs(
        BRACKETS, ["{N} ={A}1,2,3{Y}", "{N} ={A}0,1,0{Y}", "{N} +={A}5,4,2{Y}"], fillers={"N": ARGUMENTS}, joined=True
    ).task("bracket", "sizes = [1,2,3 -> ]"),
    Pairs(
        QUOTES,
        ["{N} ={A}hello world{Y}", "{N} ={A}very good{Y}", "{N} +={A}not yet{Y}"],
        fillers={"N": ARGUMENTS},
        joined=True,
    ).task("quote", "name = 'hello world -> '"),
    Recall({"A": TAGS, "B": TAGS}, ["<{A}><{B}>hello</", "<{A}><{B}>yes</"], ("B", "A"), ("B", "A")).task(
        "tag", "< div>< span>hello</ -> span"
    ),
    Recall(
        {"A": NAMES, "B": NAMES},
        ["{A} is taller than{B}, so{B} is shorter than", "{A} saw{B} and{B} saw"],
        ("A", "B"),
        ("B", "A"),
    ).task("converse", "Mary saw John and John saw -> Mary"),
]
