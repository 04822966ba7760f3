"""Reads files of XEP-0227, however large, as the pieces of one account.

The file is looked at once, from its beginning to its end, and no tree of it is built: lxml's parser
reports what begins and ends, and :mod:`component.account.frames` decide what is kept.  Entities,
document types, the network and included files are off.  Bounds (:class:`Limits`) hold before
memory is taken for what is beyond them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, NoReturn, cast

from lxml import etree

from component.account.canonical import split
from component.account.envelope import Choice, File
from component.account.errors import BadFile, Limits, Why
from component.account.frames import Context, Frame, Skip, shown
from component.account.model import Identity, Piece
from component.core import jids

_CHUNK = 32_768
_BOM = b"\xef\xbb\xbf"
_OTHER_BOMS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff", b"\x00<", b"<\x00")
_DECLARED = re.compile(rb"""^<\?xml[^>]*?\sencoding\s*=\s*["']([^"'>]{0,80})["']""")
_CONTENT_CODES = {
    etree.ErrorTypes.ERR_INVALID_ENCODING: Why.ENCODING,
    etree.ErrorTypes.ERR_INVALID_CHAR: Why.ENCODING,
    etree.ErrorTypes.ERR_UNDECLARED_ENTITY: Why.ENTITIES,
}


class Reader:
    """The pieces of one account in a file.

    Iterate over it once.  The first piece is the :class:`Identity`; the rest comes in the order of
    the file.  What is wrong may come to light at the end only: act on the pieces when all have
    been read.  Unknown elements are no mistake: ``skipped`` says what was passed over.

    :param file: an open binary file; read from where it stands, and not closed.
    :param user: the bare JID of the account that is meant; without it, the file must hold one
        account alone.
    :param limits: how much is taken.
    :raises ValueError: ``user`` is no bare JID.

    Iterating raises :class:`BadFile` where the file cannot be read, and whatever ``file`` raises.
    """

    def __init__(
        self, file: BinaryIO, user: str | None = None, limits: Limits | None = None
    ) -> None:
        wanted = jids.bare(user) if user is not None else None
        if user is not None and wanted is None:
            raise ValueError(f"{user!r} is no bare JID")
        self._choice = Choice(wanted)
        self._ctx = Context(limits or Limits())
        self._file = file

    @property
    def identity(self) -> Identity | None:
        """Whose account it is, once that has been read."""
        return self._choice.chosen

    @property
    def skipped(self) -> Mapping[Skip, int]:
        """What has been passed over until now, why, and how often."""
        return self._ctx.skipped

    def __iter__(self) -> Iterator[Piece]:
        """The pieces."""
        yield from _pieces(self._file, self._ctx, self._choice)
        if self._choice.chosen is None:
            self._ctx.path.clear()
            self._ctx.fail(Why.NO_USER, self._choice.missing())


def accounts(file: BinaryIO, limits: Limits | None = None) -> list[Identity]:
    """Whose accounts a file holds.

    :param file: an open binary file; read from where it stands, and not closed.
    :raises BadFile: it cannot be read.
    """
    choice = Choice(listing=True)
    for _ in _pieces(file, Context(limits or Limits()), choice):
        pass
    return choice.others


def _pieces(file: BinaryIO, ctx: Context, choice: Choice) -> Iterator[Piece]:
    target = _Target(ctx, File(ctx, choice))
    parser = etree.XMLParser(
        target=cast(Any, target),  # the stubs want its methods to take bytes too
        encoding="utf-8",
        # Only those that XML itself has: with a document type, which could bring more, the file is
        # refused before that is read.  (False would leave "&" in attributes half escaped.)
        resolve_entities=cast(Any, "internal"),
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
    )
    try:
        for part in _parts(file, ctx):
            target.feed(parser, part)
            yield from ctx.found
            ctx.found.clear()
    except etree.XMLSyntaxError as error:
        _explain(
            error, ctx, _CONTENT_CODES.get(getattr(error, "code", 0), Why.MALFORMED), target.begun
        )
    try:
        parser.close()
    except etree.XMLSyntaxError as error:
        _explain(error, ctx, Why.TRUNCATED, target.begun)
    yield from ctx.found
    ctx.found.clear()


class _Target:
    """What lxml's parser reports to: the stack of frames, and the bounds of the whole file."""

    def __init__(self, ctx: Context, root: Frame) -> None:
        self.begun = False
        self._ctx = ctx
        self._frames = [root]
        self._names: set[str] = set()
        self._names_size = 0
        self._silent = 0

    def feed(self, parser: etree.XMLParser, part: bytes) -> None:
        """Parse a part of the file.

        :raises BadFile: what is in it is not taken.
        :raises lxml.etree.XMLSyntaxError: it is no XML.
        """
        self._silent += len(part)
        parser.feed(part)
        if self._silent > self._ctx.limits.piece + _CHUNK:
            # A tag, an attribute or a comment without an end: the parser holds all of it.
            self._ctx.fail(Why.LENGTH, f"more than {self._ctx.limits.piece} bytes without an end")
        last = parser.feed_error_log.last_error
        if last is not None and last.level >= etree.ErrorLevels.ERROR:
            # A prefix that is not declared: lxml notes it, and goes on.
            self._ctx.fail(Why.MALFORMED, last.message)

    def start(
        self, tag: str, attrib: Mapping[str, str], nsmap: Mapping[str, str] | None = None
    ) -> None:
        """An element begins."""
        self._silent = 0
        self.begun = True
        ctx = self._ctx
        if len(self._frames) > ctx.limits.depth:
            ctx.fail(Why.DEPTH, f"more than {ctx.limits.depth} elements inside each other")
        self._name(tag)
        for name in attrib:
            self._name(name)
        for name in nsmap or ():
            self._name(f"xmlns:{name}={(nsmap or {})[name]}")
        ctx.path.append(split(tag)[1])
        self._frames.append(self._frames[-1].child(tag, attrib))

    def end(self, tag: str) -> None:
        """An element ends."""
        self._silent = 0
        self._frames.pop().end()
        self._ctx.path.pop()

    def data(self, text: str) -> None:
        """Text, in parts."""
        self._silent = 0
        self._frames[-1].data(text)

    def comment(self, text: str) -> None:
        """A comment: nothing."""
        self._silent = 0

    def pi(self, target: str, data: str | None = None) -> None:
        """An instruction: nothing."""
        self._silent = 0

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        """A document type: refused before its entities are read."""
        self._ctx.fail(Why.ENTITIES, "the file has a document type")

    def close(self) -> None:
        """The parser is at its end."""

    def _name(self, name: str) -> None:
        # The parser keeps each name that it meets, for as long as the process lives.
        if name not in self._names:
            self._names.add(name)
            self._names_size += len(name)
            if self._names_size > self._ctx.limits.names:
                self._ctx.fail(Why.NAMES, f"names longer than {self._ctx.limits.names} together")


def _parts(file: BinaryIO, ctx: Context) -> Iterator[bytes]:
    """The file in parts that end with a line, so that what is reported has ``ctx.line``.

    Tags end with ``>``: lines without one go together with the next that has it.
    """
    line = 1
    first = True
    while chunk := file.read(_CHUNK):
        if first:
            chunk = _prolog(chunk + file.read(_CHUNK), ctx)
            first = False
        start = 0
        while (bracket := chunk.find(b">", start)) >= 0:
            newline = chunk.find(b"\n", bracket)
            if newline < 0:
                break
            line += chunk.count(b"\n", start, newline)
            ctx.line = line
            yield chunk[start : newline + 1]
            line += 1
            start = newline + 1
        line += chunk.count(b"\n", start)
        ctx.line = line
        yield chunk[start:]
    if first:
        ctx.fail(Why.NOT_XML, "the file is empty")


def _prolog(chunk: bytes, ctx: Context) -> bytes:
    """The first part of a file without what some editors put before it."""
    if chunk.startswith(_OTHER_BOMS):
        ctx.fail(Why.ENCODING, "the file is in UTF-16 or UTF-32")
    chunk = chunk.removeprefix(_BOM)
    declared = _DECLARED.match(chunk)
    if declared is not None and declared[1].lower() not in (b"utf-8", b"utf8", b"us-ascii"):
        name = declared[1].decode("ascii", "replace")
        ctx.fail(Why.ENCODING, f"the file says that it is in {shown(name)}")
    return chunk


def _explain(error: etree.XMLSyntaxError, ctx: Context, why: Why, begun: bool) -> NoReturn:
    """Say in our words what lxml found.  :raises BadFile: always."""
    text = re.sub(r", line \d+, column \d+.*$", "", error.msg or "", flags=re.DOTALL).strip()
    if not begun and why is not Why.ENCODING:
        why = Why.NOT_XML
    line = error.lineno or ctx.line
    raise BadFile(why, line, "/".join(ctx.path[-20:]), text or "this is no XML") from None
