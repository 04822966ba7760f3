"""Does a received stanza say what a scenario expects?  Compared as XML, not as text."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Collection, Sequence
from xml.sax.saxutils import escape, quoteattr

ANY = "{any}"
"""An attribute value or text that matches everything."""
_CLIENT = "{jabber:client}"
_COMPONENT = "{jabber:component:accept}"
_XML = "{http://www.w3.org/XML/1998/namespace}"
_NOISE = frozenset({"id", "ver", f"{_XML}lang"})
DELAY = "{urn:xmpp:delay}delay"
"""XEP-0203 stamp, in Clark notation."""


def differences(
    expected: ET.Element,
    received: ET.Element,
    *,
    own: Collection[str] = (),
    ignore: Collection[str] = (),
) -> list[str]:
    """Return what differs, nothing when the stanza matches.

    Expected attributes must be there and equal, further ones must not, except id, ver and
    xml:lang.  Children match as a multiset; ``<any/>`` stands for any further children.

    Args:
        own: addresses of the receiver: a ``to`` or ``from`` that holds one is implied.
        ignore: children in Clark notation that may be there unasked.
    """
    return _compare(expected, received, _name(expected.tag), frozenset(own), frozenset(ignore))


def _compare(
    expected: ET.Element,
    received: ET.Element,
    path: str,
    own: frozenset[str],
    ignore: frozenset[str],
) -> list[str]:
    if _canonical(expected.tag) != _canonical(received.tag):
        return [f"{path}: expected <{_name(expected.tag)}/>, got {received.tag}"]
    found: list[str] = []
    for key, value in expected.attrib.items():
        got = received.get(key)
        if got is None:
            found.append(f"{path}: attribute {key}={value!r} is missing")
        elif value not in (ANY, got):
            found.append(f"{path}: {key} is {got!r}, expected {value!r}")
    for key, value in received.attrib.items():
        implied = key in ("to", "from") and value in own
        if key not in expected.attrib and key not in _NOISE and not implied:
            found.append(f"{path}: unexpected attribute {key}={value!r}")
    want, got_text = (expected.text or "").strip(), (received.text or "").strip()
    if want not in (ANY, got_text):
        found.append(f"{path}: text is {got_text!r}, expected {want!r}")
    return found + _compare_children(expected, received, path, ignore)


def _compare_children(
    expected: ET.Element, received: ET.Element, path: str, ignore: frozenset[str]
) -> list[str]:
    wanted = [child for child in expected if _local(child.tag) != "any"]
    wild = len(wanted) != len(expected)
    asked = {child.tag for child in wanted}
    if _availability(received):
        ignore |= {DELAY}  # a server may stamp availability that it repeats (XEP-0203)
    left = [child for child in received if child.tag in asked or child.tag not in ignore]
    found: list[str] = []
    for child in wanted:
        where = f"{path}/{_name(child.tag)}"
        nearest: list[str] | None = None
        for candidate in left:
            problems = _compare(child, candidate, where, frozenset(), ignore)
            if not problems:
                left.remove(candidate)
                nearest = []
                break
            same = _canonical(candidate.tag) == _canonical(child.tag)
            if same and (nearest is None or len(problems) < len(nearest)):
                nearest = problems
        found += [f"{where}: missing"] if nearest is None else nearest
    if not wild and not found:
        found += [f"{path}: unexpected child {show(child)}" for child in left]
    return found


def assign(
    expected: Sequence[ET.Element],
    received: Sequence[ET.Element],
    *,
    own: Collection[str] = (),
    ignore: Collection[str] = (),
) -> list[int] | None:
    """Return for each expected stanza the index of a received one, each used once, or None."""

    def place(index: int, used: tuple[int, ...]) -> list[int] | None:
        if index == len(expected):
            return list(used)
        for at, candidate in enumerate(received):
            if at in used or differences(expected[index], candidate, own=own, ignore=ignore):
                continue
            placed = place(index + 1, (*used, at))
            if placed is not None:
                return placed
        return None

    return place(0, ())


def show(element: ET.Element, outer: str = "", indent: int = 0) -> str:
    """Return readable XML without prefixes."""
    namespace, name = _split(_canonical(element.tag))
    pad = "  " * indent
    attributes = "".join(
        f" {key.replace(_XML, 'xml:')}={quoteattr(value)}" for key, value in element.attrib.items()
    )
    if namespace not in (outer, "jabber:client"):
        attributes = f" xmlns={quoteattr(namespace)}" + attributes
    text = escape((element.text or "").strip())
    if len(element) == 0:
        return f"{pad}<{name}{attributes}" + (f">{text}</{name}>" if text else "/>")
    inner = "\n".join(show(child, namespace, indent + 1) for child in element)
    return f"{pad}<{name}{attributes}>{text}\n{inner}\n{pad}</{name}>"


def _availability(stanza: ET.Element) -> bool:
    return _name(stanza.tag) == "presence" and stanza.get("type") is None


def _canonical(tag: str) -> str:
    return tag.replace(_COMPONENT, _CLIENT)


def _split(tag: str) -> tuple[str, str]:
    namespace, closed, name = tag.rpartition("}")
    return (namespace[1:], name) if closed else ("", tag)


def _local(tag: str) -> str:
    return _split(tag)[1]


def _name(tag: str) -> str:
    return _local(_canonical(tag))
