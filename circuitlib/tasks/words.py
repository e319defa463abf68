"""The words that the generators draw from, each written as it appears after a space.

A subject uses those that its tokenizer encodes, with the leading space, as one token (``single_token_words``).
"""
# ruff: noqa: SIM905 - written as lists, these would be one word per line

FEMALE = """
    Mary Sarah Emma Anna Alice Laura Julia Kate Rachel Amy Lisa Susan Karen Helen Jane Grace Maria Emily Ruth Claire
    Diana Linda Nancy Rose Jessica Martha Victoria Sophie Charlotte Lucy Amanda Rebecca
""".split()
MALE = """
    John Tom James Dan Mark Paul David Peter Robert Kevin Alex Simon Andrew Brian Eric Frank George Henry Jack Joe Luke
    Martin Michael Nick Patrick Richard Sam Scott Steven Thomas William Adam
""".split()
NAMES = [*FEMALE, *MALE]

PLACES = """
    store school garden station hospital office park house library market restaurant beach hotel church theater farm
    museum kitchen
""".split()
OBJECTS = """
    book ring drink key ball letter ticket basket computer bone camera phone picture hat box lamp card gift
""".split()

ARGUMENTS = """
    load size files last new file parent text image tree root path value index count result name date time mode label
    color shape state level order buffer target source weight score user group host port table field query event message
    token cache model layer node edge start end width height depth scale step limit offset mask keys rows parts
""".split()
DESCRIPTIONS = """
    oil column piece crime population unit dark water river stone winter summer music paper glass metal silver gold
    blood forest mountain ocean island bridge tower village animal horse bird fish bread sugar salt coffee wine light
    shadow wind rain snow fire smoke dust sand iron wood cotton leather wheel engine
""".split()

EVENTS = """
    war plague siege reign voyage drought conflict empire project treaty famine rebellion campaign journey alliance
    trial
""".split()
CENTURIES = [str(century) for century in range(11, 19)]
YEARS = [f"{year:02d}" for year in range(100)]

SINGULARS = """
    author pilot teacher doctor farmer guard singer driver worker lawyer writer banker senator captain student artist
    cook dancer
""".split()
PLURALS = [noun + "s" for noun in SINGULARS]
ADJECTIVES = "old tall young happy late tired rich quiet busy famous".split()
