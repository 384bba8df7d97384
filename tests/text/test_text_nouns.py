from __future__ import annotations

import itertools
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marked_phrases import MARKED, unmark

from grounding_sdk.errors import ConfigError
from grounding_sdk.text.nouns import load_noun_parser, noun_phrases


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
        ("a couple dogs", "dogs", "", "a", "", 2, False),
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
