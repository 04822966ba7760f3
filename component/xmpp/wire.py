"""Elements to text, as they go on the stream."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from component.xmpp.errors import BadStanza
from component.xmpp.names import NS_COMPONENT, NS_XML

_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_ATTRIBUTE = str.maketrans(
    {
        "&": "&amp;",
        "<": "&lt;",
        ">": "&gt;",
        '"': "&quot;",
        "\t": "&#9;",
        "\n": "&#10;",
        "\r": "&#13;",
    }
)
_SPECIAL = re.compile('[&<>"\t\n\r]')
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""XML 1.0 section 2.2: a server closes the whole stream over one of these."""


def serialise(element: ET.Element, namespace: str = NS_COMPONENT) -> str:
    """Write an element with default namespaces, as servers themselves write.

    The element's own tail is left out.  Attributes keep their namespaces.

    :param namespace: the default namespace in force where the text will stand.
    :raises BadStanza: the element holds characters that XML cannot carry.
    """
    out: list[str] = []
    _write(element, namespace, out)
    text = "".join(out)
    bad = _FORBIDDEN.search(text)
    if bad is not None:
        raise BadStanza(f"XML cannot carry the character U+{ord(bad.group()):04X}")
    return text


def _escape(value: str, table: dict[int, str]) -> str:
    return value.translate(table) if _SPECIAL.search(value) else value


def _write(element: ET.Element, default: str, out: list[str]) -> None:
    namespace, name = _split(element.tag)
    if namespace == NS_XML:
        # Always bound to its prefix, and never to be declared (Namespaces in XML 1.0 section 3).
        namespace, name = default, f"xml:{name}"
    out.append(f"<{name}")
    if namespace != default:
        out.append(f' xmlns="{_escape(namespace, _ATTRIBUTE)}"')
    for number, (key, value) in enumerate(element.items()):
        key_namespace, key_name = _split(key)
        if not key_namespace:
            out.append(f' {key_name}="{_escape(value, _ATTRIBUTE)}"')
        elif key_namespace == NS_XML:
            out.append(f' xml:{key_name}="{_escape(value, _ATTRIBUTE)}"')
        else:
            out.append(
                f' xmlns:a{number}="{_escape(key_namespace, _ATTRIBUTE)}"'
                f' a{number}:{key_name}="{_escape(value, _ATTRIBUTE)}"'
            )
    if not len(element) and not element.text:
        out.append("/>")
        return
    out.append(">")
    if element.text:
        out.append(_escape(element.text, _TEXT))
    for child in element:
        _write(child, namespace, out)
        if child.tail:
            out.append(_escape(child.tail, _TEXT))
    out.append(f"</{name}>")


def _split(tag: str) -> tuple[str, str]:
    if tag[0] == "{":
        namespace, _, name = tag[1:].rpartition("}")  # a namespace may hold one, a name not
        return namespace, name
    return "", tag
