"""What the prompt itself has said, or opened: brackets, quotes, tags, and who did what to whom."""
# ruff: noqa: SIM905 - as in words.py

from circuitlib.tasks.base import Task
from circuitlib.tasks.behaviours.pairs import Pairs
from circuitlib.tasks.behaviours.recall import Recall
from circuitlib.tasks.words import ARGUMENTS, NAMES

BRACKETS = [("(", ")"), ("[", "]"), ("{", "}")]
QUOTES = [('"', '"'), ("'", "'"), ("`", "`")]
LISTS = ["{N} ={A}1,2,3{Y}", "{N} ={A}0,1,0{Y}", "{N} +={A}5,4,2{Y}"]
STRINGS = ["{N} ={A}hello world{Y}", "{N} ={A}very good{Y}", "{N} +={A}not yet{Y}"]
VARIABLE = {"N": ARGUMENTS}
TAGS = "div span table form body head title button label input section article link script style".split()
COMPARISONS = ["{A} is taller than{B}, so{B} is shorter than", "{A} saw{B} and{B} saw"]

TASKS: list[Task] = [
    Pairs(BRACKETS, LISTS, fillers=VARIABLE, joined=True).task("bracket", "sizes = [1,2,3 -> ]"),
    Pairs(QUOTES, STRINGS, fillers=VARIABLE, joined=True).task("quote", "name = 'hello world -> '"),
    Recall(TAGS, ["<{A}><{B}>hello</", "<{A}><{B}>yes</"], "BA").task("tag", "< div>< span>hello</ -> span"),
    Recall(NAMES, COMPARISONS, "AB").task("converse", "Mary saw John and John saw -> Mary"),
]
