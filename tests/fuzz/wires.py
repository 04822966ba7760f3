"""The parser of the stream, and the stanzas that the other targets read with it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from xml.parsers import expat

from component.xmpp.guard import GuardError, StanzaParser

HEADER = (
    b"<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept'"
    b" xmlns:stream='http://etherx.jabber.org/streams' id='1'>"
)
MAX_BYTES, MAX_DEPTH = 400, 5
"""Bounds that small inputs reach."""
MARGIN = 2
"""Bytes by which the bound may be passed: where a piece ends is where it is looked at."""


def stanzas(data: bytes) -> Iterator[ET.Element]:
    """What comes of bytes on an open stream, as the link gets it; nothing where that ends it."""
    parser = StanzaParser(64 * 1024, 64, lambda top, reason: None)
    parser.feed(HEADER + data)
    depth = 0
    try:
        for event, element in parser.read_events():
            depth += 1 if event == "start" else -1
            if event == "end" and depth == 1:
                yield element
    except GuardError:
        return


@dataclass(frozen=True)
class _Span:
    """One stanza as an independent parser saw it."""

    size: int
    size_without_end: int
    depth: int


class _Oracle:
    """Reads the whole stream with expat alone."""

    def __init__(self, data: bytes) -> None:
        self.spans: list[_Span] = []
        self.broken = False
        """Something that ends a stream, after these stanzas."""
        self._depth = self._deepest = 0
        self._start = self._end = -1
        self._parser = parser = expat.ParserCreate("UTF-8", "\x01")
        parser.StartElementHandler = self._on_start
        parser.EndElementHandler = self._on_end
        parser.CharacterDataHandler = self._on_text
        parser.StartDoctypeDeclHandler = self._forbidden
        parser.CommentHandler = self._forbidden
        parser.ProcessingInstructionHandler = self._forbidden
        try:
            parser.Parse(data, False)
        except (expat.ExpatError, GuardError):
            self.broken = True
        self._close()

    def _forbidden(self, *_: object) -> None:
        raise GuardError("restricted-xml", "")

    def _on_start(self, _name: str, _attributes: dict[str, str]) -> None:
        self._close()
        self._depth += 1
        if self._depth == 2:
            self._start, self._deepest = self._parser.CurrentByteIndex, 0
        self._deepest = max(self._deepest, self._depth - 1)

    def _on_end(self, _name: str) -> None:
        self._close()
        self._depth -= 1
        if self._depth == 1:
            self._end = self._parser.CurrentByteIndex

    def _on_text(self, text: str) -> None:
        self._close()
        if self._depth == 1 and not text.isspace():
            raise GuardError("bad-format", "")

    def _close(self) -> None:
        """The first event after a stanza tells where it ended; the text between counts little."""
        if self._end >= 0:
            now = self._parser.CurrentByteIndex
            whole = max(now, self._end) - self._start
            self.spans.append(_Span(whole, self._end - self._start, self._deepest))
            self._end = -1


_CONDITIONS = (None, "policy-violation", "restricted-xml", "not-well-formed", "bad-format")


@dataclass
class _Seen:
    kept: list[str]
    """``refused``, or the stanza as text, in order."""
    error: str | None = None


def _feed(data: bytes, size: int) -> _Seen:
    seen = _Seen([])

    def refused(top: ET.Element, _reason: str) -> None:
        assert not len(top)
        assert not top.text
        seen.kept.append("refused")

    parser = StanzaParser(MAX_BYTES, MAX_DEPTH, refused)
    depth = 0
    try:
        for start in range(0, len(data), size):
            parser.feed(data[start : start + size])
            for event, element in parser.read_events():
                depth += 1 if event == "start" else -1
                if event == "end" and depth == 1:
                    seen.kept.append(ET.tostring(element, "unicode"))
    except GuardError as error:
        seen.error = error.condition
    assert seen.error in _CONDITIONS
    return seen


def stream(data: bytes) -> None:
    """Only its own errors; the same in pieces of any size; and what expat alone reads."""
    if not data.startswith((b"<?xml", b"<stream:stream")):
        data = HEADER + data
    whole = _feed(data, max(1, len(data)))
    oracle = _Oracle(data)
    for seen in (whole, _feed(data, 1), _feed(data, 7)):
        if not oracle.broken:
            # A comment that has begun is enough for us; expat tells of it at its end.
            early = seen.error == "restricted-xml" and b"<!" in data
            assert seen.error is None or early, seen.error
            finished, rest = seen.kept[: len(oracle.spans)], seen.kept[len(oracle.spans) :]
            assert len(finished) == len(oracle.spans), (seen.kept, oracle.spans)
            assert rest in ([], ["refused"]), rest  # one that had not ended
        for kept, span in zip(seen.kept, oracle.spans, strict=False):
            if span.depth > MAX_DEPTH or span.size_without_end > MAX_BYTES + MARGIN:
                assert kept == "refused", (span, kept)
            elif span.size <= MAX_BYTES:
                assert kept != "refused", (span, kept)
        if "refused" not in whole.kept + seen.kept:
            assert seen.kept == whole.kept, (seen, whole)
            # Of two faults in one piece, either may be met first.
            assert (seen.error is None) == (whole.error is None), (seen, whole)
