"""Elements as canonical text: two elements with the same content give the same text.

Canonical XML (W3C) keeps prefixes, but servers do not: they pass on names and namespaces.  Here
each element stands in the default namespace, attributes are sorted by namespace and name, those
of a namespace have made-up prefixes declared beside them, comments and instructions are gone, and
characters are escaped as Canonical XML escapes them.  Prefixes *inside values* lose their meaning.
"""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from typing import Protocol

from component.account.model import Xml

_NS_XML = "http://www.w3.org/XML/1998/namespace"
_TEXT = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#xD;"}
_VALUE = {"&": "&amp;", "<": "&lt;", '"': "&quot;", "\t": "&#x9;", "\n": "&#xA;", "\r": "&#xD;"}
_TEXT_MARKS = re.compile("[&<>\r]")
_VALUE_MARKS = re.compile('[&<"\t\n\r]')


class Attributes(Protocol):
    """What an element has of a mapping, in lxml and in the standard library."""

    def items(self) -> Iterable[tuple[str, str]]:
        """Names, as ``{namespace}name``, and values."""
        ...


class Element(Protocol):
    """An element of lxml or of the standard library's ElementTree."""

    @property
    def tag(self) -> object:
        """``{namespace}name``; something else for comments and instructions."""
        ...

    @property
    def attrib(self) -> Attributes:
        """Attributes."""
        ...

    @property
    def text(self) -> str | None:
        """Text before the first child."""
        ...

    @property
    def tail(self) -> str | None:
        """Text after the element."""
        ...

    def __iter__(self) -> Iterator[Element]:
        """Children."""
        ...


class TooLarge(Exception):
    """An element has more characters or more elements in it than its bounds allow."""


class Builder:
    """Writes one element, as a parser comes by its parts.

    :param characters: how long the text may become.
    :param elements: how many elements may be in it.
    """

    def __init__(self, characters: int | None = None, elements: int | None = None) -> None:
        self._characters = characters
        self._elements = elements
        self._size = 0
        self._count = 0
        self._whole = io.StringIO()  # a list of parts may be ten times as large as its text
        self._names: list[tuple[str, str]] = []
        self._open = False

    @property
    def depth(self) -> int:
        """Elements that have begun and not ended."""
        return len(self._names)

    def start(self, tag: str, attrib: Iterable[tuple[str, str]] = ()) -> None:
        """Begin an element; names are ``{namespace}name``.  :raises TooLarge: see above."""
        self._count += 1
        if self._elements is not None and self._count > self._elements:
            raise TooLarge
        ns, name = split(tag)
        outer = self._names[-1][0] if self._names else ""
        if ns == _NS_XML:  # Namespaces in XML 1.0, section 3: never the default one
            ns, name = outer, f"xml:{name}"
        head = f"<{name}" if ns == outer else f'<{name} xmlns="{_value(ns)}"'
        self._close_start()
        self._add(head)
        for part in _attributes(attrib):
            self._add(part)
        self._names.append((ns, name))
        self._open = True

    def text(self, data: str) -> None:
        """Text inside the element that has begun last.  :raises TooLarge: see above."""
        if data:
            self._close_start()
            self._add(_text(data))

    def element(self, element: Element) -> None:
        """A whole element.  :raises TooLarge: see above."""
        assert isinstance(element.tag, str)
        self.start(element.tag, element.attrib.items())
        self.text(element.text or "")
        for child in element:
            if isinstance(child.tag, str):
                self.element(child)
            self.text(child.tail or "")
        self.end()

    def end(self) -> None:
        """End the element that has begun last."""
        _, name = self._names.pop()
        self._add("/>" if self._open else f"</{name}>")
        self._open = False

    def result(self) -> Xml:
        """The whole, once everything has ended."""
        return Xml(self._whole.getvalue())

    def _close_start(self) -> None:
        if self._open:
            self._open = False
            self._add(">")

    def _add(self, part: str) -> None:
        self._size += len(part)
        if self._characters is not None and self._size > self._characters:
            raise TooLarge
        self._whole.write(part)


def canonical(element: Element) -> Xml:
    """The canonical text of an element with all that is in it, without its tail."""
    builder = Builder()
    builder.element(element)
    return builder.result()


def unordered(xml: Xml) -> Xml:
    """The same with the children of each element sorted, and no white space between them.

    For comparing profiles: mod_vcard of ejabberd takes each vCard apart, and puts it together in
    an order of its own (24.12).
    """
    element = ET.fromstring(xml)
    _sort(element)
    return canonical(element)


def split(tag: str) -> tuple[str, str]:
    """Namespace (empty for none) and name of ``{namespace}name``."""
    if tag.startswith("{"):
        ns, _, name = tag[1:].partition("}")
        return ns, name
    return "", tag


def _sort(element: ET.Element) -> None:
    for child in element:
        _sort(child)
        child.tail = None
    if len(element):
        element.text = None
        element[:] = sorted(element, key=canonical)


def _attributes(attrib: Iterable[tuple[str, str]]) -> Iterator[str]:
    found = sorted((*split(name), value) for name, value in attrib)
    spaces = sorted({ns for ns, _, _ in found if ns not in ("", _NS_XML)})
    prefixes = {ns: f"a{number}:" for number, ns in enumerate(spaces)} | {"": "", _NS_XML: "xml:"}
    for ns in spaces:
        yield f' xmlns:{prefixes[ns][:-1]}="{_value(ns)}"'
    for ns, name, value in found:
        yield f' {prefixes[ns]}{name}="{_value(value)}"'


def _text(data: str) -> str:
    return _TEXT_MARKS.sub(lambda found: _TEXT[found[0]], data)


def _value(data: str) -> str:
    return _VALUE_MARKS.sub(lambda found: _VALUE[found[0]], data)
