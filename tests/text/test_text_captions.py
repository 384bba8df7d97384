from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grounding_sdk import Query, QueryError
from grounding_sdk.text.captions import read_caption
from grounding_sdk.text.nouns import noun_phrases


def read(caption):
    return read_caption(caption, noun_phrases)


@pytest.mark.parametrize(
    "caption, texts",
    [
        ("A man in a red shirt holds two dogs", ("man", "red shirt", "dogs")),
        ("A group of people standing around a table", ("people", "table")),
        ("A bunch of ripe bananas", ("ripe bananas",)),
        ("a couple of dogs and a pair of skis", ("dogs", "skis")),
        ("A couple sits on a bench", ("couple", "bench")),  # who are seen, there being no "of"
        ("Two slices of pizza on a plate", ("pizza", "plate")),
        ("A cup of coffee", ("cup", "coffee")),  # both are seen
        ("A picture of a dog on top of a car", ("dog", "car")),
        ("A close up of a bee on the side of a flower at night", ("bee", "flower")),
        ("A man with a cat. The man pets the cat.", ("man", "cat")),
        ("A Dog chases a dog", ("dog",)),
        ("THE MAN IN A RED SHIRT", ("man", "red shirt")),
        ("the man's hat and his dog's toy", ("man's hat", "dog's toy")),
        ("about twenty five very small dogs", ("very small dogs",)),
        ("the man's two red kites", ("man's two red kites",)),
        ("all three of the other cats", ("other cats",)),
        ("half a dozen eggs", ("eggs",)),
        ("a couple dogs", ("dogs",)),
        ("1,000 bees and 4 flies", ("bees", "flies")),
        ("a yellow fire hydrant, a hot dog", ("yellow fire hydrant", "hot dog")),
        ("a black and white cat", ("black and white cat",)),
        ("a red   \n shirt", ("red shirt",)),
        ("She holds something. It has a handle.", ("handle",)),
        ("a café with éclairs 🐶", ("café", "éclairs")),
        ("a dog\ud800 and a cat", ("dog", "cat")),
        ("犬", ("犬",)),
    ],
    ids=ascii,
)
def test_a_caption_asks_for_what_can_be_seen_in_it(caption, texts):
    query = read(caption)
    assert query.texts == texts
    assert query.labels == texts
    assert query.source == caption


def test_spans_are_those_of_the_whole_noun_phrases():
    caption = "A man in a red shirt holds two dogs."
    query = read(caption)
    said = [caption[slice(*phrase.span)] for phrase in query]
    assert said == ["A man", "a red shirt", "two dogs"]


def test_of_repeats_the_first_is_kept():
    query = read("A dog sees the dog")
    assert [phrase.span for phrase in query] == [(0, 5)]


@pytest.mark.parametrize(
    "caption",
    ["", "...", "It is raining.", "at night", "a picture", "in front of it", "🐶", "\0", "\ud800"],
    ids=ascii,
)
def test_a_caption_without_a_visible_thing_is_refused_with_a_next_step(caption):
    with pytest.raises(QueryError, match=r"no thing that can be seen.*name one, as in 'a man"):
        read(caption)


@pytest.mark.parametrize("caption", [None, 5, b"a dog", ["a dog"]])
def test_only_text_is_a_caption(caption):
    with pytest.raises(QueryError, match="expected a caption as a string"):
        read(caption)


def test_100_kb_of_caption_are_read_and_a_word_of_100_kb_is_refused():
    assert read("A man holds two dogs. " * 4500).texts == ("man", "dogs")
    with pytest.raises(QueryError, match="characters"):
        read("x" * 100_000)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.text(st.characters(), max_size=40)
    | st.lists(
        st.sampled_from("a the two red man dogs group of 's holding side , \ud800 é 犬".split())
    ).map(" ".join)
)
def test_any_text_makes_a_query_that_points_at_it_or_an_error(caption):
    try:
        query = read(caption)
    except QueryError:
        return
    assert isinstance(query, Query)
    for phrase in query:
        start, end = phrase.span
        assert 0 <= start < end <= len(caption)
        assert len(phrase.text.split()) <= len(caption[start:end].split())
    assert Query.of(list(query.texts)).texts == query.texts
