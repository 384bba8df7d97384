from __future__ import annotations

import itertools
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grounding_sdk.errors import ConfigError
from grounding_sdk.text.nouns import load_noun_parser, noun_phrases

# Brackets show the noun phrases that a reader would mark, pronouns left out.
MARKED = [
    "[A man] in [a red shirt] holds [two dogs]",
    "[a dog]",
    "[dog]",
    "[The quick brown fox] jumps over [the lazy dog].",
    "[Two young guys] with [shaggy hair] look at [their hands] while hanging out in [the yard].",
    "[Several men] in [hard hats] are operating [a giant pulley system].",
    "[A child] in [a pink dress] is climbing up [a set] of [stairs] in [an entry way].",
    "[Someone's dog] is chewing [a shoe].",
    "[A man] in [a blue shirt] is standing on [a ladder] cleaning [a window].",
    "[Two men], one in [a gray shirt], one in [a black shirt], standing near [a stove].",
    "[A boy] and [a girl] share [a hot dog].",
    "[bread] and [butter]",
    "[a red and white umbrella]",
    "[A black, white and brown cow] stands in [the field].",
    "[The man's hat] fell on [the woman's lap]",
    "[the dogs' bowls] are empty",
    "[James' bike] leans on [the wall]",
    "[the girl's mother's handbag]",
    "[A stop sign] at [the corner] of [a city street]",
    "[a yellow fire hydrant] next to [a parking meter]",
    "[a teddy bear], [a tennis racket] and [an ice cream cone]",
    "[wine glasses] and [coffee cups] on [the dining table]",
    "[A woman] rides [a horse] while [her son] watches",
    "[People] ride [horses] on [the beach].",
    "[The baby] plays with [blocks] and laughs",
    "[Children] play in [the park]",
    "[The bus] stops at [the bus stop]",
    "[Two bus stops] on [a busy road]",
    "[A cat] sits on [a chair] and looks at [birds]",
    "He sees [the saw] and [the watch] on [the work bench]",
    "[a building] with [a painting] on [its ceiling]",
    "[A man] painting [a fence] near [a building]",
    "[The crossing] is closed because [people] are crossing",
    "[a smiling girl] eating [fried chicken]",
    "[parked cars] covered in [snow]",
    "[a snow covered mountain] behind [a tree lined street]",
    "[sliced oranges] on [a cutting board]",
    "[a glass] of [wine] and [a glass vase]",
    "[an orange] and [an orange cat]",
    "[A MAN] RIDING [A HORSE]",
    "[three dogs], [4 cats] and [twenty five birds]",
    "[about ten people] wait for [the train]",
    "[half a dozen eggs] in [a carton]",
    "[a couple] of [dogs] chase [a ball]",
    "[both dogs] and [all the cats]",
    "all of [the cats]",
    "[no people] on [the empty street]",
    "[a very large, fluffy white dog]",
    "[freshly baked bread] is cooling on [a rack]",
    "[the second cup] from [the left]",
    "[the leftmost one]",
    "[the biggest dog] in [the front row]",
    "not [the red one]",
    "[the cup] left of [the laptop]",
    "[the man] on [the right]",
    "[man] in blue holding [umbrella]",
    "[girl] next to [the tall guy]",
    "[left man] in [striped shirt]",
    "[a 3-year-old girl] in [a t-shirt]",
    "[a well-dressed man] with [a brand-new bike]",
    "[a close-up] of [a bee]",
    "a close up of [a bee]",
    "There are [many different kinds] of [fruit] on [display]",
    "it's [a dog]!",
    "This is [a train] pulling into [a station].",
    "She gave him [an apple]",
    "something to sit on",
    "[The kitchen] is clean and has [white cabinets].",
    "[The sky] is blue and [the grass] is green.",
    "[A bathroom] that is very dirty",
    "[the person] who is holding [a phone]",
    "[A dog] that looks happy",
    "[a man] [whose hat] is red",
    "[Two women] talk to each other.",
    "[A group] of [people] standing around [a table] with [food]",
    "[a bunch] of [ripe bananas] hanging from [a hook]",
    "[A plate] topped with [a sandwich] and [french fries].",
    "[A train] traveling down [tracks] next to [a forest].",
    "[A skateboarder] does [a trick] on [a ramp].",
    "[A tennis player] swings [his racquet] at [the ball].",
    "[a baseball player] throwing [a pitch] during [a game]",
    "[Motorcycles] parked in [a row] outside [a shop]",
    "[A white toilet] sitting next to [a bathroom sink].",
    "[the remote control] and [the cell phone] on [the coffee table]",
    "[an old-fashioned clock] reads 5:30",
    "[a café table] with [éclairs] and [jalapeños]",
    "[A naïve señor] wearing [a piñata]",
    "[the u.s. flag] on [a 2.5 mm screw]",
    "[a stop sign]/[light pole]",
    '"[a red ball]" ([the small one])',
    "[dog]🐶[cat]",
    "[A herd] of [zebras] grazing on [a lush green field]",
    "[A giraffe] is eating [leaves] from [a tall tree].",
    "[People] are flying [kites] in [the sky]",
    "[A woman] cutting [a cake] with [a large knife].",
    "[A man] takes [a picture] of himself in [a bathroom mirror]",
    "[A bird] flying over [the water] with [a fish] in [its mouth]",
    "[Large green and yellow train] at [the station]",
    "[Various fruits] and [vegetables] for [sale] at [a market]",
    "[the wet dog] shakes",
    "[two surfers] riding [a big wave]",
    "[A clock tower] rises above [the city] at [night].",
    "[A cat] is sleeping on [top] of [a laptop].",
    "[An elephant] sprays [water] with [its trunk]",
    "[A bride] and [groom] cut [their wedding cake]",
    "[The woman] in [the white dress] holds [flowers]",
    "[a living room] with [a flat screen tv]",
]


def unmark(marked):
    """Takes the brackets off: the text, and the spans that they enclosed."""
    pieces = marked.replace("]", "[").split("[")
    ends = list(itertools.accumulate(map(len, pieces)))
    return "".join(pieces), list(itertools.pairwise(ends))[::2]


@pytest.mark.parametrize("marked", MARKED)
def test_phrases_are_those_that_a_reader_marks(marked):
    source, spans = unmark(marked)
    phrases = noun_phrases(source)
    assert [phrase.text for phrase in phrases] == [source[slice(*span)] for span in spans]
    assert [phrase.span for phrase in phrases] == spans


@pytest.mark.parametrize(
    "source, head, attributes, determiner, possessor, count, definite",
    [
        ("a dog", "dog", "", "a", "", None, False),
        ("dogs", "dogs", "", "", "", None, False),
        ("one dog", "dog", "", "", "", 1, False),
        ("the two largest dogs", "dogs", "largest", "the", "", 2, True),
        ("all three small dogs", "dogs", "small", "all", "", 3, False),
        ("all the dogs", "dogs", "", "all the", "", None, True),
        ("both dogs", "dogs", "", "both", "", 2, True),
        ("each dog", "dog", "", "each", "", None, False),
        ("another dog", "dog", "", "another", "", None, False),
        ("no dogs", "dogs", "", "no", "", None, False),
        ("this old dog", "dog", "old", "this", "", None, True),
        ("her dog", "dog", "", "her", "", None, True),
        ("12 dogs", "dogs", "", "", "", 12, False),
        ("1,000 bees", "bees", "", "", "", 1000, False),
        ("2.5 dogs", "dogs", "", "", "", None, False),
        ("99999999999999999999 dogs", "dogs", "", "", "", None, False),
        ("twenty five dogs", "dogs", "", "", "", 25, False),
        ("two dozen eggs", "eggs", "", "", "", 24, False),
        ("half a dozen eggs", "eggs", "", "half a", "", 6, False),
        ("about ten dogs", "dogs", "", "", "", 10, False),
        ("the second cup", "cup", "second", "the", "", None, True),
        ("a yellow fire hydrant", "fire hydrant", "yellow", "a", "", None, False),
        ("two hot dogs", "hot dogs", "", "", "", 2, False),
        ("a hot drink", "drink", "hot", "a", "", None, False),
        ("a large stuffed animal", "stuffed animal", "large", "a", "", None, False),
        ("the empty wine glasses", "wine glasses", "empty", "the", "", None, True),
        ("a tall glass vase", "vase", "tall glass", "a", "", None, False),
        ("a glass", "glass", "", "a", "", None, False),
        ("an orange", "orange", "", "an", "", None, False),
        ("an orange cat", "cat", "orange", "an", "", None, False),
        ("red and white umbrella", "umbrella", "red white", "", "", None, False),
        ("a brown, very furry dog", "dog", "brown furry", "a", "", None, False),
        ("a smiling girl", "girl", "smiling", "a", "", None, False),
        ("two parked cars", "cars", "parked", "", "", 2, False),
        ("a snow covered hill", "hill", "covered", "a", "", None, False),
        ("the man's red hat", "hat", "red", "the", "the man", None, True),
        ("the old man's two hats", "hats", "", "the", "the old man", 2, True),
        ("a man's hat", "hat", "", "a", "a man", None, False),
        ("Ann's hat", "hat", "", "", "Ann", None, True),
        ("the leftmost one", "one", "leftmost", "the", "", None, True),
        ("THE RED CAR", "car", "red", "the", "", None, True),
    ],
)
def test_what_a_phrase_is_made_of(source, head, attributes, determiner, possessor, count, definite):
    (phrase,) = noun_phrases(source)
    assert phrase.text == source
    assert phrase.span == (0, len(source))
    assert phrase.head == head
    assert phrase.head_word == head.split()[-1]
    assert phrase.attributes == tuple(attributes.split())
    assert phrase.determiner == determiner
    assert phrase.possessor == possessor
    assert (phrase.count, phrase.definite) == (count, definite)


@pytest.mark.parametrize(
    "source, counts",
    [
        ("a couple of dogs", [None, 2]),
        ("three pairs of dogs", [3, 6]),
        ("a pair of scissors", [None, None]),  # one thing
        ("a pair of the dogs", [None, None]),  # which may be more
        ("a couple with dogs", [None, None]),
        ("a group of three men", [None, 3]),
        ("two groups of men", [2, None]),
    ],
)
def test_a_noun_that_counts_the_next(source, counts):
    assert [phrase.count for phrase in noun_phrases(source)] == counts


@pytest.mark.parametrize(
    "source",
    [
        *("", " ", ".", "...", "it", "she is running", "the", "a", "very", "'s", "and", "of the"),
        *("🐶", "\0", "\u200b", "\u0301", "\ud800", "#!?", "running quickly", "to be or not to be"),
    ],
    ids=ascii,
)
def test_text_without_a_thing_has_no_phrases(source):
    assert noun_phrases(source) == ()


@pytest.mark.parametrize(
    "source, texts",
    [
        ("asdf qwer zxcv", ["asdf qwer zxcv"]),
        ("一个男人拿着两只狗", ["一个男人拿着两只狗"]),
        ("Ein Mann mit zwei Hunden", ["Ein Mann mit zwei Hunden"]),
        ("собака и кошка", ["собака и кошка"]),
        ("كلب وقطة", ["كلب وقطة"]),
        ("<html><b>dog</b></html>", ["html", "b", "dog", "b", "html"]),
        ("[CLS] dog [SEP]", ["CLS", "dog", "SEP"]),
        ("dog\ud800cat", ["dog", "cat"]),
    ],
    ids=ascii,
)
def test_other_languages_and_nonsense_are_taken_for_nouns(source, texts):
    assert [phrase.text for phrase in noun_phrases(source)] == texts


@pytest.mark.parametrize(
    "piece",
    [
        *("dog ", "red ", "red, ", "red and ", "very ", "the ", "two ", "man's ", "snow covered "),
        *("riding ", "of ", "a dog. ", "A man in a red shirt holds a dog. ", "a", "a-", "'s "),
        *("🐶", "\u0301"),
    ],
    ids=ascii,
)
def test_100_kb_are_read_in_linear_time(piece):
    source = piece * (100_000 // len(piece))
    for phrase in noun_phrases(source):
        assert source[slice(*phrase.span)] == phrase.text


any_text = st.text(st.characters(), max_size=60)
_WORDS = (
    "a the all two half dozen 12 2.5 very red orange big glass left first parked riding covered "
    "man dogs bus stops watch saw light people hot dog teddy bear 's ' and or , . is to of in "
    "with one that there her couple pair hundred own looking ing ed - / e\u0301 犬 🐶 \ud800 \n İ"
).split(" ")
wordy = st.lists(st.sampled_from(_WORDS), max_size=25).map(" ".join)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(any_text | wordy)
def test_spans_index_any_text_in_order(source):
    phrases = noun_phrases(source)
    for phrase in phrases:
        start, end = phrase.span
        assert source[start:end] == phrase.text == phrase.text.strip() != ""
        assert phrase.head
        assert phrase.text.lower().replace("’", "'").endswith(phrase.head_word)
        assert any(char.isalnum() for char in phrase.head)
        assert phrase.count is None or phrase.count >= 0
        assert phrase.text.startswith(phrase.possessor)
    for before, after in itertools.pairwise(phrases):
        assert before.span[1] <= after.span[0]
    assert noun_phrases(source) == phrases


def test_parsers_by_name():
    assert load_noun_parser("rules") is noun_phrases
    with pytest.raises(ConfigError, match="no noun parser is called 'nltk'; there are 'auto'"):
        load_noun_parser("nltk")


def test_importing_the_package_loads_neither_spacy_nor_torch():
    code = (
        "import sys, grounding_sdk.text.captions, grounding_sdk.text.spacy_nouns;"
        "print([m for m in ('spacy', 'torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
