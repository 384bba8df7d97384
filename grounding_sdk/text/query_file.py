"""Queries as plain data and as files, there and back.

    phrases: [a dog, {text: toy dog, label: dog, role: exclude}]
    targets: [{phrase: a dog, count: 1, conditions: [{kind: leftmost}]}]

Keys are the attributes of `Query`, `Phrase`, `LabelRule`, `Target` and `Condition`; what has its
default is left out. A file may also hold an ontology; see `grounding_sdk.text.ontology`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from grounding_sdk.files import write_file
from grounding_sdk.query import LabelRule, Phrase, Query, check_template
from grounding_sdk.target import Condition, Target
from grounding_sdk.text.document import Node, check_suffix, plain_document, read_document
from grounding_sdk.text.ontology import ontology_query


def query_to_dict(query: Query) -> dict[str, Any]:
    """Returns a query as plain JSON types; a phrase of text alone is a string.

    >>> query_to_dict(Query((Phrase("dog"), Phrase("toy dog", "dog", role="exclude"))))
    {'phrases': ['dog', {'text': 'toy dog', 'label': 'dog', 'role': 'exclude'}]}
    """
    data: dict[str, Any] = _plain(query)
    return data


def query_from_dict(data: Mapping[str, Any]) -> Query:
    """Makes a query of what `query_to_dict` gave, or of an ontology.

    Raises:
        QueryError: If something in it is not understood; says where.
    """
    return _query(plain_document(data))


def save_query(query: Query, path: str | Path) -> Path:
    """Writes a query as .yaml, .yml or .json, by the path's suffix.

    Returns:
        The path; missing folders are made.

    Raises:
        QueryError: If the suffix is none of these.
    """
    path = Path(path)
    check_suffix(path)
    data = query_to_dict(query)
    if path.suffix.lower() == ".json":
        return write_file(path, json.dumps(data, ensure_ascii=False, indent=2) + "\n")
    return write_file(path, yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True))


def load_query(path: str | Path) -> Query:
    """Reads what `save_query` wrote, or an ontology.

    Raises:
        QueryError: If the file cannot be read or understood; names file, line and column.
    """
    return _query(read_document(path))


class _Dumper(yaml.SafeDumper):
    """Writes line breaks and control characters as escapes; PyYAML would lose some of them."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        style = None if data.isprintable() else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", data, style)


_Dumper.add_representer(str, _Dumper.represent_str)


def _query(document: Node) -> Query:
    top = document.mapping()
    if "labels" in top:
        return ontology_query(document)
    if "phrases" not in top:
        raise document.error("expected the key 'labels' (an ontology) or 'phrases' (a query)")
    query: Query = _read(document, Query)
    return query


def _plain(value: Any) -> Any:
    """Turns dataclasses into mappings without what goes without saying, and tuples into lists."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if type(value) not in _READERS:
        return value
    unsaid = {field.name: field.default for field in fields(value)} | _implied(value)
    said = {
        name: _plain(getattr(value, name))
        for name in unsaid
        if getattr(value, name) != unsaid[name]
    }
    return said["text"] if isinstance(value, Phrase) and list(said) == ["text"] else said


def _implied(value: object) -> dict[str, str]:
    """Returns the attributes that are made of others where they are not given."""
    if isinstance(value, Phrase) and value.role != "exclude":
        return {"label": value.text}
    if isinstance(value, Target):
        return {"label": value.phrase, "head": value.phrase}
    return {}


def _read(node: Node, kind: type) -> Any:
    """Makes a dataclass of a mapping; null counts as not given."""
    if kind is Phrase and isinstance(node.value, str):
        node = Node({"text": node}, node.path, node.place)
    readers = _READERS[kind]
    given = {k: v for k, v in node.mapping(*readers).items() if v.value is not None}
    needed = next(iter(readers))
    if needed not in given:
        raise node.error(f"expected the key {needed!r}")
    values = {key: readers[key](entry) for key, entry in given.items()}
    return node.make(kind, **values)


def _each(read: Callable[[Node], Any]) -> Callable[[Node], tuple[Any, ...]]:
    return lambda node: tuple(read(item) for item in node.items())


def _span(node: Node) -> tuple[int, int]:
    ends = node.items()
    if len(ends) != 2:
        raise node.error(f"expected a start and an end, got {len(ends)} numbers")
    return ends[0].whole(), ends[1].whole()


_READERS: dict[type, dict[str, Callable[[Node], Any]]] = {
    Query: {
        "phrases": _each(lambda node: _read(node, Phrase)),
        "source": Node.text,
        "targets": _each(lambda node: _read(node, Target)),
        "rules": _each(lambda node: _read(node, LabelRule)),
        "templates": _each(lambda node: node.make(check_template, node.text())),
    },
    Phrase: {
        "text": Node.text,
        "label": Node.text,
        "threshold": Node.number,
        "span": _span,
        "role": Node.text,
    },
    LabelRule: {"label": Node.text, "nms": Node.number, "max_count": Node.whole},
    Target: {
        "phrase": Node.text,
        "label": Node.text,
        "head": Node.text,
        "count": Node.whole,
        "conditions": _each(lambda node: _read(node, Condition)),
        "text": Node.text,
        "span": _span,
        "ignored": _each(Node.text),
    },
    Condition: {
        "kind": Node.text,
        "anchors": _each(lambda node: _read(node, Target)),
        "value": Node.text,
        "rank": Node.whole,
        "negated": Node.flag,
        "text": Node.text,
    },
}
