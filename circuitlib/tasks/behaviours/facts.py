"""What a model knows of the world: cities and countries, kinds of things, symbols, names."""

from circuitlib.tasks.base import Task
from circuitlib.tasks.behaviours.pairs import FUNCTION_VECTORS, Pairs, rows
from circuitlib.tasks.words import NAMES

CAPITALS = rows("""
    France:Paris Italy:Rome Spain:Madrid Germany:Berlin England:London Russia:Moscow Japan:Tokyo China:Beijing
    Egypt:Cairo Greece:Athens Austria:Vienna Ireland:Dublin Portugal:Lisbon Poland:Warsaw Sweden:Stockholm Norway:Oslo
    Denmark:Copenhagen Hungary:Budapest Canada:Ottawa Cuba:Havana Iran:Tehran Iraq:Baghdad Syria:Damascus Kenya:Nairobi
    Thailand:Bangkok Belgium:Brussels Turkey:Ankara Peru:Lima Afghanistan:Kabul Scotland:Edinburgh Finland:Helsinki
""")
COUNTRIES = rows("""
    Paris:France Rome:Italy Milan:Italy Venice:Italy Naples:Italy Florence:Italy Madrid:Spain Barcelona:Spain
    Berlin:Germany Munich:Germany Hamburg:Germany Frankfurt:Germany London:England Manchester:England Liverpool:England
    Moscow:Russia Tokyo:Japan Kyoto:Japan Beijing:China Shanghai:China Cairo:Egypt Athens:Greece Vienna:Austria
    Dublin:Ireland Lisbon:Portugal Warsaw:Poland Stockholm:Sweden Oslo:Norway Toronto:Canada Montreal:Canada
    Vancouver:Canada Sydney:Australia Melbourne:Australia Mumbai:India Delhi:India Baghdad:Iraq Istanbul:Turkey
    Edinburgh:Scotland Glasgow:Scotland
""")
LANGUAGES = rows("""
    France:French Italy:Italian Spain:Spanish Mexico:Spanish Argentina:Spanish Chile:Spanish Colombia:Spanish
    Germany:German Austria:German England:English Russia:Russian Japan:Japanese China:Chinese Greece:Greek
    Portugal:Portuguese Brazil:Portuguese Poland:Polish Sweden:Swedish Egypt:Arabic Iraq:Arabic Syria:Arabic
    Korea:Korean Turkey:Turkish Denmark:Danish
""")
CONTINENTS = rows("""
    France:Europe Italy:Europe Spain:Europe Germany:Europe Poland:Europe Sweden:Europe Norway:Europe Greece:Europe
    Austria:Europe Hungary:Europe Belgium:Europe Portugal:Europe China:Asia Japan:Asia India:Asia Thailand:Asia
    Vietnam:Asia Pakistan:Asia Bangladesh:Asia Nepal:Asia Korea:Asia Malaysia:Asia Kenya:Africa Nigeria:Africa
    Ghana:Africa Ethiopia:Africa Uganda:Africa Zimbabwe:Africa Tanzania:Africa Sudan:Africa Somalia:Africa
    Brazil:America Mexico:America Canada:America Argentina:America Chile:America Peru:America
""")
KINDS = rows("""
    apple:fruit banana:fruit grape:fruit lemon:fruit mango:fruit dog:animal cat:animal horse:animal cow:animal
    lion:animal tiger:animal sheep:animal elephant:animal wolf:animal hammer:tool drill:tool knife:tool axe:tool
    red:color blue:color green:color yellow:color purple:color pink:color shirt:clothing jacket:clothing dress:clothing
    coat:clothing shoes:clothing hat:clothing pants:clothing piano:instrument guitar:instrument violin:instrument
    drum:instrument flute:instrument France:country Italy:country Spain:country Japan:country China:country
    Egypt:country Brazil:country London:city Paris:city Berlin:city Tokyo:city Rome:city Chicago:city Boston:city
""")
SYMBOLS = rows("""
    gold:Au silver:Ag iron:Fe copper:Cu lead:Pb tin:Sn sodium:Na potassium:K oxygen:O hydrogen:H carbon:C nitrogen:N
    helium:He zinc:Zn calcium:Ca magnesium:Mg chlorine:Cl mercury:Hg nickel:Ni aluminum:Al silicon:Si lithium:Li
    sulfur:S uranium:U
""")
SURNAMES = rows("""
    Albert:Einstein Isaac:Newton Charles:Darwin William:Shakespeare Abraham:Lincoln Sigmund:Freud Karl:Marx
    Nelson:Mandela Marie:Curie Napoleon:Bonaparte Barack:Obama Hillary:Clinton Winston:Churchill Mahatma:Gandhi
    Martin:Luther Stephen:Hawking Harry:Potter Christopher:Columbus Benjamin:Franklin Oscar:Wilde Alexander:Hamilton
    Vincent:van Leonardo:da
""")
WORKPLACES = rows("""
    teacher:school doctor:hospital surgeon:hospital chef:restaurant waiter:restaurant farmer:farm pilot:plane
    banker:bank actor:theater judge:court priest:church sailor:ship baker:bakery miner:mine mechanic:garage
    chemist:laboratory
""")
YOUNG = rows("""
    dog:puppy cat:kitten cow:calf sheep:lamb horse:foal lion:cub bear:cub chicken:chick duck:duckling deer:fawn
    frog:tadpole goat:kid bird:chick butterfly:caterpillar
""")

TASKS: list[Task] = [
    Pairs(CAPITALS, ["{N} visited the capital of{A},{Y}", "{N} left the capital of{A},{Y}"], fillers={"N": NAMES}).task(
        "capital", "Mary visited the capital of France, -> Paris", FUNCTION_VECTORS
    ),
    Pairs(COUNTRIES, ["{N} lives in{A},{Y}", "{N} moved to{A},{Y}"], fillers={"N": NAMES}).task(
        "country", "Mary lives in Paris, -> France"
    ),
    Pairs(LANGUAGES, ["{N} says that people in{A} speak{Y}"], fillers={"N": NAMES}).task(
        "language", "Mary says that people in France speak -> French"
    ),
    Pairs(CONTINENTS, ["{A}:{Y},"], shots=3).task(
        "continent", "Italy: Europe, China: Asia, Kenya: Africa, Spain: -> Europe"
    ),
    Pairs(KINDS, ["{A}:{Y},"], shots=3).task("kind", "apple: fruit, dog: animal, hat: clothing, hammer: -> tool"),
    Pairs(SYMBOLS, ["{N} said the chemical symbol for{A} is{Y}"], fillers={"N": NAMES}).task(
        "symbol", "Mary said the chemical symbol for gold is -> Au"
    ),
    Pairs(SURNAMES, ["{N} read about{A}{Y}", "{N} heard of{A}{Y}"], fillers={"N": NAMES}).task(
        "surname", "Mary read about Albert -> Einstein"
    ),
    Pairs(WORKPLACES, ["{N} is a{A} and works in a{Y}", "{N} met a{A} who worked in a{Y}"], fillers={"N": NAMES}).task(
        "workplace", "Mary is a teacher and works in a -> school"
    ),
    Pairs(YOUNG, ["{A}:{Y},"], shots=2).task("young", "dog: puppy, cat: kitten, cow: -> calf"),
]
