"""What a model knows of the world: cities and countries, kinds of things, symbols, names."""

from circuitlib.tasks.base import Task
from circuitlib.tasks.behaviours.pairs import FUNCTION_VECTORS, Pairs, kinds, rows

CAPITALS = rows("""
    France:Paris Italy:Rome Spain:Madrid Germany:Berlin England:London Russia:Moscow Japan:Tokyo China:Beijing
    Egypt:Cairo Greece:Athens Austria:Vienna Ireland:Dublin Portugal:Lisbon Poland:Warsaw Sweden:Stockholm Norway:Oslo
    Denmark:Copenhagen Hungary:Budapest Canada:Ottawa Cuba:Havana Iran:Tehran Iraq:Baghdad Syria:Damascus Kenya:Nairobi
    Thailand:Bangkok Belgium:Brussels Turkey:Ankara Peru:Lima Afghanistan:Kabul Scotland:Edinburgh Finland:Helsinki
""")
COUNTRIES = rows("""
    Paris:France Rome:Italy Milan:Italy Venice:Italy Naples:Italy Florence:Italy Madrid:Spain Barcelona:Spain
    Berlin:Germany Munich:Germany Hamburg:Germany Frankfurt:Germany London:England Manchester:England Liverpool:England
    Edinburgh:Scotland Glasgow:Scotland Moscow:Russia Tokyo:Japan Kyoto:Japan Beijing:China Shanghai:China
    Toronto:Canada Montreal:Canada Vancouver:Canada Sydney:Australia Melbourne:Australia Mumbai:India Delhi:India
    Cairo:Egypt Athens:Greece Vienna:Austria Dublin:Ireland Lisbon:Portugal Warsaw:Poland Stockholm:Sweden Oslo:Norway
    Baghdad:Iraq Istanbul:Turkey
""")
KINDS = kinds("""
    fruit: apple banana grape lemon mango
    animal: dog cat horse cow lion tiger sheep elephant wolf
    tool: hammer drill knife axe
    color: red blue green yellow purple pink
    clothing: shirt jacket dress coat shoes hat pants
    instrument: piano guitar violin drum flute
    country: France Italy Spain Japan China Egypt Brazil
    city: London Paris Berlin Tokyo Rome Chicago Boston
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

TASKS: list[Task] = [
    Pairs(CAPITALS, ["{N} visited the capital of{A},{Y}", "{N} left the capital of{A},{Y}"]).task(
        "capital", "Mary visited the capital of France, -> Paris", FUNCTION_VECTORS
    ),
    Pairs(COUNTRIES, ["{N} lives in{A},{Y}", "{N} moved to{A},{Y}"]).task("country", "Mary lives in Paris, -> France"),
    Pairs(KINDS, ["{A}:{Y},"], shots=3).task("kind", "apple: fruit, dog: animal, hat: clothing, hammer: -> tool"),
    Pairs(SYMBOLS, ["{N} said the chemical symbol for{A} is{Y}"]).task(
        "symbol", "Mary said the chemical symbol for gold is -> Au"
    ),
    Pairs(SURNAMES, ["{N} read about{A}{Y}", "{N} heard of{A}{Y}"]).task(
        "surname", "Mary read about Albert -> Einstein"
    ),
    Pairs(WORKPLACES, ["{N} is a{A} and works in a{Y}", "{N} met a{A} who worked in a{Y}"]).task(
        "workplace", "Mary is a teacher and works in a -> school"
    ),
]
