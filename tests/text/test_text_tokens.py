from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grounding_sdk.text.plurals import is_plural, singular
from grounding_sdk.text.tokens import tokenize
from grounding_sdk.text.verbs import VERBS_ING, VERBS_PAST, VERBS_S


@pytest.mark.parametrize(
    "source, words",
    [
        ("", []),
        (" \t\n ", []),
        ("A dog.", ["A", "dog", "."]),
        ("a man's dogs' hats", ["a", "man", "'s", "dogs", "'", "hats"]),
        ("A MAN’S T-SHIRT", ["A", "MAN", "’S", "T-SHIRT"]),
        ("'s", ["'s"]),
        ("it doesn't fit at 5 o'clock", ["it", "doesn't", "fit", "at", "5", "o'clock"]),
        ("black-and-white, brand-new", ["black-and-white", ",", "brand-new"]),
        ("dog - cat--bird -", ["dog", "-", "cat", "-", "-", "bird", "-"]),
        ("2.5 mm, 1,000 bees, 2nd 4x4 #7", "2.5 mm , 1,000 bees , 2nd 4x4 # 7".split()),
        ("5. dogs.cats", ["5", ".", "dogs", ".", "cats"]),
        ("the u.s. flag", ["the", "u.s.", "flag"]),
        ("snake_case _x", ["snake_case", "_", "x"]),
        ("(a) [b] \"c\" 'd'", "( a ) [ b ] \" c \" ' d '".split(" ")),
        ("café e\u0301clair naïve", ["café", "e\u0301clair", "naïve"]),
        ("\u0301a", ["\u0301", "a"]),
        ("कुत्ता และ สุนัข", ["कुत्ता", "และ", "สุนัข"]),
        ("一个男人,狗", ["一个男人", ",", "狗"]),
        ("dog🐶cat", ["dog", "🐶", "cat"]),
        ("\ud800dog\udfff", ["\ud800", "dog", "\udfff"]),
        ("dog\0cat\ufeff", ["dog", "\0", "cat", "\ufeff"]),
    ],
    ids=ascii,
)
def test_text_is_cut_into_words_numbers_and_marks(source, words):
    assert [token.text for token in tokenize(source)] == words


@pytest.mark.parametrize(
    "piece",
    [
        *("a", "1", "1,", "1.", "a.", "a-", "a'", "a's", "'", "'s", "-", ".", " ", "_", "a_"),
        *("e\u0301", "\u0301", "a b ", "犬", "🐶", "👩\u200d", "\ud800"),
    ],
    ids=ascii,
)
def test_100_kb_of_anything_is_cut_without_a_loss(piece):
    source = piece * (100_000 // len(piece))
    tokens = tokenize(source)
    assert "".join(token.text for token in tokens) == "".join(source.split())


any_text = st.text(st.characters(), max_size=60)
wordy = st.text(st.sampled_from("ab1é犬🐶.,-'’ \n\0\u0301\u200d\ud800_sS"), max_size=40)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(any_text | wordy)
def test_tokens_index_any_text_in_order(source):
    tokens = tokenize(source)
    for token in tokens:
        assert source[token.start : token.end] == token.text != ""
        assert not any(char.isspace() for char in token.text)
    for before, after in itertools.pairwise(tokens):
        assert before.end <= after.start
        assert not source[before.end : after.start].strip()
    assert "".join(token.text for token in tokens) == "".join(source.split())


@pytest.mark.parametrize(
    "plural, one",
    [
        *[("dogs", "dog"), ("buses", "bus"), ("glasses", "glass"), ("horses", "horse")],
        *[("vases", "vase"), ("boxes", "box"), ("benches", "bench"), ("brushes", "brush")],
        *[("cities", "city"), ("cookies", "cookie"), ("ties", "tie"), ("donkeys", "donkey")],
        *[("potatoes", "potato"), ("shoes", "shoe"), ("horseshoes", "horseshoe")],
        *[("photos", "photo"), ("tacos", "taco"), ("skis", "ski"), ("taxis", "taxi")],
        *[("knives", "knife"), ("leaves", "leaf"), ("gloves", "glove")],
        *[("bookshelves", "bookshelf"), ("men", "man"), ("policewomen", "policewoman")],
        *[("children", "child"), ("people", "person"), ("feet", "foot"), ("geese", "goose")],
        *[("teddy bears", "teddy bear"), ("ice cream cones", "ice cream cone")],
        *[("pizzas", "pizza"), ("tvs", "tv"), ("umbrellas", "umbrella"), ("DOGS", "dog")],
    ],
)
def test_plurals_and_their_singulars(plural, one):
    assert singular(plural) == one
    assert is_plural(plural)
    assert singular(one) == one
    assert not is_plural(one)


@pytest.mark.parametrize(
    "noun",
    "bus gas glass grass dress tennis chess asparagus cactus octopus canvas lens sheep fish deer "
    "aircraft series luggage broccoli cement specimen omen is ox a 犬".split(),
)
def test_singulars_that_look_like_plurals(noun):
    assert singular(noun) == noun
    assert not is_plural(noun)


@pytest.mark.parametrize("noun", ["scissors", "pants", "jeans", "goggles", "clothes"])
def test_plurals_without_a_singular(noun):
    assert singular(noun) == noun
    assert is_plural(noun)


@pytest.mark.parametrize(
    "verb, forms",
    [
        ("sit", "sits sitting sat"),
        ("ride", "rides riding rode ridden"),
        ("lie", "lies lying"),
        ("carry", "carries carrying carried"),
        ("play", "plays playing played"),
        ("stop", "stops stopping stopped"),
        ("wait", "waits waiting waited"),
        ("open", "opens opening opened"),
        ("watch", "watches watching watched"),
        ("fix", "fixes fixing fixed"),
        ("ski", "skis skiing skied"),
        ("see", "sees seeing saw seen"),
        ("equip", "equips equipping equipped"),
        ("travel", "travels traveling travelling traveled travelled"),
    ],
)
def test_forms_of_verbs(verb, forms):
    known = {**VERBS_S, **VERBS_ING, **VERBS_PAST}
    assert {known.get(form) for form in forms.split()} == {verb}
