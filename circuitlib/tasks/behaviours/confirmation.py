"""Behaviours of SmolLM2-135M to confirm on: written down, with the rule of the verdict, once everything about the search was fixed and before a head was measured on any.

On the six tasks the search was looked at more than once while it was designed; on these nothing was ever chosen. Most are kin, in words or form, to one that it was taught on: singular is plural
turned round, lowercase capitalize, countdown number; superlative is like comparative, month like weekday, thanks like converse. How alike their heads' rewards are is measured.
"""
# ruff: noqa: SIM905 - as in words.py

from circuitlib.tasks.base import Task
from circuitlib.tasks.behaviours.pairs import SUCCESSORS, Pairs, kinds, rows, windows
from circuitlib.tasks.behaviours.recall import Recall
from circuitlib.tasks.words import ARGUMENTS, DESCRIPTIONS, NAMES, OBJECTS, PLACES, SINGULARS

MONTHS = "January February March April May June July August September October November December".split()
EVEN = "two four six eight ten twelve fourteen sixteen eighteen twenty".split()
DOWN = "fifteen fourteen thirteen twelve eleven ten nine eight seven six five four three two one".split()
LANGUAGES = rows("""
    France:French Spain:Spanish Germany:German Italy:Italian China:Chinese Japan:Japanese Russia:Russian Greece:Greek
    Poland:Polish Sweden:Swedish Turkey:Turkish Portugal:Portuguese Brazil:Portuguese Egypt:Arabic Iraq:Arabic
    Mexico:Spanish Argentina:Spanish Korea:Korean Vietnam:Vietnamese England:English Australia:English
""")
CONTINENTS = kinds("""
    Europe: France Spain Italy Germany Poland Sweden Norway Austria Greece Portugal Hungary
    Asia: China Japan India Thailand Vietnam Pakistan Korea Malaysia
    Africa: Egypt Kenya Nigeria Ghana Ethiopia Morocco Tanzania
""")
COLORS = kinds("""
    yellow: banana lemon sun corn
    green: grass frog spinach lime
    red: blood tomato rose strawberry
    white: snow milk salt cotton
    black: coal night tar
    blue: sky ocean sea
""")
WORN = rows("""
    glove:hand gloves:hands shoe:foot shoes:feet hat:head ring:finger scarf:neck mask:face watch:wrist boots:feet
    necklace:neck glasses:eyes crown:head helmet:head bracelet:wrist
""")
PASTS = rows("""
    go:went see:saw eat:ate take:took give:gave write:wrote know:knew grow:grew break:broke speak:spoke drive:drove
    choose:chose forget:forgot come:came begin:began run:ran sing:sang swim:swam fall:fell feel:felt keep:kept
    leave:left lose:lost meet:met pay:paid think:thought bring:brought buy:bought catch:caught find:found
""")
AGENTS = rows("""
    teach:teacher sing:singer dance:dancer write:writer paint:painter farm:farmer run:runner bake:baker act:actor
    lead:leader drive:driver hunt:hunter manage:manager design:designer play:player read:reader work:worker
    speak:speaker build:builder direct:director edit:editor
""")
ADVERBS = rows("""
    quick:quickly slow:slowly sad:sadly loud:loudly quiet:quietly careful:carefully sudden:suddenly easy:easily
    happy:happily final:finally recent:recently soft:softly deep:deeply strong:strongly clear:clearly real:really
    complete:completely safe:safely firm:firmly near:nearly
""")
SUPERLATIVES = rows("""
    big:biggest small:smallest tall:tallest short:shortest long:longest fast:fastest strong:strongest weak:weakest
    old:oldest young:youngest high:highest low:lowest deep:deepest rich:richest hard:hardest great:greatest
    large:largest close:closest easy:easiest early:earliest late:latest good:best bad:worst
""")
ORDINALS = rows("""
    one:first two:second three:third four:fourth five:fifth six:sixth seven:seventh eight:eighth nine:ninth ten:tenth
    eleven:eleventh twelve:twelfth
""")
OBJECTS_OF_VERBS = rows("I:me he:him she:her we:us they:them")
SINGLE = [(noun + "s", noun) for noun in SINGULARS]
SMALL = [(word.capitalize(), word) for word in [*DESCRIPTIONS, *OBJECTS, *PLACES]]

TASKS: list[Task] = [
    Pairs(windows([*MONTHS, *MONTHS[:3]]), ["{N} came in{A},{B},{C},{Y}"]).task(
        "month", "Mary came in March, April, May, -> June", SUCCESSORS
    ),
    Pairs(windows(EVEN), ["{N} counted{A},{B},{C},{Y}"]).task("even", "Mary counted two, four, six, -> eight"),
    Pairs(windows(DOWN), ["{N} counted down{A},{B},{C},{Y}"]).task(
        "countdown", "Mary counted down five, four, three, -> two"
    ),
    Pairs(LANGUAGES, ["{N} moved to{A} and learned{Y}", "{N} grew up in{A} and speaks{Y}"]).task(
        "language", "Mary moved to France and learned -> French"
    ),
    Pairs(CONTINENTS, ["{N} flew to{A}, a country in{Y}", "{N} lives in{A}, which is in{Y}"]).task(
        "continent", "Mary flew to Kenya, a country in -> Africa"
    ),
    Pairs(COLORS, ["{A}:{Y},"], shots=3).task("color", "snow: white, frog: green, sky: blue, blood: -> red"),
    Pairs(WORN, ["{N} put the{A} on the{Y}", "{N} wore the{A} on the{Y}"]).task(
        "worn", "Mary put the hat on the -> head"
    ),
    Pairs(PASTS, ["{A}:{Y},"], shots=3, against_cue=True).task("past", "go: went, see: saw, eat: ate, take: -> took"),
    Pairs(AGENTS, ["{N} likes to{A}, so{N} became a{Y}"], against_cue=True).task(
        "agent", "Mary likes to sing, so Mary became a -> singer"
    ),
    Pairs(ADVERBS, ["{A}:{Y},"], shots=3, against_cue=True).task(
        "adverb", "quick: quickly, slow: slowly, sad: sadly, loud: -> loudly"
    ),
    Pairs(SUPERLATIVES, ["{N} is{A}, but{M} is the{Y}", "{N} was{A}, and{M} was the{Y}"], against_cue=True).task(
        "superlative", "Mary is old, but John is the -> oldest"
    ),
    Pairs(ORDINALS, ["{A}:{Y},"], shots=3).task("ordinal", "one: first, two: second, ten: tenth, six: -> sixth"),
    Pairs(OBJECTS_OF_VERBS, ["When{A} lost the{X},{N} helped{Y}", "When{A} found a{X},{N} saw{Y}"]).task(
        "object", "When she lost the ring, John helped -> her"
    ),
    Pairs(SINGLE, [" two{A}, one{Y};", " those{A}, this{Y};"], shots=1, against_cue=True).task(
        "singular", "two cats, one cat; two dogs, one -> dog"
    ),
    Pairs(SMALL, ["{A}:{Y},"], shots=3, against_cue=True).task(
        "lowercase", "Stone: stone, River: river, Bread: bread, Gold: -> gold"
    ),
    Recall(NAMES, ["{A} gave{B} the book, so{B} thanked", "{A} helped{B}, and so{B} thanked"], "AB").task(
        "thanks", "Mary helped John, and so John thanked -> Mary"
    ),
    Recall(ARGUMENTS, ["for{A} in{B}: print({B} -", "for{A} in{B}: total +="], "AB").task(
        "loop", "for key in data: total += -> key"
    ),
]

CONFIRMATION: dict[str, Task] = {task.name: task for task in TASKS}
"""By name. Nouns of adjectives ("kind" to "kindness") and who came before whom were written down with them, and left out because the model does not do them."""
