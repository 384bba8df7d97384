"""Whatever is asked, it becomes a Query that keeps its promises, or a QueryError that says why."""

from __future__ import annotations

import itertools
import unicodedata
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grounding_sdk import Phrase, Query, QueryError


def query_or_error(asked) -> Query | QueryError:
    """Asks; any error but our own is let through, and our own must say something."""
    outcome: Query | QueryError
    try:
        outcome = Query.of(asked)
    except QueryError as error:
        outcome = error
    if isinstance(outcome, QueryError):
        assert 15 < len(str(outcome)) < 1000
    else:
        check(outcome)
    return outcome


def check(query: Query) -> None:
    assert len(query) == len(query.texts) > 0
    assert len(set(query.texts)) == len(query.texts)
    assert len(set(query.labels)) == len(query.labels)
    assert set(query.labels) == {phrase.label for phrase in query}
    for phrase in query:
        for words in (phrase.text, phrase.label):
            assert isinstance(words, str)
            assert words == " ".join(words.split())
            assert words.isprintable()
            assert any(char.isalnum() for char in words)
            words.encode()  # no lone surrogate: it must reach files and tokenizers
        if phrase.span is not None:
            assert query.source is not None
            start, end = phrase.span
            said = query.source[start:end]
            assert 0 <= start < end <= len(query.source)
            assert said == said.strip()
            assert Phrase(said).text == phrase.text
    spans = [phrase.span for phrase in query if phrase.span is not None]
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    assert Query.of(query) is query
    assert Query.of(list(query.texts)).texts == query.texts  # what came out may go in again


# Prompts


@pytest.mark.parametrize(
    "prompt",
    [
        *("", " ", "\t", "\n", "\r\n", "\v\f", "\u00a0", "\u2003", "\u3000", "\u200b", "\ufeff"),
        *(".", "..", "...", ". . .", " . ", ",", ";", ",;.", "-", "--", "_", "?", "!", "'", '"'),
        *("()", "[]", "{}", "<>", "/", "\\", "|", "&", "*", "#", "##", "%", "$", "@", "^", "~"),
        *("\0", "\x01", "\x1b", "\x7f", "\x80", "\u2028", "\u202e", "\u0301", "\ufe0f", "\u200d"),
        *("\ud800", "\udfff", "\udc80.\udc81", "。", "、", "،", "…"),
        *("—", "🐶", "🐶 . 🐱", "👩‍👩‍👧", "♥"),
        *("\U0010ffff", "\ue000", "\ufffd", "\ufffe"),
    ],
    ids=ascii,
)  # fmt: skip
def test_prompts_without_words_are_refused(prompt):
    assert isinstance(query_or_error(prompt), QueryError)


@pytest.mark.parametrize(
    "prompt, texts",
    [
        ("a . . b", ("a", "b")),
        ("a..b", ("a", "b")),
        (".a.", ("a",)),
        ("...a...", ("a",)),
        (",a,;b;", ("a", "b")),
        ("a\nb\r\nc", ("a", "b", "c")),
        ("dog . dog. dog", ("dog",)),
        ("dog . ! . cat", ("dog", "cat")),
        ("dog . 🐶 . cat", ("dog", "cat")),
        ("u.s. flag . 2.5 mm screw", ("u.s. flag", "2.5 mm screw")),
        ("3.5.7", ("3.5.7",)),
        ("1,000,000 bees", ("1,000,000 bees",)),
        ("dog\tcat", ("dog cat",)),
        ("red\u00a0car", ("red car",)),
        ("dog\0cat", ("dog cat",)),
        ("\x1b[31mdog", ("[31mdog",)),
        ("\ufeffdog", ("dog",)),
        ("dog\ud800", ("dog",)),
        ("\ud83d dog", ("dog",)),
        ("\u202edog", ("dog",)),
        ("犬 . 猫", ("犬", "猫")),
        ("כלב . חתול", ("כלב", "חתול")),
        ("كلب . قطة", ("كلب", "قطة")),
        ("कुत्ता", ("कुत्ता",)),
        ("สุนัข", ("สุนัข",)),
        ("e\u0301clair", ("e\u0301clair",)),
        ("Z̷̛͠a̸l̴g̵o̶", ("Z̷̛͠a̸l̴g̵o̶",)),
        ("dog 🐶", ("dog 🐶",)),
        ("7", ("7",)),
        ("½", ("½",)),
        ("[CLS] dog [SEP]", ("[CLS] dog [SEP]",)),
        ("<|endoftext|>", ("<|endoftext|>",)),
        ("##ing", ("##ing",)),
        ("'; DROP TABLE labels", ("DROP TABLE labels",)),
        ("../../etc/passwd", ("/", "/etc/passwd")[1:]),
        ("%s %n {0}", ("%s %n {0}",)),
        ("None", ("None",)),
        ("nan", ("nan",)),
    ],
    ids=ascii,
)
def test_odd_prompts_with_words(prompt, texts):
    query = query_or_error(prompt)
    assert isinstance(query, Query), query
    assert query.texts == texts
    assert query.source == prompt


@pytest.mark.parametrize(
    "asked",
    [
        "x" * 100_000,
        "dog " * 25_000,
        "x" * 1001,
        ["x" * 100_000],
        {"dog": "x" * 100_000},
        "e" + "\u0301" * 100_000,
        (f"phrase {i}" for i in range(100_001)),
    ],
    ids=lambda asked: type(asked).__name__,
)
def test_too_much_is_refused_in_few_words(asked):
    assert isinstance(query_or_error(asked), QueryError)


@pytest.mark.parametrize(
    "asked, count",
    [
        (" . ".join(f"phrase {i}" for i in range(10_000)), 10_000),
        ([f"phrase {i}" for i in range(10_000)], 10_000),
        ({f"phrase {i}": f"label {i % 7}" for i in range(10_000)}, 10_000),
        ("dog . " * 10_000, 1),
        (["dog"] * 10_000, 1),
        ("." * 100_000 + "dog", 1),
        (" " * 100_000 + "dog", None),
        ("a." * 400, 1),
        ("1," * 50_000 + "dog", None),
        ("a" * 1000, 1),
    ],
    ids=range(10),
)
def test_much_is_taken(asked, count):
    query = query_or_error(asked)
    if count is not None:
        assert isinstance(query, Query), query
        assert len(query) == count


# Everything else than prompts


def texts(*words):
    yield from words


@pytest.mark.parametrize(
    "asked",
    [
        *(None, True, False, 0, 5, -1.5, float("nan"), 1j, Decimal(1), object(), object, len, ...),
        *(b"", b"dog", bytearray(b"dog"), memoryview(b"dog")),
        *([], (), {}, set(), frozenset(), range(0), iter(()), np.zeros(0), np.zeros((2, 2))),
        *([None], [5], [b"dog"], [True], [1.5], [object()], range(3), ["dog", None], ["dog", 5]),
        *([["dog", "cat"]], [["dog"], ["cat"]], [[]], [()], [{}], [{"dog": "cat"}]),
        *([""], [" "], ["..."], ["🐶"], ["\0"], ["\ud800"], ["dog", ""], ["dog", " "]),
        *({"dog": None}, {"dog": ""}, {"dog": " "}, {"dog": 5}, {"dog": ["animal"]}, {"dog": "!"}),
        *({"dog": {}}, {"dog": b"animal"}, {"dog": 0.5}, {"dog": True}, {"dog": "\ud800"}),
        *({None: "dog"}, {5: "dog"}, {"": "dog"}, {" ": "dog"}, {"...": "dog"}, {b"dog": "dog"}),
        *({("dog", "cat"): "animal"}, {0: "person", 1: "dog"}),
        {"dog": "animal", "dog ": "pet"},
        [Phrase("dog", "animal"), Phrase("dog", "pet")],
        [Phrase("dog", threshold=0.1), Phrase("dog", threshold=0.2)],
        texts(),
        texts("dog", None),
        texts(""),
    ],
    ids=lambda asked: ascii(asked)[:40],
)
def test_things_that_make_no_query(asked):
    assert isinstance(query_or_error(asked), QueryError)


@pytest.mark.parametrize(
    "asked, expected",
    [
        (texts("dog", "cat"), ("dog", "cat")),
        ((word for word in ["dog", "dog"]), ("dog",)),
        (map(str.lower, ["DOG"]), ("dog",)),
        ({"dog": 1}.keys(), ("dog",)),
        ({"dog"}, ("dog",)),
        (np.array(["dog", "cat"]), ("dog", "cat")),
        ([np.str_("dog")], ("dog",)),
        (["dog", " dog ", "dog\n"], ("dog",)),
        (["u.s. flag", "a . b"], ("u.s. flag", "a . b")),
        ([Phrase("dog"), "dog"], ("dog",)),
        ({"dog": "animal", " dog": "animal"}, ("dog",)),
        ({"dog": "animal\0", "cat": " animal"}, ("dog", "cat")),
    ],
    ids=range(12),
)
def test_odd_collections(asked, expected):
    query = query_or_error(asked)
    assert isinstance(query, Query), query
    assert query.texts == expected


@pytest.mark.parametrize(
    "threshold",
    [
        *(-0.1, 1.1, float("nan"), float("inf"), True, "0.5", b"", [], {}, 1j, (0.5,)),
        Decimal("0.5"),
        pytest.param(10**400, id="huge"),
    ],
)
def test_thresholds_out_of_range_are_refused(threshold):
    with pytest.raises(QueryError, match="between 0 and 1"):
        Phrase("dog", threshold=threshold)


# Any

thorough = settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
any_text = st.text(st.characters(), max_size=40)  # surrogates and control characters included
prompt_like = st.text(st.sampled_from("ab1é犬🐶.,;:-' \n\t\0\u0301\u200b\ud800İß"), max_size=30)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.binary(max_size=4) | any_text,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.none() | st.integers() | any_text, inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(thorough, max_examples=500)
@given(prompt_like | any_text)
def test_any_prompt(prompt):
    query = query_or_error(prompt)
    if not any(char.isalnum() for char in prompt):
        assert isinstance(query, QueryError)


@thorough
@given(st.lists(prompt_like | any_text, max_size=6))
def test_any_list(words):
    query_or_error(words)


@thorough
@given(st.dictionaries(prompt_like | any_text, prompt_like | any_text, max_size=6))
def test_any_mapping(labels):
    query_or_error(labels)


@thorough
@given(anything)
def test_anything(asked):
    query_or_error(asked)


@thorough
@given(st.lists(st.text(st.characters(categories=["L"]), min_size=1, max_size=8), min_size=1))
def test_words_between_dots_are_the_phrases(words):
    # Dots of abbreviations join; with spaces around the dot, no word is one.
    query = Query.of(" . ".join(words))
    assert query.texts == tuple(dict.fromkeys(words))
    assert all(unicodedata.category(char)[0] == "L" for word in query.texts for char in word)
