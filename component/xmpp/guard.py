"""Refuses a stream's bytes before they are built into elements.

slixmpp builds any stanza of any size and depth (1.17: 20 MiB and 20,000 levels were taken).
:class:`StreamGuard` reads the same bytes first with a parser that keeps nothing, so what it
refuses never becomes an object.
"""

from __future__ import annotations

from xml.parsers import expat

_STREAM = 0
"""Depth of the stream's root element; its children are stanzas."""


class GuardError(Exception):
    """The peer broke a rule of the stream.

    ``condition`` is the stream error to close with (RFC 6120 section 4.9.3).
    """

    def __init__(self, condition: str, text: str) -> None:
        super().__init__(text)
        self.condition = condition


class StreamGuard:
    """Checks one inbound stream, from its first byte on, in pieces of any size.

    :param max_bytes: the largest stanza, in bytes as received.
    :param max_depth: the deepest stanza, in elements, the stanza itself counted.
    """

    def __init__(self, max_bytes: int, max_depth: int) -> None:
        self._max_bytes = max_bytes
        self._max_depth = max_depth
        self._depth = -1
        self._fed = 0
        self._mark = 0
        parser = expat.ParserCreate()
        if hasattr(parser, "SetReparseDeferralEnabled"):
            # expat 2.6 may sit on a finished stanza until more bytes come.
            parser.SetReparseDeferralEnabled(False)
        parser.buffer_text = False
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.StartDoctypeDeclHandler = self._doctype
        parser.CommentHandler = self._comment
        parser.ProcessingInstructionHandler = self._instruction
        self._parser = parser

    def feed(self, data: bytes) -> None:
        """Check the next bytes.

        :raises GuardError: ``policy-violation`` for size and depth, ``restricted-xml`` for what
            RFC 6120 section 11.1 forbids, ``not-well-formed``, or ``bad-format`` for text
            between stanzas.  The stream cannot be used any further.
        """
        self._fed += len(data)
        try:
            self._parser.Parse(data, False)
        except expat.ExpatError as error:
            raise GuardError("not-well-formed", f"the stream is not well-formed: {error}") from None
        # What is unfinished counts as well: a stanza under way, or a tag that never ends.
        if self._fed - self._mark > self._max_bytes:
            raise self._too_large()

    def _too_large(self) -> GuardError:
        return GuardError("policy-violation", f"a stanza is larger than {self._max_bytes} bytes")

    def _start(self, _name: str, _attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > self._max_depth:
            raise GuardError(
                "policy-violation", f"a stanza is deeper than {self._max_depth} elements"
            )
        if self._depth == _STREAM + 1:
            self._mark = self._parser.CurrentByteIndex
            self._parser.CharacterDataHandler = None
        elif self._depth == _STREAM:
            self._between()

    def _end(self, _name: str) -> None:
        self._depth -= 1
        if self._depth == _STREAM:
            # The index is where the end tag begins: near enough for a bound.
            if self._parser.CurrentByteIndex - self._mark > self._max_bytes:
                raise self._too_large()
            self._between()

    def _between(self) -> None:
        self._mark = self._parser.CurrentByteIndex
        self._parser.CharacterDataHandler = self._text

    def _text(self, text: str) -> None:
        """Between stanzas only whitespace is allowed (RFC 6120 section 11.7)."""
        if not text.isspace():
            raise GuardError("bad-format", "text between stanzas")
        self._mark = self._parser.CurrentByteIndex

    def _doctype(self, *_: object) -> None:
        raise GuardError("restricted-xml", "a document type declaration")

    def _comment(self, _text: str) -> None:
        raise GuardError("restricted-xml", "a comment")

    def _instruction(self, _target: str, _data: str) -> None:
        raise GuardError("restricted-xml", "a processing instruction")
