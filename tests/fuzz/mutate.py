"""Changes an input as an attacker would: XML by its elements, text by its words, both by bytes.

Blind changes of bytes hardly ever leave XML well-formed, and what is not never passes the parser;
so most changes here keep the form and put odd values, elements or places into it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from copy import deepcopy

from lxml import etree

NAMESPACES = {
    None: "jabber:component:accept",
    "stream": "http://etherx.jabber.org/streams",
}
_OPEN = b"<stream:stream xmlns='%s' xmlns:stream='%s'>" % (
    b"jabber:component:accept",
    b"http://etherx.jabber.org/streams",
)
_CLOSE = b"</stream:stream>"
_WORDS = re.compile(rb"[^\s,;<>\"'/@:=]+|.", re.DOTALL)
_SMALL = 4
"""Changes made to one input, at most."""

HOSTS = ("montague.example", "verona.example")
"""Served ones."""
USER, OTHER, OLD, NEW = (
    "juliet@montague.example",
    "mallory@verona.example",
    "romeo@old.example",
    "romeo@new.example",
)
ODD = (
    "",
    " ",
    "0",
    "-1",
    "1",
    "9" * 25,
    "9" * 5000,
    "nan",
    "inf",
    "1e999",
    "٣",
    "ⅳ",
    "true",
    "null",
    USER,
    f"{USER}/phone",
    USER.upper(),
    OTHER,
    OLD,
    NEW,
    f"{NEW}/x",
    f" {NEW} ",
    f"{NEW}\n",
    "romeo@NEW.example",
    "rOmeo@new.example.",
    "romeo@new。example",
    "romeo@xn--bcher-kva.example",
    "romeo@bücher.example",
    "romeo@xn--",
    "rоmeo@new.example",  # noqa: RUF001 - the second letter is Cyrillic
    "ﬀ@new.example",
    "a\u00ad@new.example",
    "\u202egnp@new.example",
    "\u200b@\u200b",
    "a@b@c",
    "@montague.example",
    "montague.example",
    "a@[::1]",
    "a@1 x",
    "a@127.1",
    "a" * 1023 + "@new.example",
    "a" * 1024 + "@new.example",
    "a@" + "b" * 63 + ".example",
    "a@" + "b." * 600 + "example",
    "ß" * 700 + "@new.example",
    f"xmpp:{NEW}",
    "xmpp:romeo%40new.example",
    "xmpp:romeo%00@new.example",
    "xmpp:romeo@new%2eexample",
    "xmpp:%ff@new.example",
    f"xmpp:{NEW}?message",
    f"xmpp://{NEW}",
    "subscribe",
    "subscribed",
    "unsubscribed",
    "both",
    "from",
    "to",
    "none",
    "remove",
    "current",
    "urn:xmpp:moved:1",
    "result",
    "error",
    "set",
    "get",
    "chat",
    "taken",
    "released",
    "submit",
    "cancel",
    "execute",
    "next",
    "prev",
    "complete",
    "auto",
    "never",
    "123456",
    "m7",
    "c11",
    "yes",
    "ok",
    "all but 1",
    "1-3, 5",
    "{0.__class__}",
    "%s%n",
    "\ufeff",
    "\ufffd",
    "\u0085",
    "\u2028",
    "\u0300" * 40,
    "👩‍👩‍👧",
    "x" * 2000,
    "]]>",
    "<!-- -->",
    "&#0;",
)
"""Texts, identifiers and addresses that somebody got wrong before."""
_TAGS = (
    "{urn:xmpp:moved:1}moved",
    "{urn:xmpp:moved:1}old-jid",
    "{urn:xmpp:moved:1}new-jid",
    "{urn:xmpp-moved:hook:0}divert",
    "{urn:xmpp-moved:hook:0}outcome",
    "{jabber:iq:roster}item",
    "{jabber:iq:roster}group",
    "{jabber:client}presence",
    "{jabber:client}iq",
    "{http://jabber.org/protocol/pubsub}item",
    "{http://jabber.org/protocol/pubsub}items",
    "{http://jabber.org/protocol/commands}command",
    "{jabber:x:data}x",
    "{jabber:x:data}field",
    "{jabber:x:data}value",
    "{urn:ietf:params:xml:ns:xmpp-stanzas}gone",
    "{http://www.w3.org/XML/1998/namespace}x",
    "{}}x",
    "moved",
)
_ATTRIBUTES = (
    *("from", "to", "type", "id", "jid", "subscription", "ask", "name", "node", "state", "watched"),
    *("reason", "instance", "action", "sessionid", "var", "timeout", "max-held", "version", "lang"),
    "{http://www.w3.org/XML/1998/namespace}lang",
    "{urn:x}from",
)


class Mutator:
    """Makes new inputs; the same seed makes the same.

    :param fodder: inputs of the corpus, whose parts are put into others.
    """

    def __init__(self, random: random.Random, fodder: Sequence[bytes] = ()) -> None:
        self._random = random
        self._fodder = fodder

    def change(self, data: bytes, most: int) -> bytes:
        """An input like this one, of at most so many bytes."""
        for _ in range(self._random.randint(1, _SMALL)):
            dice = self._random.random()
            if data.lstrip()[:1] == b"<" and dice < 0.85:
                data = self._xml(data)
            elif dice < 0.95:
                data = self._words(data)
            else:
                data = self._bytes(data)
        return data[:most]

    def odd(self) -> str:
        """An odd text."""
        return self._random.choice(ODD)

    # XML ----------------------------------------------------------------------------------------

    def _xml(self, data: bytes) -> bytes:
        root = _parse(data)
        if root is None or not len(root):
            return self._bytes(data)
        elements = [e for e in root.iterdescendants() if isinstance(e.tag, str)]
        if not elements:
            return self._bytes(data)
        chosen = self._random.choice(elements)
        try:
            self._random.choice(
                (
                    *(self._attribute,) * 4,
                    *(self._text,) * 3,
                    *(self._graft,) * 2,
                    self._drop,
                    self._double,
                    self._move,
                    self._rename,
                    self._wrap,
                    self._tail,
                )
            )(root, chosen, elements)
        except ValueError:
            return self._bytes(data)  # lxml takes no control characters
        return b"".join(etree.tostring(child, encoding="utf-8") for child in root)

    def _attribute(
        self, _root: etree._Element, chosen: etree._Element, _all: list[etree._Element]
    ) -> None:
        known = [str(key) for key in chosen.attrib]
        name = self._random.choice(known or _ATTRIBUTES)
        if self._random.random() < 0.25:
            name = self._random.choice(_ATTRIBUTES)
        if known and self._random.random() < 0.15:
            del chosen.attrib[self._random.choice(known)]
        else:
            chosen.set(name, self.odd())

    def _text(
        self, _root: etree._Element, chosen: etree._Element, _all: list[etree._Element]
    ) -> None:
        old = chosen.text or ""
        odd = self.odd()
        chosen.text = self._random.choice((odd, old + odd, odd + old, old[: len(old) // 2]))

    def _graft(
        self, _root: etree._Element, chosen: etree._Element, everything: list[etree._Element]
    ) -> None:
        other = _parse(self._random.choice(self._fodder)) if self._fodder else None
        parts = list(other.iterdescendants()) if other is not None else everything
        if parts:
            part = self._random.choice(parts)
            chosen.append(_copy(part))

    def _drop(
        self, _root: etree._Element, chosen: etree._Element, _all: list[etree._Element]
    ) -> None:
        parent = chosen.getparent()
        if parent is not None:
            parent.remove(chosen)

    def _double(
        self, _root: etree._Element, chosen: etree._Element, _all: list[etree._Element]
    ) -> None:
        chosen.addnext(_copy(chosen))

    def _move(
        self, root: etree._Element, chosen: etree._Element, everything: list[etree._Element]
    ) -> None:
        target = self._random.choice([root, *everything])
        if target is not chosen and chosen not in target.iterancestors():
            target.insert(self._random.randint(0, len(target)), _copy(chosen))

    def _rename(
        self, _root: etree._Element, chosen: etree._Element, everything: list[etree._Element]
    ) -> None:
        names = (*_TAGS, str(self._random.choice(everything).tag))
        chosen.tag = self._random.choice(names)

    def _wrap(
        self, _root: etree._Element, chosen: etree._Element, _all: list[etree._Element]
    ) -> None:
        inner = _copy(chosen)
        for _ in range(self._random.choice((1, 1, 2, 8))):
            outer = etree.Element(self._random.choice((str(chosen.tag), *_TAGS[:-2])))
            outer.append(inner)
            inner = outer
        chosen.append(inner)

    def _tail(
        self, _root: etree._Element, chosen: etree._Element, _all: list[etree._Element]
    ) -> None:
        chosen.tail = self.odd()

    # Words and bytes ----------------------------------------------------------------------------

    def _words(self, data: bytes) -> bytes:
        words = _WORDS.findall(data)
        at = self._random.randint(0, len(words))
        odd = self.odd().encode("utf-8", "surrogatepass")
        match self._random.randrange(5):
            case 0:
                words.insert(at, odd)
            case 1:
                words[at : at + 1] = [odd]
            case 2:
                del words[at : at + self._random.randint(1, 4)]
            case 3:
                words[at:at] = words[at : at + self._random.randint(1, 8)]
            case _:
                if self._fodder:
                    other = _WORDS.findall(self._random.choice(self._fodder))
                    cut = self._random.randint(0, len(other))
                    words[at:] = other[cut:]
        return b"".join(words)

    def _bytes(self, data: bytes) -> bytes:
        found = bytearray(data)
        at = self._random.randint(0, len(found))
        match self._random.randrange(4):
            case 0:
                found[at:at] = self._random.randbytes(self._random.randint(1, 4))
            case 1:
                found[at : at + 1] = self._random.choice(
                    (b"\0", b"<", b">", b"'", b'"', b"&", b"]]>", b"\xff", b"\xc3", b"\xed\xa0\x80")
                )
            case 2:
                del found[at : at + self._random.randint(1, 16)]
            case _:
                if at < len(found):
                    found[at] ^= 1 << self._random.randrange(8)
        return bytes(found)


def _parse(data: bytes) -> etree._Element | None:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        return etree.fromstring(_OPEN + data + _CLOSE, parser)
    except (etree.XMLSyntaxError, ValueError):
        return None


def _copy(element: etree._Element) -> etree._Element:
    found = deepcopy(element)
    found.tail = None
    return found
