"""Which word may come next, by grammar or idiom."""

from circuitlib.tasks.base import Task
from circuitlib.tasks.behaviours.pairs import Pairs, kinds, rows

ARTICLES = kinds("""
    an: apple orange egg elephant umbrella idea island engine animal artist actor angel ocean owl eagle onion oven
    a: banana lemon cat dog book house car table river horse tree painter singer devil lake bird train tomato chair
""")
QUANTITIES = kinds("""
    much: water money time information food air energy work music
    many: books people things houses cars dogs students children years days friends cities questions words
""")
REFLEXIVES = kinds("""
    himself: king father boy man brother uncle son husband
    herself: queen mother girl woman sister aunt daughter wife
    themselves: boys girls men women kings children students soldiers
""")
RELATIVES = kinds("""
    who: man woman doctor teacher boy girl king lawyer artist soldier student farmer singer writer
    which: book house car table river letter building song machine stone chair bridge tower box
""")
PREPOSITIONS = kinds("""
    on: depend rely focus insist concentrate
    to: listen refer adapt contribute adhere subscribe
    of: dispose approve consist
    in: believe participate invest specialize
    with: interact cope comply coincide struggle
    from: suffer recover refrain benefit
""")
POSSESSIVES = rows("I:my you:your we:our they:their he:his she:her")
CORRELATIVES = rows("either:or neither:nor both:and")
TENSES = rows("yesterday:was once:was tomorrow:will soon:will")

TASKS: list[Task] = [
    Pairs([row[::-1] for row in ARTICLES], ["{N} saw{A}{Y}", "{N} drew{A}{Y}", "{N} found{A}{Y}"]).task(
        "article", "Mary saw an -> apple"
    ),
    Pairs([row[::-1] for row in QUANTITIES], ["{N} has too{A}{Y}", "{N} asked how{A}{Y}"]).task(
        "quantity", "Mary has too many -> books"
    ),
    Pairs(REFLEXIVES, ["{N} says that the{A} blamed{Y}", "{N} says that the{A} introduced{Y}"]).task(
        "reflexive", "Mary says that the king blamed -> himself"
    ),
    Pairs(RELATIVES, ["{N} liked the{A},{Y}", "{N} found the{A},{Y}"]).task(
        "relative", "Mary liked the doctor, -> who"
    ),
    Pairs(PREPOSITIONS, ["{N} and{M} will{A}{Y}", "{N} and{M} often{A}{Y}"]).task(
        "preposition", "Mary and John often depend -> on"
    ),
    Pairs(POSSESSIVES, ["In the{P}{A} lost{Y}", "At the{P}{A} used{Y}"]).task(
        "possessive", "In the store we lost -> our"
    ),
    Pairs(CORRELATIVES, ["{N} needs{A} the{X}{Y}", "{N} saw{A} a{X}{Y}"]).task(
        "correlative", "Mary needs either the book -> or"
    ),
    Pairs(TENSES, ["{N} says that{A} the{P}{Y}"]).task("tense", "Mary says that tomorrow the store -> will"),
]
