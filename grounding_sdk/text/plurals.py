"""Plurals and singulars of nouns.

>>> singular("wine glasses"), is_plural("people"), is_plural("bus")
('wine glass', True, False)
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


IRREGULAR_PLURALS: dict[str, str] = {
    "people": "person",
    "men": "man",
    "women": "woman",
    "children": "child",
    "mice": "mouse",
    "geese": "goose",
    "feet": "foot",
    "teeth": "tooth",
    "oxen": "ox",
    "lice": "louse",
    "cacti": "cactus",
    "octopi": "octopus",
    "fungi": "fungus",
    "alumni": "alumnus",
    "hippopotami": "hippopotamus",
    "knives": "knife",
    "wives": "wife",
    "lives": "life",
    "shelves": "shelf",
    "halves": "half",
    "calves": "calf",
    "wolves": "wolf",
    "leaves": "leaf",
    "loaves": "loaf",
    "thieves": "thief",
    "scarves": "scarf",
    "hooves": "hoof",
    "elves": "elf",
    "selves": "self",
    "dwarves": "dwarf",
    "wharves": "wharf",
    "shoes": "shoe",
    "toes": "toe",
    "canoes": "canoe",
    "hoes": "hoe",
    "does": "doe",
    "oboes": "oboe",
    "gasses": "gas",
    "buses": "bus",
    "busses": "bus",
    "lenses": "lens",
    "canvases": "canvas",
    "octopuses": "octopus",
    "hippopotamuses": "hippopotamus",
    "rhinoceroses": "rhinoceros",
    "walruses": "walrus",
    "cactuses": "cactus",
    "platypuses": "platypus",
    "irises": "iris",
    "viruses": "virus",
    "circuses": "circus",
    "campuses": "campus",
    "atlases": "atlas",
    "thermoses": "thermos",
    "quizzes": "quiz",
    "axes": "axe",
    "caches": "cache",
    "aches": "ache",
    "headaches": "headache",
    "avalanches": "avalanche",
    "quiches": "quiche",
    "niches": "niche",
    "brioches": "brioche",
    "mustaches": "mustache",
    "moustaches": "moustache",
    "porsches": "porsche",
    "broccolis": "broccoli",
    "skis": "ski",
    "taxis": "taxi",
    "bikinis": "bikini",
    "kiwis": "kiwi",
    "zucchinis": "zucchini",
    "paninis": "panini",
    "corgis": "corgi",
    "martinis": "martini",
    "safaris": "safari",
    "tsunamis": "tsunami",
    "menus": "menu",
    "emus": "emu",
    "gnus": "gnu",
    "tutus": "tutu",
    "ties": "tie",
    "pies": "pie",
    "lies": "lie",
    "dies": "die",
    "cookies": "cookie",
    "movies": "movie",
    "brownies": "brownie",
    "smoothies": "smoothie",
    "hoodies": "hoodie",
    "beanies": "beanie",
    "veggies": "veggie",
    "birdies": "birdie",
    "doggies": "doggie",
    "selfies": "selfie",
    "zombies": "zombie",
    "magpies": "magpie",
    "collies": "collie",
    "bowties": "bowtie",
    "neckties": "necktie",
    "onesies": "onesie",
    "sweeties": "sweetie",
    "cuties": "cutie",
    "prairies": "prairie",
    "hippies": "hippie",
    "rookies": "rookie",
    "calories": "calorie",
    "wheelies": "wheelie",
    "pinkies": "pinkie",
    "kitties": "kitty",
    "glasses": "glass",
    "waltzes": "waltz",
    "buzzes": "buzz",
}
# Plural in form and grammar, although one thing; they have no singular.
PLURAL_ONLY = _words(
    """
    scissors pants jeans trousers shorts sunglasses eyeglasses spectacles goggles binoculars
    pliers tongs tweezers clippers shears tights leggings pajamas pyjamas overalls clothes
    headphones earphones groceries belongings goods underpants sweatpants khakis briefs
    suspenders surroundings cattle police folks remains
    """
)
# Singular, although they end as a plural does.
_SINGULAR_IN_S = _words(
    """
    bus gas lens canvas tennis chess news christmas iris atlas asparagus hummus couscous citrus
    campus circus bonus virus status focus cactus walrus octopus hippopotamus platypus
    rhinoceros minibus trolleybus series species swiss thermos cosmos chaos alias bias pancreas
    texas kansas vegas paris mathematics physics gymnastics athletics graphics electronics is
    was has this us its his as yes plus versus perhaps always sometimes besides towards
    afterwards sideways upstairs downstairs outdoors indoors less unless across does oops mars
    wales james charles adidas asics lotus dos mens womens jesus
    """
)


def singular(noun: str) -> str:
    """The singular of a noun in lower case; of a compound, its last word changes.

    >>> [singular(noun) for noun in ("dogs", "policemen", "cities", "scissors", "sheep", "glass")]
    ['dog', 'policeman', 'city', 'scissors', 'sheep', 'glass']
    """
    noun = noun.lower()
    before, space, word = noun.rpartition(" ")
    return before + space + _singular_word(word)


def is_plural(noun: str) -> bool:
    """Whether a noun's form is plural; those with one form for both, as sheep, count as singular.

    >>> [is_plural(noun) for noun in ("dogs", "wine glasses", "children", "scissors", "fish")]
    [True, True, True, True, False]
    """
    word = noun.lower().rpartition(" ")[2]
    return word in PLURAL_ONLY or _singular_word(word) != word


def _singular_word(word: str) -> str:
    if word in IRREGULAR_PLURALS:
        return IRREGULAR_PLURALS[word]
    if word in PLURAL_ONLY or word in _SINGULAR_IN_S or len(word) < 3:
        return word
    if len(word) > 4 and word.endswith("men") and not word.endswith(("omen", "amen", "imen")):
        return word[:-3] + "man"
    for ending in ("women", "children", "shelves", "knives", "wives", "people", "shoes"):
        if word.endswith(ending):
            return word[: -len(ending)] + IRREGULAR_PLURALS[ending]
    if not word.endswith("s") or word.endswith(("ss", "us", "is", "'s")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes", "oes", "zzes")):
        return word[:-2]
    return word[:-1]
