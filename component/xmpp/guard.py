"""Builds a stream's stanzas, and skips those that are too large or too deep.

slixmpp builds any stanza of any size and depth (1.17: 20 MiB and 20,000 levels were taken).
:class:`StanzaParser` stands in for its parser.  A stanza beyond the bounds is dropped where it
passes them and read to its end without keeping anything, so whoever can send us a stanza can
neither fill the memory nor end the stream that everyone shares.  Nor can they by names that XML
does not allow, which a server may hand on.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from xml.parsers import expat

from component.xmpp.errors import BadStanza, GuardError
from component.xmpp.skipper import TAG, Skipper

__all__ = ["GuardError", "StanzaParser", "read_element"]

_STREAM = 1
"""Depth inside the stream's root element: stanzas begin and end here."""
_PIECE = 64 * 1024
"""Bytes between two looks at the size of what is unfinished."""
_TOKEN = 4 * 1024 * 1024
"""The longest tag: expat keeps an unfinished one whole, and stanza_bytes may be no larger."""
_RENEW = 1024 * 1024
"""Bytes after which expat is replaced: it remembers every name it has ever seen."""
_DEEPEST = 1000
"""Elements inside each other in what was serialised: more than a stream lets in."""
_SEPARATOR = "\x01"
"""Between namespace and name.  Not in XML: expat fails over a namespace that holds it, so with
ElementTree's own parser anyone could end the stream by a namespace with a ``}``."""
_NAMESPACES = frozenset(
    expat.errors.codes[text]
    for text in (
        expat.errors.XML_ERROR_UNBOUND_PREFIX,
        expat.errors.XML_ERROR_UNDECLARING_PREFIX,
        expat.errors.XML_ERROR_RESERVED_PREFIX_XML,
        expat.errors.XML_ERROR_RESERVED_PREFIX_XMLNS,
        expat.errors.XML_ERROR_RESERVED_NAMESPACE_URI,
    )
)
"""expat's errors over a whole tag whose names make no sense.  A server may hand on what was sense
when it came: Prosody writes ``<xml:x/>``, which anybody may send, as ``<x xmlns='...'/>`` with the
namespace of ``xml:``, which nobody may declare (Namespaces in XML 1.0 section 3)."""

Refused = Callable[[ET.Element, str], None]
"""Told of a skipped stanza: its top element, without content, and why."""


class _Renew(Exception):
    """Leaves expat before a stanza, which a fresh parser shall read."""


class _Names(dict[str, str]):
    """Names as expat reports them, to ElementTree's notation."""

    def __missing__(self, key: str) -> str:
        name = self[key] = "{" + key.replace(_SEPARATOR, "}") if _SEPARATOR in key else key
        return name


class StanzaParser:
    """Reads one inbound stream, from its first byte on, in pieces of any size.

    It has the methods that slixmpp calls of ``XMLPullParser``, and reports the start of the
    stream's root, whole stanzas, and the root's end.

    :param max_bytes: the largest stanza, in bytes as received.
    :param max_depth: the deepest stanza, in elements, the stanza itself counted.
    :param refused: called in the stanzas' order, from :meth:`read_events`, as soon as a stanza
        passes a bound.
    """

    def __init__(self, max_bytes: int, max_depth: int, refused: Refused) -> None:
        self._max_bytes = max_bytes
        self._max_depth = max_depth + _STREAM
        self._max_token = max(_TOKEN, max_bytes)
        self._on_refused = refused
        self._events: list[tuple[str, ET.Element]] = []
        self._error: GuardError | None = None
        self._root: ET.Element | None = None
        self._top: ET.Element | None = None
        self._builder = ET.TreeBuilder()
        self._head = b""
        """All up to the root's start tag; then that tag alone."""
        self._held = bytearray()
        self._depth = 0
        self._skipping = False
        self._in_cdata = False
        self._skipper: Skipper | None = None
        self._tail = bytearray()
        """What came of a tag that is not whole yet."""
        self._begin()

    def feed(self, data: bytes | str) -> None:
        """Take the next bytes.  What is wrong with them, :meth:`read_events` raises."""
        if self._error is not None:
            return
        if isinstance(data, str):
            data = data.encode()
        try:
            for start in range(0, len(data), _PIECE):
                piece = data[start : start + _PIECE]
                while piece:
                    piece = self._parse(piece) if self._skipper is None else self._skip(piece)
        except GuardError as error:
            self._error = error

    def read_events(self) -> Iterator[tuple[str, ET.Element]]:
        """Yield ``start`` and ``end`` events of the root and of stanzas.

        :raises GuardError: after the events before it: ``policy-violation`` for a tag that does
            not end, ``restricted-xml`` for what RFC 6120 section 11.1 forbids,
            ``not-well-formed``, or ``bad-format`` for text between stanzas.
        """
        events, self._events = self._events, []
        for event, element in events:
            if event in ("start", "end"):
                yield event, element
            else:
                self._on_refused(element, event)
        if self._error is not None:
            raise self._error

    # Feeding --------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Begin with a fresh expat, inside the root if there was one."""
        # XMPP is UTF-8 whatever a declaration says (RFC 6120 section 11.6).
        parser = expat.ParserCreate("UTF-8", _SEPARATOR)
        if hasattr(parser, "SetReparseDeferralEnabled"):
            # expat 2.6 may sit on a finished stanza until more bytes come.
            parser.SetReparseDeferralEnabled(False)
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._doctype
        parser.CommentHandler = self._comment
        parser.ProcessingInstructionHandler = self._instruction
        parser.StartCdataSectionHandler = self._cdata_start
        parser.EndCdataSectionHandler = self._cdata_end
        self._parser = parser
        self._names = _Names()
        self._base = self._fed = self._mark = self._unfinished = 0
        self._tail.clear()
        self._renew_at = len(self._head) + _RENEW
        self._depth = 0
        self._build()
        if self._root is not None:
            parser.Parse(self._head, False)
            self._fed = len(self._head)

    def _build(self) -> None:
        self._skipping = False
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._between

    def _parse(self, piece: bytes) -> bytes:
        """Have expat read a piece; returns the part that somebody else has to read."""
        if self._unfinished > _PIECE:
            # expat reads an unfinished tag from its beginning each time, so not in vain.
            self._held += piece
            if b">" not in piece:
                self._check_token(self._unfinished + len(self._held))
                return b""
            piece = bytes(self._held)
            self._held.clear()
        if self._root is None:
            self._head += piece
            if len(self._head) > self._max_bytes + _PIECE:
                raise GuardError("policy-violation", "the stream's header does not end")
        self._base = self._fed
        self._fed += len(piece)
        try:
            self._parser.Parse(piece, False)
        except _Renew:
            rest = piece[self._mark - self._base :]
            self._begin()
            return rest
        except expat.ExpatError as error:
            if error.code in _NAMESPACES and self._depth > _STREAM:
                return self._leave(piece)
            raise GuardError("not-well-formed", f"the stream is not well-formed: {error}") from None
        token = self._parser.CurrentByteIndex  # where what is unfinished begins, or the end
        self._unfinished = self._fed - token
        if token >= self._base:
            self._tail[:] = piece[token - self._base :]
        else:
            self._tail += piece
        self._check_token(self._unfinished)
        if self._top is not None and self._fed - self._mark > self._max_bytes:
            self._refuse(self._too_large())
        if self._skipping and not self._in_cdata and token >= self._base:
            self._skipper = Skipper(self._depth - _STREAM)
            return piece[token - self._base :]
        return b""

    def _leave(self, piece: bytes) -> bytes:
        """Give up a stanza in which expat cannot go on; what is to be skipped begins at the tag
        that it stopped at."""
        rest = bytes(self._tail) + piece
        if self._top is not None:
            self._refuse("with a namespace that XML does not allow")
        self._skipper = Skipper(self._depth - _STREAM)
        return rest[self._parser.ErrorByteIndex - self._base + len(self._tail) :]

    def _skip(self, piece: bytes) -> bytes:
        assert self._skipper is not None
        end = self._skipper.feed(piece)
        if end is None:
            return b""
        self._skipper = None
        self._begin()
        return piece[end:]

    def _check_token(self, size: int) -> None:
        if size > self._max_token:
            raise GuardError("policy-violation", f"a tag is larger than {self._max_token} bytes")

    def _too_large(self) -> str:
        return f"larger than {self._max_bytes} bytes"

    def _refuse(self, reason: str) -> None:
        """Drop the stanza under way.  The rest of the piece goes to expat, only to be counted."""
        assert self._top is not None
        self._events.append((reason, ET.Element(self._top.tag, self._top.attrib)))
        self._top = None
        self._skipping = True
        self._renew_at = 0
        self._builder = ET.TreeBuilder()
        self._parser.StartElementHandler = self._skip_start
        self._parser.EndElementHandler = self._skip_end
        self._parser.CharacterDataHandler = None

    # What expat calls -----------------------------------------------------------------------

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        names = self._names
        tag = names[name]
        if attributes:
            attributes = {names[key]: value for key, value in attributes.items()}
        depth = self._depth = self._depth + 1
        if depth > self._max_depth:
            self._refuse(f"deeper than {self._max_depth - _STREAM} elements")
        elif depth > _STREAM + 1:
            self._builder.start(tag, attributes)
        elif depth > _STREAM:
            self._mark = self._parser.CurrentByteIndex
            if self._mark >= self._renew_at and self._mark >= self._base:
                raise _Renew
            self._builder = ET.TreeBuilder()
            self._top = self._builder.start(tag, attributes)
            self._parser.CharacterDataHandler = self._builder.data
        elif self._root is None:
            self._open(ET.Element(tag, attributes))

    def _end(self, name: str) -> None:
        depth = self._depth = self._depth - 1
        if depth > _STREAM:
            self._builder.end(name)
        elif depth == _STREAM:
            assert self._top is not None
            # The index is where the end tag begins: near enough for a bound.
            if self._parser.CurrentByteIndex - self._mark > self._max_bytes:
                self._refuse(self._too_large())
                self._build()
                return
            self._builder.end(name)
            self._events += (("start", self._top), ("end", self._top))
            self._top = None
            self._parser.CharacterDataHandler = self._between
        elif self._root is not None:
            self._events.append(("end", self._root))

    def _open(self, root: ET.Element) -> None:
        self._root = root
        self._events.append(("start", root))
        found = TAG.match(self._head, self._parser.CurrentByteIndex)
        assert found is not None
        self._head = found.group()

    def _skip_start(self, _name: str, _attributes: dict[str, str]) -> None:
        self._depth += 1

    def _skip_end(self, _name: str) -> None:
        self._depth -= 1
        if self._depth == _STREAM:
            self._build()

    def _between(self, text: str) -> None:
        """Between stanzas only whitespace is allowed (RFC 6120 section 11.7)."""
        if not text.isspace():
            raise GuardError("bad-format", "text between stanzas")

    def _doctype(self, *_: object) -> None:
        raise GuardError("restricted-xml", "a document type declaration")

    def _comment(self, _text: str) -> None:
        raise GuardError("restricted-xml", "a comment")

    def _instruction(self, _target: str, _data: str) -> None:
        raise GuardError("restricted-xml", "a processing instruction")

    def _cdata_start(self) -> None:
        self._in_cdata = True

    def _cdata_end(self) -> None:
        self._in_cdata = False


def read_element(text: str) -> ET.Element:
    """Read an element that :func:`component.xmpp.wire.serialise` wrote for no namespace.

    ElementTree's own parser stops at a namespace with a ``}``, which anybody may send.

    :raises BadStanza: it is none, or holds names that XML does not allow.
    """
    data = text.encode()
    parser = StanzaParser(len(data), _DEEPEST, lambda _top, _reason: None)
    parser.feed(b"<r>" + data)
    try:
        found = [element for event, element in parser.read_events() if event == "end"]
    except GuardError as error:
        raise BadStanza(f"an element cannot be read: {error}") from None
    if len(found) != 1:
        raise BadStanza("an element cannot be read")
    return found[0]
