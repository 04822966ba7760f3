"""Contact lists that people paste: lines of addresses, or an account in XEP-0227 XML."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from enum import StrEnum
from xml.sax.saxutils import quoteattr

from component.account.errors import BadFile
from component.account.errors import Why as FileWhy
from component.account.model import Contact
from component.core import jids
from component.core.model import Subscription
from component.engine.movers.orders import Given

MAX_CONTACTS = 10_000
MAX_CHARACTERS = 400_000
"""Of a pasted list; a stanza of a server holds little more."""
_MAX_NAME = 200
_MAX_GROUPS = 50
_ROSTER_ALONE = re.compile(r"<query\s[^<>]*jabber:iq:roster")
_MARK = re.compile(r"^\s*\[(to|from|both)\]|\[(to|from|both)\]\s*$", re.IGNORECASE)
"""Who sees whom, beside a name: as RFC 6121 section 2.1.2.5, from the mover's side."""
_ANGLED = re.compile(r"^(?P<name>[^<>]*)<\s*(?P<jid>[^<>\s]+)\s*>\s*$")


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


def parse(text: str, owner: str | None = None) -> list[Given]:
    """Read a pasted list.

    Lines: an address, with a name after it or before it (``Name <address>``); several with commas
    or semicolons between them.  ``[to]`` or ``[from]`` before or after the name says that only the
    mover sees the contact, or only the contact the mover; without it both see each other, which is
    what people mean by "my contacts".  Empty lines and those that begin with ``#`` are passed over.
    XML: the roster of an account (XEP-0227 section 4.5); entries without a subscription are no
    contacts.  An address that comes twice counts once, as it came first.

    :param owner: bare JID of the account whose roster it is, where a file has several; a file with
        one account may be another's (it moved before).
    :raises BadList: it cannot be read, holds none, or more than :data:`MAX_CONTACTS`.
    """
    text = text.removeprefix("\ufeff").strip()
    entries = _from_xml(text, owner) if _looks_like_xml(text) else _from_lines(text)
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
            last = _given(last.jid, piece, last.subscription)
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
    prepared = jids.typed(jid)
    return _given(prepared, name) if prepared is not None else None


def _given(jid: str, text: str, otherwise: Subscription = Subscription.BOTH) -> Given:
    """A contact with what stands beside the address: a name, a direction, both, or neither."""
    found = _MARK.search(text)
    if found is None:
        return Given(jid, _name(text), (), otherwise)
    name = text[: found.start()] + text[found.end() :]
    return Given(jid, _name(name), (), Subscription((found[1] or found[2]).lower()))


def _name(text: str) -> str | None:
    """A name on one line, without quotation marks and what cannot be printed."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split()).strip("\"'“”„ ")[:_MAX_NAME] or None


# XML ------------------------------------------------------------------------------------------


def _looks_like_xml(text: str) -> bool:
    """``<romeo@montague.example>`` is an address, not an element."""
    return text.startswith("<") and "@" not in text[: text.find(">") + 1].partition(" ")[0]


def _from_xml(text: str, owner: str | None) -> Iterator[Given]:
    from component.account.read import Reader, accounts  # and lxml: 4 MiB for what is rare

    data = _whole(text, owner).encode("utf-8", "replace")
    try:
        held = {account.jid for account in accounts(io.BytesIO(data))}
        # A server's export may hold everybody: the roster is the old account's, or nobody's.
        reader = Reader(io.BytesIO(data), user=owner if owner in held else None)
        contacts = [piece for piece in reader if isinstance(piece, Contact)]
    except BadFile as bad:
        raise BadList(_WHY.get(bad.why, Why.XML), bad.line) from None
    for contact in contacts:
        # A gateway or another service is on many rosters; only users can be told.
        is_user = jids.bare(contact.jid) == contact.jid
        if is_user and (contact.subscription is not Subscription.NONE or contact.ask):
            groups = tuple(dict.fromkeys(g for raw in contact.groups if (g := _name(raw))))
            name = _name(contact.name or "")
            yield Given(contact.jid, name, groups[:_MAX_GROUPS], contact.subscription, contact.ask)


def _whole(text: str, owner: str | None) -> str:
    """A roster alone, as clients show it in their console, made a file of its owner."""
    if not _ROSTER_ALONE.match(text):
        return text
    user, _, host = (owner or "owner@roster.invalid").partition("@")
    account = f"<host jid={quoteattr(host)}><user name={quoteattr(user)}>{text}</user></host>"
    return f"<server-data xmlns='urn:xmpp:pie:0'>{account}</server-data>"


_WHY = {
    FileWhy.NO_USER: Why.NO_ROSTER,
    FileWhy.SEVERAL_USERS: Why.NO_ROSTER,
    FileWhy.TOO_MANY: Why.TOO_MANY,
}
