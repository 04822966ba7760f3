"""Contact lists that people paste: lines of addresses, or an account in XEP-0227 XML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum

from lxml import etree

from component.core import jids
from component.core.model import Subscription
from component.engine.movers.orders import Given

MAX_CONTACTS = 10_000
MAX_CHARACTERS = 400_000
"""Of a pasted list; a stanza of a server holds little more."""
_MAX_NAME = 200
_MAX_GROUPS = 50
_NS_ROSTER = "jabber:iq:roster"
_ANGLED = re.compile(r"^(?P<name>[^<>]*)<\s*(?:xmpp:)?(?P<jid>[^<>\s]+)\s*>\s*$")
_USER = "user"
"""The element of an account (XEP-0227 section 3), in any version's namespace."""


class Why(StrEnum):
    """What is wrong with a list."""

    LINE = "line"
    TOO_MANY = "too-many"
    EMPTY = "empty"
    XML = "xml"
    NO_ROSTER = "no-roster"


class BadList(Exception):
    """A list cannot be read.  ``line`` counts from 1, ``text`` is what stands there."""

    def __init__(self, why: Why, line: int = 0, text: str = "") -> None:
        super().__init__(f"{why.value} in line {line}: {text!r}")
        self.why = why
        self.line = line
        self.text = text


def parse(text: str) -> list[Given]:
    """Read a pasted list.

    Lines: an address, with a name after it or before it (``Name <address>``); several with commas
    or semicolons between them.  Empty lines and those that begin with ``#`` are passed over.
    XML: the roster of the first account (XEP-0227 section 4.5); entries without a subscription are
    no contacts.  An address that comes twice counts once, as it came first.

    :raises BadList: it cannot be read, holds none, or more than :data:`MAX_CONTACTS`.
    """
    text = text.removeprefix("\ufeff").strip()
    entries = _from_xml(text) if _looks_like_xml(text) else _from_lines(text)
    found: dict[str, Given] = {}
    for entry in entries:
        found.setdefault(entry.jid, entry)
        if len(found) > MAX_CONTACTS:
            raise BadList(Why.TOO_MANY)
    if not found:
        raise BadList(Why.EMPTY)
    return list(found.values())


# Lines ----------------------------------------------------------------------------------------


def _from_lines(text: str) -> Iterator[Given]:
    # Not splitlines(): that also splits at marks which may stand in a name.
    for number, raw in enumerate(re.split(r"\r\n|\n|\r", text), start=1):
        line = raw.strip()
        if line and not line.startswith("#"):
            yield from _line(line, number)


def _line(line: str, number: int) -> Iterator[Given]:
    last: Given | None = None
    for part in re.split(r"[,;\t]", line):
        piece = part.strip()
        if not piece:
            continue
        entry = _entry(piece)
        if entry is not None:
            if last is not None:
                yield last
            last = entry
        elif last is not None and last.name is None and "@" not in piece:
            # ``address, name``, as spreadsheets write it.
            last = Given(last.jid, _name(piece))
        else:
            raise BadList(Why.LINE, number, piece)
    if last is not None:
        yield last


def _entry(piece: str) -> Given | None:
    angled = _ANGLED.match(piece)
    if angled is not None:
        jid, name = angled["jid"], angled["name"]
    else:
        jid, _, name = piece.partition(" ")
    if "@" not in jid:
        return None
    prepared = jids.bare(jid.removeprefix("xmpp:"))
    return Given(prepared, _name(name)) if prepared is not None else None


def _name(text: str) -> str | None:
    """A name on one line, without quotation marks and what cannot be printed."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split()).strip("\"'“”„ ")[:_MAX_NAME] or None


# XML ------------------------------------------------------------------------------------------


def _looks_like_xml(text: str) -> bool:
    """``<romeo@montague.example>`` is an address, not an element."""
    return text.startswith("<") and "@" not in text[: text.find(">") + 1].partition(" ")[0]


def _from_xml(text: str) -> Iterator[Given]:
    # No document type: it is the way to entities, and XEP-0227 has none.
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise BadList(Why.XML, 1)
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,  # libxml2's own bounds: depth 256, text 10 MB
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(re.sub(r"^<\?xml[^>]*\?>", "", text).encode(), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise BadList(Why.XML, line) from None
    account = next((e for e in root.iter() if _local(e) == _USER), root)
    roster = next(account.iter(f"{{{_NS_ROSTER}}}query"), None)
    if roster is None:
        raise BadList(Why.NO_ROSTER)
    return _items(roster)


def _items(roster: etree._Element) -> Iterator[Given]:
    for item in roster.iterfind(f"{{{_NS_ROSTER}}}item"):
        try:
            subscription = Subscription(item.get("subscription", "none"))
        except ValueError:
            continue  # ``remove``, or what nobody has defined
        if subscription is Subscription.NONE:
            continue
        jid = jids.bare(item.get("jid"))
        if jid is None:
            line = item.sourceline
            where = line if isinstance(line, int) else 0
            raise BadList(Why.LINE, where, item.get("jid", ""))
        groups = (_name(g.text or "") for g in item.iterfind(f"{{{_NS_ROSTER}}}group"))
        kept = tuple(dict.fromkeys(g for g in groups if g))[:_MAX_GROUPS]
        yield Given(jid, _name(item.get("name", "")), kept, subscription)


def _local(element: etree._Element) -> str:
    return etree.QName(element).localname if isinstance(element.tag, str) else ""
