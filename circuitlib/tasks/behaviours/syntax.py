"""Which word may come next, by grammar or idiom."""

from circuitlib.tasks.base import Task
from circuitlib.tasks.behaviours.pairs import Pairs, Row, rows
from circuitlib.tasks.words import NAMES, OBJECTS, PLACES


def either(**answers: str) -> list[Row]:
    """Rows of a cue and each of its answers."""
    return [(cue, answer) for cue, block in answers.items() for answer in block.split()]


def kinds(**cues: str) -> list[Row]:
    """Rows of each cue and the one answer of its kind."""
    return [(cue, answer) for answer, block in cues.items() for cue in block.split()]


ARTICLES = either(
    an="apple orange egg elephant umbrella idea island engine animal artist actor angel ocean owl eagle onion oven army",
    a="banana lemon cat dog book house car table river horse tree painter singer devil lake bird train tomato chair",
)
QUANTITIES = either(
    much="water money time information food air energy work music",
    many="books people things houses cars dogs students children years days friends cities questions words",
)
REFLEXIVES = kinds(
    himself="king father boy man brother uncle son husband",
    herself="queen mother girl woman sister aunt daughter wife",
    themselves="boys girls men women kings children students soldiers",
)
RELATIVES = kinds(
    who="man woman doctor teacher boy girl king lawyer artist soldier student farmer singer writer",
    which="book house car table river letter building song machine stone chair bridge tower box",
)
FEELINGS = kinds(
    love="great wonderful excellent lovely amazing fantastic brilliant perfect",
    hate="terrible horrible awful boring bad ugly nasty disgusting",
)
PREPOSITIONS = kinds(
    on="depend rely focus insist concentrate",
    to="belong listen refer adapt contribute",
    of="dispose approve",
    **{"in": "believe participate succeed invest", "with": "interact interfere cope deal comply"},
    **{"from": "suffer recover refrain benefit"},
)
POSSESSIVES = rows("I:my you:your we:our they:their he:his she:her")
CORRELATIVES = rows("either:or neither:nor both:and")
TENSES = kinds(was="yesterday once", will="tomorrow soon")

TASKS: list[Task] = [
    Pairs(ARTICLES, ["{N} saw{A}{Y}", "{N} drew{A}{Y}", "{N} found{A}{Y}"], fillers={"N": NAMES}).task(
        "article", "Mary saw an -> apple"
    ),
    Pairs(QUANTITIES, ["{N} has too{A}{Y}", "{N} asked how{A}{Y}"], fillers={"N": NAMES}).task(
        "quantity", "Mary has too many -> books"
    ),
    Pairs(
        REFLEXIVES, ["{N} says that the{A} blamed{Y}", "{N} says that the{A} introduced{Y}"], fillers={"N": NAMES}
    ).task("reflexive", "Mary says that the king blamed -> himself"),
    Pairs(RELATIVES, ["{N} liked the{A},{Y}", "{N} found the{A},{Y}"], fillers={"N": NAMES}).task(
        "relative", "Mary liked the doctor, -> who"
    ),
    Pairs(FEELINGS, ["This{X} is{A}. I{Y}", "That{X} was{A}. I{Y}"], fillers={"X": [*OBJECTS, *PLACES]}).task(
        "feeling", "This book is awful. I -> hate"
    ),
    Pairs(PREPOSITIONS, ["{N} and{M} will{A}{Y}", "{N} and{M} often{A}{Y}"], fillers={"N": NAMES, "M": NAMES}).task(
        "preposition", "Mary and John often depend -> on"
    ),
    Pairs(POSSESSIVES, ["In the{P}{A} lost{Y}", "At the{P}{A} used{Y}"], fillers={"P": PLACES}).task(
        "possessive", "In the store we lost -> our"
    ),
    Pairs(CORRELATIVES, ["{N} needs{A} the{X}{Y}", "{N} saw{A} a{X}{Y}"], fillers={"N": NAMES, "X": OBJECTS}).task(
        "correlative", "Mary needs either the book -> or"
    ),
    Pairs(TENSES, ["{N} says that{A} the{P}{Y}"], fillers={"N": NAMES, "P": PLACES}).task(
        "tense", "Mary says that tomorrow the store -> will"
    ),
]
