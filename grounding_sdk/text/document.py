"""YAML and JSON in which every value knows where it stands, so that errors can name the line.

Only plain data are read: mappings, lists, texts, numbers, truth values and null. A key that is
given twice, references (`*name`), tags (`!!set`), deep nesting and large files are refused.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml

from grounding_sdk.errors import QueryError

MAX_CHARS = 10_000_000
MAX_DEPTH = 100

T = TypeVar("T")

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_SCALARS = ("int", "float", "bool", "null")
_JSON_TOKEN = re.compile(r'[\[\]{}]|"(?:[^"\\]|\\.)*+"|[^\s\[\]{},:"]++')


@dataclass(frozen=True)
class Node:
    """A value of a document.

    Attributes:
        value: None, a bool, number or text, or a list or dict of nodes.
        path: How to get there: "labels.helmet.phrases[1]".
        place: Where that is written: "helmets.yaml, line 3, column 5"; "" if nowhere.
    """

    value: Any
    path: str = ""
    place: str = ""

    def error(self, message: str) -> QueryError:
        """Returns an error that says where it is."""
        return QueryError(": ".join(part for part in (self.place, self.path, message) if part))

    def make(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Calls a function; if it raises a `QueryError`, says that the cause is here."""
        try:
            return function(*args, **kwargs)
        except QueryError as error:
            raise self.error(str(error)) from error

    def mapping(self, *known: str) -> dict[str, Node]:
        """Returns the entries; where known keys are given, no others are allowed.

        Raises:
            QueryError: As all of these methods: if it is anything else.
        """
        if not isinstance(self.value, dict):
            raise self._unlike("a mapping")
        for key, node in self.value.items():
            if known and key not in known:
                near = get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"expected {_listed(known)}"
                raise node.error(f"unknown key: {hint}")
        return self.value

    def items(self) -> list[Node]:
        """Returns the items of a list."""
        if not isinstance(self.value, list):
            raise self._unlike("a list")
        return self.value

    def text(self) -> str:
        """Returns a text."""
        if not isinstance(self.value, str):
            raise self._unlike("a text")
        return self.value

    def number(self) -> float:
        """Returns a number, as a float."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self._unlike("a number")
        try:
            return float(self.value)
        except OverflowError:
            return math.inf

    def whole(self) -> int:
        """Returns a whole number."""
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            raise self._unlike("a whole number")
        return self.value

    def flag(self) -> bool:
        """Returns true or false."""
        if not isinstance(self.value, bool):
            raise self._unlike("true or false")
        return self.value

    def _unlike(self, expected: str) -> QueryError:
        kinds = {dict: "a mapping", list: "a list", type(None): "nothing"}
        came = kinds.get(type(self.value)) or json.dumps(self.value, default=repr)[:80]
        hint = ""
        if expected == "a text" and isinstance(self.value, bool | int | float):
            words = " (YAML takes yes, no, on and off for true and false)"
            hint = ": put it in quotes" + (words if isinstance(self.value, bool) else "")
        return self.error(f"expected {expected}, got {came}{hint}")


def read_document(path: str | Path) -> Node:
    """Reads a .yaml, .yml or .json file.

    Raises:
        QueryError: If it cannot be read, is too large, or is not what its name says.
    """
    path = Path(path)
    check_suffix(path)
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise QueryError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise QueryError(f"{path} is not in UTF-8: {error.reason} at byte {error.start}") from error
    return parse_document(text, name=str(path), is_json=path.suffix.lower() == ".json")


def check_suffix(path: Path) -> None:
    """Makes sure that a path ends in .yaml, .yml or .json.

    Raises:
        QueryError: If not.
    """
    if path.suffix.lower() not in (".yaml", ".yml", ".json"):
        raise QueryError(f"expected a .yaml, .yml or .json file for a query, got {str(path)!r}")


def parse_document(text: str, *, name: str = "", is_json: bool = False) -> Node:
    """Reads YAML, or JSON alone.

    Args:
        text: The document.
        name: What errors call it.
        is_json: Whether anything but JSON is to be refused.

    Raises:
        QueryError: If it is neither, or holds what is refused here.

    >>> node = parse_document("dog: [hound, 7]").mapping()["dog"].items()[1]
    >>> node.value, node.path, node.place
    (7, 'dog[1]', 'line 1, column 14')
    """
    if len(text) > MAX_CHARS:
        raise QueryError(f"{name or 'the document'} has more than {MAX_CHARS:,} characters")
    events = (_json_events if is_json else _yaml_events)(text, name)
    first = next(events, None)
    if first is None:
        raise Node(None, place=name).error("the document is empty")
    root = _node(first, events, "", 0, name)
    if next(events, None) is not None:
        raise Node(None, place=name).error("expected one document, got several")
    return root


def plain_document(data: object) -> Node:
    """Wraps data that were never written, such as a dict made in Python.

    Raises:
        QueryError: If a key is no text, or they are nested too deep.
    """
    return _wrapped(data, "", 0)


class _Event(NamedTuple):
    """A bracket, with its value None, or a scalar, with the kind ""."""

    kind: str
    value: Any
    place: str


def _node(event: _Event, events: Iterator[_Event], path: str, depth: int, place: str) -> Node:
    node = Node(event.value, path, place)
    if depth > MAX_DEPTH:
        raise Node(None, place=place).error(f"nested more than {MAX_DEPTH} deep")
    if event.kind == "[":
        inner = takewhile(lambda e: e.kind != "]", events)
        items = [_node(e, events, f"{path}[{i}]", depth + 1, e.place) for i, e in enumerate(inner)]
        return Node(items, path, place)
    if event.kind == "{":
        entries: dict[str, Node] = {}
        for key in takewhile(lambda e: e.kind != "}", events):
            entry = Node(key.value, path, key.place)
            if key.kind:
                raise entry.error("expected a key, got a list or a mapping")
            name = entry.text()
            where = f"{path}.{name}" if path else name
            if name in entries:
                first = entries[name].place
                raise Node(None, where, key.place).error(f"given twice ({first})")
            # An entry stands where its key does: a block's value begins on the next line.
            entries[name] = _node(next(events), events, where, depth + 1, key.place)
        return Node(entries, path, place)
    return node


def _yaml_events(text: str, name: str) -> Iterator[_Event]:
    brackets = {
        yaml.MappingStartEvent: "{",
        yaml.MappingEndEvent: "}",
        yaml.SequenceStartEvent: "[",
        yaml.SequenceEndEvent: "]",
    }
    resolver = yaml.resolver.Resolver()
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            here = Node(None, place=_marked(name, event.start_mark))
            tag = getattr(event, "tag", None)
            if isinstance(event, yaml.AliasEvent):
                raise here.error(f"'*{event.anchor}' refers to another place: write it out")
            if isinstance(event, yaml.ScalarEvent):
                tag = tag or resolver.resolve(yaml.ScalarNode, event.value, event.implicit)
                yield _Event("", _scalar(tag, event.value, here), here.place)
            elif type(event) in brackets:
                if tag not in (None, "!", f"{_TAG}map", f"{_TAG}seq"):
                    raise here.error(f"the tag {tag!r} is not understood: leave it out")
                yield _Event(brackets[type(event)], None, here.place)
    except yaml.MarkedYAMLError as error:
        place = _marked(name, error.problem_mark or error.context_mark)
        raise Node(None, place=place).error(f"no YAML: {error.problem}") from error
    except yaml.reader.ReaderError as error:
        raise Node(None, place=name).error(f"no YAML: {error.reason}") from error


def _scalar(tag: str, value: str, here: Node) -> Any:
    kind = tag.removeprefix(_TAG)
    if kind in ("str", "!"):
        return value
    if kind in _SCALARS:
        try:
            return yaml.constructor.SafeConstructor().construct_object(yaml.ScalarNode(tag, value))
        except (ValueError, KeyError):
            pass  # such as a number of thousands of digits
    raise here.error(f"{value[:80]!r} is read as YAML's {kind!r}: put it in quotes")


def _json_events(text: str, name: str) -> Iterator[_Event]:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        place = _place(name, error.lineno - 1, error.colno - 1)
        raise Node(None, place=place).error(f"no JSON: {error.msg}") from error
    except (RecursionError, ValueError) as error:
        raise Node(None, place=name).error(f"no JSON that can be read: {error}") from error
    # Now known to be right, so that its tokens are all that is left to see.
    line, line_start, seen = 0, 0, 0
    for match in _JSON_TOKEN.finditer(text):
        skipped = text.count("\n", seen, match.start())
        if skipped:
            line += skipped
            line_start = text.rindex("\n", seen, match.start()) + 1
        seen = match.end()
        place = _place(name, line, match.start() - line_start)
        token = match.group()
        if token in "[]{}":
            yield _Event(token, None, place)
        else:
            yield _Event("", json.loads(token), place)


def _marked(name: str, mark: Any) -> str:
    return _place(name, mark.line, mark.column) if mark else name


def _place(name: str, line: int, column: int) -> str:
    return (f"{name}, " if name else "") + f"line {line + 1}, column {column + 1}"


def _wrapped(data: object, path: str, depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise QueryError(f"nested more than {MAX_DEPTH} deep")
    if isinstance(data, Mapping):
        entries = {}
        for key, value in data.items():
            if not isinstance(key, str):
                raise Node(data, path).error(f"expected texts as keys, got {key!r:.80}")
            entries[key] = _wrapped(value, f"{path}.{key}" if path else key, depth + 1)
        return Node(entries, path)
    if isinstance(data, list | tuple):
        items = [_wrapped(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(data)]
        return Node(items, path)
    return Node(data, path)


def _listed(keys: tuple[str, ...]) -> str:
    return " or ".join(filter(None, (", ".join(keys[:-1]), keys[-1])))
