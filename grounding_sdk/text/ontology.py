"""Ontologies: the labels wanted, what each is called, and what must not be taken for it.

    labels:
      person: [person, pedestrian]
      helmet: {phrases: [helmet, hard hat], exclude: [cap], threshold: 0.35, nms: 0.5, max_count: 3}
      dog:                                  # called by its own name

There can also be `exclude` (from every label), `threshold` (for labels without one) and `templates`
beside `labels`. Class ids follow the order of the labels. A single phrase needs no list, and labels
that are all called by their own names can be a list themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from grounding_sdk.query import LabelRule, Phrase, Query, check_template, check_threshold
from grounding_sdk.text.document import Node, parse_document, plain_document, read_document

TOP_KEYS = ("labels", "exclude", "threshold", "templates")
LABEL_KEYS = ("phrases", "exclude", "threshold", "nms", "max_count")


def read_ontology(source: Mapping[str, object] | str | Path) -> Query:
    """Makes a query of an ontology.

    Args:
        source: A mapping as YAML would give it, YAML (or JSON) as a string, or a `Path` of a
            .yaml, .yml or .json file.

    Raises:
        QueryError: If something in it is not understood; names the file, line and label.

    >>> query = read_ontology("labels: {person: , helmet: {phrases: [hard hat], exclude: cap}}")
    >>> print(query)
    person . hard hat -> helmet . not cap for helmet
    >>> query.labels
    ('person', 'helmet')
    """
    if isinstance(source, Path):
        return ontology_query(read_document(source))
    if isinstance(source, str):
        return ontology_query(parse_document(source))
    return ontology_query(plain_document(source))


def ontology_query(document: Node) -> Query:
    """Makes a query of an ontology that has been parsed; errors as those of `read_ontology`."""
    top = document.mapping(*TOP_KEYS)
    if "labels" not in top:
        raise document.error("expected the key 'labels'")
    default = _threshold(top, None)
    called: dict[str, tuple[str, Node]] = {}  # the label of each text, and where it is given
    phrases: dict[Phrase, None] = {}
    excluded: dict[Phrase, Node] = {}
    rules: dict[str, LabelRule] = {}
    for name, node in _labels(top["labels"]):
        options = _options(node)
        rule = _rule(name, node, options)
        label = rule.label
        if label in rules:
            raise node.error(f"the label {label!r} is given twice")
        rules[label] = rule
        threshold = _threshold(options, default)
        names = _texts(options["phrases"]) if "phrases" in options else [replace(node, value=name)]
        for text in names:
            phrase = text.make(Phrase, text.text(), label, threshold)
            other, where = called.setdefault(phrase.text, (label, text))
            if other != label:
                place = f" ({where.place})" if where.place else ""
                raise text.error(f"{phrase.text!r} is a phrase of {other!r} already{place}")
            phrases.setdefault(phrase)
        for text in _texts(options.get("exclude")):
            excluded.setdefault(_excluded(text, label), text)
    for text in _texts(top.get("exclude")):
        excluded.setdefault(_excluded(text, ""), text)
    for phrase, text in excluded.items():
        owner = called.get(phrase.text)
        if owner and phrase.label in ("", owner[0]):
            raise text.error(f"{phrase.text!r} is also a phrase of {owner[0]!r}: leave one out")
    return document.make(
        Query,
        (*phrases, *excluded),
        rules=tuple(rule for rule in rules.values() if rule != LabelRule(rule.label)),
        templates=tuple(t.make(check_template, t.text()) for t in _texts(top.get("templates"))),
    )


def _labels(node: Node) -> Iterator[tuple[str, Node]]:
    """Yields each label and what is said of it."""
    if isinstance(node.value, list):
        for item in node.items():
            yield item.text(), replace(item, value=None)
    else:
        yield from node.mapping().items()


def _options(node: Node) -> dict[str, Node]:
    if node.value is None:
        return {}
    if isinstance(node.value, str | list):
        return {"phrases": node}
    if not isinstance(node.value, dict):
        raise node.error(f"expected phrases or a mapping, got {node.value!r}")
    return node.mapping(*LABEL_KEYS)


def _rule(name: str, node: Node, options: Mapping[str, Node]) -> LabelRule:
    rule = LabelRule(node.make(Phrase, name).label)
    if "nms" in options:
        overlap = options["nms"]
        rule = overlap.make(replace, rule, nms=overlap.number())
    if "max_count" in options:
        count = options["max_count"]
        rule = count.make(replace, rule, max_count=count.whole())
    return rule


def _threshold(options: Mapping[str, Node], default: float | None) -> float | None:
    node = options.get("threshold")
    return default if node is None else node.make(check_threshold, node.number())


def _texts(node: Node | None) -> list[Node]:
    """Returns the texts of a list, or of what is said without one."""
    if node is None:
        return []
    texts = [node] if isinstance(node.value, str) else node.items()
    if not texts:
        raise node.error("the list is empty: leave it out, or name something")
    return texts


def _excluded(text: Node, label: str) -> Phrase:
    return text.make(Phrase, text.text(), label, role="exclude")
