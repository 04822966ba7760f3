"""Reads a stanza to its end without keeping anything of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import islice

from component.xmpp.errors import GuardError

TAG = re.compile(rb"<(?!\?)[^<>'\"]*(?:(?:'[^'<]*'|\"[^\"<]*\")[^<>'\"]*)*>|<")
"""A whole tag, or the beginning of anything else."""
_IN_TAG = re.compile(rb"[<>'\"]")
_CDATA = b"[CDATA["
_SLASH = ord("/")


class Skipper:
    """Finds the end of a stanza, keeping nothing but a count.

    expat would keep every open element, and every new name.  Markup alone tells where a stanza
    ends: a ``<`` stands nowhere else in well-formed XML, but for CDATA sections.

    :param depth: elements that are open; what is fed begins outside any tag.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._go: Callable[[bytes, int], int] = self._text
        self._closing = False
        self._slash = False
        """The byte before was a slash, which may make the tag an empty element's."""
        self._quote = b""
        self._tail = b""

    def feed(self, data: bytes) -> int | None:
        """Read on; returns the index after the end tag that closes the stanza, once it comes.

        :raises GuardError: what cannot be in a stanza.
        """
        at = 0
        while at < len(data):
            at = self._go(data, at)
            if not self._depth:
                return at
        return None

    # Each takes data and an index in it, sets who goes on, and returns the index there.

    def _text(self, data: bytes, at: int) -> int:
        limit = data.find(b"<!", at)
        if limit < 0:
            limit = len(data)
        # All the whole tags at once, for speed.
        for number, tag in enumerate(TAG.findall(data, at, limit)):
            if tag == b"<":
                self._go = self._markup
                return self._nth(number, data, at, limit).end()
            if tag[1] == _SLASH:
                self._depth -= 1
                if not self._depth:
                    return self._nth(number, data, at, limit).end()
            elif tag[-2] != _SLASH:
                self._depth += 1
        if limit == len(data):
            return limit
        self._go = self._markup
        return limit + 1

    def _nth(self, number: int, data: bytes, at: int, limit: int) -> re.Match[bytes]:
        return next(islice(TAG.finditer(data, at, limit), number, None))

    def _markup(self, data: bytes, at: int) -> int:
        first = data[at : at + 1]
        if first == b"?":
            raise GuardError("restricted-xml", "a processing instruction")
        if first == b"!":
            self._tail = b""
            self._go = self._declaration
        else:
            self._closing = first == b"/"
            self._slash = False
            self._go = self._tag
        return at + 1

    def _tag(self, data: bytes, at: int) -> int:
        found = _IN_TAG.search(data, at)
        end = len(data) if found is None else found.start()
        if end > at:
            self._slash = data[end - 1 : end] == b"/"
        if found is None:
            return end
        mark = found.group()
        if mark == b"<":
            raise GuardError("not-well-formed", "a tag inside a tag")
        if mark == b">":
            if self._closing:
                self._depth -= 1
            elif not self._slash:
                self._depth += 1
            self._go = self._text
        else:
            self._quote = mark
            self._slash = False
            self._go = self._value
        return end + 1

    def _value(self, data: bytes, at: int) -> int:
        end = data.find(self._quote, at)
        if end < 0:
            end = len(data)
        else:
            self._go = self._tag
        if data.find(b"<", at, end) >= 0:
            raise GuardError("not-well-formed", "a tag inside a tag")
        return end + 1

    def _declaration(self, data: bytes, at: int) -> int:
        self._tail += data[at : at + 1]
        if not _CDATA.startswith(self._tail):
            raise GuardError("restricted-xml", "a comment or a declaration")
        if self._tail == _CDATA:
            self._tail = b""
            self._go = self._cdata
        return at + 1

    def _cdata(self, data: bytes, at: int) -> int:
        if self._tail:
            # At the beginning of a piece only: its end may be spread over two or three.
            seam = self._tail + data[at : at + 2]
            end = seam.find(b"]]>")
            if end >= 0:
                at += end + 3 - len(self._tail)
                self._go = self._text
                return at
        end = data.find(b"]]>", at)
        if end < 0:
            self._tail = (self._tail + data[max(at, len(data) - 2) :])[-2:]
            return len(data)
        self._go = self._text
        return end + 3
