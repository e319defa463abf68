"""Forms of words, and words that come in twos."""
# ruff: noqa: SIM905 - as in words.py

from circuitlib.tasks.base import Task
from circuitlib.tasks.behaviours.pairs import FUNCTION_VECTORS, Pairs, rows
from circuitlib.tasks.words import DESCRIPTIONS, NAMES, OBJECTS, PLACES, SINGULARS

OPPOSITES = rows("""
    hot:cold cold:hot big:small small:big up:down down:up left:right right:left open:closed good:bad bad:good rich:poor
    young:old old:young light:dark dark:light hard:soft soft:hard high:low low:high long:short short:long fast:slow
    slow:fast strong:weak weak:strong early:late late:early true:false false:true in:out out:in north:south south:north
    east:west west:east black:white white:black wet:dry dry:wet happy:sad sad:happy first:last last:first day:night
    night:day love:hate hate:love war:peace peace:war life:death death:life empty:full full:empty
""")
REGULAR = """
    book garden hotel dog cat horse bird car tree ring key ball letter ticket camera phone lamp card gift park house market
    farm
""".split()
PLURALS = rows("""
    child:children man:men woman:women mouse:mice foot:feet tooth:teeth box:boxes city:cities leaf:leaves wife:wives
""")
PLURALS += [(noun, noun + "s") for noun in [*SINGULARS, *REGULAR]]
PARTICIPLES = rows("""
    see:seen eat:eaten take:taken give:given write:written know:known grow:grown break:broken speak:spoken
    drive:driven choose:chosen forget:forgotten steal:stolen hide:hidden do:done buy:bought sell:sold teach:taught
    find:found make:made tell:told build:built send:sent lose:lost win:won use:used open:opened close:closed
""")
GERUNDS = rows("""
    run:running swim:swimming write:writing drive:driving dance:dancing sing:singing read:reading play:playing
    work:working walk:walking talk:talking eat:eating drink:drinking sleep:sleeping cook:cooking learn:learning
    teach:teaching build:building travel:traveling study:studying win:winning sit:sitting make:making take:taking
    speak:speaking listen:listening think:thinking
""")
COMPARATIVES = rows("""
    big:bigger small:smaller tall:taller short:shorter long:longer fast:faster slow:slower strong:stronger weak:weaker
    old:older young:younger high:higher low:lower deep:deeper cheap:cheaper rich:richer hard:harder soft:softer
    light:lighter dark:darker good:better bad:worse wide:wider easy:easier heavy:heavier happy:happier large:larger
    close:closer safe:safer warm:warmer cold:colder hot:hotter clear:clearer
""")
FEMININES = rows("""
    king:queen man:woman father:mother brother:sister son:daughter uncle:aunt husband:wife boy:girl prince:princess
    actor:actress nephew:niece grandfather:grandmother men:women boys:girls sons:daughters brothers:sisters he:she
    him:her
""")
NEGATIONS = rows("""
    happy:unhappy able:unable likely:unlikely known:unknown usual:unusual fair:unfair possible:impossible legal:illegal
    visible:invisible correct:incorrect complete:incomplete necessary:unnecessary certain:uncertain clear:unclear
    regular:irregular conscious:unconscious aware:unaware expected:unexpected stable:unstable perfect:imperfect
    dependent:independent direct:indirect active:inactive effective:ineffective pleasant:unpleasant safe:unsafe
    healthy:unhealthy relevant:irrelevant acceptable:unacceptable
""")
CAPITALIZED = [(word, word.capitalize()) for word in [*DESCRIPTIONS, *OBJECTS, *PLACES]]
INITIALS = [(name, name[0]) for name in NAMES]

TASKS: list[Task] = [
    Pairs(OPPOSITES, ["{A}:{Y},"], shots=3).task(
        "opposite", "hot: cold, big: small, in: out, up: -> down", FUNCTION_VECTORS
    ),
    Pairs(PLURALS, [" one{A}, two{Y};", " this{A}, those{Y};"], shots=1, against_cue=True).task(
        "plural", "one cat, two cats; one dog, two -> dogs", FUNCTION_VECTORS
    ),
    Pairs(PARTICIPLES, ["{N} will{A} what we have{Y}", "{N} should{A} what I had{Y}"], against_cue=True).task(
        "participle", "Mary will take what we have -> taken"
    ),
    Pairs(GERUNDS, ["{N} likes to{A}. Now{N} is{Y}"]).task("gerund", "Mary likes to swim. Now Mary is -> swimming"),
    Pairs(COMPARATIVES, ["{N} is{A}, but{M} is even{Y}", "{N} was{A}, but{M} was much{Y}"]).task(
        "comparative", "Mary is old, but John is even -> older"
    ),
    Pairs(FEMININES, ["{A}:{Y},"], shots=2).task("feminine", "king: queen, son: daughter, uncle: -> aunt"),
    Pairs(NEGATIONS, ["{A}:{Y},"], shots=3).task(
        "negation", "happy: unhappy, legal: illegal, safe: unsafe, able: -> unable"
    ),
    Pairs(CAPITALIZED, ["{A}:{Y},"], shots=3, against_cue=True).task(
        "capitalize", "stone: Stone, river: River, bread: Bread, gold: -> Gold", FUNCTION_VECTORS
    ),
    Pairs(INITIALS, ["{A}:{Y},"], shots=3).task("initial", "Mary: M, John: J, Luke: L, Tom: -> T"),
]
