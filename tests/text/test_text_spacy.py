from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marked_phrases import MARKED, unmark

from grounding_sdk.errors import MissingExtraError, QueryError
from grounding_sdk.text import agreement, spacy_nouns
from grounding_sdk.text.captions import read_caption
from grounding_sdk.text.nouns import load_noun_parser, noun_phrases


@pytest.fixture(scope="module")
def parse():
    return load_noun_parser("spacy")


def test_spacy_is_taken_where_it_is_installed(parse):
    assert load_noun_parser() is parse
    assert load_noun_parser("auto") is parse


@pytest.mark.parametrize("missing", ["spacy", "model"])
def test_without_spacy_or_its_model_the_rules_are_taken(monkeypatch, missing):
    spacy_nouns.load.cache_clear()
    if missing == "model":
        monkeypatch.setattr(spacy_nouns, "MODELS", ("no_such_model",))
    else:
        monkeypatch.setattr(spacy_nouns, "find_spec", lambda name: None if name == "spacy" else 1)
    assert load_noun_parser() is noun_phrases
    with pytest.raises(MissingExtraError, match=r"pip install 'grounding_sdk\[text\]'"):
        load_noun_parser("spacy")


@pytest.mark.parametrize(
    "source, head, attributes, determiner, possessor, count, definite",
    [
        ("the two largest dogs", "dogs", "largest", "the", "", 2, True),
        ("a yellow fire hydrant is here", "fire hydrant", "yellow", "a", "", None, False),
        ("the old man's two hats", "hats", "", "the", "the old man", 2, True),
        ("two parked cars", "cars", "parked", "", "", 2, False),
    ],
)
def test_the_same_fields_as_by_rules(
    parse, source, head, attributes, determiner, possessor, count, definite
):
    (phrase,) = parse(source)
    assert (phrase,) == noun_phrases(source)
    assert phrase.head == head
    assert phrase.attributes == tuple(attributes.split())
    assert (phrase.determiner, phrase.possessor) == (determiner, possessor)
    assert (phrase.count, phrase.definite) == (count, definite)


def test_pronouns_are_left_out_and_counts_carried_on(parse):
    phrases = parse("She sees a couple of dogs, and they see it and each other.")
    assert [(phrase.text, phrase.count) for phrase in phrases] == [("a couple", None), ("dogs", 2)]


def test_captions_by_spacy(parse):
    query = read_caption("A man in a red shirt holds two dogs.", parse)
    assert query.texts == ("man", "red shirt", "dogs")


any_text = st.text(st.characters(), max_size=40)
wordy = st.lists(
    st.sampled_from("a the two red man dogs 's ' , . - \" of and \n riding 犬 🐶 \ud800".split(" "))
).map(" ".join)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(source=any_text | wordy)
def test_spans_index_any_text_in_order(source):
    phrases = load_noun_parser("spacy")(source)
    for phrase in phrases:
        start, end = phrase.span
        assert source[start:end] == phrase.text == phrase.text.strip() != ""
        assert any(char.isalnum() for char in phrase.head)
    for before, after in itertools.pairwise(phrases):
        assert before.span[1] <= after.span[0]


def test_too_long_a_text_is_refused_with_a_way_out(parse):
    with pytest.raises(QueryError, match=r"up to 20,000 characters.*got 100,000.*'rules'"):
        parse("a dog. " * 14285 + "a dog")


# Agreement


def test_the_rules_agree_with_spacy_on_what_readers_mark(parse):
    result = agreement.measure([unmark(marked)[0] for marked in MARKED], noun_phrases, parse)
    assert result.captions == len(MARKED)
    assert result.f1 > 0.9
    assert result.precision > 0.9
    assert result.recall > 0.9


def test_agreement_counts_exact_spans_of_visible_phrases():
    captions = ["a dog", "a dog on the left side", "cats", "it"]
    guesses = {"a dog": "a dog", "a dog on the left side": "a dog", "cats": "dog", "it": "dog"}

    def other(source, /):
        return noun_phrases(guesses[source])

    result = agreement.measure(captions, noun_phrases, other)
    assert (result.captions, result.both, result.rules, result.spacy) == (4, 2, 3, 4)
    assert (result.precision, result.recall) == (2 / 3, 2 / 4)
    assert result.f1 == 4 / 7
    assert result.differences == (("cats", ("cats",), ("dog",)), ("it", (), ("dog",)))
    assert agreement.measure([], noun_phrases, other).f1 == 1


@pytest.mark.parametrize("key", ["captions", "annotations"])
def test_the_command_reads_coco_json(tmp_path, capsys, key):
    file = tmp_path / "captions.json"
    records = [{"image_id": 1, "caption": "A man holds a dog."}, {"image_id": 1}]
    file.write_text(json.dumps({"images": [], key: records}))
    assert agreement.main([str(file), "--show", "3"]) == 0
    assert capsys.readouterr().out == (
        "1 captions; visible phrases: 2 by rules, 2 by spaCy, 2 the same\n"
        "precision 1.000  recall 1.000  F1 1.000\n"
    )


@pytest.mark.parametrize("content", ["{}", "[]", "dog", '{"captions": [{"id": 1}]}', "\ud800"])
def test_the_command_says_what_file_it_needs(tmp_path, capsys, content):
    file = tmp_path / "captions.json"
    file.write_bytes(content.encode(errors="surrogatepass"))
    assert agreement.main([str(file)]) == 1
    assert "has no captions" in capsys.readouterr().err
    assert agreement.main([str(tmp_path / "none.json")]) == 1
    assert "none.json" in capsys.readouterr().err
