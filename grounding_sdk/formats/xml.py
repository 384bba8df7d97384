"""XML without its dangers: a file that declares a document type, and so entities, is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

from defusedxml import ElementTree as SafeXml  # type: ignore[import-untyped]
from defusedxml.common import DefusedXmlException  # type: ignore[import-untyped]

from grounding_sdk.formats.errors import FormatError


def parse_xml(path: Path) -> Xml.Element:
    """Reads an XML file.

    Raises:
        FormatError: If it is missing, no XML, or declares a document type.
    """
    *_, (_, root) = xml_events(path)  # the root is complete last of all
    return root


def xml_events(path: Path) -> Iterator[tuple[str, Any]]:
    """Yields each element of an XML file as ("end", element) when it is complete.

    Raises:
        FormatError: As for `parse_xml`.
    """
    try:
        with open(path, "rb") as file:
            yield from SafeXml.iterparse(file, events=("end",), forbid_dtd=True)
    except DefusedXmlException:
        raise FormatError(f"{path} declares a document type: remove <!DOCTYPE ...>") from None
    except (OSError, Xml.ParseError, LookupError) as error:
        raise FormatError(f"cannot read {path} as XML: {error}") from error


def element(
    parent: Xml.Element, tag: str, text: str | None = None, **attributes: str
) -> Xml.Element:
    """Appends an element."""
    child = Xml.SubElement(parent, tag, attributes)
    child.text = text
    return child


def text_of(parent: Xml.Element, path: str) -> str:
    """Returns the text of a descendant.

    Raises:
        FormatError: If it is missing or empty.
    """
    text = (parent.findtext(path) or "").strip()
    if not text:
        raise FormatError(f"<{parent.tag}> has no {path}, expected one with text")
    return text
