"""Writing thresholds into an ontology that a person wrote, which is otherwise left as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import yaml

from grounding_sdk.errors import QueryError
from grounding_sdk.text.document import parse_document
from grounding_sdk.text.ontology import ontology_query


class _Edit(NamedTuple):
    """What to write in place of the text from one index to another."""

    start: int
    end: int
    text: str


def with_label_thresholds(
    source: str, thresholds: Mapping[str, float], *, is_json: bool = False
) -> str:
    r"""Returns an ontology's text with other thresholds of labels.

    Comments, order and layout are kept. Where that is not possible, as with keys that are written
    in a rare way, the same ontology is written anew, without comments.

    Args:
        source: The text of an ontology, YAML or JSON.
        thresholds: Of labels; the others keep theirs.
        is_json: Whether it is to be read and written as JSON.

    Raises:
        QueryError: If it is no ontology, or has no such label.

    >>> print(with_label_thresholds("labels:\n  dog:  # or hound\n  cat: [cat, tom]\n",
    ...                             {"dog": 0.4, "cat": 0.25}))
    labels:
      dog: {threshold: 0.4}  # or hound
      cat: {threshold: 0.25, phrases: [cat, tom]}
    <BLANKLINE>
    """
    query = ontology_query(parse_document(source, is_json=is_json))
    for label in thresholds:
        if label not in query.wanted:
            raise QueryError(f"the ontology has no label {label!r}, only {', '.join(query.wanted)}")
    data = json.loads(source) if is_json else yaml.safe_load(source)
    changed = _changed(data, thresholds)
    if is_json:
        return json.dumps(changed, ensure_ascii=False, indent=2) + "\n"
    edited = _edited(source, thresholds)
    if _same(edited, changed):
        return edited
    return yaml.safe_dump(changed, sort_keys=False, allow_unicode=True)


def _changed(data: dict[str, Any], thresholds: Mapping[str, float]) -> dict[str, Any]:
    """The ontology as plain data."""
    labels = data["labels"]
    entries = labels if isinstance(labels, dict) else dict.fromkeys(labels)
    return {
        **data,
        "labels": {name: _entry(said, name, thresholds) for name, said in entries.items()},
    }


def _entry(said: Any, name: str, thresholds: Mapping[str, float]) -> Any:
    label = " ".join(name.split())
    if label not in thresholds:
        return said
    options = said if isinstance(said, dict) else {} if said is None else {"phrases": said}
    return {**options, "threshold": thresholds[label]}


def _same(text: str, data: dict[str, Any]) -> bool:
    try:
        ontology_query(parse_document(text))  # also that no key is there twice
        same: bool = yaml.safe_load(text) == data
    except (QueryError, yaml.YAMLError):
        return False
    return same


def _edited(source: str, thresholds: Mapping[str, float]) -> str:
    top: Any = yaml.compose(source, Loader=yaml.SafeLoader)
    labels = next(value for key, value in top.value if key.value == "labels")
    make = _of_mapping if isinstance(labels, yaml.MappingNode) else _of_list
    for edit in sorted(make(source, labels, thresholds), reverse=True):
        source = source[: edit.start] + edit.text + source[edit.end :]
    return source


def _of_mapping(
    source: str, labels: yaml.MappingNode, thresholds: Mapping[str, float]
) -> Iterator[_Edit]:
    for key, value in labels.value:
        label = " ".join(str(key.value).split())
        if label in thresholds:
            yield _edit(source, value, f"threshold: {thresholds[label]!r}")


def _of_list(
    source: str, labels: yaml.SequenceNode, thresholds: Mapping[str, float]
) -> Iterator[_Edit]:
    """Makes a mapping of the list; a block's dashes become blanks, so that it stays in line."""
    if labels.flow_style:
        yield _Edit(labels.start_mark.index, labels.start_mark.index + 1, "{")
        yield _Edit(labels.end_mark.index - 1, labels.end_mark.index, "}")
    for item in labels.value:
        start, end = item.start_mark.index, item.end_mark.index
        if not labels.flow_style:
            dash = source.rindex("-", 0, start)
            yield _Edit(dash, dash + 1, " ")
        label = " ".join(item.value.split())
        said = f" {{threshold: {thresholds[label]!r}}}" if label in thresholds else ""
        yield _Edit(end, end, f":{said or ' '}" if labels.flow_style else f":{said}")


def _edit(source: str, value: yaml.Node, said: str) -> _Edit:
    start, end = value.start_mark.index, value.end_mark.index
    written = source[start:end].rstrip()
    if isinstance(value, yaml.MappingNode):
        for key, old in value.value:
            if key.value == "threshold":
                number = said.removeprefix("threshold: ")
                return _Edit(old.start_mark.index, old.end_mark.index, number)
        if value.flow_style:
            return _Edit(start + 1, start + 1, f"{said}, " if value.value else said)
        return _Edit(start, start, f"{said}\n{' ' * value.start_mark.column}")
    if isinstance(value, yaml.SequenceNode) and not value.flow_style:
        indent = " " * value.start_mark.column
        return _Edit(start, start, f"{said}\n{indent}phrases:\n{indent}")
    if value.tag == "tag:yaml.org,2002:null":
        return _Edit(start, start + len(written), f"{'' if written else ' '}{{{said}}}")
    end = start + len(written)
    if isinstance(value, yaml.ScalarNode):
        block = value.style in ("|", ">")
        if block or (value.style is None and set(written) & set(",[]{}\n")):
            written = json.dumps(value.value.strip(), ensure_ascii=False)
    return _Edit(start, end, f"{{{said}, phrases: {written}}}")
